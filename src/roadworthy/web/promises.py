"""Promises beside what was measured of them, and the budgets that they leave."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from msgspec import structs

from ..declare.service import Cost, Objectives
from ..store.clock import time_of
from ..store.rollups import Hour
from ..types import DAY_US, HOUR_US, MICRO
from . import numbers
from .figures import CostToday, ErrorBudget, Promise
from .states import LEAST, Better, State, judge, needed, wilson
from .units import usd_of

LATE_SHARE = 0.05
"""A 95th percentile is kept when at most this share of the requests took longer."""

BUDGET_DAYS = 30
_NEARLY = 0.8
"""The share of a day's ceiling from which on somebody should know."""


def promises_of(
    objectives: Objectives, hours: Sequence[Hour], budget: ErrorBudget | None
) -> Iterator[Promise]:
    """Yield every objective that is declared, beside what the hours say of it.

    A percentile is judged by the share of requests that were later: that is counted exactly, and
    has an interval, where a percentile from a histogram has neither.
    """
    if objectives.latency_p95_ms is not None:
        limit = numbers.ms(float(objectives.latency_p95_ms))
        yield _promise(
            "objectives.latency_p95_ms",
            ("Latency p95", f"Over {limit}", f"slower than {limit}"),
            LATE_SHARE,
            "low",
            hours,
            lambda hour: hour.late,
        )
    if objectives.availability is not None:
        kept = _promise(
            "objectives.availability",
            ("Availability", "Availability", "not failed"),
            objectives.availability,
            "high",
            hours,
            lambda hour: hour.requests - hour.failed,
        )
        yield _within(kept, budget)


def _promise(
    key: str,
    called: tuple[str, str, str],
    promise: float,
    better: Better,
    hours: Sequence[Hour],
    hits_of: Callable[[Hour], int],
) -> Promise:
    n, hits = sum(hour.requests for hour in hours), sum(map(hits_of, hours))
    interval = wilson(hits, n)
    is_enough = n >= LEAST
    state = judge(promise, better, hits, n)
    return Promise(
        key=key,
        name=called[0],
        label=called[1],
        of=called[2],
        promise=promise,
        better=better,
        state=state,
        measured=hits / n if is_enough else None,
        low=interval[0] if is_enough else None,
        high=interval[1] if is_enough else None,
        n=n,
        hits=hits,
        missing=max(0, needed(promise, better) - n) if state == "collecting" else 0,
        broken_since=_broken_since(promise, better, hours, hits_of)
        if state in ("breached", "at_risk")
        else None,
        scale=(0.0, 3 * promise) if better == "low" else (1 - 2 * (1 - promise), 1.0),
    )


def _broken_since(
    promise: float, better: Better, hours: Sequence[Hour], hits_of: Callable[[Hour], int]
) -> datetime | None:
    """Return the first of the hours, up to the last one, in all of which it was broken."""
    since = None
    for hour in reversed(hours):
        share = hits_of(hour) / hour.requests
        if share <= promise if better == "low" else share >= promise:
            break
        since = time_of(hour.hour_us)
    return since


def _within(promise: Promise, budget: ErrorBudget | None) -> Promise:
    """Return the promise, broken where the failures of its whole window were too many."""
    if budget is None or budget.spent_share is None or budget.spent_share <= 1:
        return promise
    return structs.replace(promise, state="breached")


def error_budget(availability: float | None, found: tuple[int, int]) -> ErrorBudget | None:
    """Return what is left of the failures that a promise allows; None where nothing is promised.

    Args:
        availability: The share that is promised not to fail.
        found: Requests of the window, and how many of them failed.
    """
    if availability is None:
        return None
    requests, failed = found
    allowed = requests * (1 - availability)
    return ErrorBudget(
        days=BUDGET_DAYS,
        requests=requests,
        failed=failed,
        allowed=round(allowed, 6),
        spent_share=failed / allowed if allowed >= 1 else None,
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
