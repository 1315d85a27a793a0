"""`roadworthy records`: what was answered, and forgetting a user."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, get_args
from urllib.parse import quote

import click
import msgspec

from ..app import Project, open_project, read_project
from ..cost.prices import format_usd
from ..errors import Forbidden, RequestError
from ..store.forget import forget_user
from ..store.lock import find_holder, hold_project
from ..store.records import find_records
from ..store.spool import Spool
from ..store.writer import Writer
from ..types import Disposition, Record
from ..web.shapes import Forgotten, RequestRow
from ..web.units import MOST_MS, show
from .common import (
    acting,
    command,
    json_option,
    print_json,
    print_line,
    print_table,
    project_option,
    span_text,
    time_text,
)
from .parameters import since_option, until_option
from .remote import ask_server

_COLUMNS = ("id", "at", "service", "disposition", "model", "user", "latency", "cost", "reasons")


@click.group()
def records() -> None:
    """List records, or delete those of one user."""


@records.command("list")
@click.option("--service", default="", help="Only this service's.")
@click.option("--disposition", type=click.Choice(get_args(Disposition)), help="Only these.")
@click.option(
    "--release",
    default="",
    help="Only answers of this one: its id, or its first digits.",
)
@click.option("--model", default="", help="Only answers of this model.")
@click.option("--user", default="", help="Only this user's.")
@click.option("--key", default="", help="Only those asked with the key of this id.")
@click.option("--team", default="", help="Only this team's.")
@click.option("--error-code", default="", help="Only those that ended with this code.")
@click.option("--tag", default="", help="Only those that bear this tag.")
@click.option("--error", default="", help="Only those with this text in their reasons.")
@click.option(
    "--slower-than-ms", type=click.FloatRange(0, MOST_MS), help="Only those that took longer."
)
@since_option
@until_option
@click.option("--before", "before_id", default="", help="The next page: the last id of this one.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="Most.")
@project_option
@json_option
@command
def list_all(
    folder: Path, as_json: bool, limit: int, slower_than_ms: float | None, **filters: Any
) -> None:
    """List requests, newest first."""
    slower_us = None if slower_than_ms is None else int(slower_than_ms * 1000)
    with read_project(folder) as project:
        found = find_records(project.state, limit=limit, slower_than_us=slower_us, **filters)
    before = found[-1].id if len(found) == limit else None
    if as_json:
        rows = [show(RequestRow, record) for record in found]
        print_json({"requests": rows, "before": before})
        return
    print_table("requests", _COLUMNS, map(_row, found))
    if before:
        print_line(f"`--before {before}` shows the next page", style="dim")


def _row(record: Record) -> list[str]:
    return [
        record.id,
        time_text(record.at_us),
        record.service,
        record.disposition,
        record.model or "-",
        record.user,
        span_text(record.latency_us),
        format_usd(record.cost_micro),
        "; ".join(record.reasons),
    ]


@records.command()
@click.option("--user", required=True, help="Whose: the user's name as requests gave it.")
@click.option("--yes", is_flag=True, help="Do not ask first.")
@project_option
@json_option
@command
def delete(user: str, yes: bool, folder: Path, as_json: bool) -> None:
    """Delete what is personal in the records of one user; what was counted and spent stays.

    Inputs, outputs and outcomes are deleted; a random pseudonym takes the user's place.
    """
    with open_project(folder) as project:
        if not yes:
            _confirm(project, as_json=as_json)
        gone = _forget(project, user)
    if as_json:
        print_json(gone)
        return
    print_line(
        f"deleted {gone.bodies} bodies and {gone.outcomes} outcomes; {gone.records} records are now"
        f" of `{gone.pseudonym}`"
    )


def _confirm(project: Project, *, as_json: bool) -> None:
    """Ask a person.

    Raises:
        RequestError: Nobody is there to be asked.
        Forbidden: The answer was no.
    """
    if as_json or not sys.stdin.isatty():
        raise RequestError("expected `--yes`, because nobody is there to be asked", param="yes")
    question = f"delete this user's inputs, outputs and outcomes in `{project.declaration.name}`?"
    if not click.confirm(f"{question} it cannot be undone"):
        raise Forbidden("nothing was deleted: the answer was no")


def _forget(project: Project, user: str) -> Forgotten:
    """Delete in the process that serves, which also empties its spool, or else in this one."""
    holder = find_holder(project.folder, project.store_url)
    if holder is not None:
        path = f"/api/users/{quote(user, safe='')}/records"
        answer: Any = ask_server(project, holder, "DELETE", path)
        return msgspec.convert(answer, Forgotten)
    with hold_project(project.folder, project.store_url):
        spool = Spool(project.folder / ".roadworthy" / "spool", project.clock)
        drain = Writer(spool, project.state, (), project.clock).drain
        try:
            gone = forget_user(project.state, project.clock, spool, drain, user, by=acting())
        finally:
            spool.close()
    return show(Forgotten, gone)


COMMANDS = {"records": records}
