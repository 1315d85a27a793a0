"""`roadworthy export`: records for notebooks and warehouses."""

from __future__ import annotations

from pathlib import Path

import click

from ..app import read_project
from ..store.export import END_US, export_records
from .common import command, json_option, print_json, print_line, project_option, size_text
from .parameters import since_option, until_option


@click.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The Parquet file.")
@click.option("--service", default="", help="Only this service's.")
@since_option
@until_option
@click.option("--bodies", "with_bodies", is_flag=True, help="With inputs and outputs.")
@click.option("--replace", is_flag=True, help="Replace the file if it is there.")
@project_option
@json_option
@command
def export(
    out: Path,
    service: str,
    since_us: int | None,
    until_us: int | None,
    with_bodies: bool,
    replace: bool,
    folder: Path,
    as_json: bool,
) -> None:
    """Write records with their outcomes to a Parquet file, oldest first.

    `--since` and `--until` take `12h` or `7d` back from now, or a UTC date or time.
    """
    with read_project(folder) as project:
        count = export_records(
            project.state,
            out,
            service=service,
            since_us=since_us or 0,
            until_us=END_US if until_us is None else until_us,
            with_bodies=with_bodies,
            replace=replace,
        )
    if as_json:
        print_json({"file": str(out), "records": count})
    else:
        print_line(f"wrote {out}: {count} records, {size_text(out.stat().st_size)}")


COMMANDS = {"export": export}
