"""`roadworthy features`: views registered, put online, read, and joined for training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from ..app import Project
from ..data.features import Features, ViewState
from ..data.history import TIME, read_spine
from ..data.push import plain_rows
from ..data.snapshots import build_set, save_set, write_rows
from ..data.views import Column, View
from ..errors import NotFound, RequestError
from ..store.clock import time_of
from .common import (
    acting,
    command,
    json_option,
    print_json,
    print_line,
    print_table,
    project_option,
    short_text,
    span_text,
    time_text,
)
from .features_audit import DATA_PARTS, leakage_command, opened_features, skew_command
from .parameters import moment

_HOW_TO_APPLY = "`roadworthy features apply` registers the views of `features/`"
_file = click.Path(path_type=Path, dir_okay=False)


@click.group()
def features() -> None:
    """Register feature views, put them online, and join them for training."""


@features.command()
@project_option
@json_option
@command
def apply(folder: Path, as_json: bool) -> None:
    """Check every view of `features/` and register its version.

    A version never changes: what means something else needs a new `version`.
    """
    with opened_features(folder) as (_, found):
        applied = found.apply(by=acting())
    if as_json:
        print_json({"views": applied})
        return
    rows = [
        (
            a.view,
            "registered" if a.is_new else "unchanged",
            ", ".join(a.entity),
            str(len(a.features)),
        )
        for a in applied
    ]
    print_table("views", ("view", "", "entity", "features"), rows)
    if not applied:
        print_line("a view is a file `features/<view>.sql`", style="dim")


@features.command("list")
@project_option
@json_option
@command
def list_all(folder: Path, as_json: bool) -> None:
    """List the newest version of every registered view, and how new what is online of it is.

    Beside it stand older versions that a service is served by.
    """
    with opened_features(folder) as (project, found):
        states = found.states(served=project.views_served())
    if as_json:
        print_json({"views": states})
        return
    columns = (
        "view",
        "serves",
        "entity",
        "features",
        "owner",
        "rows online",
        "known until",
        "newest event",
    )
    print_table("views", columns, [_row(state) for state in states])
    if not states:
        print_line(_HOW_TO_APPLY, style="dim")


def _row(state: ViewState) -> tuple[str, ...]:
    fresh = state.freshness
    about = (
        state.view,
        ", ".join(state.services) or "-",
        ", ".join(state.entity),
        str(len(state.features)),
        state.owner,
    )
    if fresh is None:
        return (*about, "0", "never filled", "-")
    times = (time_text(fresh.watermark_us), time_text(fresh.newest_event_us))
    return (*about, f"{fresh.rows:,}", *times)


@features.command()
@click.argument("view", default="")
@click.option("--until", "until_us", type=moment, metavar="TIME", help="What was known by then.")
@click.option("--whole", is_flag=True, help="Write every row anew.")
@project_option
@json_option
@command
def materialize(view: str, until_us: int | None, whole: bool, folder: Path, as_json: bool) -> None:
    """Put online what the sources know now: of VIEW, or of every registered view.

    VIEW is its newest version unless one is named, as in `weather_now@1`; of every view it is the
    newest version and those that a service is served by. The server does this every five minutes
    of the project's time.
    """
    with opened_features(folder) as (project, found):
        served = [name for names in project.views_served().values() for name in names]
        chosen = [found.view(view)] if view else found.views(served)
        filled = [found.fill(one, until_us=until_us, whole=whole) for one in chosen]
    if as_json:
        print_json({"views": filled})
        return
    rows = [
        (
            one.view,
            f"{one.rows:,}",
            f"{one.gone:,}",
            "-" if one.since_us is None else time_text(one.since_us),
            time_text(one.until_us),
            span_text(int(one.seconds * 1e6)),
        )
        for one in filled
    ]
    print_table("views", ("view", "new rows", "gone", "filled before", "until", "took"), rows)
    if not filled:
        print_line(_HOW_TO_APPLY, style="dim")


@features.command()
@click.argument("view")
@click.argument("file", type=_file)
@project_option
@json_option
@command
def push(view: str, file: Path, folder: Path, as_json: bool) -> None:
    """Put the rows of FILE (JSON, JSON lines, CSV or Parquet) online where their event is newer.

    A row holds the entity, the event time and every stored feature of VIEW. All rows are held to
    the contracts behind the view; one that breaks them is refused with all others.
    """
    with opened_features(folder) as (_, found):
        pushed = found.push(view, _rows_of(file, found.view(view)))
    if as_json:
        print_json(pushed)
    else:
        print_line(f"{pushed.taken} of {pushed.rows} rows of {pushed.view} are online")


def _rows_of(file: Path, view: View) -> list[dict[str, Any]]:
    ending = file.suffix.lower()
    if ending not in (".json", ".jsonl"):
        return plain_rows(view, read_spine(file, [view], view.event_time).to_pylist())
    try:
        text = file.read_text(encoding="utf-8-sig")
        if ending == ".jsonl":
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
        else:
            found = json.loads(text)
            rows = found if isinstance(found, list) else [found]
    except OSError as error:
        raise NotFound(f"expected rows, got no file that can be read - {file}") from error
    except RecursionError as error:
        raise RequestError(f"expected rows in JSON, got lists in lists - {file}") from error
    except ValueError as error:
        raise RequestError(f"expected rows in JSON, got `{error}` - {file}") from error
    return rows


@features.command()
@click.argument("view")
@click.argument("entity", nargs=-1, required=True)
@project_option
@json_option
@command
def get(view: str, entity: tuple[str, ...], folder: Path, as_json: bool) -> None:
    """Show what a request would be given of VIEW for ENTITY now."""
    with opened_features(folder) as (project, found):
        chosen = found.view(view)
        vector = found.open_source([chosen.id]).vector(_entity(chosen, entity))
        at = time_of(project.clock.now_us())
        is_filled = found.states([chosen.id])[0].freshness is not None
    read = vector.views[chosen.id]
    if as_json:
        about = {"view": chosen.id, "at": at, "state": read.state, "age_s": read.age_s}
        print_json(about | {"features": vector.values})
        return
    age = "" if read.age_s is None else f", {span_text(int(read.age_s * 1e6))} old"
    print_line(f"{chosen.id}: {read.state}{age}")
    if not is_filled:
        print_line("nothing of it is online yet: `roadworthy features materialize` fills it")
    print_table("", ("feature", "value"), [(n, short_text(v)) for n, v in vector.values.items()])


def _entity(view: View, texts: tuple[str, ...]) -> dict[str, Any]:
    if len(texts) != len(view.entity):
        wanted = " ".join(column.name.upper() for column in view.entity)
        raise RequestError(f"entity: expected {wanted}, got {len(texts)} values")
    return {c.name: _value(c, text) for c, text in zip(view.entity, texts, strict=True)}


def _value(column: Column, text: str) -> Any:
    if column.type in ("string", "date", "timestamp"):
        return text
    try:
        return json.loads(text)
    except ValueError:
        raise RequestError(f"{column.name}: expected {column.type}, got `{text:.60}`") from None


@features.command()
@click.argument("names", metavar="SERVICE|VIEW...", nargs=-1, required=True)
@click.option("--spine", required=True, type=_file, help="CSV or Parquet: entities and times.")
@click.option("--out", required=True, type=_file, help="Parquet file to write.")
@click.option("--time", default=TIME, show_default=True, help="Column of the spine: as of when.")
@click.option("--save", is_flag=True, help="Keep it as a snapshot among the artifacts.")
@project_option
@json_option
@command
def history(
    names: tuple[str, ...],
    spine: Path,
    out: Path,
    time: str,
    save: bool,
    folder: Path,
    as_json: bool,
) -> None:
    """Join features as they were known to every row of a spine: a training set without leaks.

    Names the views, or a service for all of its views. No row of the spine is lost or moved; what
    was not known at its time is null.
    """
    with opened_features(folder) as (project, found):
        views = _chosen(project, found, names)
        made = build_set(views, spine, found.sources, time=time)
        write_rows(made.rows, out)
        kept = made.snapshot
        if save:
            kept = save_set(made, project.state, project.artifacts, project.clock, by=acting())
    if as_json:
        print_json({"out": str(out), "saved": save, "snapshot": kept})
        return
    print_line(f"{kept.rows:,} rows and {len(kept.columns)} columns are in {out}")
    print_line(f"snapshot {kept.id}{' is saved' if save else ' (not saved)'}")


def _chosen(project: Project, found: Features, names: tuple[str, ...]) -> list[View]:
    """Return the views that are named, each once: a service stands for all of its own."""
    ids: list[str] = []
    for name in names:
        if name in project.service_names:
            declared = project.load(name, DATA_PARTS).features.views
            if not declared:
                raise NotFound(f"service `{name}` names no views in `[features]`")
            ids += declared
        else:
            ids.append(found.view(name).id)
    return [found.view(view) for view in dict.fromkeys(ids)]


features.add_command(skew_command)
features.add_command(leakage_command)

COMMANDS = {"features": features}
