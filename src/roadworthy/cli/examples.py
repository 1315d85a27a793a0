"""`roadworthy examples`: what people decided, as cases of a suite and rows to train on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import click
import msgspec

from ..app import Project, open_project, read_project
from ..app.examples import open_contracts
from ..data.snapshots import Snapshot
from ..errors import RequestError
from ..improve.exported import check_new, leaving
from ..improve.overrule import reject_examples, release_examples
from ..improve.suites import SuiteWritten, write_suite
from ..improve.training import TrainingWritten, write_training
from ..release.registry import champion_id_of
from ..store.examples import Example, ExampleState, count_examples, list_examples
from ..web.example_figures import shown_example
from .common import (
    acting,
    command,
    json_option,
    print_json,
    print_line,
    print_table,
    project_option,
    time_text,
)

_ids = click.argument("ids", metavar="ID...", nargs=-1, required=True)
_force_option = click.option("--force", is_flag=True, help="Replace a file that is there.")


@click.group()
def examples() -> None:
    """List what was learned from decisions, release what is held, export it."""


@examples.command("list")
@click.option("--service", default="", help="Only this service's.")
@click.option("--state", type=click.Choice(get_args(ExampleState)), help="Only in this state.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="How many.")
@project_option
@json_option
@command
def list_all(service: str, state: str | None, limit: int, folder: Path, as_json: bool) -> None:
    """List examples, newest decision first, with what holds them.

    The job `examples` makes them while the project is served; `roadworthy jobs run examples` runs
    it now.
    """
    with read_project(folder) as project:
        services = (service,) if service else ()
        found = list_examples(project.state, services, state=state or "", limit=limit)
        counts = count_examples(project.state, services)
    if as_json:
        print_json({"counts": counts, "examples": [shown_example(one) for one in found]})
        return
    rows = [
        (one.id, one.service, one.state, time_text(one.at_us), one.by, one.why) for one in found
    ]
    print_table("examples", ("example", "service", "state", "decided", "by", "why"), rows)
    for held in counts:
        states = ", ".join(f"{count} {name}" for name, count in sorted(held.states.items()))
        checks = ", ".join(f"{count} by {name}" for name, count in sorted(held.checks.items()))
        print_line(f"{held.service}: {states}" + (f"; held: {checks}" if checks else ""))


@examples.command()
@_ids
@click.option("--reason", default="", help="Why; kept with who and when.")
@project_option
@json_option
@command
def release(ids: tuple[str, ...], reason: str, folder: Path, as_json: bool) -> None:
    """Accept examples that a check holds back: all of these, or none."""
    with open_project(folder) as project:
        done = release_examples(project.state, project.clock, ids, by=acting(), reason=reason)
    _tell(done, as_json=as_json)


@examples.command()
@_ids
@click.option("--reason", required=True, help="Why; kept with who and when.")
@project_option
@json_option
@command
def reject(ids: tuple[str, ...], reason: str, folder: Path, as_json: bool) -> None:
    """Reject examples, so that they are never exported: all of these, or none."""
    with open_project(folder) as project:
        done = reject_examples(project.state, project.clock, ids, by=acting(), reason=reason)
    _tell(done, as_json=as_json)


def _tell(done: list[Example], *, as_json: bool) -> None:
    if as_json:
        print_json({"examples": [shown_example(one) for one in done]})
        return
    for one in done:
        print_line(f"{one.id}: {one.why}")


class _Rows(msgspec.Struct, frozen=True):
    """The training rows that were written, by label."""

    file: str
    rows: int
    classes: Mapping[str, int]


class _Exported(msgspec.Struct, frozen=True):
    """What an export wrote, and what it left out.

    Attributes:
        snapshot: Of the training set, where `features.training` of a service looks for it.
    """

    service: str
    suite: SuiteWritten | None
    training: _Rows | None
    snapshot: Snapshot | None
    personal: tuple[str, ...]


@examples.command()
@click.argument("service")
@click.option("--suite", type=click.Path(path_type=Path), help="JSON lines file: cases of a suite.")
@click.option("--training", type=click.Path(path_type=Path), help="Parquet file, or a folder.")
@click.option("--corrections", is_flag=True, help="Only where the model was wrong.")
@_force_option
@project_option
@json_option
@command
def export(
    service: str,
    suite: Path | None,
    training: Path | None,
    corrections: bool,
    force: bool,
    folder: Path,
    as_json: bool,
) -> None:
    """Write the accepted examples of SERVICE: as cases of a suite, as training rows, or both.

    The same examples give the same bytes. What `--json` prints of training rows is a file for
    `features.training`, so that a release keeps what its model learned from. Fields
    that a contract marks as personal are left out.
    """
    if suite is None and training is None:
        raise RequestError("expected `--suite FILE`, `--training FILE` or both, got neither")
    with open_project(folder) as project:
        project.check_declared(service)
        done = _export(project, service, suite, training, corrections=corrections, force=force)
    if as_json:
        print_json(done)
        return
    _tell_export(done)


def _export(
    project: Project,
    service: str,
    suite: Path | None,
    training: Path | None,
    *,
    corrections: bool,
    force: bool,
) -> _Exported:
    state = project.state
    rows, personal = leaving(
        state,
        open_contracts(project),
        service,
        champion=champion_id_of(state, service),
        only_corrections=corrections,
    )
    trained: TrainingWritten | None = None
    if suite is not None:
        check_new(suite, force=force)  # both are written, or neither
    if training is not None:
        store: tuple[Any, ...] = (state, project.artifacts, project.clock)
        trained = write_training(service, rows, training, *store, by=acting(), force=force)
    cases = None if suite is None else write_suite(rows, suite, force=force)
    if trained is None:
        return _Exported(service, cases, None, None, personal)
    written = _Rows(trained.file, trained.snapshot.rows, trained.classes)
    return _Exported(service, cases, written, trained.snapshot, personal)


def _tell_export(done: _Exported) -> None:
    if done.suite is not None:
        print_line(f"{done.suite.cases:,} cases are in {done.suite.file}")
        if done.suite.left_out:
            why = "they cannot be asked without a personal field"
            print_line(f"{done.suite.left_out:,} left out: {why}")
    if done.training is not None and done.snapshot is not None:
        print_line(f"{done.training.rows:,} rows are in {done.training.file}")
        print_line(f"snapshot {done.snapshot.id} is saved")
        if len(done.training.classes) == 1:
            print_line("all rows have one label: a model learns nothing from one class")
    if done.personal:
        print_line(f"personal fields are left out: {', '.join(done.personal)}")


COMMANDS = {"examples": examples}
