"""A release that is opened where things are not as they were says so, or is not opened."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from conftest import write_project
from control_plane import Plane
from roadworthy.app import open_project, opening
from roadworthy.release.environment import describe_environment

SERVICE = """
name = "refund"
kind = "predict"
risk = "{risk}"
owners = {{ product = "Ada", model = "Bob", platform = "Eve" }}
objectives = {{ deadline_ms = 1000 }}
cost = {{}}
[[models]]
name = "generous"
provider = "rule"
model = "{{'usd': input.usd * 2.0}}"
"""
TOLD = "package common-expression-language was"


def written(folder: Path, risk: str) -> Path:
    return write_project(folder, {"refund": SERVICE.format(risk=risk)})


def move_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let another version of a package that decides answers be installed."""
    here = describe_environment()
    other = here.packages | {"common-expression-language": "99.0"}
    there = msgspec.structs.replace(here, packages=other)
    monkeypatch.setattr(opening, "describe_environment", lambda: there)


def test_each_record_says_what_is_not_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = written(tmp_path / "project", "limited")
    with open_project(folder) as project:
        project.promote(project.build_release("refund", by="t").id, by="t")
    move_away(monkeypatch)
    with open_project(folder) as project:
        plane = Plane(project)
        answer = plane.ask("POST", "/v1/services/refund/answer", {"input": {"usd": 1.0}})
        assert answer.status == 200
        plane.serving.writer.drain()
        id = answer.json["request_id"]
        (said,) = plane.ask("GET", f"/api/requests/{id}").json["warnings"]
        assert said.startswith(TOLD)
        health = plane.ask("GET", "/healthz", key="").json
        assert health["warnings"]["refund"] == [said]
        assert health["status"] == "ok"
        assert any(TOLD in line for line in plane.serving.describe())


def test_where_things_are_as_they_were_nothing_is_said(tmp_path: Path) -> None:
    with open_project(written(tmp_path / "project", "limited")) as project:
        plane = Plane(project)
        id = plane.ask("POST", "/v1/services/refund/answer", {"input": {"usd": 1.0}}).json[
            "request_id"
        ]
        plane.serving.writer.drain()
        assert plane.ask("GET", f"/api/requests/{id}").json["warnings"] == []
        assert "warnings" not in plane.ask("GET", "/healthz", key="").json


def test_a_high_risk_release_is_not_opened_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = written(tmp_path / "project", "high")
    with open_project(folder) as project:
        built = project.build_release("refund", by="t")
        monkeypatch.setattr(type(project), "check_gates", lambda *_: None)
        project.promote(built.id, by="t")
    move_away(monkeypatch)
    with open_project(folder) as project:
        plane = Plane(project)
        answer = plane.ask("POST", "/v1/services/refund/answer", {"input": {"usd": 1.0}})
        assert answer.error["code"] == "service_stopped"
        (why,) = plane.ask("GET", "/healthz", key="").json["trouble"].values()
        assert "whose risk is high, where it was built, got: package" in why
