"""The jobs that certify what services may answer alone, and make a confidence of their scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from sqlalchemy import Engine

from ..release import bundle, registry
from ..review.calibrate import calibrate
from ..review.certify import certify
from ..review.in_force import Work
from ..review.terms import Subject
from ..serve.opened import OpenRelease
from ..store.jobs import Job
from ..types import Clock
from .desks import scorer_of
from .ground import Ground

CERTIFY_EVERY_S = 60
CALIBRATE_EVERY_S = 3_600

Releases = Callable[[], Mapping[str, OpenRelease]]


class Bounds:
    """Looks after the bounds of a project's services.

    Args:
        state: Has drafts and outcomes.
        clock: The project's time.
        releases: What serves now.
        drain: Stores what waits in the spool.
    """

    def __init__(
        self,
        state: Engine,
        clock: Clock,
        releases: Releases,
        drain: Callable[[], object],
    ) -> None:
        self._releases = releases
        self._drain = drain
        self._work = Work(state, clock)

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
        found = subjects_of(self._releases())
        return [one for one in found if one.policy.max_error is not None]


def subjects_of(releases: Mapping[str, OpenRelease]) -> Iterable[Subject]:
    """Yield what may be certified of what serves now."""
    for name, opened in sorted(releases.items()):
        desk, declared = opened.desk, opened.declaration
        if desk is not None:
            yield Subject(name, opened.id, desk.scorer.id, desk.policy, declared.outcomes)


def released_subjects(ground: Ground) -> Iterable[Subject]:
    """Yield what has a bound, as the releases that serve declare it, or else the files."""
    for name in ground.service_names:
        champion = registry.champion_of(ground.state, name)
        declared = champion and bundle.read_declared(champion.manifest, ground.artifacts)
        service = declared or ground.load(name)
        if service.review is None or service.review.max_error is None:
            continue
        yield Subject(
            name,
            champion.id if champion else "",
            scorer_of(service).id,
            service.review,
            service.outcomes,
        )
