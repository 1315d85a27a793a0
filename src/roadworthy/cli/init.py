"""`roadworthy init`: a commented project that runs at once."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import click

from ..app import open_project
from ..errors import RequestError
from ..store.keys import create_key
from .common import (
    acting,
    cannot_write,
    command,
    json_option,
    print_json,
    print_line,
    write_text,
)
from .keys import print_key

TEMPLATE_NAME = "my-project"
"""What the templates call the project; `init` puts the real name there."""

_RENAMED = {"gitignore": ".gitignore"}
_MAY_BE_THERE = frozenset({".git", ".venv", "venv"})
_SCOPES = ("answer", "read")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@json_option
@command
def init(folder: Path, as_json: bool) -> None:
    """Start a new project in FOLDER: three services that run, and a key.

    FOLDER is made if it is not there; if it is, it must be empty.
    """
    _check_is_free(folder)
    name = project_name(folder)
    written = [_write(folder, path, text, name) for path, text in templates()]
    with open_project(folder) as project:
        key, secret = create_key(
            project.state, project.clock, name="init", scopes=_SCOPES, by=acting()
        )
    steps = [] if folder.resolve() == Path().resolve() else [f"cd {shlex.quote(str(folder))}"]
    steps += ["roadworthy check", "roadworthy up"]
    if as_json:
        facts = {"project": name, "folder": str(folder), "files": written}
        print_json(facts | {"key": secret, "id": key.id, "scopes": sorted(_SCOPES), "next": steps})
        return
    print_line(f"wrote {len(written)} files of the project `{name}` into {folder}")
    print_key(key, secret)
    print_line("next:")
    for step in steps:
        print_line(f"  {step}")
    print_line(f"{folder / 'README.md'} shows the first request")


def _check_is_free(folder: Path) -> None:
    """Refuse to write among somebody's files.

    Raises:
        RequestError: The folder is a file, or holds something.
    """
    if folder.exists() and not folder.is_dir():
        raise RequestError(f"expected a folder, got a file - {folder}; choose another name")
    if not folder.exists():
        return
    there = sorted(path.name for path in folder.iterdir() if path.name not in _MAY_BE_THERE)
    if there:
        shown = ", ".join(f"`{name}`" for name in there[:3]) + (" ..." if there[3:] else "")
        raise RequestError(
            f"expected an empty folder, got one that holds {shown} - {folder}; "
            "choose a new folder, or move these away"
        )


def project_name(folder: Path) -> str:
    """Return the folder's name as a project may be called: `My Project` becomes `my-project`."""
    word = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower())
    return word.lstrip("0123456789-")[:63].rstrip("-") or TEMPLATE_NAME


def templates() -> Iterator[tuple[str, str]]:
    """Yield the path and the text of each file of a new project."""
    yield from _below(files("roadworthy.cli") / "templates", "")


def _below(folder: Traversable, path: str) -> Iterator[tuple[str, str]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _below(entry, f"{path}{entry.name}/")
        else:
            name = _RENAMED.get(entry.name, entry.name)
            yield f"{path}{name}", entry.read_text(encoding="utf-8")


def _write(folder: Path, path: str, text: str, name: str) -> str:
    target = folder / path
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(target, error) from error
    write_text(target, text.replace(TEMPLATE_NAME, name))
    return path


COMMANDS = {"init": init}
