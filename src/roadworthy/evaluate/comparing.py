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
from .tallies import Tallies, Tally


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


def answered_cases(
    candidate: Sequence[CaseRuns], baseline: Sequence[CaseRuns]
) -> tuple[list[CaseRuns], list[CaseRuns]]:
    """Return the cases that at least one of the releases answered at least once.

    While a provider is down, nothing differs: without this, any candidate would be as good.
    """
    both = [
        (ours, theirs)
        for ours, theirs in zip(candidate, baseline, strict=True)
        if not (_has_failed(ours) and _has_failed(theirs))
    ]
    return [ours for ours, _ in both], [theirs for _, theirs in both]


def _has_failed(runs: CaseRuns) -> bool:
    answers = [answer for answer in runs.answers if answer is not None]
    return bool(answers) and all(answer.disposition == "failed" for answer in answers)


def pair_scores(
    name: str, candidate: Tallies, baseline: Tallies, margin: float, sure: float
) -> Pairing:
    """Return how a scorer sees both.

    Where scores are in doubt, only cases that are scored differently are: what a judge gets wrong
    of two answers that it sees alike is taken to be the same. Where a score is missing, it counts
    either way: a scorer that fails on what became worse would hide it.
    """
    both = [
        (tally, baseline.by_case[key])
        for key, tally in candidate.by_case.items()
        if key in baseline.by_case
    ]
    known = [pair for pair in both if pair[0].value is not None and pair[1].value is not None]
    missing = [pair for pair in both if pair[0].value is None or pair[1].value is None]
    ours, theirs = [pair[0] for pair in known], [pair[1] for pair in known]
    ours_mean = [tally.value or 0.0 for tally in ours]
    theirs_mean = [tally.value or 0.0 for tally in theirs]
    found = compare(theirs_mean, ours_mean, margin, sure)
    doubts = [a.doubt + b.doubt for a, b in known]
    if known and (missing or any(doubts)):
        ends = [_ends(*pair) for pair in known]
        ends += [(a.lowest - b.highest, a.highest - b.lowest) for a, b in missing]
        found = _in_doubt(found, ends, margin, sure)
    is_share = candidate.is_share and baseline.is_share
    paired = Paired(
        name=name,
        unit="share" if is_share else "score",
        n=len(known),
        baseline=_mean(theirs_mean),
        candidate=_mean(ours_mean),
        difference=found.moments.mean if known else None,
        low=found.low if known else None,
        high=found.high if known else None,
        better=found.better,
        worse=found.worse,
        p=found.p if is_share and known else None,
        margin=margin,
        verdict=found.verdict,
        needed=None if found.verdict != "inconclusive" else found.needed,
        detectable=found.detectable if known else None,
    )
    repeats = min(candidate.repeats, baseline.repeats)
    more = None
    if known and repeats > 1 and found.verdict == "inconclusive":
        within = sum(a.within + b.within for a, b in zip(ours, theirs, strict=True)) / len(known)
        more = needed_repeats(found.moments, within, repeats, -margin, sure, -1.0, 1.0)
    return Pairing(paired, paired.p, more)


def _ends(ours: Tally, theirs: Tally) -> tuple[float, float]:
    """Return the least and the most that a case differs by, as people may see it."""
    difference = (ours.value or 0.0) - (theirs.value or 0.0)
    either = abs(difference) * (ours.doubt + theirs.doubt)
    return max(difference - either, -1.0), min(difference + either, 1.0)


def _in_doubt(
    found: Compared, ends: Sequence[tuple[float, float]], margin: float, sure: float
) -> Compared:
    """Return a comparison whose ends allow for what each case may differ by."""
    zeros = [0.0] * len(ends)
    low = compare(zeros, [least for least, _ in ends], margin, sure)
    high = compare(zeros, [most for _, most in ends], margin, sure)
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
