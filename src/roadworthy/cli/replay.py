"""`roadworthy replay`: one request again, or the traffic of a day through a candidate."""

from __future__ import annotations

from pathlib import Path

import click

from ..app import open_project
from ..app.replays import replay_request
from ..cost.prices import format_usd
from ..errors import RequestError
from ..serve.replay import Change, Replay, Told
from .common import (
    NOT_KEPT,
    command,
    json_option,
    print_json,
    print_line,
    print_table,
    project_option,
    short_text,
    span_text,
)
from .parameters import usd

_paid_option = click.option("--paid", is_flag=True, help="Let models that charge be asked.")
_budget_option = click.option(
    "--budget-usd", "budget_micro", type=usd, help="Most that it may cost, in USD."
)


@click.command()
@click.argument("request_id", metavar="[REQUEST]", default="")
@click.option("--release", "release_id", default="", help="What is asked; else what answered.")
@_paid_option
@_budget_option
@project_option
@json_option
@click.pass_context
@command
def replay(
    ctx: click.Context,
    request_id: str,
    release_id: str,
    paid: bool,
    budget_micro: int | None,
    folder: Path,
    as_json: bool,
) -> None:
    """Ask again what was asked in REQUEST, and compare the answers.

    The release that answered is asked, with the input and the features of then, and nothing is
    recorded, charged to a budget or given to a reviewer. Ends with 0 where the answer is the same,
    with 1 where it is not, and with 4 where it cannot be asked again.
    """
    if not request_id:
        raise RequestError("expected the id of a request, got none")
    with open_project(folder) as project:
        found = replay_request(
            project, request_id, release_id=release_id, is_paid=paid, budget_micro=budget_micro
        )
    if as_json:
        print_json(found)
    else:
        _print(found)
    ctx.exit(0 if found.same else NOT_KEPT)


def _print(found: Replay) -> None:
    word = "same" if found.same else "different"
    print_line(f"{found.request_id}  {found.service}  {word}", style="bold")
    print_line(f"asked {found.release}")
    rows = [
        [name, *(of(told) for told in (found.recorded, found.replayed))]
        for name, of in (
            ("disposition", lambda told: told.disposition),
            ("model", lambda told: told.model or "-"),
            ("error", lambda told: told.error_code or "-"),
            ("latency", lambda told: span_text(told.latency_us)),
            ("cost", lambda told: format_usd(told.cost_micro)),
            ("tokens", _tokens),
        )
    ]
    print_table("", ("", "recorded", "replayed"), rows)
    if found.similarity is not None:
        print_line(f"similarity of the texts: {found.similarity:.1%}")
    if found.diff:
        print_table("differences", ("where", "", "recorded", "replayed"), map(_row, found.diff))
    for note in found.notes:
        print_line(note, style="yellow")


def _tokens(told: Told) -> str:
    return f"{told.input_tokens} in, {told.output_tokens} out"


def _row(change: Change) -> list[str]:
    before = "-" if change.change == "added" else short_text(change.before)
    after = "-" if change.change == "removed" else short_text(change.after)
    return [change.path, change.change, before, after]


COMMANDS = {"replay": replay}
