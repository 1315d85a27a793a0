"""`roadworthy webhooks`: how each stands, a test, and another try of what was given up."""

from __future__ import annotations

from pathlib import Path

import click

from ..app import open_project, read_project
from ..observe.webhooks import check_declared, send_test
from ..store.deliveries import send_again
from ..web.webhooks import WebhookShown, webhooks_page
from .common import (
    NOT_KEPT,
    acting,
    command,
    json_option,
    print_json,
    print_line,
    print_table,
    project_option,
)

_COLUMNS = ("webhook", "format", "waiting", "next try", "delivered", "given up", "last error")


@click.group()
def webhooks() -> None:
    """Show how webhooks stand, test one, or send again what was given up."""


@webhooks.command("list")
@project_option
@json_option
@command
def list_all(folder: Path, as_json: bool) -> None:
    """List every webhook: what waits for it, what it got in the last 30 days, what failed last.

    One that is no longer declared is listed while there is something of it.
    """
    with read_project(folder) as project:
        page = webhooks_page(project.state, project.declaration.webhooks)
    if as_json:
        print_json(page)
    else:
        print_table("webhooks", _COLUMNS, map(_row, page.webhooks))


@webhooks.command()
@click.argument("name")
@project_option
@json_option
@click.pass_context
@command
def test(ctx: click.Context, name: str, folder: Path, as_json: bool) -> None:
    """Send one event `webhook.test` to NAME now, signed like all others, and show what came back.

    It is sent from this shell, whose environment must hold the secret. Ends with 1 if it was not
    delivered.
    """
    with open_project(folder) as project:
        tested = send_test(name, project.declaration, project.state, project.clock, by=acting())
    if as_json:
        print_json(tested)
    else:
        print_line(f"{name}: {tested.error or 'delivered'}, {tested.id} in {tested.ms} ms")
        if tested.status is not None:
            print_line(f"status {tested.status}")
        if tested.answer:
            print_line(tested.answer, style="dim")
    ctx.exit(NOT_KEPT if tested.error else 0)


@webhooks.command()
@click.argument("name")
@project_option
@json_option
@command
def retry(name: str, folder: Path, as_json: bool) -> None:
    """Queue again what was given up for NAME, in its old order; it keeps its ids."""
    with open_project(folder) as project:
        check_declared(name, project.declaration)
        queued = send_again(project.state, project.clock, name)
    if as_json:
        print_json({"webhook": name, "queued": queued})
    else:
        print_line(f"{name}: {queued} queued again")


def _row(shown: WebhookShown) -> list[str]:
    return [
        shown.webhook,
        shown.format or "-",
        str(shown.waiting),
        f"{shown.next_try:%Y-%m-%d %H:%M:%SZ}" if shown.next_try else "-",
        str(shown.delivered),
        str(shown.given_up),
        shown.last_error or "-",
    ]


COMMANDS = {"webhooks": webhooks}
