"""What a month will cost at a volume, from what requests cost lately or else from sizes alone."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec

from ..types import Usage
from .extras import BYTES_PER_TOKEN, Extras
from .prices import Meter

DAYS_PER_MONTH = 365.25 / 12
_PER_DAY = {"s": 86_400.0, "minute": 1_440.0, "hour": 24.0, "day": 1.0, "month": 12 / 365.25}
_VOLUME = re.compile(r"([0-9][0-9_]*(?:\.[0-9]+)?)(k|m)?/(s|minute|hour|day|month)", re.IGNORECASE)
_TIMES = {"": 1.0, "k": 1e3, "m": 1e6}
_Z = 1.645
"""Of a two-sided interval of 90 %."""
LEAST_SAMPLE = 30
"""Of fewer requests nothing is concluded; sizes say as much."""

Source = Literal["history", "sizes"]


def parse_volume(text: str) -> float:
    """Return how many requests a day a text such as `100000/day` or `2.5k/hour` says.

    Raises:
        ValueError: It is no volume.

    >>> parse_volume("100000/day"), parse_volume("1k/hour")
    (100000.0, 24000.0)
    """
    found = _VOLUME.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"expected a volume such as `100000/day` or `2.5k/hour`, got `{text:.40}`")
    number, times, unit = found.groups()
    return float(number) * _TIMES[(times or "").lower()] * _PER_DAY[unit.lower()]


class Asked(NamedTuple):
    """What one request of the past would cost at today's prices.

    Attributes:
        unit: Whose it was; requests of one user cost alike.
        by_model: Micro-dollars by the model that was tried.
        size: Bytes that left.
        is_reviewed: Whether a person decided it, or looked at it.
    """

    unit: str
    by_model: Mapping[str, int]
    size: float = 0.0
    is_reviewed: bool = False


class Guess(NamedTuple):
    """What one model would be asked, where no request tells.

    Attributes:
        meter: What its answers cost.
        share: Of requests that it is asked, in the low, the expected and the high case.
        input_tokens, output_tokens: Of one request, in the three cases.
    """

    name: str
    meter: Meter
    share: tuple[float, float, float]
    input_tokens: tuple[int, int, int]
    output_tokens: tuple[int, int, int]


class Range(msgspec.Struct, frozen=True):
    """Micro-dollars a month, as low and as high as they may well be."""

    low: int
    expected: int
    high: int


class Driver(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the cost.

    Attributes:
        micro_per_month: What is expected of it.
        share: Of all that is expected (0-1).
        why: Of what it is made, in one sentence.
    """

    name: str
    micro_per_month: int
    share: float
    why: str


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """What a month will cost.

    Attributes:
        source: Whether `history` tells, or `sizes` of prompts and limits alone.
        sample: How many requests it rests on; 0 without history.
        drivers: What drives it, the dearest first.
        notes: What was assumed, and what was not known.
    """

    requests_per_month: float
    per_month: Range
    per_request_micro: float
    drivers: tuple[Driver, ...]
    source: Source
    sample: int = 0
    notes: tuple[str, ...] = ()


def estimate_from_history(
    asked: Sequence[Asked],
    per_day: float,
    extras: Extras,
    *,
    unseen_micro: float = 0.0,
    notes: Sequence[str] = (),
) -> Estimate:
    """Return what a month costs if requests are as these were.

    The range holds the mean of such requests in 90 of 100 samples; users are counted as wholes,
    since requests of one user cost alike.

    Args:
        asked: Requests whose answers somebody was given.
        per_day: How many there will be a day.
        extras: What it costs beside models.
        unseen_micro: What shadows and audits cost, for each of these requests, in the mean.
        notes: What else is to be said of it.
    """
    n, volume = len(asked), per_day * DAYS_PER_MONTH
    by_model: defaultdict[str, int] = defaultdict(int)
    for one in asked:
        for model, micro in one.by_model.items():
            by_model[model] += micro
    size = sum(one.size for one in asked) / n
    reviewed = sum(one.is_reviewed for one in asked) / n
    parts = {
        f"model {model}": (
            micro / n * volume,
            f"${micro / n / 1e6:.6f} a request in the mean of {n:,} requests",
        )
        for model, micro in by_model.items()
    }
    parts |= _beside(extras, volume, size, reviewed)
    parts["shadows and audits"] = (
        unseen_micro * volume,
        f"${unseen_micro / 1e6:.6f} a request for answers that nobody is shown",
    )
    costs = [(one.unit, float(sum(one.by_model.values())) + _own(one, extras)) for one in asked]
    error = _Z * _clustered_error(costs) * volume
    expected = sum(micro for micro, _ in parts.values())
    return Estimate(
        requests_per_month=volume,
        per_month=Range(max(0, round(expected - error)), round(expected), round(expected + error)),
        per_request_micro=expected / volume if volume else 0.0,
        drivers=_drivers(parts, expected),
        source="history",
        sample=n,
        notes=tuple(notes),
    )


