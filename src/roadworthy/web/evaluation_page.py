"""One evaluation as its page shows it, and the list of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from ..evaluate.report import (
    BehaviourResult,
    CaseResult,
    FairnessResult,
    Metric,
    Paired,
    Report,
    Slice,
    Verdict,
)
from ..store.clock import time_of
from ..store.evaluations import EvaluationHead
from . import evaluation_words as words
from . import measures
from .control import Ask
from .evaluation_figures import (
    BehaviourShown,
    BrokenExample,
    CaseJudged,
    EvaluationPage,
    EvaluationQuery,
    EvaluationRow,
    Evaluations,
    EvaluationsQuery,
    FairnessShown,
    GroupShown,
    MetricShown,
    PairedShown,
    SliceShown,
    StabilityShown,
)
from .release_rows import evaluations_of, read_report
from .states import State, rank, worst
from .units import show, usd_of

MOST_TEXT = 120
"""Characters of an input, an output or a reason that are shown."""
MOST_SLICES = 40
MOST_PAIRED = 20
MOST_GROUPS = 40
MOST_EXAMPLES = 5
MOST_FLAKY = 10
MOST_LISTED = 20


def evaluations_page(ask: Ask, service: str, query: EvaluationsQuery) -> Evaluations:
    """Return the latest evaluations of a service."""
    found = evaluations_of(
        ask.control.state, service, query.limit, before=query.before, release=query.release
    )
    rows, now = tuple(map(row_of, found)), time_of(ask.control.clock.now_us())
    return Evaluations(
        says=words.evaluations(rows, service, now),
        as_of=now,
        service=service,
        release=query.release,
        evaluations=rows,
        before=found[-1].id if len(found) == query.limit else "",
    )


def row_of(found: EvaluationHead) -> EvaluationRow:
    """Return an evaluation as lists show it."""
    word, state = words.word_of(found.verdict), words.state_of(found.verdict)
    return show(EvaluationRow, found, word=word, state=state)


def report_of(ask: Ask, id: str) -> tuple[EvaluationHead, Report]:
    """Return one evaluation that the key may see.

    Raises:
        NotFound: There is none of this id.
        Forbidden: The key is limited to other services.
    """
    head, report = read_report(ask.control.state, id)
    ask.check_sees(head.service)
    return head, report


def evaluation_page(ask: Ask, id: str, query: EvaluationQuery) -> EvaluationPage:
    """Return what the page of one evaluation shows."""
    head, report = report_of(ask, id)
    cases = [case for case in report.results if query.stability in ("", case.stability)]
    end = query.start + query.limit
    slices = sorted(map(slice_of, report.slices), key=lambda part: (rank(part.state), part.name))
    flaky = [case for case in report.results if case.stability == "flaky"]
    return EvaluationPage(
        says=words.evaluation(report),
        because=tuple(words.because(report)),
        as_of=time_of(ask.control.clock.now_us()),
        row=row_of(head),
        needed=report.needed,
        needs_repeats=report.needs_repeats,
        repeats=report.repeats,
        suites=report.suites[:MOST_LISTED],
        metrics=tuple(metrics_of(report.metrics.values())),
        paired=paired_of(report.paired[:MOST_PAIRED]),
        slices=tuple(slices[:MOST_SLICES]),
        sliced=len(slices),
        behaviours=tuple(map(_behaviour, report.behaviours[:MOST_LISTED])),
        fairness=tuple(map(_fairness, report.fairness[:MOST_LISTED])),
        stability=_stability(report, len(flaky)),
        cases=tuple(map(_case, cases[query.start : end])),
        flaky=tuple(map(_case, flaky[:MOST_FLAKY])),
        of=len(report.results),
        matching=len(cases),
        stable=query.stability,
        start=query.start,
        older=end if end < len(cases) else None,
        asked=report.asked,
        reused=report.reused,
        cost_usd=usd_of(report.cost_micro),
        scoring_cost_usd=usd_of(report.scoring_cost_micro),
        seconds=report.seconds,
        notes=report.notes[:MOST_LISTED],
        command=_command(report),
    )


def metrics_of(found: Iterable[Metric]) -> list[MetricShown]:
    """Return metrics with what is promised first, the worst on top."""
    shown = [metric_of(metric) for metric in found]
    return sorted(shown, key=lambda one: (one.bar is None, rank(one.state), one.name))


def metric_of(metric: Metric) -> MetricShown:
    """Return one measured number beside its promise."""
    return show(
        MetricShown,
        metric,
        label=measures.word_of(metric.name),
        **_judged(metric.verdict),
        scale=measures.scale_of(metric),
    )


def paired_of(found: Sequence[Paired]) -> tuple[PairedShown, ...]:
    """Return differences on the same cases; those of one metric are drawn on one scale."""
    reaches: dict[str, float] = {}
    for one in found:
        ends = (one.margin * 1.5, *(abs(x) for x in (one.low, one.high, one.difference) if x))
        reaches[one.name] = max(reaches.get(one.name, 0.0), *ends)
    return tuple(
        show(
            PairedShown,
            one,
            label=measures.word_of(one.name),
            **_judged(one.verdict),
            reach=reaches[one.name] or 1.0,
        )
        for one in found
    )


def slice_of(part: Slice) -> SliceShown:
    """Return a part of the cases; its state is the worst of what was judged in it."""
    metrics, paired = metrics_of(part.metrics), paired_of(part.paired)
    judged: list[State] = [one.state for one in metrics if one.verdict is not None]
    judged += [one.state for one in paired if one.verdict is not None]
    return SliceShown(
        name=part.name, cases=part.cases, metrics=tuple(metrics), paired=paired, state=worst(judged)
    )


def _judged(verdict: Verdict | None) -> dict[str, Any]:
    return {"word": words.word_of(verdict), "state": words.state_of(verdict)}


def _case(case: CaseResult) -> CaseJudged:
    return show(
        CaseJudged,
        case,
        tags=case.tags[:MOST_LISTED],
        given=text_of(case.input),
        expected=text_of(case.expect),
        got=text_of(case.output),
        why=cut(case.why),
        cost_usd=usd_of(case.cost_micro),
        request=case.id if case.id.startswith("rq_") else "",
    )


def _behaviour(found: BehaviourResult) -> BehaviourShown:
    examples = tuple(map(_example, found.examples[:MOST_EXAMPLES]))
    return BehaviourShown(
        name=found.name, use=found.use, broken=metric_of(found.broken), examples=examples
    )


def _example(found: Mapping[str, Any]) -> BrokenExample:
    fields = BrokenExample.__struct_fields__
    return BrokenExample(**{name: text_of(found.get(name)) for name in fields})


def _fairness(found: FairnessResult) -> FairnessShown:
    groups = tuple(map(_group, found.groups[:MOST_GROUPS]))
    return FairnessShown(
        attribute=found.attribute,
        difference=metric_of(found.difference),
        groups=groups,
        why=cut(found.why),
    )


def _group(found: Mapping[str, Any]) -> GroupShown:
    def number(name: str) -> float | None:
        value = found.get(name)
        return float(value) if isinstance(value, int | float) else None

    missing = number("missing")
    return GroupShown(
        group=cut(str(found.get("group", "")), 80),
        n=int(number("n") or 0),
        rate=number("rate"),
        low=number("low"),
        high=number("high"),
        missing=None if missing is None else int(missing),
    )


def _stability(report: Report, flaky: int) -> StabilityShown:
    found = report.stability
    counted = found.flaky, found.varied, found.unparsed
    return StabilityShown(
        stable_pass=found.stable_pass,
        flaky=flaky,
        stable_fail=found.stable_fail,
        unknown=found.unknown,
        measures=tuple(metric_of(metric) for metric in counted if metric is not None),
    )


def _command(report: Report) -> str:
    return " ".join(_command_parts(report))


def _command_parts(report: Report) -> Iterator[str]:
    yield f"roadworthy evaluate {report.service} --release {report.release}"
    if report.baseline:
        yield f"--against {report.baseline}"


def text_of(value: Any, most: int = MOST_TEXT) -> str:
    """Return a value as text, cut: a text as it is, anything else as JSON.

    >>> text_of("late"), text_of({"late": True}), text_of(None)
    ('late', '{"late":true}', '')
    >>> text_of({"text": "late"})
    'late'
    """
    if value is None:
        return ""
    if isinstance(value, dict) and list(value) == ["text"]:
        value = value["text"]
    if isinstance(value, str):
        return cut(value, most)
    return cut(msgspec.json.encode(value).decode(), most)


def cut(text: str, most: int = MOST_TEXT) -> str:
    """Return the beginning of a text, with a sign that there is more.

    >>> cut("abcdef", 3)
    'abc…'
    """
    return text if len(text) <= most else f"{text[:most]}…"
