"""How a service's models are chosen, what each of them got, and what that saves."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ..declare.routing import BETS
from ..serve.cheaper import Cheaper
from ..serve.opened import OpenRelease
from ..serve.ranking import Ranking, rank
from ..store.clock import time_of
from ..store.records import find_records
from ..store.routes import Scored, scored_pairs
from ..types import DAY_US, Record
from . import routing_words as words
from .control import Ask
from .routing_figures import (
    CostPoint,
    DayOfRoutes,
    ModelShare,
    RouteRow,
    RoutingPage,
    Standing,
)
from .states import State
from .units import usd_of

MOST = 2_000
"""The newest requests that are looked at."""
MOST_DAYS = 30
MOST_ROUTES = 40
MOST_POINTS = 24
_Z = 1.959964
_STATES: dict[Standing, State] = {
    "certified": "healthy",
    "collecting": "collecting",
    "off": "off",
    "none": "off",
}


def routing_page(ask: Ask, release: OpenRelease) -> RoutingPage:
    """Return how the models of a release are chosen, and what became of that."""
    state, now_us = ask.control.state, ask.control.clock.now_us()
    routing = release.declaration.routing
    ranking = rank(release.chain.links, routing)
    names = (*ranking.cheaper, *_after(ranking))
    found = find_records(
        state, service=release.name, since_us=now_us - MOST_DAYS * DAY_US, limit=MOST
    )
    answered = [record for record in found if record.model in names and _is_of_a_model(record)]
    costs = _mean_costs(answered)
    pairs = _pairs(ask, release)
    known = [pair for pair in pairs if pair.quality is not None]
    standing = _standing(release)
    by_strongest = costs.get(ranking.strongest)
    most = None if by_strongest is None else by_strongest.mean * len(answered)
    spent = sum(record.cost_micro for record in answered)
    within = release.router.within if release.router is not None else None
    cheaper = _share(sum(r.model != ranking.strongest for r in answered), len(answered))
    why: tuple[str, ...] = words.promise(routing)
    if within is not None and routing.strategy in BETS:
        why += words.evidence(within, standing, len(pairs), len(known))
    is_priced = most is not None and by_strongest is not None and by_strongest.n >= words.LEAST
    return RoutingPage(
        says=words.headline(routing, standing, ranking.strongest, cheaper),
        why=why,
        as_of=time_of(now_us),
        service=release.name,
        release=release.id,
        strategy=routing.strategy,
        reference=routing.reference if routing.strategy in BETS else "",
        standing=standing,
        state=_STATES[standing],
        looked_at=len(found),
        since=time_of(found[-1].at_us) if found else None,
        models=tuple(_models(answered, names, ranking, costs)),
        routes=tuple(_routes(found)),
        days=tuple(_days(answered, names)),
        max_error=routing.max_error if routing.strategy in BETS else None,
        sure=routing.sure if routing.strategy in BETS else None,
        threshold=within.threshold if within is not None and standing == "certified" else None,
        certificate=within.certificate if within is not None else "",
        pairs=len(pairs),
        known=len(known),
        curve=tuple(_curve(known, costs, ranking, routing.strategy == "cascade")),
        spent_usd=usd_of(spent),
        strongest_usd=usd_of(round(most)) if is_priced and most is not None else None,
        saved_usd=usd_of(round(most) - spent) if is_priced and most is not None else None,
        trouble=next((w for w in release.warnings if "routing." in w), ""),
    )


class _Cost(NamedTuple):
    """What the answers of one model cost in the mean, of its own tries alone."""

    mean: float
    n: int


def _after(ranking: Ranking) -> tuple[str, ...]:
    """Return the strongest, and what is dearer than it."""
    dearer = [n for n in ranking.order if n not in (*ranking.cheaper, ranking.strongest)]
    return (ranking.strongest, *dearer)


def _is_of_a_model(record: Record) -> bool:
    return record.disposition in ("answered", "review")


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole >= words.LEAST else None


def _standing(release: OpenRelease) -> Standing:
    router = release.router
    if not isinstance(router, Cheaper):
        return "none"
    if router.within.is_stopped:
        return "off"
    holds = router.within.threshold_for(release.id, router.scorer) is not None
    return "certified" if holds else "collecting"


def _pairs(ask: Ask, release: OpenRelease) -> list[Scored]:
    """Return what is known of the score in use: other evidence says nothing of it."""
    router = release.router
    if not isinstance(router, Cheaper):
        return []
    return scored_pairs(ask.control.state, release.name, release.id, router.scorer, MOST)


def _mean_costs(records: Sequence[Record]) -> dict[str, _Cost]:
    """Return what an answer of each model costs, by its own tries that gave one."""
    spent: dict[str, list[int]] = {}
    for record in records:
        for attempt in record.attempts:
            if attempt.status in ("ok", "unsure"):
                spent.setdefault(attempt.model, []).append(attempt.cost_micro)
    return {name: _Cost(sum(each) / len(each), len(each)) for name, each in spent.items()}


def _models(
    answered: Sequence[Record],
    names: Sequence[str],
    ranking: Ranking,
    costs: Mapping[str, _Cost],
) -> Iterator[ModelShare]:
    counts = Counter(record.model for record in answered)
    for place, name in enumerate(names):
        is_cheapest = place == 0 and bool(ranking.cheaper)
        known = costs.get(name)
        yield ModelShare(
            model=name,
            place="strongest" if name == ranking.strongest else "cheapest" if is_cheapest else "",
            requests=counts[name],
            share=_share(counts[name], len(answered)),
            mean_usd=None if known is None else usd_of(round(known.mean)),
        )


def _routes(found: Sequence[Record]) -> Iterator[RouteRow]:
    """Yield what each rule, intent or reason got, the most first."""
    counts: Counter[tuple[str, str]] = Counter()
    own: Counter[tuple[str, str]] = Counter()
    routed = [record for record in found if record.route is not None]
    for record in routed:
        route = record.route or {}
        key = (_name_of(route), str(route.get("choice", "")))
        counts[key] += 1
        own[key] += record.model == key[1]
    for (route_name, choice), n in counts.most_common(MOST_ROUTES):
        yield RouteRow(
            route=route_name,
            choice=choice,
            requests=n,
            answered=own[route_name, choice],
            share=_share(n, len(routed)),
        )


def _name_of(route: Mapping[str, Any]) -> str:
    """Return what one choice rests on, without the numbers of a single request."""
    if "rule" in route:
        return str(route.get("why", ""))[:200]
    if "intent" in route:
        return f"intent `{route['intent']}`"
    why = str(route.get("why", ""))
    if why.startswith("out of scope"):
        return "out of scope"
    if why.startswith("score "):
        return "score is certified" if route.get("certificate") else "score is not high enough"
    return why.partition(",")[0][:200]


def _days(answered: Sequence[Record], names: Sequence[str]) -> Iterator[DayOfRoutes]:
    by_day: dict[int, Counter[str]] = {}
    for record in answered:
        by_day.setdefault(record.at_us // DAY_US, Counter())[record.model] += 1
    for day in sorted(by_day):
        counts = tuple(by_day[day][name] for name in names)
        yield DayOfRoutes(day=time_of(day * DAY_US), requests=counts)


def _curve(
    pairs: Sequence[Scored], costs: Mapping[str, _Cost], ranking: Ranking, is_cascade: bool
) -> Iterator[CostPoint]:
    """Yield what thresholds would give, from the strictest on, each pair by 1 over its chance."""
    known = [pair for pair in pairs if pair.score is not None]
    if len(pairs) < words.LEAST or not known:
        return
    scores = sorted({pair.score for pair in known if pair.score is not None}, reverse=True)
    step = max(1, math.ceil(len(scores) / MOST_POINTS))
    whole = sum(1 / pair.share for pair in pairs)
    chosen = sorted({*scores[step - 1 :: step], scores[-1]}, reverse=True)
    yield _point(math.nextafter(scores[0], math.inf), pairs, whole, costs, ranking, is_cascade)
    for threshold in chosen:
        yield _point(threshold, pairs, whole, costs, ranking, is_cascade)


def _point(
    threshold: float,
    pairs: Sequence[Scored],
    whole: float,
    costs: Mapping[str, _Cost],
    ranking: Ranking,
    is_cascade: bool,
) -> CostPoint:
    cheaper = sum(1 / p.share for p in pairs if p.passes(threshold)) / whole
    reference = sum((p.reference or 0.0) / p.share for p in pairs) / whole
    lost = [p.lost if p.passes(threshold) else 0.0 for p in pairs]
    mean = sum(x / p.share for x, p in zip(lost, pairs, strict=True)) / whole
    # The variance of a weighted mean (Hajek): what was compared more seldom counts for more.
    spread = math.sqrt(sum(((x - mean) / p.share) ** 2 for x, p in zip(lost, pairs, strict=True)))
    half = _Z * spread / whole
    usd = _usd(cheaper, costs, ranking, is_cascade)
    if reference <= 0:
        none = None
        return CostPoint(
            threshold=threshold, cheaper=cheaper, quality=none, low=none, high=none, usd=usd
        )
    return CostPoint(
        threshold=threshold,
        cheaper=cheaper,
        quality=1 - mean / reference,
        low=1 - (mean + half) / reference,
        high=1 - (mean - half) / reference,
        usd=usd,
    )


def _usd(
    cheaper: float, costs: Mapping[str, _Cost], ranking: Ranking, is_cascade: bool
) -> float | None:
    """Return what 1,000 requests cost: a cascade asks the cheapest of each."""
    cheapest, strongest = ranking.cheaper[0], ranking.strongest
    if cheapest not in costs or strongest not in costs:
        return None
    asked = 1.0 if is_cascade and cheaper > 0 else cheaper
    micro = asked * costs[cheapest].mean + (1 - cheaper) * costs[strongest].mean
    return usd_of(round(1_000 * micro))
