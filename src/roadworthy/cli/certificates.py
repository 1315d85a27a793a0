"""`roadworthy certificates`: which automatic decisions are certified, and what the others need."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from ..app import Project, read_project
from ..app.bounds import released_subjects
from ..app.pair_bounds import released_pair_subjects
from ..bounds.standing import standing_of as standing_of_pairs
from ..review.standing import standing_of
from ..store.standing import Standing
from .common import command, json_option, print_json, print_table, project_option

_COLUMNS = ("service", "decision", "state", "at most wrong", "sure", "from score", "units", "why")


@click.command()
@click.option("--service", default="", help="Only this service.")
@click.option(
    "--decision",
    type=click.Choice(["answer_alone", "route", "reuse"]),
    help="Only this decision: to answer alone, to take a cheaper model, to give an answer again.",
)
@project_option
@json_option
@command
def certificates(service: str, decision: str | None, folder: Path, as_json: bool) -> None:
    """List what services may decide by themselves: the certified bound, or what it still needs.

    A service has one line for each bound that it declares: a `max_error` of `[review]`, of
    `[routing]`, and of `[cache] semantic`.
    """
    with read_project(folder) as project:
        if service:
            project.check_declared(service)
        found = [
            one
            for one in _standings(project)
            if service in ("", one.service) and decision in (None, one.decision)
        ]
    if as_json:
        print_json(found)
    else:
        print_table("certificates", _COLUMNS, map(_row, found))


def _standings(project: Project) -> Iterator[Standing]:
    for subject in released_subjects(project):
        yield standing_of(project.state, subject, project.clock.now_us())
    for pairs in released_pair_subjects(project):
        yield standing_of_pairs(project.state, pairs)


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
    if found.state != "certified":
        return found.why
    after = found.audit.get("delay_answers")
    counted = f"{found.wrong} of {found.n} units were wrong"
    if found.decision == "route":
        share = f"about {found.automated or 0.0:.0%} may go to a cheaper model"
        counted = f"{share}; of {found.n} pairs {found.wrong} answers were lost"
    if found.decision == "reuse":
        counted = f"{found.wrong} of {found.n} answers given again were wrong"
    return f"{counted}; a doubled error would be noticed after about {after} answers"


COMMANDS = {"certificates": certificates}
