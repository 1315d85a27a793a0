"""The jobs of a project with data: what fills the online store, and what measures skew."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import MakeProject
from feature_project import AT_US, FILES, SOURCES
from roadworthy.app import Project
from roadworthy.data.features import Features
from roadworthy.errors import StoreError
from roadworthy.store.data_versions import read_skew
from roadworthy.types import HOUR_US, SettableClock

pytest.importorskip("duckdb")

SERVICE = """
name = "wind"
kind = "predict"
[owners]
product = "weather team"
[features]
views = ["weather_now@1"]
[objectives]
deadline_ms = 1000
[cost]
[[models]]
name = "rule"
provider = "rule"
model = '{"wind": input.wind_mph}'
"""
PLAIN = (
    SERVICE.replace('"wind"', '"plain"')
    .replace('views = ["weather_now@1"]', "")
    .replace("input.wind_mph", "1.0")
)
VIEW = Path("features/weather_now.sql")


def make(make_project: MakeProject) -> Project:
    """Return a project whose view is registered, at the time of its newest row."""
    project = make_project({"wind": SERVICE, "plain": PLAIN}, files=FILES, project=SOURCES)
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


def test_one_that_cannot_be_measured_does_not_keep_another_from_it(
    make_project: MakeProject,
) -> None:
    project = make(make_project)
    project.serving.jobs.run_now("features")
    project.service("wind").answer({"origin": "EWR"})
    project.serving.writer.drain()
    features = project.serving.open_features()
    with pytest.raises(StoreError, match="lost: no registered feature view `nothing@1`"):
        features.measure_skew({"lost": ["nothing@1"], "wind": ["weather_now@1"]}, {})
    assert len(read_skew(project.state, "wind")) == 1


def test_a_project_without_sources_has_no_jobs_of_data(make_project: MakeProject) -> None:
    project = make_project({"plain": PLAIN})
    names = {job.name for job in project.serving.jobs._jobs.values()}
    assert names & {"features", "skew"} == set()
