"""The jobs of a project with data: what fills the online store, and what measures skew."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from conftest import MakeProject
from feature_project import AT_US, SERVICE, SERVICE_FILES, SOURCES
from roadworthy.app import Project
from roadworthy.data.features import Features
from roadworthy.data.snapshots import Snapshot, TrainingSet, save_set
from roadworthy.errors import NotReady, StoreError
from roadworthy.release.registry import Release
from roadworthy.store.data_versions import read_skew
from roadworthy.store.forget import forget_user
from roadworthy.store.records import find_records
from roadworthy.types import HOUR_US, SettableClock

pytest.importorskip("duckdb")
pyarrow = pytest.importorskip("pyarrow")

PLAIN = (
    SERVICE.replace('"wind"', '"plain"')
    .replace('input = "input.json"', "")
    .replace('views = ["weather_now@1"]', "")
    .replace("input.wind_mph", "1.0")
)
VIEW = Path("features/weather_now.sql")


def make(make_project: MakeProject) -> Project:
    """Return a project whose view is registered, at the time of its newest row."""
    project = make_project({"wind": SERVICE, "plain": PLAIN}, files=SERVICE_FILES, project=SOURCES)
    set_clock(project, AT_US)
    apply(project)
    return project


def set_clock(project: Project, at_us: int) -> None:
    assert isinstance(project.clock, SettableClock)
    project.clock.set(at_us)


def apply(project: Project) -> None:
    features = Features(project.declaration, project.state, project.clock)
    features.apply(by="test")
    features.close()


def test_a_version_that_is_served_is_filled_though_a_newer_one_is_there(
    make_project: MakeProject,
) -> None:
    project = make(make_project)
    project.serving.jobs.run_now("features")
    file = project.folder / VIEW
    file.write_text(file.read_text().replace("version = 1", "version = 2"))
    apply(project)
    set_clock(project, AT_US + HOUR_US)
    project.serving.jobs.run_now("features")
    states = project.serving.open_features().states(["weather_now@1", "weather_now@2"])
    assert all(state.behind_s < 60 for state in states)


def test_before_the_first_request_nothing_is_measured(make_project: MakeProject) -> None:
    project = make(make_project)
    said = project.serving.jobs.run_now("skew").last_result
    assert said == "wind: no request was given features yet"
    assert read_skew(project.state, "wind") == []


def test_services_with_features_alone_are_measured(make_project: MakeProject) -> None:
    project = make(make_project)
    project.serving.jobs.run_now("features")
    project.service("wind").answer({"origin": "EWR"})
    project.service("plain").answer({"origin": "EWR"})
    said = project.serving.jobs.run_now("skew").last_result
    assert said.startswith("wind: all values of 1 request are what the views say; there is no")
    assert "plain" not in said
    assert len(read_skew(project.state, "wind")) == 1
    assert read_skew(project.state, "plain") == []


REQUEST = """\
apiVersion: v3.2.0
kind: DataContract
id: request
version: 1.0.0
status: active
schema:
  - name: request
    properties:
      - {name: origin, logicalType: string, required: true}
      - {name: weight_kg, logicalType: number, classification: personal}
      - {name: seats, logicalType: number}
