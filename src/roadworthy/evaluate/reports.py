"""Makes one report of all parts of an evaluation, with the verdict that they come to together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from .report import BehaviourResult, FairnessResult, Metric, Report, Verdict
from .settings import Run
from .verdicts import Concluded

_ORDER: tuple[Verdict, ...] = ("fail", "inconclusive", "pass")
NO_MONEY = "the money ran out before every case was asked"


class Whole(msgspec.Struct, frozen=True):
    """What all parts of an evaluation come to."""

    verdict: Verdict
    sentence: str
    needed: int | None = None
    needs_repeats: bool = False


def whole_of(
    concluded: Concluded,
    behaviours: Sequence[BehaviourResult],
    fairness: Sequence[FairnessResult],
    *,
    is_unfinished: bool = False,
) -> Whole:
    """Return the verdict of all parts: what fails decides, and else what is open.

    Args:
        concluded: What the numbers of the cases come to.
        behaviours: How answers behaved when inputs were changed.
        fairness: How differently groups are treated.
        is_unfinished: Whether the money ran out: then nothing passes.
    """
    own = Whole(concluded.verdict, concluded.sentence, concluded.needed, concluded.needs_repeats)
    parts = [own, *_open_parts(behaviours, fairness)]
    worst = min(parts, key=lambda part: _ORDER.index(part.verdict))
    if is_unfinished and worst.verdict != "fail":
        return Whole("inconclusive", NO_MONEY)
    return worst


def _open_parts(
    behaviours: Sequence[BehaviourResult], fairness: Sequence[FairnessResult]
) -> Iterator[Whole]:
    """Yield what keeps an evaluation from passing, beside the numbers of its cases."""
    metrics = [(f"behaviour `{one.name}`", one.broken) for one in behaviours]
    metrics += [(f"fairness by `{one.attribute}`", one.difference) for one in fairness]
    for what, metric in metrics:
        if metric.verdict in ("fail", "inconclusive"):
            yield Whole(metric.verdict, _sentence(what, metric), metric.needed)


def _sentence(what: str, metric: Metric) -> str:
    side = "at least" if metric.is_least else "at most"
    if metric.value is None:
        return f"{what} could not be measured: {metric.why or 'no case says anything of it'}"
    found = f"{what} is {metric.value:.3f}"
    if metric.low is not None and metric.high is not None:
        found += f" ({metric.low:.3f} to {metric.high:.3f})"
    return f"{found} of {metric.n} cases, where {side} {metric.bar:g} is promised"


def with_run(report: Report, asked: Run, baseline: Run | None) -> Report:
    """Return a report with what asking took, of both releases together."""
    runs = [asked, *([baseline] if baseline is not None else [])]
    notes = [*report.notes, *asked.notes]
    if baseline is not None:
        notes += [f"of the baseline: {note}" for note in baseline.notes]
    return msgspec.structs.replace(
        report,
        asked=sum(run.asked for run in runs),
        reused=sum(run.reused for run in runs),
        cost_micro=sum(run.cost_micro for run in runs),
        scoring_cost_micro=sum(run.scoring_cost_micro for run in runs),
        notes=tuple(notes),
    )
