"""`roadworthy release gc` and `recover`: remove what nothing needs, learn again what was lost."""

from __future__ import annotations

from pathlib import Path

import click

from ..app import open_project
from ..release.collect import KEEP, collect, look
from ..release.manifests import recover as learn_again
from .common import (
    NOT_KEPT,
    acting,
    command,
    json_option,
    print_json,
    print_line,
    print_table,
    project_option,
    size_text,
)


@click.command()
@click.option("--keep", default=KEEP, show_default=True, help="Newest releases of each service.")
@click.option("--yes", is_flag=True, help="Remove it. Without it is only shown.")
@project_option
@json_option
@command
def gc(keep: int, yes: bool, folder: Path, as_json: bool) -> None:
    """Remove releases and files that nothing needs: no alias, no record, no rollout, nobody's word.

    Without `--yes` it only shows what would go.
    """
    with open_project(folder) as project:
        if yes:
            found = collect(
                project.state,
                project.artifacts,
                project.clock,
                by=acting(),
                laid_out=project.folder / ".roadworthy" / "releases",
                keep=max(keep, 0),
            )
        else:
            found = look(project.state, project.artifacts, project.clock, keep=max(keep, 0))
    if as_json:
        print_json(found)
        return
    print_table("kept", ("release", "because"), [[id, why] for id, why in found.kept.items()])
    did = "removed" if found.is_done else "would go"
    for release in found.releases:
        print_line(f"{did}: {release}")
    print_line(
        f"{did}: {len(found.releases)} releases, {len(found.files)} files, {size_text(found.bytes)}"
    )


@click.command()
@project_option
@json_option
@click.pass_context
@command
def recover(ctx: click.Context, folder: Path, as_json: bool) -> None:
    """Let the store know releases again that it lost, as when an older backup was put back.

    They are read from the manifests beside their files. What serves is not changed. Ends with 1
    where records name releases that nothing knows any more, or files are gone.
    """
    with open_project(folder) as project:
        found = learn_again(project.state, project.artifacts, project.clock, by=acting())
    if as_json:
        print_json(found)
    else:
        for what, ids in (
            ("learned again", found.learned),
            ("not whole, a file is gone or damaged", found.incomplete),
            ("named by records, known to nothing", found.lost),
            ("no manifest, or another's", found.unreadable),
        ):
            for id in ids:
                print_line(f"{id}: {what}")
        print_line(f"{len(found.learned)} releases learned again")
    ctx.exit(NOT_KEPT if found.incomplete or found.lost or found.unreadable else 0)


UPKEEP = (gc, recover)
