"""`roadworthy clock`: the project's time, and setting it for a replay of the past."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from ..app import Project, open_project, read_project
from ..store.clock import set_clock, time_of
from ..store.lock import find_holder, hold_project
from ..web.shapes import ClockShown
from .common import acting, command, json_option, print_json, print_line, project_option
from .parameters import moment
from .remote import ask_server


@click.group()
def clock() -> None:
    """Show the project's time, or set it."""


@clock.command("show")
@project_option
@json_option
@command
def show_time(folder: Path, as_json: bool) -> None:
    """Show the project's time."""
    with read_project(folder) as project:
        shown = _shown(project)
    _print(shown, as_json=as_json)


@clock.command("set")
@click.argument("now_us", metavar="TIME", type=moment)
@project_option
@json_option
@command
def set_time(now_us: int, folder: Path, as_json: bool) -> None:
    """Set the project's time to a UTC date or time like `2013-04-01T05:00`; then it runs on.

    Only where `project.clock` is `settable`.
    """
    with open_project(folder) as project:
        shown = _set(project, now_us)
    _print(shown, as_json=as_json)


def _set(project: Project, now_us: int) -> ClockShown:
    """Set the clock of the process that serves, or else the one that the next will go on with."""
    holder = find_holder(project.folder)
    if holder is not None:
        body = {"now": time_of(now_us)}
        answer: Any = ask_server(project, holder, "PUT", "/api/clock", body)
        return msgspec.convert(answer, ClockShown)
    with hold_project(project.folder):
        set_clock(project.state, project.clock, now_us, by=acting())
    return _shown(project)


def _shown(project: Project) -> ClockShown:
    return ClockShown(now=time_of(project.clock.now_us()), clock=project.declaration.clock)


def _print(shown: ClockShown, *, as_json: bool) -> None:
    if as_json:
        print_json(shown)
    else:
        whose = "the machine's" if shown.clock == "system" else "it can be set"
        print_line(f"{shown.now:%Y-%m-%d %H:%M:%SZ}  {whose}")


COMMANDS = {"clock": clock}
