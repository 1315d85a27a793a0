"""`roadworthy trace`: one answer, from the question to everything it was made of."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from ..app import Project, read_project
from ..cost.prices import format_usd
from ..errors import NotFound
from ..store.backlog import find_backlog
from ..store.records import read_record
from ..types import Record
from ..web.pages import lineage_page
from ..web.promised import declaration_behind
from .common import (
    command,
    json_option,
    print_json,
    print_line,
    project_option,
    size_text,
    span_text,
    time_text,
)
from .draw import draw_facts, draw_walk

_STORED_WITHIN_S = 1.0
_LOOK_EVERY_S = 0.05


@click.command()
@click.argument("request_id", metavar="ID")
@project_option
@json_option
@command
def trace(request_id: str, folder: Path, as_json: bool) -> None:
    """Show the walk of one request, step by step, and everything its answer was made of.

    `--json` prints what `GET /api/requests/{id}/lineage` answers.
    """
    with read_project(folder) as project:
        record = find_record(project, request_id)
        declared = declaration_behind(record, (), project.state, project.artifacts)
        facts = lineage_page(project.state, record, declared=declared)
    if as_json:
        print_json(facts)
        return
    _print_head(record)
    print_line()
    for line in draw_walk(record):
        print_line(line)
    for title, lines in draw_facts(facts):
        print_line()
        print_line(title, style="bold")
        for line in lines:
            print_line(f"  {line}")


def find_record(project: Project, request_id: str) -> Record:
    """Return a record, waiting a moment for one that is on its way from the spool.

    Raises:
        NotFound: There is none.
    """
    spool = project.folder / ".roadworthy" / "spool"
    last = time.monotonic() + _STORED_WITHIN_S
    while True:
        try:
            return read_record(project.state, request_id)
        except NotFound as error:
            waiting = find_backlog(spool, project.state)
            if not waiting:
                raise
            if time.monotonic() > last:
                raise NotFound(
                    f"{error}; or it is in the spool, where {size_text(waiting)} wait to be stored:"
                    " `roadworthy up` stores them"
                ) from error
        time.sleep(_LOOK_EVERY_S)


def _print_head(record: Record) -> None:
    cost = format_usd(record.cost_micro)
    ended = f"{record.disposition} by {record.model}" if record.model else record.disposition
    print_line(f"{record.id}  {record.service}  {ended}", style="bold")
    took = span_text(record.latency_us) + (", late" if record.is_late else "")
    print_line(f"{time_text(record.at_us)}  {took}  {cost}  by {record.protocol or 'unknown'}")
    who: list[tuple[str, Any]] = [
        ("user", record.user),
        ("role", record.role),
        ("key", record.key),
        ("team", record.team),
        ("tags", ", ".join(record.tags)),
        ("parent", record.parent),
    ]
    print_line("  ".join(f"{name} {value}" for name, value in who if value))
    for reason in (*record.reasons, *record.warnings):
        print_line(reason, style="yellow")


COMMANDS = {"trace": trace}
