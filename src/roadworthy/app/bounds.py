"""The jobs that certify what services may answer alone, and make a confidence of their scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from sqlalchemy import Engine, select

from ..release import bundle, registry
from ..review.calibrate import calibrate
from ..review.certify import certify
from ..review.combine import combine
from ..review.in_force import Work
from ..review.terms import Subject
from ..serve.opened import OpenRelease
from ..store.scorers import read_scorer
from ..store.tables import switchboard
from ..types import Clock
from .desks import scorer_of
from .ground import Ground

Releases = Callable[[], Mapping[str, OpenRelease]]


class Bounds:
    """Looks after the bounds of a project's services.

    Args:
        state: Has drafts and outcomes.
        clock: The project's time.
        releases: What serves now.
    """

    def __init__(self, state: Engine, clock: Clock, releases: Releases) -> None:
        self._releases = releases
        self._work = Work(state, clock)

    def certify(self) -> str:
        """Count what is ripe of each service that has a bound."""
        return self._of_each(lambda subject, _: certify(self._work, subject))

    def calibrate(self) -> str:
        """Fit again what has twice as many outcomes as before."""
        return self._of_each(self._fit)

    def _fit(self, subject: Subject, kind: str) -> str:
        said = [calibrate(self._work, subject)]
        if kind == "generate":
            said.append(combine(self._work, subject))
        return "; ".join(filter(None, said))

    def _of_each(self, work: Callable[[Subject, str], str]) -> str:
        said, failed = [], []
        for subject, kind in self._subjects():
            try:
                said.append(work(subject, kind))
            except Exception as error:  # noqa: BLE001 - outer edge: it must not keep another's alarm
                failed.append(error)
        if failed:
            raise failed[0]
        return "; ".join(said)

    def _subjects(self) -> Iterable[tuple[Subject, str]]:
        """Yield what has a bound of what serves now, and its kind."""
        for name, opened in sorted(self._releases().items()):
            desk, declared = opened.desk, opened.declaration
            if desk is not None and desk.policy.max_error is not None:
                scorer = desk.scorer.id
                yield Subject(name, opened.id, scorer, desk.policy, declared.outcomes), opened.kind


def released_subjects(ground: Ground) -> Iterable[Subject]:
    """Yield what has a bound, as the releases that serve declare it, or else the files."""
    for name in ground.service_names:
        champion = registry.champion_of(ground.state, name)
        declared = champion and bundle.read_declared(champion.manifest, ground.artifacts)
        service = declared or ground.load(name)
        if service.review is None or service.review.max_error is None:
            continue
        release = champion.id if champion else ""
        scorer = _fitted_for(ground.state, name, release) or scorer_of(service).id
        yield Subject(name, release, scorer, service.review, service.outcomes)


def _fitted_for(state: Engine, name: str, release: str) -> str:
    """Return the score model that was fitted for a release and is used; empty where none is."""
    here = switchboard.c.name == f"scorer:{name}"
    with state.connect() as connection:
        id = connection.execute(select(switchboard.c.value).where(here)).scalar()
    stored = read_scorer(state, id) if id else None
    return stored.id if stored is not None and stored.release == release else ""
