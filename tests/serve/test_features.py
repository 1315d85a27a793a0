"""Features on their way into the model: read before the guards, kept in the record, pushed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import MakeProject, write_project
from feature_project import AT_US, SERVICE, SERVICE_FILES, SOURCES
from live import Live, serve
from roadworthy.app import Project, open_project
from roadworthy.data.features import Features
from roadworthy.errors import DeclarationError, NotFound
from roadworthy.store.records import read_record
from roadworthy.types import Record

pytest.importorskip("duckdb")

GUARDED = f"""{SERVICE.replace("input.wind_mph}", 'input.wind_mph, "origin": input.origin}')}
[[guards]]
name = "not-in-a-storm"
use = "rule"
on = "input"
expression = "input.temp_f != 32.0"
[[fallback]]
use = "static"
output = {{ wind = -1.0 }}
"""


def make(make_project: MakeProject, service: str = GUARDED) -> Project:
    project = make_project({"wind": service}, files=SERVICE_FILES, project=SOURCES)
    project.clock.set(AT_US)  # type: ignore[attr-defined]
    return project


@pytest.fixture
def project(make_project: MakeProject) -> Project:
    made = make(make_project)
    features = Features(made.declaration, made.state, made.clock)
    features.apply(by="test")
    features.fill_all()
    features.close()
    return made


def record_of(project: Project, request_id: str) -> Record:
    project.serving.writer.drain()
    return read_record(project.state, request_id)


def test_the_model_is_given_the_features_and_the_record_keeps_them(project: Project) -> None:
    reply = project.service("wind").answer({"origin": "EWR"})
    assert reply.output == {"wind": 12.5, "origin": "EWR"}
    record = record_of(project, reply.request_id)
    assert record.features is not None
    assert record.features["values"] == {"wind_mph": 12.5, "temp_f": 41.0, "temp_c": 5.0}
    assert record.features["views"]["weather_now@1"]["state"] == "fresh"
    assert record.contracts == {"weather": "weather@1.0.0"}
    assert list(record.timings)[:4] == ["identify", "contract", "features", "guard_input"]


def test_a_guard_sees_the_features(project: Project) -> None:
    reply = project.service("wind").answer({"origin": "JFK"})
    assert reply.error is not None
    assert reply.error.code == "guard_denied"
    assert record_of(project, reply.request_id).features is not None


def test_what_is_not_known_is_null_and_said(project: Project) -> None:
    reply = project.service("wind").answer({"origin": "LGA"})
    assert reply.output == {"wind": None, "origin": "LGA"}
    features = record_of(project, reply.request_id).features
    assert features is not None
    assert features["views"] == {"weather_now@1": {"state": "absent", "age_s": None}}


def test_a_feature_cannot_be_sent_with_the_request(project: Project) -> None:
    reply = project.service("wind").answer({"origin": "EWR", "wind_mph": 1.0})
    assert reply.error is not None
    assert reply.error.code == "contract_violation"


def test_where_the_store_cannot_be_read_the_ladder_answers(project: Project) -> None:
    project.service("wind").answer({"origin": "EWR"})
    with sqlite3.connect(project.folder / ".roadworthy" / "online.db") as other:
        other.execute("DROP TABLE features")
    reply = project.service("wind").answer({"origin": "EWR"})
    assert reply.output == {"wind": -1.0}
    assert "the features cannot be read" in reply.reasons[0]


def test_the_job_keeps_them_fresh(project: Project) -> None:
    assert project.serving.jobs.run_now("features").last_result == (
        "0 rows of 1 views are new online"
    )


def test_a_service_of_a_view_that_is_not_registered_does_not_open(
    make_project: MakeProject,
) -> None:
    project = make(make_project)
    with pytest.raises(NotFound, match="`roadworthy features apply`"):
        project.service("wind").answer({"origin": "EWR"})


def test_a_feature_with_the_name_of_a_field_is_refused(make_project: MakeProject) -> None:
    project = make(make_project)
    features = Features(project.declaration, project.state, project.clock)
    features.apply(by="test")
    features.close()
    path = project.folder / "services/wind/input.json"
    path.write_text(path.read_text().replace('"origin": {', '"temp_f": {}, "origin": {'))
    with pytest.raises(DeclarationError, match="`temp_f` of `weather_now@1`, which is also in the"):
        project.service("wind").answer({"origin": "EWR"})


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    folder = write_project(tmp_path / "project", {"wind": SERVICE}, SERVICE_FILES, SOURCES)
    with open_project(folder) as project:
        project.clock.set(AT_US)  # type: ignore[attr-defined]
        features = Features(project.declaration, project.state, project.clock)
        features.apply(by="test")
        features.close()
    with serve(folder) as live:
        yield live


ROW = {"origin": "EWR", "observed_at": "2013-01-01T05:30:00Z", "wind_mph": 20}
ROW |= {"temp_f": 50, "temp_c": 10}


def test_a_pushed_row_is_in_the_next_answer(live: Live) -> None:
    key = live.new_key("push")
    assert live.answer("wind", {"origin": "EWR"}).json["output"]["wind"] is None
    pushed = live.ask("POST", "/v1/features/weather_now", {"rows": [ROW]}, key=key)
    assert pushed.json == {"view": "weather_now@1", "rows": 1, "taken": 1}
    assert live.answer("wind", {"origin": "EWR"}).json["output"]["wind"] == 20.0


def test_a_pushed_row_that_breaks_the_contract_is_a_422_with_its_place(live: Live) -> None:
    rows = [ROW, ROW | {"wind_mph": 300}]
    key = live.new_key("push")
    refused = live.ask("POST", "/v1/features/weather_now", {"rows": rows}, key=key)
    assert (refused.status, refused.code) == (422, "contract_violation")
    assert refused.json["error"]["param"] == "rows[1].wind_mph"
    assert live.answer("wind", {"origin": "EWR"}).json["output"]["wind"] is None


@pytest.mark.parametrize(
    ("scopes", "path", "body", "status"),
    [
        (("answer", "read", "admin"), "weather_now", {"rows": [ROW]}, 403),
        (("push",), "nothing", {"rows": [ROW]}, 404),
        (("push",), "weather_now@9", {"rows": [ROW]}, 404),
        (("push",), "weather_now", {"row": [ROW]}, 400),
        (("push",), "weather_now", [ROW], 400),
        (("push",), "weather_now", b"{", 400),
        (("push",), "weather_now", {"rows": [1]}, 400),
    ],
)
def test_what_cannot_be_pushed_is_refused(
    live: Live, scopes: tuple[str, ...], path: str, body: Any, status: int
) -> None:
    key = live.new_key(*scopes)
    assert live.ask("POST", f"/v1/features/{path}", body, key=key).status == status
