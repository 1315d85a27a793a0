from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from command_line import run

from conftest import write_project
from roadworthy.app import Project, open_project
from roadworthy.store.clock import set_clock
from roadworthy.types import DAY_US, Outcome

SERVICE = """
name = "late"
kind = "predict"
owners = { product = "test" }
objectives = { deadline_ms = 2000 }
cost = { per_day_usd = 1 }
[[models]]
name = "own"
provider = "rule"
model = "{'label': input.p >= 0.5, 'probability': input.p}"
[[fallback]]
use = "static"
output = { label = false, probability = 0.2 }
[outcomes]
matures_after = "1d"
[review]
max_error = 0.05
queue = "desk"
"""
KEYS = ("service", "decision", "max_error", "sure", "threshold", "n", "bound", "state", "needed")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_project(
        tmp_path / "project", {"late": SERVICE}, project='[queues.desk]\nowner = "Ada"\n'
    )


def ask_and_tell(project: Project, count: int) -> None:
    """Ask as many users, and tell what became of each: sure answers are right."""
    drawn, serving = random.Random(1), project.serving
    for k in range(count):
        p = drawn.random()
        reply = project.service("late").answer({"p": p}, user=f"u{k}")
        label = p >= 0.5 if abs(p - 0.5) > 0.1 else drawn.random() < 0.5
        now_us = project.clock.now_us()
        said = Outcome(
            id=f"oc_{k}",
            request_id=reply.request_id,
            kind="label",
            value=label,
            source="api",
            at_us=now_us,
            known_at_us=now_us,
            by="test",
        )
        serving.spool.append(said)
    serving.writer.drain()


def line_of(folder: Path) -> Any:
    (found,) = run("certificates", "--project", folder, "--json").json
    return found


def test_what_is_certified_and_what_is_needed_is_listed(folder: Path) -> None:
    with open_project(folder) as project:
        ask_and_tell(project, 450)
        project.serving.jobs.run_now("certify")
    collecting = line_of(folder)
    assert tuple(collecting)[: len(KEYS)] == KEYS
    assert (collecting["state"], collecting["threshold"], collecting["bound"]) == (
        "collecting",
        None,
        None,
    )
    assert collecting["needed"] > 0
    with open_project(folder) as project:
        set_clock(project.state, project.clock, project.clock.now_us() + 3 * DAY_US, by="test")
        ask_and_tell(project, 0)
        assert "certified" in project.serving.jobs.run_now("certify").last_result
        project.run(project.serving.follow()).result()
        reply = project.service("late").answer({"p": 0.999}, user="new")
        assert reply.disposition == "answered", "in force at once"
    found = line_of(folder)
    assert (found["state"], found["needed"], found["max_error"]) == ("certified", 0, 0.05)
    assert 0 < found["bound"] <= 0.05
    shown = run("certificates", "--project", folder).out
    assert "certified" in shown
    assert "noticed" in shown
    ran = run("stop", "late", "--certificate", found["certificate"], "--project", folder)
    assert ran.code == 0
    assert line_of(folder)["state"] == "off"
    with open_project(folder) as project:
        assert project.service("late").answer({"p": 0.999}).disposition == "review"


def test_a_service_without_a_bound_has_no_line(shop: Path) -> None:
    with open_project(shop) as project:
        assert project.serving
    assert run("certificates", "--project", shop, "--json").json == []


def test_an_unknown_service_is_said_to_be_none(shop: Path) -> None:
    with open_project(shop):
        assert run("certificates", "--service", "tirage", "--project", shop).code == 4
