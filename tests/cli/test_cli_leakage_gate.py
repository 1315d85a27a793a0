"""What `features leakage` finds is what the gate of the same name is measured by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from command_line import run

from conftest import MakeProject
from feature_project import AT_US, SERVICE, SERVICE_FILES, SOURCES
from roadworthy.app import open_project
from roadworthy.data.features import Features
from roadworthy.store.actions import list_actions
from roadworthy.store.leakage import read_leakage

pytest.importorskip("duckdb")

COLUMN = "--label"


def made(make_project: MakeProject) -> Path:
    """Return a project whose view is registered, with a spine in which only EWR is late."""
    project = make_project({"wind": SERVICE}, files=SERVICE_FILES, project=SOURCES)
    project.clock.set(AT_US)  # type: ignore[attr-defined]
    features = Features(project.declaration, project.state, project.clock)
    features.apply(by="test")
    features.close()
    project.close()
    rows = [(("EWR", "JFK", "LGA")[n % 3], n) for n in range(120)]
    write_spine(project.folder, rows)
    return project.folder


def write_spine(folder: Path, rows: list[tuple[str, int]], late: str = "EWR") -> None:
    lines = [
        f"{origin},2013-01-01T06:00:00Z,{str(origin == late if late else n % 2 == 0).lower()}"
        for origin, n in rows
    ]
    (folder / "spine.csv").write_text("\n".join(["origin,at,late", *lines]) + "\n")


def saved(folder: Path) -> str:
    """Save the training set of the spine, and return its id."""
    words = ("--spine", folder / "spine.csv", "--out", folder / "joined.parquet", "--save")
    ran = run("features", "history", "wind", *words, "--project", folder, "--json")
    assert ran.code == 0, ran.err
    (folder / "services/wind/training.json").write_text(ran.out)
    id: str = ran.json["snapshot"]["id"]
    return id


def built(folder: Path) -> str:
    ran = run("release", "build", "wind", "--project", folder, "--json")
    assert ran.code == 0, ran.err
    id: str = ran.json["release"]
    return id


def leaked(folder: Path, *words: Any) -> int:
    """Audit, and return the exit code."""
    return run("features", "leakage", "wind", *words, "--project", folder).code


def gate(folder: Path, release: str) -> dict[str, Any]:
    found = run("release", "gates", release, "--project", folder, "--json").json["gates"]
    return next(one for one in found if one["name"] == "leakage")


def name_training(folder: Path) -> None:
    """Let the service say what its model learned from."""
    file = folder / "services/wind/service.toml"
    views = 'views = ["weather_now@1"]'
    file.write_text(file.read_text().replace(views, f'{views}\ntraining = "training.json"'))


def test_it_is_not_measured_until_the_features_are_audited(make_project: MakeProject) -> None:
    folder = made(make_project)
    release = built(folder)
    before = gate(folder, release)
    assert (before["state"], before["digest"]) == ("not_measured", "")
    assert before["command"] == "roadworthy features leakage wind --label COLUMN"
    assert leaked(folder) == 0
    after = gate(folder, release)
    assert (after["state"], after["evidence"]) == ("holds", "audit of what is declared")
    assert after["why"].startswith("no leak is declared")
    with open_project(folder) as project:
        (kept,) = read_leakage(project.state, "wind")
        acts = list_actions(project.state, action="features.leakage", subject="wind")
    assert after["digest"] == kept.digest == kept.found.digest
    assert after["at"].startswith("20")
    assert len(acts) == 1


def test_a_leak_holds_it_up_and_a_later_look_at_less_takes_nothing_back(
    make_project: MakeProject,
) -> None:
    folder = made(make_project)
    training, release = saved(folder), built(folder)
    assert leaked(folder, COLUMN, "late") == 1
    found = gate(folder, release)
    assert (found["state"], found["evidence"]) == ("fails", f"audit of {training}")
    assert "`wind_mph`" in found["why"]
    assert leaked(folder) == 0
    assert gate(folder, release) == found
    assert run("release", "gates", release, "--project", folder).code == 1


def test_an_audit_of_another_training_set_says_nothing_of_a_release(
    make_project: MakeProject,
) -> None:
    folder = made(make_project)
    leaking = saved(folder)
    name_training(folder)
    first = built(folder)
    assert leaked(folder, COLUMN, "late") == 1
    assert gate(folder, first)["evidence"] == f"audit of {leaking}"
    rows = [("JFK", number) for number in range(120)]
    write_spine(folder, rows, late="")
    honest = saved(folder)
    second = built(folder)
    found = gate(folder, second)
    assert (found["state"], found["evidence"]) == ("holds", "audit of what is declared")
    assert found["why"].startswith("no leak is declared; ")
    assert leaked(folder, COLUMN, "late") == 0
    found = gate(folder, second)
    assert (found["state"], found["evidence"]) == ("holds", f"audit of {honest}")
    assert found["why"] == "no leak is declared or measured"
    assert gate(folder, first)["state"] == "fails"


def test_the_set_that_the_service_names_is_measured_before_a_newer_one(
    make_project: MakeProject,
) -> None:
    folder = made(make_project)
    named = saved(folder)
    name_training(folder)
    kept = (folder / "services/wind/training.json").read_text()
    write_spine(folder, [("JFK", number) for number in range(120)], late="")
    assert saved(folder) != named
    (folder / "services/wind/training.json").write_text(kept)
    ran = run("features", "leakage", "wind", COLUMN, "late", "--project", folder, "--json")
    assert (ran.code, ran.json["measured"]) == (1, named)


def test_a_changed_contract_asks_for_another_audit(make_project: MakeProject) -> None:
    folder = made(make_project)
    assert leaked(folder) == 0
    contract = folder / "contracts/weather.odcs.yaml"
    contract.write_text(contract.read_text().replace("version: 1.0.0", "version: 1.0.1"))
    release = built(folder)
    assert gate(folder, release)["state"] == "not_measured"
    assert leaked(folder) == 0
    assert gate(folder, release)["state"] == "holds"


def test_a_view_that_cannot_be_traced_leaves_it_open(make_project: MakeProject) -> None:
    folder = made(make_project)
    view = folder / "features/weather_now.sql"
    text = view.read_text().replace("version = 1", "version = 2")
    view.write_text(
        text.replace("known_at, wind", "TIMESTAMP '2013-01-01 05:30:00' AS known_at, wind")
    )
    assert run("features", "apply", "--project", folder).code == 0
    file = folder / "services/wind/service.toml"
    file.write_text(file.read_text().replace("weather_now@1", "weather_now@2"))
    assert leaked(folder) == 3
    found = gate(folder, built(folder))
    assert found["state"] == "inconclusive"
    assert found["why"].endswith("as far as it can be traced: 1 of the views cannot")


def test_the_same_finding_is_kept_once_as_of_its_last_time(make_project: MakeProject) -> None:
    folder = made(make_project)
    for _ in range(3):
        assert leaked(folder) == 0
    with open_project(folder) as project:
        assert len(read_leakage(project.state, "wind")) == 1
