from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from command_line import run

import roadworthy
from roadworthy.cli import COMMANDS, cli

DOCS = Path(__file__).parent.parent.parent / "docs"
HEAVY = ("roadworthy.app", "sqlalchemy", "pydantic", "rich", "starlette", "roadworthy.cli.common")


def leaves(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from leaves(inner, f"{path} {name}".strip())
    else:
        yield path, command


ALL = dict(leaves(cli, ""))


def options(command: click.Command) -> set[str]:
    return {word for param in command.params for word in param.opts}


def test_every_command_of_the_table_is_there() -> None:
    assert {path.partition(" ")[0] for path in ALL} == set(COMMANDS)


@pytest.mark.parametrize("path", ALL)
def test_every_command_says_what_it_does_and_what_each_option_means(path: str) -> None:
    command = ALL[path]
    assert command.help
    told = [p for p in command.params if isinstance(p, click.Option)]
    assert all(option.help for option in told)


@pytest.mark.parametrize("path", sorted(ALL.keys() - {"up", "schema"}))
def test_every_command_speaks_json(path: str) -> None:
    assert "--json" in options(ALL[path])


@pytest.mark.parametrize(
    "path", sorted(ALL.keys() - {"init", "schema", "prices refresh", "data profile"})
)
def test_every_command_takes_a_project(path: str) -> None:
    assert "--project" in options(ALL[path])


def test_an_unknown_command_is_wrong_usage() -> None:
    assert run("drive").code == 2


def test_the_reference_of_the_command_line_is_what_the_commands_say() -> None:
    spec = importlib.util.spec_from_file_location("make_reference", DOCS / "make_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    written = (DOCS / "reference" / "cli.md").read_text(encoding="utf-8")
    assert module.cli_page() == written, "run `make docs`"


def imported_by(code: str) -> set[str]:
    show = f"import sys\n{code}\nsys.stdout.write(' '.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", show], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stdout.rpartition("\n")[2].split())


@pytest.mark.slow
def test_help_imports_no_command() -> None:
    code = (
        "from roadworthy.cli import cli\n"
        "try:\n    cli(['--help'])\nexcept SystemExit:\n    sys.stdout.write(chr(10))"
    )
    assert imported_by(code).isdisjoint(HEAVY)


@pytest.mark.slow
def test_importing_the_package_imports_nothing_else_of_it() -> None:
    found = imported_by("import roadworthy")
    assert [name for name in found if name.startswith("roadworthy.")] == []


@pytest.mark.slow
def test_the_package_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "roadworthy", "--version"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert roadworthy.__version__ in done.stdout


def test_the_package_exports_what_it_names() -> None:
    assert all(hasattr(roadworthy, name) for name in roadworthy.__all__)
    assert roadworthy.open_project.__module__ == "roadworthy.app.project"
    with pytest.raises(AttributeError, match="no attribute `drive`"):
        roadworthy.drive  # noqa: B018


@pytest.mark.slow
def test_an_id_can_be_copied_from_a_window_of_eighty_columns() -> None:
    ids = ["rq_013e0c10d4b2035a9452410c7e", "rq_013e0c10d4b2035a9452410c7f"]
    rows = [[name, "2013-04-15 05:00:29", "support-reply", "answered", "a " * 60] for name in ids]
    code = (
        "from roadworthy.cli.common import print_table\n"
        f"print_table('requests', ('id', 'at', 'service', 'disposition', 'reasons'), {rows})"
    )
    window, theirs = os.openpty()
    environment = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"}
    subprocess.run([sys.executable, "-c", code], stdout=theirs, env=environment, check=True)
    os.close(theirs)
    shown = os.read(window, 1 << 16).decode()
    os.close(window)
    assert all(name in shown for name in ids)
    assert max(map(len, shown.splitlines())) <= 80
