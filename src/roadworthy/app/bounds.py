"""The jobs that certify what services may answer alone, and make a confidence of their scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from sqlalchemy import Engine

from ..declare.project import ProjectDeclaration
from ..review.calibrate import calibrate
from ..review.certify import certify
from ..review.in_force import Announce, Work
from ..review.terms import Subject
from ..serve.opened import OpenRelease
from ..store.jobs import Job
from ..types import Clock

CERTIFY_EVERY_S = 60
CALIBRATE_EVERY_S = 3_600

Releases = Callable[[], Mapping[str, OpenRelease]]


class Bounds:
    """Looks after the bounds of a project's services.

    Args:
        project: Has the queues, each with the webhook that is told.
        state: Has drafts and outcomes.
        clock: The project's time.
        releases: What serves now.
        drain: Stores what waits in the spool.
        announce: Queues notices for webhooks.
    """

    def __init__(
        self,
        project: ProjectDeclaration,
        state: Engine,
        clock: Clock,
        releases: Releases,
        drain: Callable[[], object],
        announce: Announce | None = None,
    ) -> None:
        self._project = project
        self._releases = releases
        self._drain = drain
        self._work = Work(state, clock) if announce is None else Work(state, clock, announce)

    def jobs(self) -> list[Job]:
        """Return the jobs, which find nothing to do where no service has a bound."""
        return [
            Job("certify", CERTIFY_EVERY_S, self._certify),
            Job("calibrate", CALIBRATE_EVERY_S, self._calibrate),
        ]

    def _certify(self) -> str:
        """Count what is ripe of each service that has a bound."""
        return self._of_each(self._bounded(), certify)

    def _calibrate(self) -> str:
        return self._of_each(self._bounded(), calibrate)

    def _of_each(self, subjects: list[Subject], run: Callable[[Work, Subject], str]) -> str:
        if not subjects:
            return "no service has a bound"
        self._drain()
        return "; ".join(run(self._work, subject) for subject in subjects)

    def _bounded(self) -> list[Subject]:
        found = subjects_of(self._project, self._releases())
        return [one for one in found if one.policy.max_error is not None]


def subjects_of(
    project: ProjectDeclaration, releases: Mapping[str, OpenRelease]
) -> Iterable[Subject]:
    """Yield what may be certified of what serves now."""
    for name, opened in sorted(releases.items()):
        desk, declared = opened.desk, opened.declaration
        if desk is None:
            continue
        queue = project.queues.get(desk.policy.queue or "")
        webhook = "" if queue is None else queue.webhook or ""
        yield Subject(name, opened.id, desk.scorer.id, desk.policy, declared.outcomes, webhook)
