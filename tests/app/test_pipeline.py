"""A change is held to what its services promise, on a machine that has never seen them."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import feature_project
from conftest import write_project
from roadworthy.app import Project, open_project
from roadworthy.app.pipeline import NOT_YET, STEPS, Gone, Pipeline, worst_of

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

CASES = "\n".join(
    json.dumps(
        {
            "id": id,
            "input": {"origin": "EWR"},
            "features": {"wind_mph": wind},
            "expect": {"wind": wind},
            "severity": "critical",
        }
    )
    for id, wind in (("calm", 5.0), ("storm", 50.0))
)
EVALUATED = '\n[evaluation]\nsuites = ["golden.jsonl"]\n'


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com")
    subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a project with a feature view, committed on `main`, and a branch of its own."""
    files = feature_project.SERVICE_FILES | {
        "services/wind/golden.jsonl": CASES,
        ".gitignore": ".roadworthy\n",
    }
    service = feature_project.SERVICE + EVALUATED
    made = write_project(tmp_path / "project", {"wind": service}, files, feature_project.SOURCES)
    git(made, "init", "-q", "-b", "main")
    git(made, "add", ".")
    git(made, "commit", "-qm", "first")
    git(made, "checkout", "-qb", "change")
    return made


Run = Callable[..., Gone]


@pytest.fixture
def gone(folder: Path) -> Iterator[Run]:
    """Return a function that runs the pipeline in a store of its own."""
    opened: list[Project] = []

    def run(**options: Any) -> Gone:
        opened.append(open_project(folder))
        pipeline = Pipeline(opened[-1], lambda name: ([], []), "test")
        return pipeline.run("main", **options)

    yield run
    for project in opened:
        project.close()


def states(found: Gone) -> dict[str, str]:
    return {step.step: step.state for step in found.steps}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_a_service_with_features_is_evaluated_beside_what_it_was(folder: Path, gone: Run) -> None:
    pytest.importorskip("duckdb")
    edit(folder / "services" / "wind" / "service.toml", "input.wind_mph", "input.wind_mph * 2.0")
    found = gone()
    assert found.notes == ()
    assert (states(found)["contracts"], found.state) == ("kept", "not_kept")
    (report,) = (step.report for step in found.steps if step.report is not None)
    assert report.baseline
    assert report.baseline != report.release
    (exact,) = (paired for paired in report.paired if paired.name == "exact")
    assert (exact.baseline, exact.candidate, exact.worse) == (1.0, 0.0, 2)


def test_a_contract_that_breaks_what_was_agreed_is_not_kept(folder: Path, gone: Run) -> None:
    pytest.importorskip("duckdb")
    contract = folder / "contracts" / "weather.odcs.yaml"
    edit(contract, "maximum: 254", "maximum: 500")
    edit(contract, "version: 1.0.0", "version: 2.0.0")
    found = gone()
    assert found.touched.why == {"wind": "contracts/weather.odcs.yaml"}
    assert states(found)["contracts"] == "not_kept"
    (step,) = (step for step in found.steps if step.step == "contracts")
    assert "weather@2.0.0" in step.sentence


def test_what_is_not_measured_yet_is_said_and_never_passes(folder: Path, gone: Run) -> None:
    (folder / "services" / "wind" / "notes.txt").write_text("new")
    found = gone(is_all=True)
    assert {step.step for step in found.steps if step.state == "not_measured"} >= set(NOT_YET)
    assert [step.step for step in found.steps] == list(STEPS)


def test_the_worst_step_decides() -> None:
    assert worst_of([]) == "kept"
    assert worst_of(["kept", "not_measured", "skipped"]) == "kept"
    assert worst_of(["inconclusive", "could_not"]) == "could_not"
    assert worst_of(["could_not", "not_kept", "inconclusive"]) == "not_kept"
