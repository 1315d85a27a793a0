"""Recorded traffic through another release: what it would have answered, beside what was. Pure.

Sums alone are kept, and the few requests that differ most, so that a day of any size fits into
memory. Requests of one unit err together: intervals are of units, not of requests.
"""

from __future__ import annotations

import heapq
import math
import zlib
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from statistics import NormalDist
from typing import Any, NamedTuple

import msgspec

from ..types import MICRO
from .report import CaseResult, Metric, Paired, Report, Slice, SuiteUsed, Unit, Verdict

BUCKETS = 2_048
"""Of units: those of one bucket are taken as one, so that memory has a bound."""
MOST_SLICES = 200
MOST_SHOWN = 50
SUITE = "traffic"
NEAR = 0.01
"""Numbers that are less than this part of the larger apart say the same."""
_EVEN = 0.5
_LEAST_UNITS = 2
_MOST_NEEDED = 10_000_000
_QUANTILES = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One of two answers to a request: the one that was given, or the candidate's.

    Attributes:
        is_right: Whether it is right by what became known; None where that says nothing of it.
        brier: Squared error of its own probability; None where it has none or nothing is known.
    """

    disposition: str
    output: Any = None
    error_code: str = ""
    latency_us: int = 0
    cost_micro: int = 0
    is_right: bool | None = None
    brier: float | None = None


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it was answered, and as the candidate answers it.

    Attributes:
        unit: What it counts once of, as `[outcomes]` declares.
        slices: Names of the parts it is in: `tag:night`, `carrier=UA`.
        distance: How far apart the answers are (0-1).
        differs: Whether they say something else.
    """

    id: str
    unit: str
    slices: tuple[str, ...]
    recorded: Side
    replayed: Side
    distance: float
    differs: bool
    why: str = ""
    tags: tuple[str, ...] = ()
    input: dict[str, Any] = {}


class Terms(NamedTuple):
    """What the candidate is held against.

    Attributes:
        sure: How sure each interval is.
        margin: How much worse it may be, of right answers.
    """

    sure: float
    margin: float


class Clustered:
    """The mean of a value over requests, with an interval over the units that they are of.

    The variance is that of a ratio of sums over units (Cochran, Sampling Techniques, 1977, §6.4),
    with a t quantile for as many units as there are.
    """

    def __init__(self) -> None:
        self.n = 0
        self._sums: dict[int, tuple[int, float]] = {}

    def add(self, unit: str, value: float) -> None:
        """Count a value of a unit."""
        bucket = zlib.crc32(unit.encode()) % BUCKETS
        n, total = self._sums.get(bucket, (0, 0.0))
        self._sums[bucket] = (n + 1, total + value)
        self.n += 1

    @property
    def units(self) -> int:
        """How many units there are, of at most `BUCKETS`."""
        return len(self._sums)

    @property
    def mean(self) -> float | None:
        """The mean; None of nothing."""
        return math.fsum(total for _, total in self._sums.values()) / self.n if self.n else None

    def half_width(self, sure: float) -> float | None:
        """Return half of the interval; None where there are too few units to tell."""
        mean, units = self.mean, self.units
        if mean is None or units < _LEAST_UNITS:
            return None
        squares = math.fsum((total - mean * n) ** 2 for n, total in self._sums.values())
        deviation = math.sqrt(units / (units - 1) * squares) / self.n
        return _t_quantile((1 + sure) / 2, units - 1) * deviation

    def interval(self, sure: float, *, is_share: bool = False) -> tuple[float | None, float | None]:
        """Return between what the mean lies.

        Of a share of which every unit is at one end, the other bound is exact (a binomial one).
        """
        mean, half = self.mean, self.half_width(sure)
        if mean is None or half is None:
            return None, None
        low, high = mean - half, mean + half
        if not is_share:
            return low, high
        if half == 0 and mean in (0.0, 1.0):
            reach = 1 - ((1 - sure) / 2) ** (1 / self.units)
            low, high = (0.0, reach) if mean == 0 else (1 - reach, 1.0)
        return max(low, 0.0), min(high, 1.0)


def _t_quantile(p: float, freedom: int) -> float:
    """Return Student's quantile by its expansion (Abramowitz and Stegun, 26.7.5)."""
    z = NormalDist().inv_cdf(p)
    if freedom == 1:
        return math.tan(math.pi * (p - 0.5))
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3


