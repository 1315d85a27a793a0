"""`roadworthy review labels`: what turned out to be right, brought in from a file."""

from __future__ import annotations

from pathlib import Path

import click

from ..app import Project, open_project
from ..review.label_files import read_labels
from ..review.labels import Imported, import_labels
from ..types import DAY_US
from .common import (
    KEPT,
    NOT_KEPT,
    acting,
    command,
    json_option,
    print_json,
    print_line,
    print_table,
    project_option,
)


@click.group()
def labels() -> None:
    """Bring in labels that come late."""


@labels.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--service", default="", help="Of which service; needed where entities tell the requests."
)
@click.option(
    "--within-days",
    type=click.IntRange(1, 3650),
    default=30,
    show_default=True,
    help="How long before its label a request of an entity may have been asked.",
)
@project_option
@json_option
@click.pass_context
@command
def import_file(
    ctx: click.Context, file: Path, service: str, within_days: int, folder: Path, as_json: bool
) -> None:
    """Write the labels of FILE (.csv, .jsonl, .parquet) as outcomes; again changes nothing.

    A row names its request as `request_id`, or its entity by the fields of `outcomes.entity`; it
    has a `label`, or says in `correct` whether the answer was right; `at` is when it happened.
    Ends with 1 if a row is of no request, or contradicts another.
    """
    with open_project(folder) as project:
        found = import_labels(
            project.state,
            project.clock,
            read_labels(file, _entity_of(project, service)),
            by=acting(),
            service=service,
            within_us=within_days * DAY_US,
        )
    if as_json:
        print_json(found)
    else:
        _print(found)
    ctx.exit(NOT_KEPT if found.unmatched or found.contradictory else KEPT)


def _entity_of(project: Project, service: str) -> tuple[str, ...]:
    return project.load(service).outcomes.entity if service else ()


def _print(found: Imported) -> None:
    print_line(
        f"{found.rows} rows: {found.written} outcomes written, {found.known} known before,"
        f" {found.unmatched} of no request, {found.contradictory} contradictory,"
        f" {found.disagreeing} other than another source says"
    )
    if found.shown:
        rows = [[str(one.row), one.request_id or "-", one.why] for one in found.shown]
        print_table("", ("row", "request", "why"), rows)
