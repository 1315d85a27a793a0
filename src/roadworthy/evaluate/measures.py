"""Numbers of an evaluation with their intervals, held against what is promised of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from msgspec.structs import replace

from ..declare.service import ServiceDeclaration
from ..risk.means import Moments, mean_interval, moments_of, needed_for_mean, needed_repeats
from ..risk.paired import bootstrap_mean
from ..risk.proportions import (
    Interval,
    clopper_pearson,
    misses,
    needed_for_share,
    quantile_interval,
    reaches,
)
from ..types import MICRO
from .asked import Asked
from .report import Metric, Verdict
from .runs import CaseRuns
from .tallies import Tallies

LATENCY, COST, COST_PER_DAY = "latency_p95_ms", "cost_per_request_usd", "cost_per_day_usd"
ERRORS, RIGHT = "errors", "right"


class Measured(NamedTuple):
    """A metric, and what else is known of how to settle it.

    Attributes:
        repeats: How many repeats of each case would settle it as well; None where they would not.
    """

    metric: Metric
    repeats: int | None = None


def score_metric(name: str, tallies: Tallies, bar: float | None, sure: float) -> Measured:
    """Return the mean of what a scorer says, at least `bar` where one is promised."""
    known = tallies.known()
    if not tallies.by_case or not known:
        why = "no case says anything of it"
        if tallies.by_case:
            why = f"of none of {len(tallies.by_case):,} cases the scorer could say"
        verdict: Verdict | None = None if bar is None else "inconclusive"
        return Measured(Metric(name=name, bar=bar, verdict=verdict, why=why))
    values = [tally.value for tally in known if tally.value is not None]
    every = tallies.by_case.values()
    lowest = [tally.lowest for tally in every]
    highest = [tally.highest for tally in every]
    is_exact = tallies.is_share and tallies.repeats == 1
    low, high = _end(lowest, sure, is_exact).low, _end(highest, sure, is_exact).high
    value = math.fsum(values) / len(values)
    metric = Metric(
        name=name,
        unit="share" if tallies.is_share else "score",
        value=value,
        low=min(low, value),
        high=max(high, value),
        n=len(every),
        why=_unknown(lowest, values, [tally.doubt for tally in known]),
    )
    if bar is None:
        return Measured(metric)
    if low >= bar or high < bar:
        return Measured(_with(metric, bar, "pass" if low >= bar else "fail"))
    side = lowest if value >= bar else highest
    metric = _with(metric, bar, "inconclusive", _needed(side, value, bar, sure, is_exact))
    return Measured(metric, _repeats(tallies, side, bar, sure))


def _end(values: Sequence[float], sure: float, is_exact: bool) -> Interval:
    """Return the interval of a mean; exact where each case is one of right and wrong."""
    if is_exact and all(value in (0.0, 1.0) for value in values):
        return clopper_pearson(round(sum(values)), len(values), sure)
    return mean_interval(moments_of(values), sure)


def _needed(
    side: Sequence[float], value: float, bar: float, sure: float, is_exact: bool
) -> int | None:
    """Return how many more cases settle it, if they are like those that speak against it."""
    moments = moments_of(side)
    if (moments.mean >= bar) != (value >= bar):
        return None
    if is_exact and all(each in (0.0, 1.0) for each in side):
        return needed_for_share(moments.mean, moments.n, bar, sure)
    return needed_for_mean(moments, bar, sure)


def _repeats(tallies: Tallies, side: Sequence[float], bar: float, sure: float) -> int | None:
    if tallies.repeats < 2:
        return None
    within = [tally.within for tally in tallies.known()]
    mean_within = math.fsum(within) / len(within)
    return needed_repeats(moments_of(side), mean_within, tallies.repeats, bar, sure)


def _unknown(lowest: Sequence[float], values: Sequence[float], doubts: Sequence[float]) -> str:
    said = []
    if len(lowest) > len(values):
        missing = len(lowest) - len(values)
        said.append(f"of {missing:,} cases it is not known, so that they count either way")
    doubt = math.fsum(doubts) / len(doubts) if doubts else 0.0
    if doubt:
        said.append(f"people would see {doubt:.1%} of these scores otherwise, which widens it")
    return "; ".join(said)


def latency_metric(cases: Sequence[CaseRuns], bar: float | None, sure: float) -> Measured:
    """Return the latency within which 95 of 100 cases are answered, by order statistics.

    Of each case the first answer counts, since repeats of one are alike.
    """
    ordered = sorted(answer.latency_us / 1000 for answer in _first_answers(cases))
    n = len(ordered)
    if not n:
        return Measured(Metric(name=LATENCY, unit="ms", bar=bar, is_least=False))
    low, high = quantile_interval(ordered, 0.95, sure)
    metric = Metric(
        name=LATENCY,
        unit="ms",
        value=ordered[math.ceil(0.95 * n) - 1],
        low=low if math.isfinite(low) else None,
        high=high if math.isfinite(high) else None,
        n=n,
        is_least=False,
    )
    if bar is None:
        return Measured(metric)
    kept = sum(each <= bar for each in ordered)
    if reaches(kept, n, 0.95, sure):
        return Measured(_with(metric, bar, "pass"))
    if misses(kept, n, 0.95, sure):
        return Measured(_with(metric, bar, "fail"))
    return Measured(_with(metric, bar, "inconclusive", needed_for_share(kept / n, n, 0.95, sure)))


def cost_metrics(
    cases: Sequence[CaseRuns], declared: ServiceDeclaration, requests_per_day: float | None
) -> list[Measured]:
    """Return what a request costs in the mean, and what a day would at the present traffic."""
    values = [
        math.fsum(answer.cost_micro for answer in answers) / len(answers) / MICRO
        for runs in cases
        if (answers := [answer for answer in runs.answers if answer is not None])
    ]
    per_request, per_day = declared.cost.per_request_usd, declared.cost.per_day_usd
    found = [_cost(COST, values, _number(per_request), 1.0, declared, "")]
    if requests_per_day is not None:
        why = f"at {requests_per_day:,.0f} requests a day"
        found.append(_cost(COST_PER_DAY, values, _number(per_day), requests_per_day, declared, why))
    return found


def _cost(
    name: str,
    values: Sequence[float],
    bar: float | None,
    times: float,
    declared: ServiceDeclaration,
    why: str,
) -> Measured:
    if not values:
        return Measured(Metric(name=name, unit="usd", is_least=False))
    sure = declared.evaluation.sure
    moments = moments_of(values)
    most = max(_number(declared.cost.per_request_usd) or 0.0, *values)
    low, high = _cost_interval(values, moments, sure, most, declared.cost.per_request_usd)
    metric = Metric(
        name=name,
        unit="usd",
        value=moments.mean * times,
        low=low * times if math.isfinite(low) else None,
        high=high * times if math.isfinite(high) else None,
        n=moments.n,
        is_least=False,
        why=why,
    )
    if bar is None:
        return Measured(metric)
    if high * times <= bar or low * times > bar:
        return Measured(_with(metric, bar, "pass" if high * times <= bar else "fail"))
    needed = needed_for_mean(moments, bar / times, sure, 0.0, most) if times else None
    return Measured(_with(metric, bar, "inconclusive", needed))


def _cost_interval(
    values: Sequence[float], moments: Moments, sure: float, most: float, ceiling: Decimal | None
) -> Interval:
    """Return where the mean cost lies: nothing costs more than the ceiling that is kept."""
    if not any(values):
        return Interval(0.0, 0.0)
    if ceiling is None:
        return bootstrap_mean(values, sure)
    return mean_interval(moments, sure, 0.0, most)


def error_metric(cases: Sequence[CaseRuns], availability: float | None, sure: float) -> Measured:
    """Return the share of cases that failed; it fails where availability is surely not kept.

    It seldom passes: to show that 999 of 1,000 do not fail takes thousands of cases, so that it is
    left open what they do not show.
    """
    shares = [
        sum(answer.disposition == "failed" for answer in answers) / len(answers)
        for runs in cases
        if (answers := [answer for answer in runs.answers if answer is not None])
    ]
    if not shares:
        return Measured(Metric(name=ERRORS, is_least=False))
    is_exact = max(len(runs.answers) for runs in cases) == 1
    low, high = _end(shares, sure, is_exact)
    value = math.fsum(shares) / len(shares)
    metric = Metric(name=ERRORS, value=value, low=low, high=high, n=len(shares), is_least=False)
    if availability is None:
        return Measured(metric)
    bar = 1 - availability
    if high <= bar or low > bar:
        return Measured(_with(metric, bar, "pass" if high <= bar else "fail"))
    return Measured(metric)


def _first_answers(cases: Sequence[CaseRuns]) -> list[Asked]:
    firsts = (next((a for a in runs.answers if a is not None), None) for runs in cases)
    return [answer for answer in firsts if answer is not None]


def _with(metric: Metric, bar: float, verdict: Verdict, needed: int | None = None) -> Metric:
    return replace(metric, bar=bar, verdict=verdict, needed=needed)


def _number(amount: Decimal | None) -> float | None:
    return None if amount is None else float(amount)
