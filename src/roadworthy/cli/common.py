"""What every command shares: its options, how it prints, and how it ends."""

from __future__ import annotations

import errno
import functools
import getpass
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NoReturn, ParamSpec, TypeVar

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlalchemy.exc import SQLAlchemyError

from ..errors import DeclarationError, NotReady, RequestError, RoadworthyError, StoreError
from ..types import MICRO

KEPT, NOT_KEPT, USAGE, INCONCLUSIVE, COULD_NOT = range(5)
"""Exit codes, the same for every command."""

P = ParamSpec("P")
R = TypeVar("R")

_PIPE_WIDTH = 200
"""Columns where nobody looks: a program that reads a table wants whole lines."""

_encode = msgspec.json.Encoder(decimal_format="number").encode

console = Console(
    highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _PIPE_WIDTH
)
errors = Console(stderr=True, highlight=False, soft_wrap=True)

project_option = click.option(
    "--project",
    "folder",
    type=click.Path(path_type=Path),
    default=Path(),
    show_default="this folder",
    help="The project's folder.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


def command(function: Callable[P, R]) -> Callable[P, R]:
    """Let a command print our errors as text and end with their exit code."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except RoadworthyError as error:
            _end(error, as_json=bool(kwargs.get("as_json")))
        except KeyboardInterrupt:
            # Not `Abort`, which ends with 1: that would read as a promise that is not kept.
            errors.print("interrupted")
            sys.exit(COULD_NOT)
        except SQLAlchemyError as error:
            reason = str(getattr(error, "orig", None) or error).partition("\n")[0]
            refusal = StoreError(f"the store failed: {reason}; `roadworthy doctor` looks at it")
            _end(refusal, as_json=bool(kwargs.get("as_json")))

    return run


def _end(error: RoadworthyError, *, as_json: bool) -> NoReturn:
    """Print an error and end: a wrong declaration is not kept, a wrong argument is wrong usage."""
    if isinstance(error, (DeclarationError, NotReady)):
        exit_code = NOT_KEPT
    else:
        exit_code = USAGE if type(error) is RequestError else COULD_NOT
    if as_json:
        problems = getattr(error, "problems", ())
        print_json({"error": {"code": error.code, "message": str(error), "problems": problems}})
    else:
        errors.print(f"[red]error[/red] [dim]{error.code}[/dim]  ", end="")
        errors.print(plain(str(error)))
    sys.exit(exit_code)


def acting() -> str:
    """Return who acts, as the chain of actions writes it: `cli:<user of this machine>`."""
    return f"cli:{os_user()}"


def os_user() -> str:
    """Return the name of the machine's user, or its number where it has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container may run under a number that no passwd file knows.
        return str(os.getuid())


def plain(text: str) -> Text:
    """Return text as it is shown: what a caller wrote must not steer the terminal."""
    shown = "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)
    return Text(shown)


def print_json(value: Any) -> None:
    """Print a value as one JSON document."""
    click.echo(msgspec.json.format(_encode(value)).decode())


def print_line(text: str = "", style: str = "") -> None:
    """Print one line, whole and without markup."""
    line = plain(text)
    line.stylize(style)
    console.print(line)


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows as a table, or say that there are none.

    In a narrow window the first column, what a row is called, is the last that is broken.
    """
    rows = list(rows)
    if not rows:
        print_line(f"{title}: none")
        return
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="dim")
    for place, column in enumerate(columns):
        is_copied = place == 0 and not any(" " in row[0] for row in rows)
        table.add_column(column, overflow="fold", no_wrap=is_copied)
    for row in rows:
        table.add_row(*map(plain, row))
    console.print(table)


def short_text(value: Any, most: int = 60) -> str:
    """Return a declared value on one line, as short as a table needs it."""
    if isinstance(value, Decimal):
        text = format(value, "f")
    elif isinstance(value, str):
        text = " ".join(value.split())
    else:
        text = _encode(value).decode()
    return text if len(text) <= most else f"{text[: most - 3]}..."


def time_text(us: int | None) -> str:
    """Return Unix microseconds as people read them, in UTC; `-` for none."""
    if us is None:
        return "-"
    return datetime.fromtimestamp(us // MICRO, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def span_text(us: int) -> str:
    """Return microseconds as people say them: `850 us`, `12.3 ms`, `1.25 s`."""
    if us < 1_000:
        return f"{us} us"
    return f"{us / 1_000:.1f} ms" if us < MICRO else f"{us / MICRO:.2f} s"


def size_text(count: int) -> str:
    """Return bytes as people say them: `812 B`, `4.2 MB`."""
    if count < 1_000:
        return f"{count} B"
    for unit, size in (("kB", 10**3), ("MB", 10**6)):
        if count < size * 1_000:
            return f"{count / size:.1f} {unit}"
    return f"{count / 10**9:.1f} GB"


def check_writable(*paths: Path | None) -> None:
    """Refuse a place that cannot be written, before anything is done that takes long or costs.

    Raises:
        StoreError: A folder is not there, or is not one that may be written to.
    """
    for path in paths:
        refusal = 0 if path is None else _refusal(path)
        if path is not None and refusal:
            raise cannot_write(path, OSError(refusal, os.strerror(refusal)))


def _refusal(path: Path) -> int:
    """Return the number of the error that writing would end with; 0 where it may go well."""
    if path.is_dir():
        return errno.EISDIR
    if not path.exists() and not path.parent.is_dir():
        return errno.ENOENT
    place = path if path.exists() else path.parent
    return 0 if os.access(place, os.W_OK) else errno.EACCES


def write_text(path: Path, text: str) -> None:
    """Write a file that a command was asked for.

    Raises:
        StoreError: It cannot be written there.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> RoadworthyError:
    """Return what to raise where the machine refuses to write `path`."""
    return StoreError(
        f"cannot write {path}: expected a place that can be written, got "
        f"`{error.strerror or type(error).__name__}`; check the folder, its permissions and the "
        "free space"
    )
