"""A candidate's way to serving, and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import write_project
from control_plane import Plane
from roadworthy.app import Project, open_project
from roadworthy.app.shipping import ship, status_of
from roadworthy.errors import NotReady, RequestError
from roadworthy.release.registry import Release, champion_id_of

SERVICE = """
name = "refund"
kind = "predict"
owners = {{ product = "Ada" }}
objectives = {{ deadline_ms = 1000 }}
cost = {{}}
{more}
[contract]
input = "request.schema.json"
[[models]]
name = "generous"
provider = "rule"
model = "{{'usd': input.usd * {times:.1f}}}"
[[guards]]
use = "rule"
on = "input"
name = "small"
expression = "input.usd < {most:.1f}"
"""
SCHEMA = '{{"required": ["usd"], "properties": {{"usd": {{"minimum": {least}}}}}}}'
CANARY = '[release]\njudge = "canary"'
SUITES = '[evaluation]\nsuites = ["golden.jsonl"]'


def write(
    folder: Path, times: float = 2, most: float = 100, least: float = 0, more: str = ""
) -> Path:
    text = SERVICE.format(times=times, most=most, more=more)
    files = {
        "services/refund/request.schema.json": SCHEMA.format(least=least),
        "services/refund/golden.jsonl": "",
    }
    return write_project(folder, {"refund": text}, files)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """Return a project whose service serves."""
    with open_project(write(tmp_path / "project")) as project:
        project.promote(project.build_release("refund", by="t").id, by="t")
        yield project


def candidate(project: Project, **fields: object) -> Release:
    write(project.folder, **fields)  # type: ignore[arg-type]
    return project.build_release("refund", by="t")


def test_a_canary_that_nobody_would_decide_is_not_begun_and_may_be_spared(
    project: Project,
) -> None:
    new = candidate(project, times=3, more=CANARY)
    with pytest.raises(RequestError, match="would not be decided"):
        ship(project, new.id, by="t")
    assert champion_id_of(project.state, "refund") != new.id
    shipped = ship(project, new.id, by="t", now=True)
    assert (shipped.started, shipped.release) == (None, new)
    assert "drills" in shipped.not_measured
    assert status_of(project, "refund").champion == new.id


@pytest.mark.parametrize("now", [True, False])
def test_no_rollout_begins_and_nothing_is_spared_before_the_gates_hold(
    project: Project, now: bool
) -> None:
    new = candidate(project, more=f"{CANARY}\n{SUITES}")
    with pytest.raises(NotReady, match="suites"):
        ship(project, new.id, by="t", now=now)
    status = status_of(project, "refund")
    assert (status.rollout, status.candidate) == (None, "")


def test_everything_comes_back_together_with_the_next_request(project: Project) -> None:
    plane = Plane(project)
    first = champion_id_of(project.state, "refund")

    def asked(usd: float) -> tuple[int, object]:
        answer = plane.ask("POST", "/v1/services/refund/answer", {"input": {"usd": usd}})
        return answer.status, answer.json.get("output")

    assert [asked(5.0), asked(1.0)] == [(200, {"usd": 10.0}), (200, {"usd": 2.0})]
    new = candidate(project, times=3, most=4, least=2)  # another model, guard and schema
    ship(project, new.id, by="t")
    plane.follow()
    assert [asked(5.0)[0], asked(1.0)[0], asked(3.0)] == [403, 422, (200, {"usd": 9.0})]
    project.roll_back("refund", by="t", why="refuses too much")
    plane.follow()
    assert [asked(5.0), asked(1.0)] == [(200, {"usd": 10.0}), (200, {"usd": 2.0})]
    status = status_of(project, "refund")
    assert (status.champion, status.last_good) == (first, "")


def test_over_http_a_gate_refuses_and_a_canary_is_not_jumped(project: Project) -> None:
    plane = Plane(project)
    new = candidate(project, more=SUITES)
    answer = plane.ask("POST", f"/api/releases/{new.id}/promote")
    assert (answer.status, answer.error["code"]) == (409, "not_ready")
    assert "suites" in answer.error["message"]
    other = candidate(project, times=3, more=CANARY)
    answer = plane.ask("POST", f"/api/releases/{other.id}/promote")
    assert (answer.status, answer.error["code"]) == (400, "invalid_request")
    plain = candidate(project, times=4)
    assert plane.ask("POST", f"/api/releases/{plain.id}/promote").status == 200
    assert champion_id_of(project.state, "refund") == plain.id
