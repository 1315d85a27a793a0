"""`roadworthy up`: serve a project over HTTP."""

from __future__ import annotations

import ipaddress
import logging
import time
from pathlib import Path

import click

from ..app import Project, open_project, serve_http
from ..errors import Forbidden
from ..serve.gateway import Limits
from ..serve.server import bind, resolve, url_of
from ..store.keys import load_keys
from .common import command, console, project_option


@click.command()
@project_option
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on, or a name of it."
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8700,
    show_default=True,
    help="Port to listen on; 0 takes a free one.",
)
@click.option("--max-body-mb", default=8.0, show_default=True, help="Largest request body.")
@click.option(
    "--max-in-flight", default=2048, show_default=True, help="Requests at work at the same time."
)
@command
def up(folder: Path, host: str, port: int, max_body_mb: float, max_in_flight: int) -> None:
    """Serve the project over HTTP until SIGTERM or Ctrl-C.

    It listens on this machine only, unless `--host` says otherwise and an admin key exists.
    """
    started = time.monotonic()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)  # each migration is two lines else
    listening = resolve(host)
    project = open_project(folder)
    _check_exposure(project, host, listening)
    sock = bind(listening, port)
    address = url_of(host, sock.getsockname()[1])
    limits = Limits(int(max_body_mb * 1024 * 1024), max_in_flight)

    def say_ready(lines: list[str]) -> None:
        took = time.monotonic() - started
        console.print(f"[bold]{project.declaration.name}[/bold] is served on {address}")
        for line in lines:
            console.print(line, markup=False)
        console.print(f"[dim]ready in {took:.1f} s; stop it with Ctrl-C[/dim]")

    serve_http(project, sock, address, limits, say_ready)


def _check_exposure(project: Project, host: str, listening: str) -> None:
    """Refuse to listen beyond this machine while nobody could be held off.

    Raises:
        Forbidden: The address is reachable from elsewhere and there is no admin key.
    """
    if ipaddress.ip_address(listening).is_loopback:
        return
    if not any("admin" in key.scopes for key in load_keys(project.state).values()):
        raise Forbidden(
            f"will not listen on {host} without an admin key; "
            "run `roadworthy keys create --scopes admin` first"
        )


COMMANDS = {"up": up}
