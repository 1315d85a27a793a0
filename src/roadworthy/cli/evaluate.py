"""`roadworthy evaluate`: whether a release keeps what its service promises, before it ships."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from ..app import open_project
from ..app.evaluations import Evaluator
from ..evaluate import told
from ..evaluate.junit import junit_xml
from ..evaluate.markdown import markdown_of
from ..evaluate.report import Metric, Report
from ..evaluate.settings import Progress as Told
from ..evaluate.told import (
    VERDICTS,
    bar_text,
    cost_text,
    interval_text,
    needed_text,
    number_text,
    shown,
    worst_cases,
    worst_slices,
)
from .common import (
    INCONCLUSIVE,
    KEPT,
    NOT_KEPT,
    acting,
    check_writable,
    command,
    errors,
    json_option,
    print_json,
    print_line,
    print_table,
    project_option,
    write_text,
)

_EXIT = {"pass": KEPT, "fail": NOT_KEPT, "inconclusive": INCONCLUSIVE}
_STYLES = {"pass": "bold green", "fail": "bold red", "inconclusive": "bold yellow"}
_SHOW_EVERY_S = 0.05


@click.command()
@click.argument("service")
@click.option("--release", "release_id", default="", help="A release; else that of the files.")
@click.option("--against", default="", help="Baseline: `champion`, `last_good` or a release.")
@click.option("--suite", "suites", multiple=True, help="Another suite than those declared.")
@click.option("--repeats", type=click.IntRange(1, 100), help="How often each case is asked.")
@click.option("--fresh", is_flag=True, help="Ask everything again, whatever is known.")
@click.option("--junit", type=click.Path(path_type=Path), help="Write JUnit XML there.")
@click.option("--markdown", type=click.Path(path_type=Path), help="Write Markdown there.")
@project_option
@json_option
@click.pass_context
@command
def evaluate(
    ctx: click.Context,
    service: str,
    release_id: str,
    against: str,
    suites: tuple[str, ...],
    repeats: int | None,
    fresh: bool,
    junit: Path | None,
    markdown: Path | None,
    folder: Path,
    as_json: bool,
) -> None:
    """Ask SERVICE the cases of its suites, and say whether the answers keep what it promises.

    Ends with 0 if they do, with 1 if not, and with 3 where nobody can say yet. A server may run at
    the same time: nothing of it is seen there.
    """
    check_writable(junit, markdown)
    with open_project(folder) as project, _progress(is_shown=not as_json) as progress:
        report = Evaluator(project).evaluate(
            service,
            release_id=release_id,
            against=against,
            by=acting(),
            progress=progress,
            suites=suites,
            repeats=repeats,
            fresh=fresh,
        )
    if junit is not None:
        write_text(junit, junit_xml(report))
    if markdown is not None:
        write_text(markdown, markdown_of(report))
    _print(report, as_json=as_json)
    ctx.exit(_EXIT[report.verdict])


def _print(report: Report, *, as_json: bool) -> None:
    if as_json:
        print_json(told.as_json(report))
    else:
        _print_text(report)


def _print_text(report: Report) -> None:
    print_line(f"{VERDICTS[report.verdict]}: {report.sentence}", style=_STYLES[report.verdict])
    if needed := needed_text(report):
        print_line(needed)
    against = f" against {report.baseline}" if report.baseline else ""
    often = "once" if report.repeats == 1 else f"{report.repeats} times each"
    print_line(f"{report.release}{against}: {len(report.results):,} cases, {often}")
    print_line()
    _print_metrics(report)
    _print_slices(report)
    _print_cases(report)
    print_line(cost_text(report))
    for note in report.notes:
        print_line(f"note: {note}")


def _print_metrics(report: Report) -> None:
    named = list(report.metrics.items())
    named += [(f"behaviour {one.name}", one.broken) for one in report.behaviours]
    named += [(one.name, one.difference) for one in report.fairness]
    columns = ("metric", "value", "interval", "n", "bar", "")
    print_table("metrics", columns, [_metric(name, metric) for name, metric in named])
    if report.paired:
        rows = [
            [
                one.name,
                number_text(one.baseline, one.unit),
                number_text(one.candidate, one.unit),
                number_text(one.difference, one.unit),
                interval_text(one),
                f"{one.better} / {one.worse}",
                one.verdict or "",
            ]
            for one in report.paired
        ]
        beside = ("metric", "baseline", "now", "difference", "interval", "better / worse", "")
        print_table("beside the baseline", beside, rows)
    print_line()


def _metric(name: str, metric: Metric) -> list[str]:
    return [
        name,
        number_text(metric.value, metric.unit),
        interval_text(metric),
        str(metric.n),
        bar_text(metric),
        metric.verdict or "",
    ]


def _print_slices(report: Report) -> None:
    rows = [
        [name, str(cases), number_text(metric.value, metric.unit), interval_text(metric)]
        for name, cases, metric in worst_slices(report)
    ]
    if rows:
        print_table("worst slices", ("slice", "cases", "value", "interval"), rows)
        print_line()


def _print_cases(report: Report) -> None:
    rows = [
        [one.id, f"{one.passes} of {one.runs}", one.severity, shown(one.why or one.error_code, 90)]
        for one in worst_cases(report.results)
    ]
    if rows:
        print_table("worst cases", ("case", "right", "severity", "why"), rows)
        print_line()


@contextmanager
def _progress(*, is_shown: bool) -> Iterator[Told | None]:
    """Give what shows how far it is, on a terminal."""
    if not is_shown or not sys.stderr.isatty():
        yield None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=errors, transient=True) as bars:
        yield _Bars(bars)


class _Bars:
    """Moves a bar for each part of an evaluation, some times a second."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}
        self._shown_s = 0.0

    def __call__(self, what: str, done: int, of: int) -> None:
        now = time.monotonic()
        if what in self._tasks and done < of and now - self._shown_s < _SHOW_EVERY_S:
            return
        self._shown_s = now
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, total=of)
        self._bars.update(self._tasks[what], completed=done)


COMMANDS = {"evaluate": evaluate}
