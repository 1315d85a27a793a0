"""`roadworthy release`: the immutable bundles that answer, and which of them serves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..app import open_project, read_project
from ..release import bundle, registry
from ..release.registry import Release
from ..store.clock import time_of
from ..store.logged_models import list_logged_models
from .common import (
    NOT_KEPT,
    acting,
    command,
    json_option,
    print_json,
    print_line,
    print_table,
    project_option,
    short_text,
    time_text,
)
from .release_acts import ACTS
from .release_bridges import export_command, import_command
from .release_compare import compare
from .release_looks import LOOKS
from .release_named import champion_id, release_of
from .release_upkeep import UPKEEP


@click.group()
def release() -> None:
    """Build, list, show and compare releases, judge them, let them serve, go back."""


for one in (*ACTS, *LOOKS, *UPKEEP, compare, export_command, import_command):
    release.add_command(one)


@release.command()
@click.argument("service")
@project_option
@json_option
@command
def build(service: str, folder: Path, as_json: bool) -> None:
    """Build the release that the files of SERVICE describe; the same files give the same id."""
    with open_project(folder) as project:
        built = project.build_release(service, by=acting())
        serves = champion_id(project, service)
    if as_json:
        print_json(_summary(built, is_champion=built.id == serves))
        return
    print_line(built.id, style="bold")
    if built.id == serves:
        print_line("it serves already")
    else:
        print_line(f"`roadworthy release promote {service} {built.id}` lets it serve")


@release.command("list")
@click.argument("service", default="")
@click.option("--limit", default=100, show_default=True, help="Most releases to list.")
@project_option
@json_option
@command
def list_all(service: str, limit: int, folder: Path, as_json: bool) -> None:
    """List releases, newest first: those of SERVICE, or of all."""
    with read_project(folder) as project:
        found = registry.list_releases(project.state, service, limit)
        if service and not found:
            project.check_declared(service)
        names = {entry.service for entry in found}
        champions = {champion_id(project, name) for name in names}
    if as_json:
        facts = [_summary(entry, is_champion=entry.id in champions) for entry in found]
        print_json({"releases": facts})
        return
    rows = [
        [
            entry.id,
            "serves" if entry.id in champions else "",
            time_text(entry.created_at_us),
            entry.by,
            registry.commit_of(entry.manifest)[:13] or "-",
            ", ".join(model.name for model in entry.manifest.models),
        ]
        for entry in found
    ]
    print_table("releases", ("release", "", "built", "by", "commit", "models"), rows)


@release.command()
@click.argument("release_id", metavar="RELEASE")
@project_option
@json_option
@command
def show(release_id: str, folder: Path, as_json: bool) -> None:
    """Show everything that RELEASE is made of."""
    with read_project(folder) as project:
        found = registry.read_release(project.state, release_id)
        is_champion = champion_id(project, found.service) == found.id
        digests = found.manifest.files.values()
        logged = list_logged_models(project.state, found.service, digests)
    if as_json:
        facts = _summary(found, is_champion=is_champion)
        print_json(facts | {"manifest": found.manifest, "logged": logged})
        return
    manifest = found.manifest
    print_line(f"{found.id}{' (serves)' if is_champion else ''}", style="bold")
    print_line(f"built {time_text(found.created_at_us)} by {found.by}")
    print_line(f"commit {registry.commit_of(manifest) or 'none: it was in no git repository'}")
    print_line(f"declaration {manifest.declaration_hash}")
    if version := manifest.prompt_version:
        print_line(f"prompt {version} ({manifest.prompt})")
    print_table("files", ("file", "SHA-256"), sorted(manifest.files.items()))
    models = [
        [model.name, f"{model.provider} ({model.kind})", short_text(model.model), model.pin]
        for model in manifest.models
    ]
    print_table("models", ("name", "provider", "model", "pinned by"), models)
    if learned := manifest.training:
        views = ", ".join(learned.views)
        print_line(f"learned from {learned.id}: {learned.rows:,} rows with {views}")
    for one in logged:
        print_line(f"`{one.name}` was logged {time_text(one.at_us)} by {one.by}")
        for key, value in one.detail.items():
            print_line(f"  {key} {short_text(value)}")
    print_table("packages that decide", ("package", "version"), sorted(manifest.packages.items()))


@release.command()
@click.argument("service")
@click.argument("release_id", metavar="[RELEASE]", default="")
@project_option
@json_option
@click.pass_context
@command
def diff(ctx: click.Context, service: str, release_id: str, folder: Path, as_json: bool) -> None:
    """Say how the files of SERVICE differ from RELEASE, or from the one that serves.

    Ends with 1 if they do.
    """
    with read_project(folder) as project:
        declared = project.load(service)
        against = release_of(project, service, release_id or champion_id(project, service))
        found = bundle.differences(against, declared, project.declaration)
    if as_json:
        facts = {"service": service, "release": against.id}
        print_json(facts | {"differences": found})
    elif found:
        rows = [[entry.name, entry.change] for entry in found]
        print_table(f"since {against.id}", ("what", "change"), rows)
        print_line(f"`roadworthy release build {service}` and `release promote` take this over")
    else:
        print_line(f"the files of `{service}` are those of `{against.id}`")
    ctx.exit(NOT_KEPT if found else 0)


def _summary(entry: Release, *, is_champion: bool) -> dict[str, Any]:
    return {
        "release": entry.id,
        "service": entry.service,
        "built_at": time_of(entry.created_at_us),
        "by": entry.by,
        "commit": registry.commit_of(entry.manifest),
        "declaration_hash": entry.manifest.declaration_hash,
        "models": [model.name for model in entry.manifest.models],
        "is_champion": is_champion,
    }


COMMANDS = {"release": release}
