"""What people install: the wheel holds all it needs, and runs far from the clone."""

from __future__ import annotations

import json
import os
import re
import site
import subprocess
import sys
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "roadworthy"
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel as the Dockerfile does."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the binaries of a fresh environment that holds the wheel.

    What it depends on is seen where this environment has it. A folder that a `.pth` file names gets
    none of its own `.pth` files read, so the clone itself is not seen.
    """
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    subprocess.run(
        [*command, "--disable-pip-version-check", "--no-deps", "--no-index", str(wheel)], check=True
    )
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()))
    return python.parent


def run(installed: Path, *words: str | Path, cwd: Path) -> str:
    """Run a program of the fresh environment far from the clone, and return what it printed."""
    program, *rest = map(str, words)
    steering = ("PYTHON", "ROADWORTHY_", "OPENAI_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(steering)}
    done = subprocess.run(
        [str(installed / program), *rest],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    packed = set(zipfile.ZipFile(wheel).namelist())
    there = {
        path.relative_to(SOURCE.parent).as_posix()
        for path in SOURCE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert there - packed == set()
    for needed in ("cost/rates.json", "cli/templates/gitignore", "py.typed"):
        assert f"roadworthy/{needed}" in packed
    assert any(name.startswith("roadworthy/store/migrations/versions/v0001") for name in packed)


@pytest.mark.slow
def test_the_wheel_says_its_licence_and_what_it_needs(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (metadata,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
    text = archive.read(metadata).decode()
    assert "License-Expression: Apache-2.0" in text
    assert "Requires-Python: >=3.11" in text
    assert any(name.endswith("/licenses/LICENSE") for name in archive.namelist())


@pytest.mark.slow
def test_an_installed_wheel_starts_a_project_that_holds(installed: Path, tmp_path: Path) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert version in run(installed, "roadworthy", "--version", cwd=tmp_path)
    made = json.loads(run(installed, "roadworthy", "init", "shop", "--json", cwd=tmp_path))
    assert made["key"].startswith("rw_")
    checked = json.loads(run(installed, "roadworthy", "check", "--json", cwd=tmp_path / "shop"))
    assert checked["problems"] == []


@pytest.mark.slow
def test_an_installed_wheel_answers(installed: Path, tmp_path: Path) -> None:
    run(installed, "roadworthy", "init", "shop", cwd=tmp_path)
    ask = (
        "import roadworthy\n"
        "with roadworthy.open_project('shop') as project:\n"
        "    reply = project.service('reply').answer({'question': 'May I bring a bag?'})\n"
        "print(roadworthy.__file__, reply.disposition)\n"
    )
    where, disposition = run(installed, "python", "-c", ask, cwd=tmp_path).split()
    assert Path(where).is_relative_to(installed.parent)
    assert disposition == "answered"


def pinned(lock: Path) -> Iterator[str]:
    """Yield each requirement of a lock with all that belongs to it."""
    yield from re.split(r"\n(?=\S)", lock.read_text(encoding="utf-8").replace("\\\n", " ").strip())


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_a_lock_pins_by_hash_and_names_no_registry(lock: Path) -> None:
    requirements = list(pinned(lock))
    assert len(requirements) > (1 if lock.name == "llm.txt" else 20)
    assert [r for r in requirements if "==" not in r or "--hash=sha256:" not in r] == []
    assert re.findall(r"https?://|--(?:extra-)?index-url|--find-links", lock.read_text()) == []


def test_the_container_copies_what_is_there_and_is_not_ignored() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    copied = [
        name
        for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE)
        for name in line.split()[:-1]
    ]
    allowed = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert len(copied) >= 5
    assert [name for name in copied if not (ROOT / name).exists()] == []
    assert [name for name in copied if f"!{name}" not in allowed] == []


def test_the_container_installs_by_hash_and_does_not_run_as_root() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    installs = re.findall(r"pip install (.+)", text)
    assert [line for line in installs if "--no-deps" not in line] == []
    assert [
        line for line in installs if "--require-hashes" not in line and "*.whl" not in line
    ] == []
    assert re.search(r"^USER (?!root)\w+$", text, re.MULTILINE)
    assert 'ENTRYPOINT ["roadworthy"]' in text


def test_the_health_of_the_container_is_asked_wherever_it_listens() -> None:
    (check,) = re.findall(r"^HEALTHCHECK .*$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert "serving.lock" in check
    assert "8700" not in check
