"""What training code says of a model leads back from every answer that it gives."""

from __future__ import annotations

from pathlib import Path

import pytest

import roadworthy
from conftest import write_project
from control_plane import Plane
from feature_project import FILES, SOURCES
from roadworthy import log_model, open_project
from roadworthy.errors import NotFound, RequestError
from roadworthy.store.actions import list_actions
from roadworthy.store.data_versions import SavedSnapshot, register_view, save_snapshot
from roadworthy.store.logged_models import read_logged_model

SERVICE = """
name = "refund"
kind = "predict"
owners = { product = "Ada" }
objectives = { deadline_ms = 1000 }
cost = {}
[[models]]
name = "said"
provider = "scripted"
model = "answers.jsonl"
"""
ANSWERS = '{"output": {"usd": 2.0}}'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a project that knows one training set and one version of a view."""
    folder = write_project(tmp_path / "project", {"refund": SERVICE}, FILES, SOURCES)
    with open_project(folder) as project:
        saved = SavedSnapshot(id="sn_1", at_us=1, by="t", rows=9, detail={})
        save_snapshot(project.state, saved)
        register_view(
            project.state, project.clock, view="weather_now", hash="h", detail={}, by="t", version=1
        )
    return folder


def trained(tmp_path: Path, text: str = ANSWERS) -> Path:
    path = tmp_path / "model.json"
    path.write_text(text)
    return path


def test_a_model_is_kept_with_what_it_learned_from(folder: Path, tmp_path: Path) -> None:
    logged = log_model(
        "refund",
        trained(tmp_path),
        project=folder,
        snapshot="sn_1",
        views=["weather_now@1"],
        metrics={"auc": 0.81},
        parameters={"depth": 4},
        notes="without winter",
        by="ada",
    )
    assert logged.detail["metrics"] == {"auc": 0.81}
    assert (logged.detail["snapshot"], logged.detail["views"]) == ("sn_1", ["weather_now@1"])
    with open_project(folder) as project:
        assert read_logged_model(project.state, "refund", logged.digest) == logged
        assert project.artifacts.read(logged.digest) == ANSWERS.encode()
        act = list_actions(project.state, limit=1)[0]
    assert (act.action, act.subject, act.by) == ("model.log", "model.json", "ada")
    assert not (folder / "services/refund/answers.jsonl").exists()


def test_what_answered_leads_back_to_the_training(folder: Path, tmp_path: Path) -> None:
    log_model("refund", trained(tmp_path), project=folder, snapshot="sn_1", put_as="answers.jsonl")
    copy = folder / "services/refund/answers.jsonl"
    with open_project(folder) as project:
        plane = Plane(project)
        answer = plane.ask("POST", "/v1/services/refund/answer", {"input": {}})
        plane.serving.writer.drain()
        path = f"/api/requests/{answer.json['request_id']}/lineage"
        found = plane.ask("GET", path).json
    assert found["logged"]["name"] == "model.json"
    assert found["logged"]["detail"]["snapshot"] == "sn_1"
    copy.write_text("{}")  # its own copy: what is kept does not change with it
    with open_project(folder) as project:
        assert project.artifacts.read(found["logged"]["digest"]) == ANSWERS.encode()


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"snapshot": "sn_2"}, "no snapshot `sn_2`"),
        ({"views": ["weather_now@2"]}, r"registered \(`weather_now@1`\), got `weather_now@2`"),
        ({"views": ["wind"]}, r"registered \(none\), got `wind`"),
    ],
)
def test_what_it_learned_from_must_be_known(
    folder: Path, tmp_path: Path, fields: dict[str, object], says: str
) -> None:
    with pytest.raises(NotFound, match=says):
        log_model("refund", trained(tmp_path), project=folder, **fields)  # type: ignore[arg-type]


def test_a_model_needs_a_service_a_file_and_a_place_inside(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no service `refunds`"):
        log_model("refunds", trained(tmp_path), project=folder)
    with pytest.raises(NotFound, match="expected a model's file, got none"):
        log_model("refund", tmp_path / "gone.onnx", project=folder)
    with pytest.raises(RequestError, match="put_as: expected a path below"):
        log_model("refund", trained(tmp_path), project=folder, put_as="../other/model.json")
    assert not (folder / "services/other").exists()


def test_it_is_there_for_whoever_imports_the_package() -> None:
    assert "log_model" in dir(roadworthy)
