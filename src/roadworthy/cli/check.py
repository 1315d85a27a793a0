"""`roadworthy check`: whether every declaration holds, and what enforces each of its lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..declare.project import PROJECT_FILE
from ..declare.show import show as show_whole
from .common import (
    NOT_KEPT,
    command,
    json_option,
    print_json,
    print_line,
    print_table,
    project_option,
    short_text,
)
from .examine import ModelFact, RemedyFact, Report, examine


@click.command()
@click.argument("service", default="")
@click.option("--show", "is_shown", is_flag=True, help="Print the files with all defaults too.")
@project_option
@json_option
@click.pass_context
@command
def check(ctx: click.Context, service: str, is_shown: bool, folder: Path, as_json: bool) -> None:
    """Check every declaration, or that of SERVICE, and show what enforces each key and remedy.

    Everything is opened as `up` would open it: schemas, expressions, models. Ends with 1 if there
    is a problem; a warning is no problem.
    """
    report = examine(folder, service)
    if as_json:
        print_json(_facts(report))
    else:
        _print(report, is_shown)
    ctx.exit(NOT_KEPT if report.problems else 0)


def _facts(report: Report) -> dict[str, Any]:
    return {
        "project": report.project,
        "services": [entry.name for entry in report.services],
        "problems": report.problems,
        "warnings": report.warnings,
        "keys": report.keys,
        "remedies": report.remedies,
        "models": report.models,
        "releases": report.releases,
    }


def _print(report: Report, is_shown: bool) -> None:
    if any(not entry.service for entry in report.keys):
        print_line(PROJECT_FILE, style="bold")
        _print_keys(report, "")
    for service in report.services:
        print_line(f"{service.name} ({service.kind})", style="bold")
        _print_keys(report, service.name)
        titles = ("row", "remedy", "grade", "enforced by", "evidence")
        rows = [_remedy_row(entry) for entry in report.remedies if entry.service == service.name]
        print_table("", titles, rows)
        print_line()
        if is_shown:
            print_line(show_whole(service))
    columns = ("service", "model", "asked", "provider", "upstream", "price", "state")
    print_table("models", columns, [_model_row(entry) for entry in report.models])
    for warning in report.warnings:
        print_line(f"warning {warning.code}  {warning.message}", style="yellow")
    for problem in report.problems:
        print_line(f"problem  {problem.message}", style="red")
    print_line(_verdict(report), style="bold")


def _print_keys(report: Report, service: str) -> None:
    rows = [
        [entry.path, short_text(entry.value), entry.enforced_by]
        for entry in report.keys
        if entry.service == service
    ]
    print_table("", ("key", "value", "enforced by"), rows)
    print_line()


def _remedy_row(entry: RemedyFact) -> list[str]:
    return [
        str(entry.row),
        entry.remedy,
        entry.grade,
        entry.enforced_by,
        short_text(entry.evidence),
    ]


def _model_row(entry: ModelFact) -> list[str]:
    state = "not opened" if entry.price == "-" else "ready"
    if entry.is_down:
        state = f"down ({entry.down_code})"
    return [
        entry.service,
        entry.name,
        entry.asked,
        f"{entry.provider} ({entry.kind})",
        short_text(entry.upstream),
        entry.price,
        state,
    ]


def _verdict(report: Report) -> str:
    warned = _counted(len(report.warnings), "warning")
    if report.problems:
        return f"not kept: {_counted(len(report.problems), 'problem')}, {warned}"
    services = _counted(len(report.services), "service")
    return f"kept: {services}, {_counted(len(report.keys), 'key')}, no problems, {warned}"


def _counted(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"


COMMANDS = {"check": check}