"""


def weighed(make_project: MakeProject) -> Project:
    """Return a project that was asked with a personal field, and whose source changed since."""
    computed = {
        "heavy": "input.weight_kg + features.temp_f",
        "room": "input.seats + features.temp_f",
    }
    head = '-- [request]\n-- weight_kg = "number"\n-- seats = "number"\n-- [computed]\n'
    head += "".join(f'-- {name} = "{text}"\n' for name, text in computed.items())
    view = SERVICE_FILES[VIEW.as_posix()].replace("\n\n", f"\n{head}\n", 1)
    files = {VIEW.as_posix(): view, "services/wind/request.odcs.yaml": REQUEST}
    service = SERVICE.replace("input.json", "request.odcs.yaml") + '[records]\nbodies = "full"\n'
    project = make_project({"wind": service}, files=SERVICE_FILES | files, project=SOURCES)
    set_clock(project, AT_US)
    apply(project)
    project.serving.jobs.run_now("features")
    for user in ("ann", "bob"):
        given = {"origin": "EWR", "weight_kg": 777.0, "seats": 555.0}
        project.service("wind").answer(given, user=user)
    rows = project.folder / "data" / "weather.csv"
    rows.write_text(rows.read_text().replace(",12.5,41", ",12.5,40"))
    return project


def test_what_is_computed_from_a_personal_field_is_in_no_report(make_project: MakeProject) -> None:
    project = weighed(make_project)
    project.serving.jobs.run_now("skew")
    (report,) = read_skew(project.state, "wind")
    told = {row["feature"]: row for row in report.detail["features"]}
    assert (told["heavy"]["unequal"], told["heavy"]["examples"]) == (2, [])
    assert [one["served"] for one in told["room"]["examples"]] == [596.0, 596.0]
    assert "818" not in str(report.detail), "777 + 41"


def test_a_forgotten_user_leaves_no_value_in_a_report(make_project: MakeProject) -> None:
    project = weighed(make_project)
    project.serving.jobs.run_now("skew")
    (record,) = find_records(project.state, user="ann")
    serving = project.serving
    forget_user(project.state, project.clock, serving.spool, serving.writer.drain, "ann", by="test")
    (report,) = read_skew(project.state, "wind")
    assert record.id not in str(report.detail)
    told = {row["feature"]: row for row in report.detail["features"]}
    assert len(told["room"]["examples"]) == 1


def test_one_that_cannot_be_measured_does_not_keep_another_from_it(
    make_project: MakeProject,
) -> None:
    project = make(make_project)
    project.serving.jobs.run_now("features")
    project.service("wind").answer({"origin": "EWR"})
    project.serving.writer.drain()
    features = project.serving.open_features()
    with pytest.raises(StoreError, match="lost: no registered feature view `nothing@1`"):
        features.measure_skew({"lost": ["nothing@1"], "wind": ["weather_now@1"]}, {}, {})
    assert len(read_skew(project.state, "wind")) == 1


def test_a_project_without_sources_has_no_jobs_of_data(make_project: MakeProject) -> None:
    project = make_project({"plain": PLAIN})
    names = {job.name for job in project.serving.jobs._jobs.values()}
    assert names & {"features", "skew"} == set()


def trained_on(project: Project, temperatures: list[float]) -> Release:
    """Return a release that learned from these temperatures, and that serves nobody yet."""
    features = Features(project.declaration, project.state, project.clock)
    view = features.view("weather_now@1")
    features.close()
    columns = {"wind_mph": [12.5] * len(temperatures), "temp_f": temperatures}
    rows = pyarrow.table({**columns, "temp_c": [(f - 32) * 5 / 9 for f in temperatures]})
    id = f"ts_{hashlib.sha256(repr(temperatures).encode()).hexdigest()[:24]}"
    facts: dict[str, Any] = {"views": {view.id: view.hash}, "contracts": {"weather": "1.0.0"}}
    known: dict[str, Any] = {
        "rows": rows.num_rows,
        "columns": tuple(rows.column_names),
        "time": "at",
    }
    made = Snapshot(id=id, spine="s", row_hash="r", **facts, **known)
    save_set(TrainingSet(made, rows, rows), project.state, project.artifacts, project.clock, by="t")
    learned = {"id": id, **facts, "rows": rows.num_rows, "row_hash": "r"}
    folder = project.folder / "services/wind"
    (folder / "training.json").write_text(json.dumps({"snapshot": learned}))
    text = SERVICE.replace("[objectives]", 'training = "training.json"\n[objectives]')
    (folder / "service.toml").write_text(text)
    return project.build_release("wind", by="t")


def test_a_candidate_that_learned_in_other_units_is_stopped_by_its_skew(
    make_project: MakeProject,
) -> None:
    project = make(make_project)
    project.serving.jobs.run_now("features")
    for _ in range(40):
        project.service("wind").answer({"origin": "EWR"})
    project.serving.writer.drain()
    celsius = trained_on(project, [k / 10 for k in range(100)])
    with pytest.raises(NotReady, match="skew"):
        project.promote(celsius.id, by="t")
    gate = {gate.name: gate for gate in project.gates_of(celsius.id)}["skew"]
    assert gate.state == "fails"
    assert gate.at_us == read_skew(project.state, celsius.id)[0].at_us
    assert len(gate.digest) == 64
    of_service = read_skew(project.state, "wind", limit=9)
    assert all(saved.detail["trained"] == "" for saved in of_service), "it does not serve"
    fahrenheit = trained_on(project, [41.0] * 100)
    assert {g.name: g.state for g in project.gates_of(fahrenheit.id)}["skew"] == "holds"
    assert project.promote(fahrenheit.id, by="t") == fahrenheit
