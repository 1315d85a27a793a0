"""What makes examples of a project's decisions, assembled from its store and its releases."""

from __future__ import annotations

from ..improve.checks import Missed
from ..improve.contracts import Contracts
from ..improve.examples import GATHER_EVERY_S, Gatherer
from ..plugins import load_plugin
from ..store.jobs import Job
from .ground import Ground


def open_contracts(ground: Ground) -> Contracts:
    """Return what gives the contracts of a project's releases."""
    return Contracts(ground.state, ground.artifacts, ground.folder / ".roadworthy" / "releases")


def job_of_examples(ground: Ground) -> Job:
    """Return the job that makes examples of what people decided."""

    def missed_by() -> dict[str, Missed]:
        if not ground.declaration.queues:
            return {}  # and what computes intervals is not imported
        found = load_plugin("review", "reviewers")(ground.state).reviewers
        return {one.by: Missed(one.planted, one.missed) for one in found}

    gatherer = Gatherer(ground.state, ground.clock, open_contracts(ground), missed_by)
    return Job("examples", GATHER_EVERY_S, gatherer.run, lease_s=3_600)
