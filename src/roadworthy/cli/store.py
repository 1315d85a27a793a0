"""`roadworthy store`: the state database itself."""

from __future__ import annotations

from pathlib import Path

import click

from ..app import Project, read_project
from ..declare.load import load_project
from ..store.backup import back_up
from ..store.state import SCHEMA, find_schema
from .common import command, json_option, print_json, print_line, project_option, size_text


@click.group()
def store() -> None:
    """Migrate or back up the state database."""


@store.command()
@project_option
@json_option
@command
def migrate(folder: Path, as_json: bool) -> None:
    """Bring the state to the schema of this version, or create it; what is there is kept.

    Every command that opens the state does so by itself. Back it up first.
    """
    declaration = load_project(folder)
    before = find_schema(declaration.store.resolved_url(declaration.folder))
    Project(declaration).close()
    if as_json:
        print_json({"before": before or None, "schema": SCHEMA, "has_changed": before != SCHEMA})
    elif before == SCHEMA:
        print_line(f"the state has schema {SCHEMA} already")
    elif before:
        print_line(f"migrated the state from schema {before} to {SCHEMA}")
    else:
        print_line(f"created the state with schema {SCHEMA}")


@store.command()
@click.argument("file", type=click.Path(path_type=Path))
@project_option
@json_option
@command
def backup(file: Path, folder: Path, as_json: bool) -> None:
    """Copy the state to the new FILE while it is in use, as it is at this moment.

    To put it back, stop the server, delete the state and the `-wal` and `-shm` files beside it, and
    move the copy there. The files of releases lie in the artifacts' folder: copy that too.
    """
    with read_project(folder) as project:
        size = back_up(project.state, file)
        artifacts = project.artifacts.folder
    if as_json:
        print_json({"file": str(file), "bytes": size, "artifacts": str(artifacts)})
        return
    print_line(f"wrote {file}: {size_text(size)}, checked")
    print_line(f"files of releases are not in it: copy {artifacts} too", style="dim")


COMMANDS = {"store": store}
