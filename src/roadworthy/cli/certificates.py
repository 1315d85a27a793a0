"""`roadworthy certificates`: which automatic decisions are certified, and what the others need."""

from __future__ import annotations

from pathlib import Path

import click

from ..app import read_project
from ..app.bounds import released_subjects
from ..review.standing import Standing, standing_of
from .common import command, json_option, print_json, print_table, project_option

_COLUMNS = ("service", "decision", "state", "at most wrong", "sure", "from score", "units", "why")


@click.command()
@click.option("--service", default="", help="Only this service.")
@project_option
@json_option
@command
def certificates(service: str, folder: Path, as_json: bool) -> None:
    """List what services may answer alone: the certified bound, or what it still needs.

    A service has one line as soon as its `[review]` declares a `max_error`.
    """
    with read_project(folder) as project:
        if service:
            project.check_declared(service)
        found = [
            standing_of(project.state, subject, project.clock.now_us())
            for subject in released_subjects(project)
            if subject.service == service or not service
        ]
    if as_json:
        print_json(found)
    else:
        print_table("certificates", _COLUMNS, map(_row, found))


def _row(found: Standing) -> list[str]:
    is_certified = found.threshold is not None
    return [
        found.service,
        found.decision.replace("_", " "),
        found.state,
        f"{found.bound:.1%}" if found.bound is not None else f"({found.max_error:.1%})",
        f"{found.sure:.0%}",
        f"{found.threshold:.3f}" if found.threshold is not None else "-",
        str(found.n),
        _promise(found) if is_certified else found.why,
    ]


def _promise(found: Standing) -> str:
    after = found.audit.get("delay_answers")
    return (
        f"{found.wrong} of {found.n} units were wrong; a doubled error would be noticed after about"
        f" {after} answers"
        if found.state == "certified"
        else found.why
    )


COMMANDS = {"certificates": certificates}
