"""`roadworthy cost raise`: let a ceiling be higher until its day or month ends."""

from __future__ import annotations

from pathlib import Path

import click

from ..app import open_project
from ..cost.prices import format_usd
from ..errors import RequestError
from ..store.ceilings import raise_ceiling
from ..types import MICRO
from .common import (
    acting,
    command,
    json_option,
    print_json,
    print_line,
    project_option,
    time_text,
)
from .parameters import usd

KINDS = ("service", "user", "key", "team", "tag", "provider")
"""What the scopes of ceilings begin with; `project` stands alone."""


@click.command("raise")
@click.argument("scope")
@click.option("--to", "micro", type=usd, required=True, metavar="USD", help="The new ceiling.")
@click.option(
    "--period",
    type=click.Choice(["day", "month"]),
    default="day",
    show_default=True,
    help="Which of its ceilings: that of a day or of a month.",
)
@click.option("--reason", default="", help="Why, for the log of acts.")
@project_option
@json_option
@command
def raise_command(
    scope: str, micro: int, period: str, reason: str, folder: Path, as_json: bool
) -> None:
    """Raise the ceiling of SCOPE until the present day or month (UTC) ends.

    SCOPE is a service, or `team:care`, `tag:web`, `provider:openai`, `key:k_...`,
    `user:SERVICE/NAME`, `project`. One that is not above what is declared changes nothing.
    """
    with open_project(folder) as project:
        whole = _scope(scope)
        if whole.startswith("service:"):
            project.check_declared(whole.removeprefix("service:"))
        raised = raise_ceiling(
            project.state,
            project.clock,
            whole,
            "month" if period == "month" else "day",
            micro,
            by=acting(),
            reason=reason,
        )
    if as_json:
        print_json(
            {
                "scope": whole,
                "period": period,
                "usd": micro / MICRO,
                "until_us": raised.until_us,
                "by": raised.by,
            }
        )
        return
    until = time_text(raised.until_us)
    print_line(f"{whole}: {format_usd(micro)} a {period}, until {until}")


def _scope(text: str) -> str:
    kind, colon, name = text.partition(":")
    if not colon:
        return text if text == "project" else f"service:{text}"
    if kind not in KINDS or not name:
        kinds = ", ".join(f"`{one}:…`" for one in KINDS)
        raise RequestError(
            f"scope: expected a service, `project` or {kinds}, got `{text:.80}`", param="scope"
        )
    return text