class _Compared:
    """One number of both on the same requests."""

    def __init__(self) -> None:
        self.recorded, self.replayed, self.difference = Clustered(), Clustered(), Clustered()
        self.better = self.worse = 0

    def add(self, unit: str, recorded: float, replayed: float, *, more_is_better: bool) -> None:
        self.recorded.add(unit, recorded)
        self.replayed.add(unit, replayed)
        self.difference.add(unit, replayed - recorded)
        gain = replayed - recorded if more_is_better else recorded - replayed
        self.better += gain > 0
        self.worse += gain < 0

    def paired(self, name: str, unit: Unit, sure: float) -> Paired:
        low, high = self.difference.interval(sure)
        return Paired(
            name=name,
            unit=unit,
            n=self.difference.n,
            baseline=self.recorded.mean,
            candidate=self.replayed.mean,
            difference=self.difference.mean,
            low=low,
            high=high,
            better=self.better,
            worse=self.worse,
        )


class _Rights:
    """How many answers are right of both, where that is not known of each of the candidate's.

    Of an answer that the candidate gives instead it is often not known whether it is right: what
    people said was about the one that was given. To leave such requests out would compare where
    both agree, and find no difference. So the interval counts them both ways (Manski 1990): its
    lower end as wrong, its upper end as right.
    """

    def __init__(self) -> None:
        self.recorded = Clustered()
        self.least, self.most = Clustered(), Clustered()
        self.least_difference, self.most_difference = Clustered(), Clustered()
        self.unknown = self.better = self.worse = 0

    def add(self, unit: str, recorded: bool, replayed: bool | None) -> None:
        least, most = replayed is True, replayed is not False
        self.unknown += replayed is None
        self.recorded.add(unit, float(recorded))
        for whole, difference, value in (
            (self.least, self.least_difference, least),
            (self.most, self.most_difference, most),
        ):
            whole.add(unit, float(value))
            difference.add(unit, float(value) - float(recorded))
        self.better += replayed is True and not recorded
        self.worse += replayed is False and recorded

    def paired(self, terms: Terms) -> Paired:
        low = self.least_difference.interval(terms.sure)[0]
        high = self.most_difference.interval(terms.sure)[1]
        found = Paired(
            name="right",
            unit="share",
            n=self.recorded.n,
            baseline=self.recorded.mean,
            candidate=_middle(self.least, self.most),
            difference=_middle(self.least_difference, self.most_difference),
            low=low,
            high=high,
            better=self.better,
            worse=self.worse,
        )
        one = judged(found, terms.margin)
        return msgspec.structs.replace(one, needed=None) if self.unknown else one

    def metric(self, sure: float) -> Metric:
        low = self.least.interval(sure, is_share=True)[0]
        high = self.most.interval(sure, is_share=True)[1]
        value = _middle(self.least, self.most)
        why = ""
        if self.unknown:
            why = f"of {self.unknown:,} answers it is not known: they count both ways"
        return Metric(name="right", value=value, low=low, high=high, n=self.least.units, why=why)


def _middle(least: Clustered, most: Clustered) -> float | None:
    return None if least.mean is None or most.mean is None else (least.mean + most.mean) / 2


class _Part:
    """What is counted of one part of the traffic."""

    def __init__(self) -> None:
        self.requests = 0
        self.disagreement, self.rights = Clustered(), _Rights()
        self.briers, self.costs, self.latencies = _Compared(), _Compared(), _Compared()

    def add(self, one: Replayed) -> None:
        self.requests += 1
        recorded, replayed, unit = one.recorded, one.replayed, one.unit
        self.disagreement.add(unit, float(one.differs))
        if recorded.is_right is not None:
            self.rights.add(unit, recorded.is_right, replayed.is_right)
        if recorded.brier is not None and replayed.brier is not None:
            self.briers.add(unit, recorded.brier, replayed.brier, more_is_better=False)
        costs = recorded.cost_micro / MICRO, replayed.cost_micro / MICRO
        self.costs.add(unit, *costs, more_is_better=False)
        latencies = recorded.latency_us / 1_000, replayed.latency_us / 1_000
        self.latencies.add(unit, *latencies, more_is_better=False)

    def paired(self, terms: Terms) -> Iterator[Paired]:
        if self.rights.recorded.n:
            yield self.rights.paired(terms)
        for name, unit, found in (
            ("brier", "score", self.briers),
            ("cost_per_request", "usd", self.costs),
            ("latency", "ms", self.latencies),
        ):
            if found.difference.n:
                yield found.paired(name, unit, terms.sure)  # type: ignore[arg-type]

    def metrics(self, sure: float) -> Iterator[Metric]:
        found = self.disagreement
        low, high = found.interval(sure, is_share=True)
        yield Metric(name="disagreement", value=found.mean, low=low, high=high, n=found.units)
        yield self.rights.metric(sure)


