"""What many tests need: a project on disk, opened, and closed again."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from roadworthy import plugins
from roadworthy.cli import cli

if TYPE_CHECKING:
    from control_plane import Plane
    from roadworthy.app import Project

PROJECT = """
[project]
name = "trial"
clock = "settable"

[providers.scripted]
kind = "scripted"

[providers.rule]
kind = "rule"
"""

MakeProject = Callable[..., "Project"]


@pytest.fixture
def make_project(tmp_path: Path) -> Iterator[MakeProject]:
    """Return a function that writes a project of `services` (name → service.toml) and opens it.

    `files` are further files by path; `project` is added to roadworthy.toml.
    """
    from roadworthy.app import open_project

    opened: list[Project] = []

    def make(
        services: Mapping[str, str], files: Mapping[str, str] | None = None, project: str = ""
    ) -> Project:
        folder = write_project(tmp_path / "project", services, files, project)
        opened.append(open_project(folder))
        return opened[-1]

    yield make
    for project in opened:
        project.close()


def write_project(
    folder: Path,
    services: Mapping[str, str],
    files: Mapping[str, str] | None = None,
    project: str = "",
) -> Path:
    """Write a project's files and return its folder."""
    texts = {f"services/{name}/service.toml": text for name, text in services.items()}
    texts |= {"roadworthy.toml": PROJECT + textwrap.dedent(project), **(files or {})}
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return folder


InstallPlugin = Callable[[str, str, str], None]


@pytest.fixture
def install_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InstallPlugin]:
    """Return a function that installs a plugin: its group, its name, and code with `open_it`."""
    site, modules = tmp_path / "site", []

    def install(group: str, name: str, code: str) -> None:
        module = f"{name}_plugin"
        modules.append(module)
        about = site / f"{module}-1.0.dist-info"
        about.mkdir(parents=True)
        (site / f"{module}.py").write_text(code)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        door = f"[roadworthy.{group}]\n{name} = {module}:open_it\n"
        (about / "entry_points.txt").write_text(door)
        monkeypatch.syspath_prepend(site)
        plugins._group.cache_clear()

    yield install
    plugins._group.cache_clear()
    for module in modules:
        sys.modules.pop(module, None)


@pytest.fixture(scope="session")
def new_shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project as `roadworthy init` writes it; tests get copies."""
    folder = tmp_path_factory.mktemp("new") / "shop"
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("ROADWORTHY_STORE_URL", raising=False)
        made = CliRunner().invoke(cli, ["init", str(folder), "--json"])
    assert made.exit_code == 0, made.output
    return folder


@pytest.fixture
def shop(new_shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a new project of the test's own."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("ROADWORTHY_STORE_URL", raising=False)
    return Path(shutil.copytree(new_shop, tmp_path / "shop"))


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """Run coroutine tests on the loop that the product uses."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    """A project of the test's own."""
    from control_plane import served

    with served(tmp_path) as plane:
        yield plane


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """A project for tests that leave nothing behind but keys."""
    from control_plane import served

    with served(tmp_path_factory.mktemp("shared")) as plane:
        yield plane
