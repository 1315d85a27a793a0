"""`roadworthy replay`: one request again, or the traffic of a day through a candidate."""

from __future__ import annotations

from pathlib import Path

import click

from ..app import open_project
from ..app.replayed import TrafficWanted, replay_traffic
from ..app.replays import replay_request
from ..cost.prices import format_usd
from ..errors import RequestError
from ..evaluate.report import CaseResult, Metric, Paired, Report, Verdict
from ..evaluate.told import as_json as as_whole
from ..serve.replay import Change, Replay, Told
from .common import (
    INCONCLUSIVE,
    NOT_KEPT,
    acting,
    command,
    json_option,
    print_json,
    print_line,
    print_table,
    project_option,
    short_text,
    span_text,
)
from .parameters import since_option, until_option, usd
from .progress import showing_progress
from .trace import find_record

_paid_option = click.option("--paid", is_flag=True, help="Let models that charge be asked.")
_budget_option = click.option(
    "--budget-usd", "budget_micro", type=usd, help="Most that it may cost, in USD."
)


_EXIT: dict[Verdict, int] = {"pass": 0, "fail": NOT_KEPT, "inconclusive": INCONCLUSIVE}
_SHOWN = 20


@click.command()
@click.argument("request_id", metavar="[REQUEST]", default="")
@click.option("--release", "release_id", default="", help="What is asked; else what answered.")
@since_option
@until_option
@click.option("--service", default="", help="Whose traffic; else that of the release.")
@click.option("--limit", type=click.IntRange(1), help="Only the newest so many requests.")
@click.option(
    "--sample", type=click.IntRange(1), help="Only so many, in proportion to dispositions and tags."
)
@_paid_option
@_budget_option
@project_option
@json_option
@click.pass_context
@command
def replay(
    ctx: click.Context,
    request_id: str,
    release_id: str,
    since_us: int | None,
    until_us: int | None,
    service: str,
    limit: int | None,
    sample: int | None,
    paid: bool,
    budget_micro: int | None,
    folder: Path,
    as_json: bool,
) -> None:
    """Ask again what was asked in REQUEST, or with `--since` in all of a time, and compare.

    Inputs and features are those of then, and nothing is recorded, charged to a budget or given to
    a reviewer. One request goes to the release that answered it, or to `--release`; the command
    ends with 0 where the answer is the same, with 1 where it is not, and with 4 where it cannot be
    asked.

    The traffic of a time goes through the candidate `--release`: how many answers differ, and are
    right by what became known since, what they cost and how long they take. It is stored as an
    evaluation. The command ends with 0 where the candidate is no worse than
    `evaluation.max_regression` allows, with 1 where it is, and with 3 where that is open.
    """
    if since_us is None:
        if not request_id:
            raise RequestError("expected the id of a request, or `--since`, got neither")
        _replay_one(
            ctx, folder, request_id, release_id, paid=paid, budget_micro=budget_micro, json=as_json
        )
        return
    if request_id or not release_id:
        raise RequestError("expected `--since` with `--release` and without a request")
    with open_project(folder) as project, showing_progress(is_quiet=as_json) as progress:
        wanted = TrafficWanted(
            service=service or release_id.partition("@")[0],
            release=release_id,
            since_us=since_us,
            until_us=until_us or project.clock.now_us() + 1,
            limit=limit,
            sample=sample,
            is_paid=paid,
            budget_micro=budget_micro,
            by=acting(),
        )
        report = replay_traffic(project, wanted, progress)
    if as_json:
        print_json(as_whole(report))
    else:
        _print_report(report)
    ctx.exit(_EXIT[report.verdict])


def _replay_one(
    ctx: click.Context,
    folder: Path,
    request_id: str,
    release_id: str,
    *,
    paid: bool,
    budget_micro: int | None,
    json: bool,
) -> None:
    with open_project(folder) as project:
        find_record(project, request_id)  # it may be on its way from the spool
        found = replay_request(
            project, request_id, release_id=release_id, is_paid=paid, budget_micro=budget_micro
        )
    if json:
        print_json(found)
    else:
        _print(found)
    ctx.exit(0 if found.same else NOT_KEPT)


def _print_report(report: Report) -> None:
    print_line(f"{report.id}  {report.release}  {report.verdict}", style="bold")
    print_line(report.sentence)
    print_line(f"{report.asked:,} requests, {format_usd(report.cost_micro)}")
    print_table("both", _PAIRED, map(_paired_row, report.paired))
    print_table("the candidate", ("figure", "value", "between", "n"), _metric_rows(report))
    parts = [
        [one.name, str(one.cases), _share(one.metrics[0]), _share(one.metrics[1])]
        for one in report.slices
    ]
    print_table("parts", ("part", "requests", "disagreement", "right"), parts[:_SHOWN])
    rows = map(_case_row, report.results[:_SHOWN])
    print_table("farthest apart", ("request", "apart", "what", "was right", "is right"), rows)
    for note in report.notes:
        print_line(note, style="yellow")


_PAIRED = ("figure", "n", "recorded", "candidate", "difference", "between", "better", "worse")


def _paired_row(one: Paired) -> list[str]:
    values = [_number(value, one.unit) for value in (one.baseline, one.candidate, one.difference)]
    between = f"{_number(one.low, one.unit)} to {_number(one.high, one.unit)}"
    return [one.name, str(one.n), *values, between, str(one.better), str(one.worse)]


def _metric_rows(report: Report) -> list[list[str]]:
    return [
        [
            one.name,
            _number(one.value, one.unit),
            "-"
            if one.low is None
            else f"{_number(one.low, one.unit)} to {_number(one.high, one.unit)}",
            str(one.n),
        ]
        for one in report.metrics.values()
    ]


def _case_row(one: CaseResult) -> list[str]:
    known = {None: "-", True: "yes", False: "no"}
    was, now = known[one.baseline], "yes" if one.passes else "-"
    return [one.id, f"{one.scores.get('distance') or 0:.3f}", short_text(one.why), was, now]


def _share(one: Metric) -> str:
    return _number(one.value, one.unit)


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    if unit == "share":
        return f"{value:.1%}"
    if unit == "usd":
        return f"${value:.6f}"
    return f"{value:.2f} ms" if unit == "ms" else f"{value:.4g}"


def _print(found: Replay) -> None:
    word = "same" if found.same else "different"
    print_line(f"{found.request_id}  {found.service}  {word}", style="bold")
    print_line(f"asked {found.release}")
    rows = [
        [name, *(of(told) for told in (found.recorded, found.replayed))]
        for name, of in (
            ("disposition", lambda told: told.disposition),
            ("model", lambda told: told.model or "-"),
            ("error", lambda told: told.error_code or "-"),
            ("latency", lambda told: span_text(told.latency_us)),
            ("cost", lambda told: format_usd(told.cost_micro)),
            ("tokens", _tokens),
        )
    ]
    print_table("", ("", "recorded", "replayed"), rows)
    if found.similarity is not None:
        print_line(f"similarity of the texts: {found.similarity:.1%}")
    if found.diff:
        print_table("differences", ("where", "", "recorded", "replayed"), map(_row, found.diff))
    for note in found.notes:
        print_line(note, style="yellow")


def _tokens(told: Told) -> str:
    return f"{told.input_tokens} in, {told.output_tokens} out"


def _row(change: Change) -> list[str]:
    before = "-" if change.change == "added" else short_text(change.before)
    after = "-" if change.change == "removed" else short_text(change.after)
    return [change.path, change.change, before, after]


COMMANDS = {"replay": replay}
