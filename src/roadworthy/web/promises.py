"""Promises beside what was measured of them, and the budgets that they leave."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from ..declare.service import Cost, Objectives
from ..store.clock import time_of
from ..store.rollups import Failures, Hour
from ..types import DAY_US, HOUR_US, MICRO
from . import numbers
from .figures import CostToday, ErrorBudget, Promise
from .states import LEAST, Better, State, is_proven, judge, needed, wilson
from .units import usd_of

LATE_SHARE = 0.05
"""A 95th percentile is kept when at most this share of the requests took longer."""

BUDGET_DAYS = 30
_NEARLY = 0.8
"""The share of a day's ceiling from which on somebody should know."""


class _Counted(NamedTuple):
    """What a promise is measured by: requests, how many of them are hits, and from when on."""

    n: int
    hits: int
    since_us: int | None
    window: str = "24 h"


class _Promised(NamedTuple):
    """A promise as it is declared, and what it is called.

    Attributes:
        hits_of: Counts what the share is of in one hour.
    """

    key: str
    name: str
    label: str
    of: str
    share: float
    better: Better
    hits_of: Callable[[Hour], int]


def promises_of(
    objectives: Objectives, hours: Sequence[Hour], month: Failures
) -> Iterator[Promise]:
    """Yield every objective that is declared, beside what was measured of it.

    A percentile is judged by the share of requests that were later: that is counted exactly, and
    has an interval, where a percentile from a histogram has neither. Latency is of the last 24
    hours. Availability is of the month of its error budget: a day has too few requests to prove
    99.9 %; and where the last 24 hours alone break it, it is at risk.
    """
    if objectives.latency_p95_ms is not None:
        limit = numbers.ms(float(objectives.latency_p95_ms))
        late = _Promised(
            "objectives.latency_p95_ms",
            *("Latency p95", f"Over {limit}", f"slower than {limit}"),
            *(LATE_SHARE, "low", lambda hour: hour.late),
        )
        yield _promise(late, hours, _of_day(late, hours))
    if objectives.availability is not None:
        kept = _Promised(
            "objectives.availability",
            *("Availability", "Availability", "not failed"),
            *(objectives.availability, "high", lambda hour: hour.requests - hour.failed),
        )
        # A request of this second may be in one of the two sums alone.
        of_month = _Counted(
            month.requests, month.requests - month.failed, month.first_us, f"{BUDGET_DAYS} days"
        )
        yield _promise(kept, hours, of_month)


def _of_day(promised: _Promised, hours: Sequence[Hour]) -> _Counted:
    return _Counted(
        n=sum(hour.requests for hour in hours),
        hits=sum(map(promised.hits_of, hours)),
        since_us=hours[0].hour_us if hours else None,
    )


def _promise(promised: _Promised, hours: Sequence[Hour], counted: _Counted) -> Promise:
    goal, better = promised.share, promised.better
    n, hits, day = counted.n, counted.hits, _of_day(promised, hours)
    interval = wilson(hits, n)
    is_enough = n >= LEAST
    state = _state_of(promised, counted, day)
    return Promise(
        key=promised.key,
        name=promised.name,
        label=promised.label,
        of=promised.of,
        promise=goal,
        better=better,
        state=state,
        window=counted.window,
        since=None if counted.since_us is None else time_of(counted.since_us),
        measured=hits / n if is_enough else None,
        low=interval[0] if is_enough else None,
        high=interval[1] if is_enough else None,
        n=n,
        hits=hits,
        n_24h=day.n,
        hits_24h=day.hits,
        missing=max(0, LEAST - n),
        proven_from=needed(goal, better),
        is_proven=is_proven(goal, better, hits, n),
        broken_since=_broken_since(promised, hours) if state in ("breached", "at_risk") else None,
        scale=(0.0, 3 * goal) if better == "low" else (1 - 2 * (1 - goal), 1.0),
    )


def _state_of(promised: _Promised, counted: _Counted, day: _Counted) -> State:
    """Return how a promise stands by its window, warned by the last 24 hours."""
    goal, better = promised.share, promised.better
    state = judge(goal, better, counted.hits, counted.n)
    if counted.window != day.window:
        if counted.n - counted.hits > _allowed(goal, counted.n) >= 1:
            return "breached"
        if state == "healthy" and judge(goal, better, day.hits, day.n) == "breached":
            return "at_risk"
    return state


