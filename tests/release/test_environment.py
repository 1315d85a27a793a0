from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import pytest

from roadworthy.release.environment import (
    Commit,
    Environment,
    cpu_features,
    describe_environment,
    read_commit,
    what_differs,
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


INTEL = """processor : 0
flags\t\t: fpu vme sse4_2 fma avx avx2 f16c
processor : 1
flags\t\t: fpu
"""


def test_what_a_processor_can_do_is_read_where_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "intel").write_text(INTEL)
    (tmp_path / "arm").write_text("Features\t: fp asimd asimddp i8mm\n")
    (tmp_path / "other").write_text("hart : 0\n")
    assert cpu_features(tmp_path / "intel") == ("avx", "avx2", "f16c", "fma", "sse4_2")
    assert cpu_features(tmp_path / "arm") == ("asimd", "asimddp", "i8mm")
    assert cpu_features(tmp_path / "other") == ()
    assert cpu_features(tmp_path / "gone") == ()


def test_an_environment_from_before_processors_were_looked_at_keeps_its_hash() -> None:
    text = msgspec.json.encode(ENVIRONMENT, order="sorted")
    assert b"cpu" not in text
    assert msgspec.json.decode(text, type=Environment) == ENVIRONMENT
    assert msgspec.structs.replace(ENVIRONMENT, cpu=("avx",)).hash != ENVIRONMENT.hash


def differing(kind: str, **now: Any) -> list[str]:
    here = msgspec.structs.replace(ENVIRONMENT, cpu=("avx", "avx2"))
    packages = here.deciding([kind])
    return list(what_differs(here, packages, msgspec.structs.replace(here, **now)))


def test_only_what_decides_answers_is_told_as_a_difference() -> None:
    newer = ENVIRONMENT.packages | {"onnxruntime": "1.23", "torch": "3"}
    assert differing("onnx") == []
    assert differing("onnx", packages=newer) == ["package onnxruntime was 1.22, is 1.23"]
    assert differing("rule", packages=newer) == []
    assert "package torch was 2, is 3" in differing("python", packages=newer)
    gone = {k: v for k, v in ENVIRONMENT.packages.items() if k != "numpy"}
    assert differing("onnx", packages=gone) == ["package numpy was 2.1, is not installed"]


def test_another_python_counts_to_the_last_digit_where_any_code_may_run() -> None:
    assert differing("onnx", python="3.11.10") == []
    assert differing("onnx", python="3.12.1") == ["python was 3.11, is 3.12"]
    assert differing("python", python="3.11.10") == ["python was 3.11.9, is 3.11.10"]


def test_another_processor_counts_where_numbers_are_summed_up_by_it() -> None:
    assert differing("onnx", cpu=("avx",)) == ["the processor has no avx2"]
    assert differing("onnx", cpu=("avx", "avx2", "fma")) == ["the processor has fma, too"]
    assert differing("rule", cpu=("avx",)) == []
    assert differing("onnx", cpu=()) == [], "where it is not known, nothing is said"
    (other,) = differing("rule", platform="linux-aarch64")
    assert other == "the platform was linux-x86_64, is linux-aarch64"
