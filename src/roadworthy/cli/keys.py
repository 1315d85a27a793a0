"""`roadworthy keys`: who may call, for what, how much and until when."""

from __future__ import annotations

from pathlib import Path

import click

from ..app import Project, open_project, read_project
from ..cost.prices import format_usd
from ..errors import RequestError
from ..store.clock import time_of
from ..store.keys import KeyEntry, create_key, list_keys, revoke_key
from ..types import Key
from ..web.shapes import KeyMade, KeyShown
from ..web.units import show
from .common import (
    acting,
    command,
    json_option,
    os_user,
    print_json,
    print_line,
    print_table,
    project_option,
    time_text,
)
from .parameters import ahead, names, usd


@click.group()
def keys() -> None:
    """Create, list and revoke keys."""


@keys.command()
@click.option("--name", default=os_user, show_default="your user name", help="What lists call it.")
@click.option(
    "--scopes",
    type=names,
    default=("answer",),
    show_default="answer",
    help="What it may do: some of answer, read, review, release, budget, push, admin, act_as.",
)
@click.option(
    "--services", type=names, default=(), show_default="all", help="The services it may call."
)
@click.option("--team", default="", help="The team its requests are counted for.")
@click.option("--per-day-usd", "per_day_micro", type=usd, help="Most that it may spend in a day.")
@click.option(
    "--expires",
    "expires_us",
    type=ahead,
    metavar="TIME",
    help="When it ends: `30d` from now, or a UTC date.",
)
@project_option
@json_option
@command
def create(
    name: str,
    scopes: tuple[str, ...],
    services: tuple[str, ...],
    team: str,
    per_day_micro: int | None,
    expires_us: int | None,
    folder: Path,
    as_json: bool,
) -> None:
    """Create a key and show it, this once: only its hash is kept."""
    with open_project(folder) as project:
        _check_services(project, services)
        key, secret = create_key(
            project.state,
            project.clock,
            name=name,
            scopes=scopes,
            services=services,
            team=team,
            per_day_micro=per_day_micro,
            expires_us=expires_us,
            by=acting(),
        )
    if as_json:
        print_json(show(KeyMade, key, key=secret, **_lists(key)))
    else:
        print_key(key, secret)


def _check_services(project: Project, services: tuple[str, ...]) -> None:
    unknown = [name for name in services if name not in project.service_names]
    if unknown:
        known = ", ".join(f"`{name}`" for name in project.service_names) or "none"
        raise RequestError(
            f"services: expected some of {known}, got `{unknown[0]}`", param="services"
        )


def print_key(key: Key, secret: str) -> None:
    """Show a new key."""
    print_line(secret, style="bold")
    print_line(f"key `{key.id}` with the scopes {', '.join(sorted(key.scopes))}")
    print_line("keep it now: it is shown this once, and only its hash is stored", style="dim")


@keys.command("list")
@click.option("--all", "is_all", is_flag=True, help="Revoked and expired ones too.")
@project_option
@json_option
@command
def list_all(is_all: bool, folder: Path, as_json: bool) -> None:
    """List the keys that are valid, oldest first."""
    with read_project(folder) as project:
        now_us = project.clock.now_us()
        entries = [
            entry
            for entry in list_keys(project.state)
            if is_all or _state(entry, now_us) == "valid"
        ]
    if as_json:
        print_json({"keys": [_shown(entry, now_us) for entry in entries]})
        return
    columns = ("id", "name", "scopes", "services", "team", "a day", "created", "expires", "state")
    print_table("keys", columns, [_row(entry, now_us) for entry in entries])


def _row(entry: KeyEntry, now_us: int) -> list[str]:
    key = entry.key
    return [
        key.id,
        key.name,
        ", ".join(sorted(key.scopes)),
        ", ".join(sorted(key.services)) or "all",
        key.team or "-",
        "-" if key.per_day_micro is None else format_usd(key.per_day_micro),
        time_text(entry.created_at_us),
        time_text(key.expires_us),
        _state(entry, now_us),
    ]


def _state(entry: KeyEntry, now_us: int) -> str:
    if entry.revoked_at_us is not None:
        return "revoked"
    is_over = entry.key.expires_us is not None and entry.key.expires_us <= now_us
    return "expired" if is_over else "valid"


def _shown(entry: KeyEntry, now_us: int) -> KeyShown:
    times = {name: getattr(entry, f"{name}_us") for name in ("created_at", "revoked_at")}
    given = {name: None if us is None else time_of(us) for name, us in times.items()}
    return show(KeyShown, entry.key, **given, **_lists(entry.key), state=_state(entry, now_us))


def _lists(key: Key) -> dict[str, tuple[str, ...]]:
    return {"scopes": tuple(sorted(key.scopes)), "services": tuple(sorted(key.services))}


@keys.command()
@click.argument("key_id", metavar="ID")
@project_option
@json_option
@command
def revoke(key_id: str, folder: Path, as_json: bool) -> None:
    """Refuse a key from now on, in every process."""
    with open_project(folder) as project:
        revoke_key(project.state, project.clock, key_id, by=acting())
    if as_json:
        print_json({"id": key_id, "state": "revoked"})
    else:
        print_line(f"key `{key_id}` is revoked; a running server refuses it within 100 ms")


COMMANDS = {"keys": keys}
