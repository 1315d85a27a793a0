"""`roadworthy jobs`: periodic work, and running some of it now."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import msgspec

from ..app import Project, open_project, read_project
from ..store.jobs import list_jobs
from ..store.lock import find_holder
from ..web.shapes import JobShown
from ..web.units import show
from .common import (
    NOT_KEPT,
    command,
    json_option,
    print_json,
    print_line,
    print_table,
    project_option,
)
from .remote import ask_server

_COLUMNS = ("job", "every", "last run", "took", "failures", "last result or error")


@click.group()
def jobs() -> None:
    """List periodic jobs, or run one now."""


@jobs.command("list")
@project_option
@json_option
@command
def list_all(folder: Path, as_json: bool) -> None:
    """List every job: how often it runs, when it did, and how that went."""
    with read_project(folder) as project:
        found = [show(JobShown, state) for state in list_jobs(project.state)]
    if as_json:
        print_json({"jobs": found})
    else:
        print_table("jobs", _COLUMNS, map(_row, found))
        if not found:
            print_line("`roadworthy up` registers them", style="dim")


@jobs.command()
@click.argument("name")
@project_option
@json_option
@click.pass_context
@command
def run(ctx: click.Context, name: str, folder: Path, as_json: bool) -> None:
    """Run a job now, due or not, in the process that serves the project, or else in this one.

    Ends with 1 if it fails.
    """
    with open_project(folder) as project:
        job = _run(project, name)
    if as_json:
        print_json(job)
    else:
        print_table("", _COLUMNS, [_row(job)])
    ctx.exit(NOT_KEPT if job.last_error else 0)


def _run(project: Project, name: str) -> JobShown:
    holder = find_holder(project.folder, project.store_url)
    if holder is None:
        return show(JobShown, project.serving.jobs.run_now(name))
    answer: Any = ask_server(project, holder, "POST", f"/api/jobs/{quote(name, safe='')}/run")
    return msgspec.convert(answer, JobShown)


def _row(job: JobShown) -> list[str]:
    return [
        job.name,
        f"{job.every_s} s",
        f"{job.last_run:%Y-%m-%d %H:%M:%SZ}" if job.last_run else "never",
        "-" if job.last_ms is None else f"{job.last_ms} ms",
        str(job.failures),
        job.last_error or job.last_result or "-",
    ]


COMMANDS = {"jobs": jobs}
