"""A report as Markdown for a pull request: the verdict, the numbers, what became worse."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from .report import CaseResult, Metric, Paired, Report
from .told import (
    MOST_CASES,
    VERDICTS,
    bar_text,
    cost_text,
    interval_text,
    needed_text,
    number_text,
    regressions,
    shown,
    worst_cases,
    worst_slices,
)

_MARKS = {"pass": "✅", "fail": "❌", "inconclusive": "⚠️", None: ""}
_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~])")


def markdown_of(report: Report) -> str:
    """Return the report as Markdown; what a case holds is shown as text, never as markup."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield f"### {_MARKS[report.verdict]} {VERDICTS[report.verdict]}: `{report.service}`"
    yield ""
    yield _plain(report.sentence)
    if needed := needed_text(report):
        yield ""
        yield needed
    yield ""
    against = f" beside `{report.baseline}`" if report.baseline else ""
    yield f"Release `{report.release}`{against}, {len(report.results):,} cases."
    yield ""
    yield from _table(_metric_columns(report), _metric_rows(report))
    yield from _worse(report)
    yield from _details("Slices", _slices(report))
    yield from _details("Behaviour and fairness", _behaviours(report))
    yield from _details("Worst cases", _cases(worst_cases(report.results)))
    yield from _details("How it was measured", _measured(report))


def _metric_columns(report: Report) -> tuple[str, ...]:
    if report.baseline:
        return ("", "metric", "value", "interval", "n", "bar", "baseline", "difference")
    return ("", "metric", "value", "interval", "n", "bar")


def _metric_rows(report: Report) -> Iterator[tuple[str, ...]]:
    paired = {one.name: one for one in report.paired}
    for name, metric in report.metrics.items():
        row = (
            _MARKS[metric.verdict],
            _plain(name),
            number_text(metric.value, metric.unit),
            interval_text(metric),
            str(metric.n),
            bar_text(metric),
        )
        yield (*row, *_beside(paired.get(name))) if report.baseline else row


def _beside(paired: Paired | None) -> tuple[str, str]:
    if paired is None:
        return "", ""
    difference = number_text(paired.difference, paired.unit)
    if interval := interval_text(paired):
        difference += f" ({interval})"
    mark = _MARKS[paired.verdict]
    return number_text(paired.baseline, paired.unit), f"{difference} {mark}".strip()


def _worse(report: Report) -> Iterator[str]:
    worse = regressions(report.results)
    if not report.baseline:
        return
    yield ""
    if not worse:
        yield "No case that the baseline has right is wrong now."
        return
    yield f"**{len(worse)} that the baseline has right are wrong now:**"
    yield ""
    yield from _cases(worse[:MOST_CASES])


def _cases(results: Sequence[CaseResult]) -> Iterator[str]:
    rows = [
        (
            _plain(one.id),
            f"{one.passes} of {one.runs}",
            _plain(shown(one.expect, 80)),
            _plain(shown(one.output, 80)),
            _plain(shown(one.why, 120)),
        )
        for one in results
    ]
    if rows:
        yield from _table(("case", "right", "expected", "got", "why"), rows)


def _slices(report: Report) -> Iterator[str]:
    rows = [
        (_plain(name), str(cases), number_text(metric.value, metric.unit), interval_text(metric))
        for name, cases, metric in worst_slices(report)
    ]
    if rows:
        yield from _table(("slice", "cases", "value", "interval"), rows)


def _behaviours(report: Report) -> Iterator[str]:
    named: list[tuple[str, Metric]] = [(one.name, one.broken) for one in report.behaviours]
    named += [(one.name, one.difference) for one in report.fairness]
    rows = [
        (
            _MARKS[metric.verdict],
            _plain(name),
            number_text(metric.value, metric.unit),
            interval_text(metric),
            str(metric.n),
            bar_text(metric),
        )
        for name, metric in named
    ]
    if rows:
        yield from _table(("", "what", "value", "interval", "n", "bar"), rows)


def _measured(report: Report) -> Iterator[str]:
    for suite in report.suites:
        common = "" if suite.common is None else f", {suite.common} of them in common"
        yield f"- `{suite.name}`: {suite.cases} cases{common}"
    yield f"- {cost_text(report)}"
    for note in report.notes:
        yield f"- {_plain(note)}"
    yield f"- evaluation `{report.id}`"


def _details(title: str, lines: Iterator[str]) -> Iterator[str]:
    found = list(lines)
    if found:
        yield ""
        yield f"<details><summary>{title}</summary>"
        yield ""
        yield from found
        yield ""
        yield "</details>"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _plain(text: str) -> str:
    """Return text on one line, whose signs mean nothing to Markdown; nobody is notified by `@`."""
    escaped = _SPECIAL.sub(r"\\\1", " ".join(text.split()))
    return escaped.replace("@", "@\N{ZERO WIDTH SPACE}")
