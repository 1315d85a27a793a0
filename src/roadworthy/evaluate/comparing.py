"""A release beside its baseline, on the cases that both were asked unchanged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from ..risk.means import needed_repeats
from ..risk.paired import Compared, bootstrap_mean, compare
from ..types import MICRO
from .asked import Asked
from .report import Paired, Unit
from .runs import CaseRuns
from .tallies import Tallies


class Pairing(NamedTuple):
    """A comparison, and what else is known of how to settle it.

    Attributes:
        p: Of McNemar; None of what is not right or wrong.
        repeats: How many repeats of each case would settle it as well; None where they would not.
    """

    paired: Paired
    p: float | None = None
    repeats: int | None = None


def common_cases(
    cases: Sequence[CaseRuns], baseline: Sequence[CaseRuns]
) -> tuple[list[CaseRuns], list[CaseRuns]]:
    """Return the cases that both were asked in the same words, in the same order."""
    before: Mapping[str, CaseRuns] = {runs.case.id: runs for runs in baseline}
    both = [
        (runs, other)
        for runs in cases
        if (other := before.get(runs.case.id)) is not None and other.case.digest == runs.case.digest
    ]
    return [ours for ours, _ in both], [theirs for _, theirs in both]


def pair_scores(
    name: str, candidate: Tallies, baseline: Tallies, margin: float, sure: float
) -> Pairing:
    """Return how a scorer sees both.

    Where scores are in doubt, only cases that are scored differently are: what a judge gets wrong
    of two answers that it sees alike is taken to be the same.
    """
    ids = [
        key
        for key, tally in candidate.by_case.items()
        if tally.value is not None
        and (other := baseline.by_case.get(key)) is not None
        and other.value is not None
    ]
    ours = [candidate.by_case[key] for key in ids]
    theirs = [baseline.by_case[key] for key in ids]
    ours_mean = [tally.value or 0.0 for tally in ours]
    theirs_mean = [tally.value or 0.0 for tally in theirs]
    found = compare(theirs_mean, ours_mean, margin, sure)
    doubts = [a.doubt + b.doubt for a, b in zip(ours, theirs, strict=True)]
    if any(doubts):
        found = _in_doubt(found, theirs_mean, ours_mean, doubts, margin, sure)
    is_share = candidate.is_share and baseline.is_share
    paired = Paired(
        name=name,
        unit="share" if is_share else "score",
        n=len(ids),
        baseline=_mean(theirs_mean),
        candidate=_mean(ours_mean),
        difference=found.moments.mean if ids else None,
        low=found.low if ids else None,
        high=found.high if ids else None,
        better=found.better,
        worse=found.worse,
        p=found.p if is_share and ids else None,
        margin=margin,
        verdict=found.verdict,
        needed=None if found.verdict != "inconclusive" else found.needed,
        detectable=found.detectable if ids else None,
    )
    repeats = min(candidate.repeats, baseline.repeats)
    more = None
    if ids and repeats > 1 and found.verdict == "inconclusive":
        within = sum(a.within + b.within for a, b in zip(ours, theirs, strict=True)) / len(ids)
        more = needed_repeats(found.moments, within, repeats, -margin, sure, -1.0, 1.0)
    return Pairing(paired, paired.p, more)


def _in_doubt(
    found: Compared,
    theirs: Sequence[float],
    ours: Sequence[float],
    doubts: Sequence[float],
    margin: float,
    sure: float,
) -> Compared:
    """Return a comparison whose ends allow for scores that people would see otherwise."""
    rows = list(zip(theirs, ours, doubts, strict=True))
    fewer = [max(b - a - abs(b - a) * doubt, -1.0) for a, b, doubt in rows]
    more = [min(b - a + abs(b - a) * doubt, 1.0) for a, b, doubt in rows]
    zeros = [0.0] * len(rows)
    low, high = compare(zeros, fewer, margin, sure), compare(zeros, more, margin, sure)
    verdict = found.verdict
    if (low.verdict, high.verdict) != (verdict, verdict):
        verdict = "inconclusive"
    side = low if found.moments.mean >= -margin else high
    return found._replace(low=low.low, high=high.high, verdict=verdict, needed=side.needed)


def pair_numbers(
    name: str,
    unit: Unit,
    candidate: Sequence[CaseRuns],
    baseline: Sequence[CaseRuns],
    read: Callable[[Asked], float],
    sure: float,
) -> Paired | None:
    """Return how both differ in a number of their answers that promises nothing, such as cost."""
    rows = [
        (_number(ours, read), _number(theirs, read))
        for ours, theirs in zip(candidate, baseline, strict=True)
    ]
    known = [(a, b) for a, b in rows if a is not None and b is not None]
    if not known:
        return None
    differences = [a - b for a, b in known]
    low, high = bootstrap_mean(differences, sure) if len(known) > 1 else (None, None)
    return Paired(
        name=name,
        unit=unit,
        n=len(known),
        baseline=_mean([b for _, b in known]),
        candidate=_mean([a for a, _ in known]),
        difference=_mean(differences),
        low=low,
        high=high,
        better=sum(difference < 0 for difference in differences),
        worse=sum(difference > 0 for difference in differences),
    )


def latency_ms(asked: Asked) -> float:
    """Return how long an answer took, in milliseconds."""
    return asked.latency_us / 1000


def cost_usd(asked: Asked) -> float:
    """Return what an answer cost, in USD."""
    return asked.cost_micro / MICRO


def _number(runs: CaseRuns, read: Callable[[Asked], float]) -> float | None:
    return _mean([read(answer) for answer in runs.answers if answer is not None])


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