class Traffic:
    """Counts requests as they come back from a candidate.

    Args:
        terms: What it is held against.
    """

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._whole = _Part()
        self._slices: dict[str, _Part] = {}
        self._left_out_slices: set[str] = set()
        self._latencies = array("d"), array("d")
        self._ended: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
        self._largest: list[tuple[float, str, Replayed]] = []

    @property
    def requests(self) -> int:
        """How many were counted."""
        return self._whole.requests

    def add(self, one: Replayed) -> None:
        """Count a request."""
        self._whole.add(one)
        for name in one.slices:
            if name in self._slices or len(self._slices) < MOST_SLICES:
                self._slices.setdefault(name, _Part()).add(one)
            elif len(self._left_out_slices) < MOST_SLICES:
                self._left_out_slices.add(name)
        for side, latencies, ended in zip(
            (one.recorded, one.replayed), self._latencies, self._ended, strict=True
        ):
            latencies.append(side.latency_us / 1_000)
            ended[side.disposition] += 1
        if one.differs or one.distance > 0:
            entry = (one.distance + one.differs, one.id, one)
            if len(self._largest) < MOST_SHOWN:
                heapq.heappush(self._largest, entry)
            elif entry > self._largest[0]:
                heapq.heapreplace(self._largest, entry)

    def report(self, **head: Any) -> Report:
        """Return what was found; `head` are the fields of a report that say of what it is."""
        paired = tuple(self._whole.paired(self._terms))
        right = next((one for one in paired if one.name == "right"), None)
        verdict: Verdict = "inconclusive" if right is None else right.verdict or "inconclusive"
        return Report(
            **head,
            verdict=verdict,
            sentence=self._sentence(right),
            needed=None if right is None else right.needed,
            suites=(SuiteUsed(name=SUITE, digest="", cases=self.requests),),
            metrics={one.name: one for one in self._metrics()},
            paired=paired,
            slices=tuple(self._parts()),
            results=tuple(_shown(one) for *_, one in sorted(self._largest, reverse=True)),
            asked=self.requests,
        )

    @property
    def notes(self) -> Iterator[str]:
        """What a reader must know."""
        if self._left_out_slices:
            yield f"only the first {MOST_SLICES} parts of the traffic are told apart"
        rights, asked = self._whole.rights, self.requests
        if rights.recorded.n < asked:
            yield f"of {rights.recorded.n:,} of {asked:,} requests it is known what was right"
        if rights.unknown:
            yield (
                f"of {rights.unknown:,} other answers of the candidate nobody has said whether "
                "they are right, so they count both ways: labels would say it, verdicts cannot"
            )
        if self.requests and self._whole.disagreement.units < _LEAST_UNITS:
            yield "all requests are of one unit of `[outcomes]`: nothing tells how sure this is"

    def _sentence(self, right: Paired | None) -> str:
        if right is None or right.difference is None:
            return "nothing that became known says which answers are right"
        how = "may be" if right.verdict == "inconclusive" else "is"
        word = {"pass": "no worse than allowed", "fail": "worse than allowed"}.get(
            right.verdict or "", "worse than allowed"
        )
        return (
            f"the candidate {how} {word}: {right.candidate:.1%} right against "
            f"{right.baseline:.1%}, at most {right.margin:.1%} less is allowed"
        )

    def _metrics(self) -> Iterator[Metric]:
        yield from self._whole.metrics(self._terms.sure)
        for name, share in _QUANTILES:
            values = sorted(self._latencies[1])
            place = min(int(share * len(values)), len(values) - 1)
            value = values[place] if values else None
            yield Metric(name=f"latency_{name}", unit="ms", value=value, n=len(values))
        costs = self._whole.costs.replayed
        yield Metric(name="cost_per_request", unit="usd", value=costs.mean, n=costs.units)
        recorded, replayed = self._ended
        for name in sorted({*recorded, *replayed}):
            was = recorded[name] / self.requests
            share = replayed[name] / self.requests
            why = f"{was:.1%} as recorded"
            yield Metric(name=f"disposition_{name}", value=share, n=self.requests, why=why)

    def _parts(self) -> Iterator[Slice]:
        for name, part in sorted(self._slices.items()):
            yield Slice(
                name=name,
                cases=part.requests,
                metrics=tuple(part.metrics(self._terms.sure)),
                paired=tuple(part.paired(self._terms)),
            )


