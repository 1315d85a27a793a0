"""What a service's cache gives again, what that saves, and how often it is wrong."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..serve.caches import ReleaseCache
from ..serve.opened import OpenRelease
from ..store.clock import time_of
from ..store.records import find_records
from ..store.reused import Compared, compared
from ..types import DAY_US, SHOWN, Record
from . import cache_words as words
from .cache_figures import (
    KINDS,
    CachePage,
    DayOfHits,
    GoneShown,
    HitsOfKind,
    Kept,
    ReuseAt,
    Standing,
)
from .control import Ask
from .states import State, wilson
from .units import usd_of

MOST = 5_000
"""The newest requests that are looked at."""
MOST_DAYS = 30
MOST_PAIRS = 20_000
MOST_POINTS = 24
SUREST = 0.2
"""What share of the would-be hits, the surest, is to keep a bound before it can be certified."""
_STATES: dict[Standing, State] = {
    "certified": "healthy",
    "collecting": "collecting",
    "not reachable": "at_risk",
    "off": "off",
    "none": "off",
}


def cache_page(ask: Ask, release: OpenRelease) -> CachePage:
    """Return what is given again of a release, and what became of that."""
    state, now_us = ask.control.state, ask.control.clock.now_us()
    declared = release.declaration.cache
    semantic = declared.semantic
    cache = release.cache if isinstance(release.cache, ReleaseCache) else None
    since_us = now_us - MOST_DAYS * DAY_US
    newest = find_records(state, service=release.name, since_us=since_us, limit=MOST)
    found = [record for record in newest if record.arm in SHOWN]
    hits = [record for record in found if _kind(record)]
    pairs = (
        [] if cache is None else compared(state, release.name, release.id, cache.scorer, MOST_PAIRS)
    )
    points = tuple(_points(pairs))
    reachable = _reachable(pairs)
    standing = _standing(cache, reachable)
    why = words.promise(declared)
    if semantic is not None and cache is not None:
        told = words.evidence(cache.within, standing, len(pairs), reachable, semantic)
        why = (*why, told)
    audits = _audits(pairs, hits, len(found))
    is_certified = cache is not None and standing == "certified"
    saved = _saved(found, hits)
    return CachePage(
        says=words.headline(declared, len(hits), len(found)),
        why=why,
        as_of=time_of(now_us),
        service=release.name,
        release=release.id,
        scope=declared.scope,
        exact_ttl_s=declared.exact_ttl_s,
        standing=standing,
        state=_STATES[standing],
        looked_at=len(found),
        since=time_of(found[-1].at_us) if found else None,
        kinds=tuple(_kinds(hits, len(found))),
        days=tuple(_days(found)),
        saved_usd=saved.usd,
        saved_ms=saved.ms,
        max_error=None if semantic is None else semantic.max_error,
        sure=None if semantic is None else semantic.sure,
        of="" if semantic is None else semantic.of,
        threshold=cache.within.threshold if cache is not None and is_certified else None,
        certificate="" if cache is None else cache.within.certificate,
        pairs=len(pairs),
        audited=audits.n,
        wrong_of_hits=audits.share,
        wrong_low=audits.low,
        wrong_high=audits.high,
        wrong_of_all=audits.of_all,
        reachable=reachable,
        thresholds=points,
        kept=None
        if cache is None
        else ask.on_loop(_kept, cache, declared.max_entries, declared.max_mb),
    )


def _kind(record: Record) -> str:
    return "" if record.cache is None else str(record.cache.get("kind", ""))


def _kinds(hits: Sequence[Record], requests: int) -> Iterator[HitsOfKind]:
    for kind in KINDS:
        own = [record.latency_us for record in hits if _kind(record) == kind]
        yield HitsOfKind(
            kind=kind,
            hits=len(own),
            share=len(own) / requests if requests >= words.LEAST else None,
            mean_ms=sum(own) / len(own) / 1000 if own else None,
        )


def _days(found: Sequence[Record]) -> Iterator[DayOfHits]:
    by_day: dict[int, Counter[str]] = {}
    for record in found:
        by_day.setdefault(record.at_us // DAY_US, Counter())[_kind(record)] += 1
    for day in sorted(by_day):
        counts = by_day[day]
        hits = tuple(counts[kind] for kind in KINDS)
        yield DayOfHits(day=time_of(day * DAY_US), requests=counts.total(), hits=hits)


class _Saved(NamedTuple):
    usd: float | None
    ms: float | None


def _saved(found: Sequence[Record], hits: Sequence[Record]) -> _Saved:
    """Return what hits saved against the mean of what models answered."""
    fresh = [record for record in found if record.disposition == "answered"]
    free = [record for record in hits if record.disposition == "cached"]
    if len(fresh) < words.LEAST or not free:
        return _Saved(None, None)
    mean_micro = sum(record.cost_micro for record in fresh) / len(fresh)
    mean_us = sum(record.latency_us for record in fresh) / len(fresh)
    own_us = sum(record.latency_us for record in free) / len(free)
    return _Saved(usd_of(round(mean_micro * len(free))), (mean_us - own_us) / 1000)


class _Audits(NamedTuple):
    n: int
    share: float | None = None
    low: float | None = None
    high: float | None = None
    of_all: float | None = None


def _audits(pairs: Sequence[Compared], hits: Sequence[Record], requests: int) -> _Audits:
    """Return how many hits on another question were wrong, of those answered anew, unseen."""
    given = [pair for pair in pairs if pair.is_given]
    if not given:
        return _Audits(0)
    wrong = sum(pair.is_wrong for pair in given)
    share = wrong / len(given)
    low, high = wilson(wrong, len(given))
    reused = sum(_kind(record) == "semantic" for record in hits)
    of_all = share * reused / requests if requests >= words.LEAST else None
    return _Audits(len(given), share, low, high, of_all)


def _points(pairs: Sequence[Compared]) -> Iterator[ReuseAt]:
    """Yield what thresholds would give, from the strictest on."""
    if len(pairs) < words.LEAST:
        return
    ordered = sorted(pairs, key=lambda pair: -pair.score)
    step = math.ceil(len(ordered) / MOST_POINTS)
    wrong = 0
    for place, pair in enumerate(ordered, 1):
        wrong += pair.is_wrong
        is_last = place == len(ordered)
        if place % step and not is_last:
            continue
        low, high = wilson(wrong, place)
        yield ReuseAt(
            threshold=pair.score,
            reused=place / len(ordered),
            n=place,
            wrong_of_hits=wrong / place,
            low=low,
            high=high,
        )


def _reachable(pairs: Sequence[Compared]) -> float | None:
    """Return the share of the surest fifth that is wrong; None while too few were compared."""
    surest = sorted(pairs, key=lambda pair: -pair.score)[: int(SUREST * len(pairs))]
    if len(surest) < words.LEAST:
        return None
    return sum(pair.is_wrong for pair in surest) / len(surest)


def _standing(cache: ReleaseCache | None, reachable: float | None) -> Standing:
    if cache is None or cache.alike is None:
        return "none"
    if cache.within.is_stopped:
        return "off"
    if cache.within.threshold_for(cache.release_id, cache.scorer) is not None:
        return "certified"
    is_beyond = reachable is not None and reachable >= cache.max_error
    return "not reachable" if is_beyond else "collecting"


def _kept(cache: ReleaseCache, max_entries: int, max_mb: int) -> Kept:
    last = [
        GoneShown(at=time_of(gone.at_us), request=gone.source, why=words.WHY[gone.why])
        for gone in reversed(cache.gone)
    ]
    return Kept(
        entries=len(cache.kept),
        max_entries=max_entries,
        megabytes=cache.kept.bytes / 1e6,
        max_megabytes=max_mb,
        gone={words.WHY[why]: n for why, n in cache.kept.gone.most_common()},
        last=tuple(last),
    )
