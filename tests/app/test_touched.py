"""Which services a change touches."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import feature_project
from conftest import write_project
from roadworthy.app import ENFORCES
from roadworthy.app.changes import (
    Touched,
    changed_files,
    files_of_commit,
    resolve_base,
    touched_services,
)
from roadworthy.declare.load import load_project, load_service

PLAIN = (
    feature_project.SERVICE.replace('"wind"', '"plain"')
    .replace('input = "input.json"', "")
    .replace('views = ["weather_now@1"]', "")
    .replace("input.wind_mph", "1.0")
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    services = {"wind": feature_project.SERVICE, "plain": PLAIN}
    return write_project(
        tmp_path / "project", services, feature_project.SERVICE_FILES, feature_project.SOURCES
    )


def touched(folder: Path, *files: str) -> Touched:
    project = load_project(folder)
    services = {p.name: load_service(p, project, ENFORCES) for p in project.service_folders()}
    return touched_services(project, services, "main", files)


@pytest.mark.parametrize(
    ("file", "services"),
    [
        ("services/wind/input.json", ("wind",)),
        ("services/plain/service.toml", ("plain",)),
        ("features/weather_now.sql", ("wind",)),
        ("features/other.sql", ()),
        ("contracts/weather.odcs.yaml", ("wind",)),
        ("data/weather.csv", ("wind",)),
        ("roadworthy.toml", ("plain", "wind")),
        ("README.md", ()),
        ("services/windy/service.toml", ()),
    ],
)
def test_a_file_touches_the_services_that_use_it(
    folder: Path, file: str, services: tuple[str, ...]
) -> None:
    assert touched(folder, file).services == services


def test_why_a_service_is_touched_is_said(folder: Path) -> None:
    found = touched(folder, "README.md", "features/weather_now.sql")
    assert found.why == {"wind": "features/weather_now.sql"}


def test_where_nobody_knows_what_changed_all_count(folder: Path) -> None:
    project = load_project(folder)
    found = touched_services(project, {"wind": None, "plain": None}, "main", None)
    assert found.services == ("plain", "wind")
    assert "not known" in found.note


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com")
    subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_changes_are_those_below_the_project_committed_or_not(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    (folder / "services").mkdir(parents=True)
    (folder / "a.txt").write_text("a")
    (folder / "b.txt").write_text("b")
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    git(tmp_path, "checkout", "-qb", "change")
    (folder / "a.txt").write_text("changed")
    (tmp_path / "beside.txt").write_text("not of the project")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "second")
    (folder / "b.txt").unlink()
    (folder / "ünd new.txt").write_text("new")

    commit = resolve_base(folder, "main")
    assert changed_files(folder, commit) == ("a.txt", "b.txt", "ünd new.txt")
    with files_of_commit(folder, commit) as root:
        assert sorted(path.name for path in root.iterdir()) == ["a.txt", "b.txt"]
        assert (root / "a.txt").read_text() == "a"
    assert not root.exists()


def test_a_base_is_never_an_option_of_git(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "commit", "-qm", "first", "--allow-empty")
    assert resolve_base(tmp_path, "main")
    for base in ("--help", "-h", "--all", "--octopus"):
        assert resolve_base(tmp_path, base) == ""


def test_outside_of_git_nothing_is_known(tmp_path: Path) -> None:
    assert resolve_base(tmp_path, "main") == ""
    assert changed_files(tmp_path, "HEAD") is None
