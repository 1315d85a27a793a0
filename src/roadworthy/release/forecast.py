"""How long a rollout would take, said before it begins."""

from __future__ import annotations

import math

import msgspec

from ..risk import rollout
from .terms import Terms

MOST_DAYS = 90.0
"""A rollout that would take longer is not begun."""


class Forecast(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How long a rollout would take, before it begins.

    Attributes:
        units_per_day: Users of a day, of both arms, that it was reckoned with.
        base: The mean loss that it was reckoned with.
        promote_units, promote_days: Until a candidate that is equal is promoted, in the mean.
        notice_units, notice_days: Until one is rolled back that is worse by twice the margin.
        is_decidable: Whether both are within `MOST_DAYS`.
        why: The numbers in one sentence.
    """

    units_per_day: float
    base: float
    promote_units: int | None = None
    promote_days: float | None = None
    notice_units: int | None = None
    notice_days: float | None = None
    is_decidable: bool = False
    why: str = ""


def expected_duration(
    terms: Terms, units_per_day: float, base: float = 0.05, *, shared: float = 0.5
) -> Forecast:
    """Return how long the declared rollout would take at this traffic.

    Args:
        terms: Of its first step.
        units_per_day: Users of a day, of both arms.
        base: The mean loss (0-1) that is expected of the champion.
        shared: Of a shadow, the share of failures that both releases have in common.
    """
    worse_by = 2 * terms.max_regression
    equal = _differences(terms, base, base, shared)
    worse = _differences(terms, base, min(base + worse_by, 1.0), shared)
    allowed = terms.max_regression
    promote = _pairs(
        [(chance, (allowed - d) / (1 - allowed)) for chance, d in equal], terms.log_better
    )
    notice = _pairs(worse, terms.log_worse)
    ahead = terms.steps[terms.step :] if terms.judge == "canary" else (1.0,)
    judged = [share for share in ahead if share < 1 or terms.judge == "shadow"]
    per_pair = terms.block[0]
    promote_units = None if promote is None else max(promote * per_pair, terms.min_units)
    notice_units = None if notice is None else notice * per_pair
    needs = [(promote_units, judged[0])] if judged else []
    needs += [(terms.min_units, share) for share in judged[1:]]
    promote_days = _days(needs, units_per_day)
    notice_days = _days([(notice_units, judged[0])] if judged else [], units_per_day)
    found = Forecast(
        units_per_day=units_per_day,
        base=base,
        promote_units=promote_units,
        promote_days=promote_days,
        notice_units=notice_units,
        notice_days=notice_days,
        is_decidable=all(
            days is not None and days <= MOST_DAYS for days in (promote_days, notice_days)
        ),
    )
    return msgspec.structs.replace(found, why=_forecast(found, worse_by))


def _differences(
    terms: Terms, champion: float, candidate: float, shared: float
) -> list[tuple[float, float]]:
    """Return chances and differences of a pair, where each user fails or does not."""
    if terms.judge == "shadow":
        both = min(shared * champion, candidate)
        only, other = candidate - both, champion - both
        return [(only, 1.0), (other, -1.0), (1 - only - other, 0.0)]
    ours, theirs = terms.block
    return [
        (_binomial(i, ours, candidate) * _binomial(j, theirs, champion), i / ours - j / theirs)
        for i in range(ours + 1)
        for j in range(theirs + 1)
    ]


def _binomial(k: int, n: int, p: float) -> float:
    if p <= 0 or p >= 1:
        return float(k == (n if p >= 1 else 0))
    logs = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(logs + k * math.log(p) + (n - k) * math.log1p(-p))


def _pairs(gains: list[tuple[float, float]], enough: float) -> int | None:
    growth = [
        sum(chance * math.log1p(bet * gain) for chance, gain in gains) for bet in rollout.BETS
    ]
    return rollout.pairs_needed(growth, enough)


def _days(needs: list[tuple[int | None, float]], units_per_day: float) -> float | None:
    """Return how long so many users of the candidate take at each share; None for ever."""
    days = 0.0
    for units, share in needs:
        if units is None or units_per_day <= 0:
            return None
        days += units / (units_per_day * share)
    return days


def _forecast(found: Forecast, worse_by: float) -> str:
    return (
        f"at {found.units_per_day:,.0f} users a day of whose requests {found.base:.1%} fail, a "
        "candidate that is equal is promoted after "
        f"{_after(found.promote_units, found.promote_days)}, and one that is worse by "
        f"{worse_by:.1%} is rolled back after {_after(found.notice_units, found.notice_days)}"
    )


def _after(units: int | None, days: float | None) -> str:
    if units is None:
        return "more users than ever come"
    if days is None:
        return f"{units:,} users, which never come"
    return f"{units:,} users in {_span(days)}"


def _span(days: float) -> str:
    """Return a time that may be short.

    >>> _span(12.34), _span(0.5), _span(0.02), _span(0.0001)
    ('12.3 days', '12 hours', '29 minutes', '1 minute')
    """
    if days >= 1:
        return f"{days:,.1f} days"
    if days * 24 >= 1:
        return f"{days * 24:.2g} hours"
    minutes = max(1, round(days * 1440))
    return f"{minutes} minute{'' if minutes == 1 else 's'}"
