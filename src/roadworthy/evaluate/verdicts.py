"""What an evaluation's numbers come to: pass, fail, or how much more would settle it.

Something passes only where it is surely kept and fails only where it surely is not, each by itself
as sure as `evaluation.sure`; between the two it is inconclusive. The whole fails if anything does,
else it is inconclusive if anything with a bar is, so that no few lucky cases pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from ..declare.service import ServiceDeclaration
from .comparing import (
    Pairing,
    answered_cases,
    common_cases,
    cost_usd,
    latency_ms,
    pair_numbers,
    pair_scores,
)
from .measures import (
    RIGHT,
    Measured,
    cost_metrics,
    error_metric,
    latency_metric,
    score_metric,
)
from .report import (
    BehaviourResult,
    FairnessResult,
    Metric,
    Paired,
    Slice,
    Stability,
    Verdict,
)
from .rights import rights_of
from .runs import CaseRuns
from .slices import slices_of
from .stability import stability_of
from .tallies import ASKS_SOMEBODY, Tallies, right_tallies, scorers_of, tallies_of


class Concluded(msgspec.Struct, frozen=True, kw_only=True):
    """What the numbers of an evaluation come to.

    Attributes:
        verdict: Of everything together.
        sentence: What decides it.
        needed: How many more cases would settle it, or repeats of each where `needs_repeats`; None
            where it is settled, or where no number would.
        metrics: By name.
    """

    verdict: Verdict = "inconclusive"
    sentence: str = ""
    needed: int | None = None
    needs_repeats: bool = False
    metrics: dict[str, Metric] = {}
    paired: tuple[Paired, ...] = ()
    slices: tuple[Slice, ...] = ()
    stability: Stability = Stability()
    notes: tuple[str, ...] = ()


class _Open(msgspec.Struct, frozen=True):
    """Something that keeps an evaluation from passing.

    Attributes:
        cases: How many more would settle it; None where none would, or nobody knows.
        repeats: How many repeats of each case would, in all.
    """

    verdict: Verdict
    sentence: str
    cases: int | None = None
    repeats: int | None = None


def conclude(
    service: ServiceDeclaration,
    cases: Sequence[CaseRuns],
    baseline: Sequence[CaseRuns] | None = None,
    *,
    behaviours: Sequence[BehaviourResult] = (),
    fairness: Sequence[FairnessResult] = (),
    stability: Stability | None = None,
    requests_per_day: float | None = None,
    notes: Sequence[str] = (),
) -> Concluded:
    """Return the verdict of an evaluation with all of its numbers.

    Args:
        service: What is promised.
        cases: What was asked of the release, answered, and scored.
        baseline: The same of the release that it is compared with.
        behaviours: How answers behaved when inputs were changed.
        fairness: How differently groups are treated.
        stability: How alike repeats were; it is worked out where none is given.
        requests_per_day: The traffic, for the forecast of a day's cost.
        notes: What a reader must know already.
    """
    somebody = frozenset(
        entry.name for entry in service.evaluation.scorers if entry.use in ASKS_SOMEBODY
    )
    tallies = {name: tallies_of(cases, name, somebody) for name in scorers_of(cases)}
    measured = _measured(service, cases, tallies, requests_per_day)
    stable = _stability(service, cases) if stability is None else stability
    beside = _Beside()
    if baseline is not None:
        beside = _against(service, cases, baseline, tallies, somebody)
    sliced = slices_of(cases, tallies, beside.before, service.evaluation)
    found = [
        *_of_cases(service, cases),
        *_of_metrics(measured, beside.pairings, _extra(stable, behaviours, fairness)),
        *_of_slices(sliced.slices),
    ]
    whole = _whole(service, cases, found, is_judged=bool(baseline or behaviours or fairness))
    return Concluded(
        verdict=whole.verdict,
        sentence=whole.sentence,
        needed=whole.cases if whole.repeats is None else whole.repeats,
        needs_repeats=whole.repeats is not None,
        metrics={one.metric.name: one.metric for one in measured},
        paired=(*(pairing.paired for pairing in beside.pairings), *beside.numbers),
        slices=sliced.slices,
        stability=stable,
        notes=(*notes, *beside.notes, *sliced.notes),
    )


class _Beside(NamedTuple):
    """What comes of a baseline.

    Attributes:
        before: Scorer → what it says of the baseline's answers to the cases in common.
        pairings, numbers: Comparisons of scorers, and of what promises nothing.
    """

    before: Mapping[str, Tallies] = {}
    pairings: Sequence[Pairing] = ()
    numbers: Sequence[Paired] = ()
    notes: Sequence[str] = ()


def _measured(
    service: ServiceDeclaration,
    cases: Sequence[CaseRuns],
    tallies: dict[str, Tallies],
    requests_per_day: float | None,
) -> list[Measured]:
    sure, objectives = service.evaluation.sure, service.objectives
    quality = objectives.quality
    bars = {} if quality is None else {quality.scorer: quality.at_least}
    found = [
        score_metric(name, tallies.get(name, Tallies(True, {})), bars.get(name), sure)
        for name in dict.fromkeys([*bars, *tallies])
    ]
    if len(tallies) > 1 and RIGHT not in tallies:
        found.append(score_metric(RIGHT, right_tallies(cases), None, sure))
    bar = objectives.latency_p95_ms
    found.append(latency_metric(cases, None if bar is None else float(bar), sure))
    found += cost_metrics(cases, service, requests_per_day)
    found.append(error_metric(cases, objectives.availability, sure))
    return found


def _stability(service: ServiceDeclaration, cases: Sequence[CaseRuns]) -> Stability:
    """Return how alike the repeats of cases were; without repeats nothing is known of that."""
    declared = service.evaluation
    return stability_of(cases, max_flaky=declared.max_flaky, sure=declared.sure)


def _against(
    service: ServiceDeclaration,
    cases: Sequence[CaseRuns],
    baseline: Sequence[CaseRuns],
    tallies: Mapping[str, Tallies],
    somebody: frozenset[str],
) -> _Beside:
    """Return how scorers and costs differ from the baseline's.

    One of them decides: the scorer of `objectives.quality`, or else whether a case is right by all
    of its scorers. Another only fails: what few cases ask for need not be settled.
    """
    sure, margin = service.evaluation.sure, service.evaluation.max_regression
    both = common_cases(cases, baseline)
    ours, theirs = answered_cases(*both)
    before = {name: tallies_of(theirs, name, somebody) for name in scorers_of(theirs)}
    quality = service.objectives.quality
    decides = RIGHT if quality is None else quality.scorer
    nothing = Tallies(True, {})
    pairings = [
        pair_scores(name, found, before[name], margin, sure)
        for name, found in tallies.items()
        if name in before
    ]
    if decides not in [pairing.paired.name for pairing in pairings]:
        own, other = nothing, nothing
        if decides == RIGHT:
            own, other = right_tallies(ours), right_tallies(theirs)
        pairings.insert(0, pair_scores(decides, own, other, margin, sure))
    judged = [_only_fails(one) if one.paired.name != decides else one for one in pairings]
    numbers = (
        pair_numbers("latency_ms", "ms", ours, theirs, latency_ms, sure),
        pair_numbers("cost_usd", "usd", ours, theirs, cost_usd, sure),
    )
    known = [paired for paired in numbers if paired is not None]
    silent = len(both[0]) - len(ours)
    notes = (*_differing(len(cases), len(baseline), len(both[0])), *_unanswered(silent))
    return _Beside(before, judged, known, notes)


def _only_fails(pairing: Pairing) -> Pairing:
    if pairing.paired.verdict == "fail":
        return pairing
    return Pairing(replace(pairing.paired, verdict=None, needed=None), pairing.p)


def _differing(cases: int, baseline: int, common: int) -> Iterator[str]:
    if cases > common:
        yield (
            f"{cases - common:,} of {cases:,} cases are not compared: the baseline was not asked "
            "them, or not in these words"
        )
    if baseline > common:
        gone = baseline - common
        yield f"{gone:,} cases of the baseline are not in the suites any more, or were changed"


def _unanswered(silent: int) -> Iterator[str]:
    if silent:
        yield (
            f"{silent:,} cases are not compared, because neither release answered them: what both "
            "fail at says nothing of how they differ"
        )


def _extra(
    stability: Stability,
    behaviours: Sequence[BehaviourResult],
    fairness: Sequence[FairnessResult],
) -> Iterator[tuple[str, Metric]]:
    """Yield the metrics of other parts, with what they are called in a sentence."""
    for metric in (stability.flaky, stability.varied, stability.unparsed):
        if metric is not None:
            yield metric.name, metric
    for behaviour in behaviours:
        yield f"behaviour `{behaviour.name}`", behaviour.broken
    for one in fairness:
        yield f"fairness ({one.name})", one.difference


def _of_metrics(
    measured: Iterable[Measured],
    pairings: Iterable[Pairing],
    extra: Iterable[tuple[str, Metric]],
) -> Iterator[_Open]:
    """Yield all numbers that do not pass, and those that do: they have no needs."""
    for metric, repeats in measured:
        if metric.verdict is not None:
            yield _Open(metric.verdict, _sentence(metric.name, metric), metric.needed, repeats)
    for name, metric in extra:
        if metric.verdict is not None:
            yield _Open(metric.verdict, _sentence(name, metric), metric.needed)
    for pairing in pairings:
        paired = pairing.paired
        if paired.verdict is not None:
            yield _Open(paired.verdict, _compared(paired), paired.needed, pairing.repeats)


def _of_slices(slices: Iterable[Slice]) -> Iterator[_Open]:
    for one in slices:
        for paired in one.paired:
            if paired.verdict == "fail":
                yield _Open("fail", f"in the slice `{one.name}` {_compared(paired)}")


def _of_cases(service: ServiceDeclaration, cases: Sequence[CaseRuns]) -> Iterator[_Open]:
    """Yield what single cases decide: critical ones, and those that were never asked."""
    unasked = sum(any(answer is None for answer in runs.answers) for runs in cases)
    if unasked:
        yield _Open("inconclusive", f"of {unasked:,} cases not every repeat was asked")
    for runs in cases:
        if runs.case.severity != "critical":
            continue
        rights = [right for right in rights_of(runs) if right is not None]
        name = f"the critical case `{runs.case.id:.80}`"
        if rights and not any(rights):
            yield _Open("fail", f"{name} fails")
        elif rights and not all(rights):
            yield _Open("inconclusive", f"{name} fails in {rights.count(False)} of {len(rights)}")
        elif not rights:
            yield _Open("inconclusive", f"nobody can say whether {name} is right")


def _whole(
    service: ServiceDeclaration,
    cases: Sequence[CaseRuns],
    found: Sequence[_Open],
    *,
    is_judged: bool,
) -> _Open:
    """Return the verdict of everything, with the largest of the needs."""
    failed = [each for each in found if each.verdict == "fail"]
    if failed:
        return replace(failed[0], cases=None, repeats=None)
    if not cases:
        return _Open("inconclusive", "no case was asked: name suites in `evaluation.suites`")
    waiting = [each for each in found if each.verdict == "inconclusive"]
    if waiting:
        needs = [each.cases for each in waiting]
        most = None if None in needs else max(each or 0 for each in needs)
        first = max(waiting, key=lambda each: (each.cases is None, each.cases or 0))
        repeats = _instead(waiting, cases)
        if repeats is None:
            # Where one of them is settled by no number, no number settles the whole.
            return replace(first, cases=most, repeats=None)
        known = first.sentence.rpartition("; ")[0]
        said = f"{known}; {repeats:,} repeats more of each would settle it"
        return replace(first, sentence=said, repeats=repeats)
    if service.objectives.quality is None and not is_judged:
        return _Open(
            "inconclusive",
            "nothing is promised of how good answers are: declare `objectives.quality`, or compare "
            "with a release that serves",
        )
    kept = sum(each.verdict == "pass" for each in found)
    return _Open("pass", f"everything that is promised is kept: {kept} of {kept}")


def _instead(waiting: Sequence[_Open], cases: Sequence[CaseRuns]) -> int | None:
    """Return how many more repeats settle everything: they take no person, as new cases do."""
    repeats = [each.repeats for each in waiting if each.repeats is not None]
    if len(repeats) < len(waiting):
        return None
    return max(repeats) - max(len(runs.answers) for runs in cases)


def _sentence(what: str, metric: Metric) -> str:
    side = "at least" if metric.is_least else "at most"
    promised = "" if metric.bar is None else f", where {side} {_number(metric, metric.bar)} is"
    promised += " promised" if promised else ""
    if metric.value is None:
        return f"{what} could not be measured: {metric.why or 'no case says anything of it'}"
    found = f"{what} is {_number(metric, metric.value)}"
    if metric.low is not None and metric.high is not None:
        found += f" ({_number(metric, metric.low)} to {_number(metric, metric.high)})"
    return f"{found} of {metric.n:,} cases{promised}{_more(metric)}"


def _more(metric: Metric) -> str:
    if metric.verdict != "inconclusive":
        return ""
    if metric.needed is None:
        return "; no number of cases like these would settle it"
    return f"; about {metric.needed:,} cases more would settle it"


def _compared(paired: Paired) -> str:
    if paired.difference is None:
        return f"{paired.name} could not be compared: no case in common says anything of it"
    found = (
        f"{paired.name} is {_points(paired.difference)} beside the baseline's"
        f" ({_points(paired.low)} to {_points(paired.high)}) on {paired.n:,} cases, where "
        f"{_points(-paired.margin)} is allowed"
    )
    if paired.verdict == "inconclusive":
        more = "no number of cases like these" if paired.needed is None else f"{paired.needed:,}"
        found += f"; {more}{'' if paired.needed is None else ' cases more'} would settle it"
    return found


def _points(value: float | None) -> str:
    return "unknown" if value is None else f"{100 * value:+.1f} points"


def _number(metric: Metric, value: float) -> str:
    if metric.unit == "share":
        return f"{value:.1%}"
    if metric.unit == "usd":
        return f"${value:.6g}"
    return f"{value:,.0f} ms" if metric.unit == "ms" else f"{value:.3f}"