def _own(one: Asked, extras: Extras) -> float:
    return float(extras.egress_micro(one.size) + one.is_reviewed * extras.review_micro(1))


def _clustered_error(costs: Sequence[tuple[str, float]]) -> float:
    """Return the standard error of the mean cost, with users as clusters (Liang, Zeger, 1986)."""
    n = len(costs)
    mean = sum(cost for _, cost in costs) / n
    residuals: defaultdict[str, float] = defaultdict(float)
    for unit, cost in costs:
        residuals[unit] += cost - mean
    clusters = len(residuals)
    if clusters < 2:
        return mean  # one user tells nothing of others
    scale = clusters / (clusters - 1)
    return math.sqrt(scale * sum(r * r for r in residuals.values())) / n


def estimate_from_sizes(
    guesses: Sequence[Guess],
    per_day: float,
    extras: Extras,
    *,
    reviewed: float = 0.0,
    notes: Sequence[str] = (),
) -> Estimate:
    """Return what a month costs as far as sizes of prompts and limits tell.

    Args:
        guesses: What each model would be asked.
        per_day: How many requests there will be a day.
        extras: What it costs beside models.
        reviewed: Share of requests that people decide.
        notes: What was assumed.
    """
    volume = per_day * DAYS_PER_MONTH
    low, _, high = (sum(_guessed(one, k) for one in guesses) * volume for k in range(3))
    parts = {
        f"model {one.name}": (
            _guessed(one, 1) * volume,
            f"about {one.input_tokens[1]:,} tokens in and {one.output_tokens[1]:,} out for "
            f"{one.share[1]:.0%} of the requests",
        )
        for one in guesses
    }
    size = sum(
        one.share[1] * (one.input_tokens[1] + one.output_tokens[1]) * BYTES_PER_TOKEN
        for one in guesses
    )
    beside = _beside(extras, volume, size, reviewed)
    fixed = sum(micro for micro, _ in beside.values())
    parts |= beside
    expected = sum(micro for micro, _ in parts.values())
    return Estimate(
        requests_per_month=volume,
        per_month=Range(round(low + fixed), round(expected), round(high + fixed)),
        per_request_micro=expected / volume if volume else 0.0,
        drivers=_drivers(parts, expected),
        source="sizes",
        notes=tuple(notes),
    )


def _guessed(one: Guess, k: int) -> float:
    """Return micro-dollars of one request in the k-th case."""
    usage = Usage(one.input_tokens[k], one.output_tokens[k])
    micro, _ = one.meter.cost(usage)
    return one.share[k] * micro


def _beside(
    extras: Extras, volume: float, size: float, reviewed: float
) -> dict[str, tuple[float, str]]:
    """Return what is paid beside models; what nothing is declared of is left out."""
    gb = volume * size / 1e9
    parts: dict[str, tuple[float, str]] = {}
    if extras.egress_usd_per_gb:
        why = f"{gb:,.1f} GB a month leave, up to providers and back to callers"
        parts["egress"] = (extras.egress_micro(volume * size), why)
    if extras.review_usd and reviewed:
        why = f"{volume * reviewed:,.0f} cases a month at ${extras.review_usd:.2f}"
        parts["people"] = (extras.review_micro(volume * reviewed), why)
    if extras.retrain_usd and extras.retrains_per_month:
        why = f"{extras.retrains_per_month:g} trainings a month at ${extras.retrain_usd:.2f}"
        parts["retraining"] = (extras.retrain_micro(extras.retrains_per_month), why)
    return parts


def _drivers(parts: Mapping[str, tuple[float, str]], expected: float) -> tuple[Driver, ...]:
    drivers = [
        Driver(
            name=name,
            micro_per_month=round(micro),
            share=micro / expected if expected else 0.0,
            why=why,
        )
        for name, (micro, why) in parts.items()
        if micro
    ]
    return tuple(sorted(drivers, key=lambda driver: -driver.micro_per_month))