def judged(one: Paired, margin: float) -> Paired:
    """Return a difference of shares with its verdict: how much worse may it be.

    >>> judged(Paired(name="right", n=100, difference=0.0, low=-0.01, high=0.01), 0.02).verdict
    'pass'
    """
    if one.low is None or one.high is None or one.difference is None:
        return msgspec.structs.replace(one, margin=margin, verdict="inconclusive")
    verdict: Verdict = "inconclusive"
    if one.low >= -margin:
        verdict = "pass"
    elif one.high < -margin:
        verdict = "fail"
    needed = None if verdict != "inconclusive" else _needed(one, margin)
    return msgspec.structs.replace(one, margin=margin, verdict=verdict, needed=needed)


def _needed(one: Paired, margin: float) -> int | None:
    """Return how many more requests would settle it at the present difference."""
    if one.low is None or one.difference is None:
        return None
    half, room = one.difference - one.low, abs(one.difference + margin)
    if room * math.sqrt(_MOST_NEEDED) <= half * math.sqrt(one.n):
        return None
    return max(math.ceil(one.n * (half / room) ** 2) - one.n, 1)


def _shown(one: Replayed) -> CaseResult:
    recorded, replayed = one.recorded, one.replayed
    scores = {"distance": round(one.distance, 6)}
    if replayed.brier is not None:
        scores["brier"] = replayed.brier
    return CaseResult(
        id=one.id,
        suite=SUITE,
        tags=one.tags,
        passes=int(replayed.is_right is True),
        runs=1,
        scores=dict(scores),
        input=one.input,
        output=replayed.output,
        baseline_output=recorded.output,
        baseline=recorded.is_right,
        why=one.why,
        disposition=replayed.disposition,
        error_code=replayed.error_code,
        latency_ms=replayed.latency_us / 1_000,
        cost_micro=replayed.cost_micro,
    )


# How far apart two answers are.


class Apart(NamedTuple):
    """How far apart two outputs are (0-1), whether they say something else, and what."""

    distance: float
    differs: bool
    why: str


def apart(recorded: Any, replayed: Any, alike: float | None) -> Apart:
    """Return how far apart two outputs are.

    Of two with a label (or a probability alone, which stands for one), whether it is another counts
    half, and how far their probabilities are apart the other half. Of texts it is what they do not
    share; of other values, how far their parts are apart, where numbers within `NEAR` say the same.

    Args:
        recorded: What was answered; None where nothing was.
        replayed: What the candidate answers.
        alike: How alike they are as texts (0-1); None where they are no texts.

    >>> apart({"label": 1, "probability": 0.75}, {"label": 1, "probability": 0.25}, None).distance
    0.25
    """
    if (recorded is None) != (replayed is None):
        return Apart(1.0, True, "there is an answer only of one")
    if recorded == replayed:
        return Apart(0.0, False, "")
    was, is_now = _label_of(recorded), _label_of(replayed)
    if was is not None and is_now is not None:
        moved = _moved(recorded.get("probability"), replayed.get("probability"))
        if was == is_now:
            return Apart(moved / 2, False, "the same label with another probability")
        return Apart(0.5 + moved / 2, True, f"{was!s:.40} → {is_now!s:.40}")
    if alike is not None:
        return Apart(1 - alike, True, f"texts that are {alike:.0%} alike")
    ours, theirs = dict(_leaves(recorded)), dict(_leaves(replayed))
    names = ours.keys() | theirs.keys()
    missing = object()
    parts = {n: _moved(ours.get(n, missing), theirs.get(n, missing)) for n in names}
    other = sum(far > NEAR for far in parts.values())
    mean = math.fsum(parts.values()) / max(len(names), 1)
    return Apart(mean, other > 0, f"{other} of {len(names)} parts say something else")


def _label_of(output: Any) -> Any:
    """Return the label of a prediction; None where it has none."""
    if not isinstance(output, Mapping):
        return None
    probability = output.get("probability")
    if "label" in output or not isinstance(probability, int | float):
        return output.get("label")
    return probability >= _EVEN


def _moved(one: Any, other: Any) -> float:
    """Return how far two values are apart: of numbers relative to the larger, at most 1."""
    numbers = [v for v in (one, other) if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) == 2:
        return min(abs(numbers[0] - numbers[1]) / max(1.0, *map(abs, numbers)), 1.0)
    return 0.0 if one == other else 1.0


def _leaves(value: Any, path: str = "$") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from _leaves(part, f"{path}.{name}")
    elif isinstance(value, list | tuple):
        for place, part in enumerate(value):
            yield from _leaves(part, f"{path}[{place}]")
    else:
        yield path, value
