"""Inputs that lie far from what a release was asked before go to a person."""

from __future__ import annotations

import random
from typing import Any

import pytest

from conftest import MakeProject
from roadworthy.app import Project
from roadworthy.errors import DeclarationError
from roadworthy.serve.request import Reply

pytest.importorskip("numpy")

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
[review]
out_of_scope = 3
queue = "desk"
on_expiry = "refuse"
"""
QUEUE = '[queues.desk]\nowner = "Ada"\n'


def ask(project: Project, **values: Any) -> Reply:
    return project.service("late").answer(values)


def usual(rng: random.Random) -> dict[str, Any]:
    return {"p": rng.random(), "miles": rng.gauss(1000, 200), "from": rng.choice(["EWR", "JFK"])}


@pytest.fixture
def taught(make_project: MakeProject) -> Project:
    project = make_project({"late": SERVICE}, project=QUEUE)
    rng = random.Random(3)
    for _ in range(320):
        assert ask(project, **usual(rng)).disposition == "answered", "nothing is learned yet"
    said = project.serving.jobs.run_now("scope").last_result
    assert said == "late: learned from 320 inputs"
    project.run(project.serving.follow()).result()
    return project


def test_what_is_far_from_all_that_was_asked_is_decided_by_a_person(taught: Project) -> None:
    rng = random.Random(4)
    near = [ask(taught, **usual(rng)).disposition for _ in range(50)]
    assert near.count("answered") >= 48
    far = ask(taught, p=0.4, miles=90_000.0, **{"from": "EWR"})
    assert far.disposition == "review"
    assert far.reasons[-1].startswith("out of scope: ")
    assert ask(taught, p=0.4, miles=1000.0, **{"from": "XXX"}).disposition == "review"


def test_it_is_learned_once_and_kept_over_a_restart(taught: Project) -> None:
    assert taught.serving.jobs.run_now("scope").last_result == "nothing to learn"
    taught.close()
    assert ask(taught, p=0.4, miles=90_000.0, **{"from": "EWR"}).disposition == "review"


def test_where_what_was_learned_is_damaged_people_are_asked(taught: Project) -> None:
    (kept,) = [p for p in (taught.folder / ".roadworthy" / "artifacts").rglob("*") if _is_it(p)]
    taught.close()
    kept.chmod(0o600)
    kept.write_bytes(b"something else")
    reply = ask(taught, p=0.4, miles=1000.0, **{"from": "EWR"})
    assert reply.disposition == "review"
    assert "is unknown" in reply.reasons[-1]


def _is_it(path: Any) -> bool:
    return path.is_file() and b"whitening" in path.read_bytes()


def test_a_scope_needs_somebody_to_ask(make_project: MakeProject) -> None:
    text = SERVICE.replace('queue = "desk"\non_expiry = "refuse"\n', "")
    with pytest.raises(DeclarationError, match="a queue, because a person is asked"):
        make_project({"late": text}).load("late")
