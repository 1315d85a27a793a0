"""The jobs that certify cheaper models and answers given again, and learn how good models are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from sqlalchemy import Engine

from ..bounds.certify import Work, certify
from ..bounds.joining import join
from ..bounds.learn import learn
from ..bounds.standing import standing_of
from ..bounds.terms import OUTCOMES, Subject, read_terms, reuse_of, route_of
from ..release import bundle, registry
from ..serve.cheaper import Learned
from ..serve.opened import OpenRelease
from ..store.certificates import open_epoch_of
from ..store.pairs import last_scorer_of_pairs
from ..store.standing import Standing
from ..types import Clock, PairDecision
from .ground import Ground

Releases = Callable[[], Mapping[str, OpenRelease]]


class PairBounds:
    """Looks after what is certified of a project's cheaper models and caches.

    Args:
        state: Has the pairs and the outcomes.
        clock: The project's time.
        releases: What serves now.
    """

    def __init__(self, state: Engine, clock: Clock, releases: Releases) -> None:
        self._releases = releases
        self._work = Work(state, clock)

    def certify(self) -> str:
        """Join outcomes to pairs, and count what is ripe of each decision that has a bound."""
        return _of_each(self._certify, self._subjects())

    def learn(self) -> str:
        """Fit again what has twice as many pairs as before."""
        routers = [
            (opened, router)
            for _, opened in sorted(self._releases().items())
            if isinstance(router := opened.router, Learned)
        ]
        return _of_each(self._learn, routers)

    @staticmethod
    def standings(state: Engine, opened: OpenRelease) -> list[tuple[Subject, Standing]]:
        """Return how what a release may decide so stands."""
        return [(subject, standing_of(state, subject)) for subject in subjects_of(opened)]

    def _certify(self, subject: Subject) -> str:
        if subject.decision == "route" and subject.reference == OUTCOMES:
            join(self._work, subject.service, subject.outcomes)
        return certify(self._work, subject)

    def _learn(self, served: tuple[OpenRelease, Learned]) -> str:
        opened, router = served
        subject = route_of(opened.declaration, opened.id, router.scorer)
        if subject is None:
            return ""
        ranking = router.ranking
        return learn(self._work, subject, ranking.cheaper, ranking.strongest)

    def _subjects(self) -> Iterable[Subject]:
        for _, opened in sorted(self._releases().items()):
            yield from subjects_of(opened)


def subjects_of(opened: OpenRelease) -> Iterable[Subject]:
    """Yield what is to be certified of an open release's cheaper models and cache."""
    if opened.router is not None:
        found = route_of(opened.declaration, opened.id, opened.router.scorer)
        if found is not None:
            yield found
    if opened.cache is not None:
        found = reuse_of(opened.declaration, opened.id, opened.cache.scorer)
        if found is not None:
            yield found


def released_pair_subjects(ground: Ground) -> Iterable[Subject]:
    """Yield what is to be certified, as the releases that serve declare it, or else the files."""
    for name in ground.service_names:
        champion = registry.champion_of(ground.state, name)
        declared = champion and bundle.read_declared(champion.manifest, ground.artifacts)
        service = declared or ground.load(name)
        release = champion.id if champion else ""
        by_route = _scorer_of(ground.state, name, "route", release)
        by_cache = _scorer_of(ground.state, name, "reuse", release)
        found = (route_of(service, release, by_route), reuse_of(service, release, by_cache))
        yield from filter(None, found)


def _scorer_of(state: Engine, name: str, decision: PairDecision, release: str) -> str:
    """Return which score is used: that of the open epoch, or else of the newest pair."""
    epoch = open_epoch_of(state, name, decision)
    if epoch is not None:
        terms = read_terms(epoch.terms)
        if terms.release == release:
            return terms.scorer
    return last_scorer_of_pairs(state, name, decision, release)


def _of_each(work: Callable[..., str], each: Iterable[object]) -> str:
    """Do it for each; what fails of one does not keep the others from it."""
    said, failed = [], []
    for one in each:
        try:
            said.append(work(one))
        except Exception as error:  # noqa: BLE001 - outer edge: it must not keep another's alarm
            failed.append(error)
    if failed:
        raise failed[0]
    return "; ".join(filter(None, said)) or "no service has such a bound"
