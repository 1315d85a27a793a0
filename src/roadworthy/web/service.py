"""The page of one service: what it promises, keeps, costs and is made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, get_args

from ..declare.show import check_report
from ..serve.opened import OpenRelease
from ..store.clock import time_of
from ..store.records import find_ends
from ..store.rollups import Summary, quantile_ms, summarise_by
from ..types import Disposition
from . import causes, words
from .by_itself import deeds_of
from .control import Ask
from .figures import Ending, HourShown, ServiceFigures
from .home import rows_of, since_of
from .models_shown import models_of
from .shapes import EnforcedKey
from .states import LEAST
from .units import usd_of


def service_page(ask: Ask, release: OpenRelease) -> ServiceFigures:
    """Return what the page of a service shows."""
    now_us = ask.control.clock.now_us()
    since_us = since_of(now_us)
    (row,) = rows_of(ask, [release], now_us)
    hours = summarise_by(ask.control.state, "hour_us", release.name, since_us, now_us)
    declared = release.declaration
    looked_at, models = models_of(ask, release, since_us)
    return ServiceFigures(
        says=words.service(release.name, row.promises, is_stopped=row.stopped is not None),
        as_of=time_of(now_us),
        since=time_of(since_us),
        service=row,
        owners=dict(declared.owners.model_dump()),
        declaration_hash=declared.hash,
        deadline_ms=float(declared.objectives.deadline_ms),
        latency_p95_ms=_float(declared.objectives.latency_p95_ms),
        p95_ms=_p95(hours.values()),
        hours=tuple(_hour(at_us, found) for at_us, found in hours.items()),
        endings=tuple(_endings(ask, release.name, list(hours.values()), since_us)),
        looked_at=looked_at,
        models=tuple(models),
        differences=ask.control.differences(release),
        deeds=deeds_of(ask.control.state, [release.name], now_us),
        keys=tuple(enforced_keys(release, ask.control.enforces)),
    )


def enforced_keys(release: OpenRelease, enforces: Mapping[str, str]) -> Iterator[EnforcedKey]:
    """Yield every key that stands in a service's file, with what enforces it."""
    for path, value, where in check_report(release.declaration, enforces):
        yield EnforcedKey(path=path, value=plain(value), enforced_by=where)


def plain(value: Any) -> Any:
    """Return a declared value as JSON can hold it: amounts are numbers."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def _p95(hours: Iterable[Summary]) -> float | None:
    histograms = [hour.histogram for hour in hours]
    return quantile_ms([sum(counts) for counts in zip(*histograms, strict=True)], 0.95)


def _hour(at_us: int, found: Summary) -> HourShown:
    return HourShown(
        hour=time_of(at_us),
        requests=found.requests,
        failed=found.failed,
        late=found.late,
        p95_ms=found.p95_ms,
        cost_usd=usd_of(found.cost_micro),
    )


def _endings(ask: Ask, name: str, hours: Sequence[Summary], since_us: int) -> Iterator[Ending]:
    whole = sum(hour.requests for hour in hours)
    for disposition in get_args(Disposition):
        requests = sum(getattr(hour, disposition) for hour in hours)
        if requests:
            yield Ending(
                disposition=disposition,
                requests=requests,
                share=_share(requests, whole),
                why=_why(ask, name, disposition, requests, since_us),
            )


def _why(ask: Ask, name: str, disposition: Disposition, requests: int, since_us: int) -> str:
    """Return why requests ended so; where nothing went wrong, what the word means."""
    if disposition in ("answered", "cached"):
        return words.MEANS[disposition]
    found = find_ends(
        ask.control.state,
        service=name,
        disposition=disposition,
        since_us=since_us,
        limit=causes.MOST_LOOKED_AT,
    )
    why = causes.told(causes.causes_of(found), requests)
    return f"{why[0].upper()}{why[1:]}." if why else words.MEANS[disposition]


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole >= LEAST else None


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)
