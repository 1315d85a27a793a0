from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import msgspec
import pytest

from roadworthy.release.environment import (
    Commit,
    Environment,
    describe_environment,
    read_commit,
)

ENVIRONMENT = Environment(
    "3.11.9",
    "linux-x86_64",
    {"jsonschema-rs": "0.30", "numpy": "2.1", "onnxruntime": "1.22", "pytest": "8", "torch": "2"},
)


def test_what_is_installed_is_described_as_its_metadata_says() -> None:
    found = describe_environment()
    assert found.python.startswith(f"{sys.version_info.major}.{sys.version_info.minor}.")
    for name in ("msgspec", "sqlalchemy", "jsonschema-rs", "common-expression-language"):
        assert found.packages[name] == version(name)


def test_of_two_installed_versions_the_first_on_the_path_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a" / "My_Package-2.0.dist-info").mkdir(parents=True)
    (tmp_path / "b" / "my_package-1.0.dist-info").mkdir(parents=True)
    (tmp_path / "b" / "other.thing-1.0+cpu.dist-info").mkdir()
    path = [str(tmp_path / name) for name in ("a", "b", "gone", "lib.zip")]
    monkeypatch.setattr(sys, "path", path)
    assert describe_environment().packages == {"my-package": "2.0", "other.thing": "1.0+cpu"}


def test_the_same_environment_has_the_same_hash_and_any_other_version_another() -> None:
    same = msgspec.structs.replace(
        ENVIRONMENT, packages=dict(reversed(ENVIRONMENT.packages.items()))
    )
    assert same.hash == ENVIRONMENT.hash
    newer = msgspec.structs.replace(ENVIRONMENT, packages=ENVIRONMENT.packages | {"pytest": "9"})
    assert newer.hash != ENVIRONMENT.hash
    assert msgspec.structs.replace(ENVIRONMENT, python="3.12.1").hash != ENVIRONMENT.hash


def test_an_onnx_model_depends_on_the_packages_that_compute_it() -> None:
    assert ENVIRONMENT.deciding(["onnx", "rule"]) == {
        "jsonschema-rs": "0.30",
        "numpy": "2.1",
        "onnxruntime": "1.22",
    }


def test_an_upstream_model_depends_on_what_judges_its_answers() -> None:
    assert ENVIRONMENT.deciding(["openai"]) == {"jsonschema-rs": "0.30"}


@pytest.mark.parametrize("kind", ["python", "a kind of somebody's plugin", "guards.onnx"])
def test_code_of_the_teams_own_depends_on_everything(kind: str) -> None:
    everything = {"python": "3.11.9"} | ENVIRONMENT.packages
    assert ENVIRONMENT.deciding(["onnx", kind]) == everything


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *who, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    project = tmp_path / "project"
    project.mkdir()
    (project / "a.txt").write_text("a")
    (tmp_path / "beside.txt").write_text("b")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    return tmp_path


def test_the_commit_of_a_clean_project_is_read(repository: Path) -> None:
    head = git(repository, "rev-parse", "HEAD")
    assert read_commit(repository / "project") == Commit(head, is_dirty=False)


def test_changed_and_new_files_of_the_project_make_it_dirty(repository: Path) -> None:
    (repository / "project" / "new.txt").write_text("new")
    commit = read_commit(repository / "project")
    assert commit is not None
    assert commit.is_dirty


def test_changes_beside_the_project_do_not_make_it_dirty(repository: Path) -> None:
    (repository / "beside.txt").write_text("changed")
    commit = read_commit(repository / "project")
    assert commit is not None
    assert not commit.is_dirty


def test_without_a_repository_without_a_commit_or_without_git_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_commit(tmp_path) is None
    if shutil.which("git"):
        git(tmp_path, "init", "-q")
        assert read_commit(tmp_path) is None
    monkeypatch.setenv("PATH", "")
    assert read_commit(tmp_path) is None
