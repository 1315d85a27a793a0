"""Write the generated parts of docs/reference: `make docs`. Tests compare them with the code."""

from __future__ import annotations

import inspect
import runpy
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from roadworthy.cli import COMMANDS, cli

REFERENCE = Path(__file__).parent / "reference"

_EXIT_CODES = (
    (0, "kept: it was done, or what was checked holds"),
    (1, "not kept: a declaration, a comparison or a job has a problem"),
    (2, "usage: an argument is missing, unknown or makes no sense"),
    (3, "inconclusive: there is not enough to decide"),
    (4, "could not be done: not found, refused, or the store cannot be reached"),
)


def cli_page() -> str:
    """Return the reference of the command line."""
    context = click.Context(cli, info_name="roadworthy")
    lines = [
        "# Command line",
        "",
        "<!-- Written by docs/make_reference.py from the commands themselves; do not edit. -->",
        "",
        "Run `roadworthy` in a project's folder, or name the folder with `--project`. With",
        "`--json` a command prints one JSON document. Commands work while a server runs; it"
        " follows what they change within 100 ms.",
        "",
        "| exit code | means |",
        "|---|---|",
        *(f"| {code} | {meaning} |" for code, meaning in _EXIT_CODES),
        "",
        "| command | what it does |",
        "|---|---|",
        *(f"| [`{name}`](#roadworthy-{name}) | {COMMANDS[name].help} |" for name in COMMANDS),
    ]
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        lines += _command(command, context, name)
    return "\n".join(lines) + "\n"


def _command(command: click.Command, parent: click.Context, name: str) -> Iterator[str]:
    context = click.Context(command, info_name=name, parent=parent)
    yield from ("", f"## {context.command_path}", "", _prose(command.help or ""))
    if isinstance(command, click.Group):
        for member in command.list_commands(context):
            inner = command.get_command(context, member)
            assert inner is not None
            yield from _command(inner, context, member)
        return
    usage = " ".join(command.collect_usage_pieces(context))
    yield from ("", "```", f"{context.command_path} {usage}", "```")
    options = [p for p in command.params if isinstance(p, click.Option) and p.name != "help"]
    if options:
        yield from ("", "| option | |", "|---|---|")
        yield from (_option(option, context) for option in options)


def _option(option: click.Option, context: click.Context) -> str:
    written, text = option.get_help_record(context) or ("", "")
    # A bar would end the cell, in code too.
    cells = [cell.replace("|", r"\|") for cell in (f"`{written}`", text)]
    return f"| {' | '.join(cells)} |"


def _prose(text: str) -> str:
    """Return a docstring with each paragraph on one line."""
    paragraphs = inspect.cleandoc(text).split("\n\n") if text else []
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


PAGES: dict[str, Callable[[], str]] = {"cli.md": cli_page}
"""File in docs/reference → what writes it."""


def main() -> None:
    """Write every page, those of the declaration too."""
    for name, page in PAGES.items():
        (REFERENCE / name).write_text(page(), encoding="utf-8")
    runpy.run_path(
        str(Path(__file__).with_name("make_declaration_reference.py")), run_name="__main__"
    )


if __name__ == "__main__":
    main()