def _broken_since(promised: _Promised, hours: Sequence[Hour]) -> datetime | None:
    """Return the first of the hours, up to the last one, in all of which it was broken."""
    since = None
    for hour in reversed(hours):
        share = promised.hits_of(hour) / hour.requests
        if share <= promised.share if promised.better == "low" else share >= promised.share:
            break
        since = time_of(hour.hour_us)
    return since


def _allowed(availability: float, requests: int) -> float:
    """Return how many of these requests may fail."""
    return round(requests * (1 - availability), 6)


def error_budget(availability: float | None, month: Failures) -> ErrorBudget | None:
    """Return what is left of the failures that a promise allows; None where nothing is promised.

    Args:
        availability: The share that is promised not to fail.
        month: Requests of the window, and how many of them failed.
    """
    if availability is None:
        return None
    allowed = _allowed(availability, month.requests)
    return ErrorBudget(
        days=BUDGET_DAYS,
        requests=month.requests,
        failed=month.failed,
        allowed=allowed,
        spent_share=month.failed / allowed if allowed >= 1 else None,
    )


def cost_today(
    cost: Cost, spent: tuple[int, int], hours: Sequence[Hour], now_us: int, *, is_paid: bool
) -> CostToday:
    """Return what a service costs today, and what it will at this pace.

    Args:
        cost: What is declared.
        spent: Micro-dollars that are settled and held today.
        hours: The last 24 hours.
        now_us: The project's time.
        is_paid: Whether any of its models charges.
    """
    settled, held = spent
    ceiling = cost.per_day_micro
    today = sum(hour.requests for hour in hours if hour.hour_us >= now_us - now_us % DAY_US)
    midnight, reached = _at_pace(settled, ceiling, now_us) if today >= LEAST else (None, None)
    state = _cost_state(settled, ceiling, reached)
    requests = sum(hour.requests for hour in hours)
    mean = usd_of(sum(hour.cost_micro for hour in hours)) / requests if requests else None
    per_request = cost.per_request_micro
    return CostToday(
        state=state,
        says=tuple(_cost_says(cost, state, spent, midnight, reached, now_us, is_paid)),
        settled_usd=usd_of(settled),
        held_usd=usd_of(held),
        ceiling_usd=None if ceiling is None else usd_of(ceiling),
        by_midnight_usd=None if midnight is None else usd_of(midnight),
        reached_at=None if reached is None else time_of(reached),
        per_request_usd=mean,
        per_request_ceiling_usd=None if per_request is None else usd_of(per_request),
    )


def _at_pace(settled: int, ceiling: int | None, now_us: int) -> tuple[int | None, int | None]:
    """Return micro-dollars at midnight, and when the ceiling is reached, if this day goes on so."""
    since_us = now_us % DAY_US
    if settled <= 0 or since_us < HOUR_US:
        return None, None
    midnight = settled * DAY_US // since_us
    if ceiling is None or midnight <= ceiling or settled >= ceiling:
        return midnight, None
    return midnight, now_us - since_us + since_us * ceiling // settled


def _cost_state(settled: int, ceiling: int | None, reached: int | None) -> State:
    if ceiling is None:
        return "off"
    if settled >= ceiling > 0:
        return "breached"
    is_near = ceiling > 0 and settled >= _NEARLY * ceiling
    return "at_risk" if reached is not None or is_near else "healthy"


def _cost_says(
    cost: Cost,
    state: State,
    spent: tuple[int, int],
    midnight: int | None,
    reached: int | None,
    now_us: int,
    is_paid: bool,
) -> Iterator[str]:
    settled, held = map(usd_of, spent)
    ceiling = cost.per_day_micro
    yield (
        f"{numbers.usd(settled)}; no ceiling is declared."
        if ceiling is None
        else f"{numbers.usd(settled)} of {numbers.usd_declared(usd_of(ceiling))}."
    )
    if held:
        yield f"{numbers.usd(held)} more is held for requests under way."
    does = "get the fallback" if cost.on_exhausted == "fallback" else "are refused"
    if not is_paid and not settled:
        yield "None of its models charges."
    elif state == "breached":
        yield f"The ceiling is reached. Requests that cost something {does}."
    elif reached is not None:
        when = numbers.at(time_of(reached), time_of(now_us))
        yield f"At today's pace the ceiling is reached at about {when}. Requests then {does}."
    elif midnight is not None:
        yield f"At today's pace {numbers.usd(midnight / MICRO)} by midnight."
