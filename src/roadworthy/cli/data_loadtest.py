"""`roadworthy data loadtest`: pipelines and monitors at the declared volume, before launch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from ..app import ENFORCES
from ..app.paces import FILL_EVERY_S, MEASURE_EVERY_S
from ..data.load_figures import Bounds, LoadReport, Step, span
from ..data.loadtest import Asked, Told, load_test, plan_load
from ..data.peak import memory_mb
from ..data.registered import load_sources
from ..data.views import View, load_views
from ..declare.load import load_project, load_service
from ..declare.project import ProjectDeclaration
from .common import (
    INCONCLUSIVE,
    NOT_KEPT,
    command,
    errors,
    json_option,
    print_json,
    print_line,
    print_table,
    project_option,
)
from .features_audit import DATA_PARTS


@click.command("loadtest")
@click.argument("names", nargs=-1, metavar="[SOURCE|SERVICE...]")
@click.option(
    "--memory",
    "most_mb",
    type=click.IntRange(min=1),
    help="Most memory that the process may take, in MB; else what this machine has.",
)
@project_option
@json_option
@click.pass_context
@command
def loadtest_command(
    ctx: click.Context, names: tuple[str, ...], most_mb: int | None, folder: Path, as_json: bool
) -> None:
    """Test pipelines and monitors at the declared volume of SOURCE or SERVICE, or of all.

    Rows are invented by the contracts in a temporary folder; fills, validation, checks, joins,
    reads, skew and pushes run on them as in production. Nothing that the project keeps is touched.
    Ends with 1 if a step is too slow or takes too much memory, with 3 if one could not be run.
    """
    project = load_project(folder)
    sources = load_sources(project)
    views = load_views(project.folder, sources)
    plan = plan_load(names, sources, views.values(), _asked(project, views))
    bounds = Bounds(FILL_EVERY_S, MEASURE_EVERY_S, most_mb or memory_mb())
    with _progress() as told:
        report = load_test(plan, bounds, told)
    if as_json:
        print_json(report)
    else:
        _print(report)
    if not report.kept:
        ctx.exit(NOT_KEPT)
    ctx.exit(0 if report.complete else INCONCLUSIVE)


def _asked(project: ProjectDeclaration, views: dict[str, View]) -> Iterator[Asked]:
    """Yield each service with its views as their files stand now."""
    for folder in project.service_folders():
        declared = load_service(folder, project, ENFORCES, (*DATA_PARTS, "volume"))
        named = [views[name.partition("@")[0]] for name in declared.features.views]
        yield Asked(declared.name, tuple(named), declared.volume.requests_per_second)


@contextmanager
def _progress() -> Iterator[Told]:
    """Show on a terminal what is being done; elsewhere nothing."""
    columns = (BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    hidden = not errors.is_terminal
    with Progress(*columns, console=errors, transient=True, disable=hidden) as progress:
        task = progress.add_task("")

        def told(what: str, done: int, of: int) -> None:
            progress.update(task, description=what, completed=done, total=of)

        yield told


def _print(report: LoadReport) -> None:
    print_line(f"{report.says} ({report.seconds:.1f} s)", style="bold")
    columns = ("step", "of", "rows", "took", "a second", "needs", "memory", "")
    print_table("", columns, map(_row, report.steps))
    for step in report.steps:
        if step.verdict in ("not_kept", "not_run"):
            print_line(f"{step.step} of {step.of}: {step.says}")


def _row(step: Step) -> tuple[str, ...]:
    needs = "-" if step.needs_s is None else f"within {span(step.needs_s)}"
    if step.needs_per_second is not None:
        needs = f"{step.needs_per_second:,.10g} a second"
    return (
        step.step,
        step.of,
        f"{step.rows:,}",
        span(step.seconds),
        "-" if step.per_second is None else f"{step.per_second:,.0f}",
        needs,
        "-" if step.peak_mb is None else f"{step.peak_mb:,.0f} MB",
        step.verdict.replace("_", " "),
    )
