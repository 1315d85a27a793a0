"""`roadworthy doctor`: what is missing or degraded on this machine, and the line that fixes it."""

from __future__ import annotations

from pathlib import Path

import click

from .common import NOT_KEPT, command, console, json_option, plain, print_json, project_option
from .diagnose import Sign, diagnose

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command()
@click.option("--offline", "is_offline", is_flag=True, help="Do not connect to the providers.")
@click.option("--port", default=8700, show_default=True, help="The port that `up` would take.")
@project_option
@json_option
@click.pass_context
@command
def doctor(ctx: click.Context, is_offline: bool, port: int, folder: Path, as_json: bool) -> None:
    """Look at the machine, the project and its providers; say what is missing, and what fixes it.

    Nothing is changed, and no provider gets a request. Ends with 1 if something fails.
    """
    signs = []
    for sign in diagnose(folder, port, is_offline=is_offline):
        signs.append(sign)
        if not as_json:
            _print(sign)
    is_fit = all(sign.status != "fail" for sign in signs)
    if as_json:
        print_json({"is_fit": is_fit, "checks": signs})
    ctx.exit(0 if is_fit else NOT_KEPT)


def _print(sign: Sign) -> None:
    """Print one line, and below it the line that fixes it."""
    console.print(f"[{_COLOURS[sign.status]}]{sign.status:<4}[/]  ", end="")
    console.print(plain(f"{sign.part}: {sign.found}"))
    if sign.remedy:
        console.print(plain(f"      {sign.remedy}"), style="bold")


COMMANDS = {"doctor": doctor}
