"""A project with a champion and a candidate, and the pointers that let users meet it."""

from __future__ import annotations

import threading
from typing import Any

import msgspec

from conftest import MakeProject
from live import until
from roadworthy.app import Project
from roadworthy.serve.request import Reply
from roadworthy.serve.splits import OpenSplit
from roadworthy.store.records import read_record
from roadworthy.store.rollouts import Judge, Split
from roadworthy.store.switchboard import move_pointer
from roadworthy.types import Record

SERVICE = """
name = "late"
kind = "predict"
owners = {{ product = "test" }}
objectives = {{ deadline_ms = 2000 }}
cost = {{}}
{more}
[[models]]
name = "own"
provider = "rule"
model = "{model}"
"""
CHAMPION = "{'by': 'champion', 'p': input.p}"
CANDIDATE = "{'by': 'candidate', 'p': input.p}"
GATE = threading.Event()
"""What a candidate of the provider `slow` waits for while it is opened."""
SLOW = """
import candidates
from roadworthy.errors import ModelUnavailable

def open_it(spec):
    candidates.OPENING.set()
    candidates.GATE.wait(30)
    raise ModelUnavailable("it never came up")
"""
OPENING = threading.Event()
USERS = [f"user-{number}" for number in range(200)]


def service(model: str = CHAMPION, more: str = "") -> str:
    return SERVICE.format(model=model, more=more)


def two_releases(
    make_project: MakeProject, model: str = CANDIDATE, more: str = "", **given: Any
) -> tuple[Project, str]:
    """Return a project that serves a champion, and the id of another release of its service."""
    project = make_project({"late": service(more=more)}, **given)
    champion = project.build_release("late", by="test")
    project.promote(champion.id, by="test")
    file = project.folder / "services/late/service.toml"
    file.write_text(service(model, more))
    candidate = project.build_release("late", by="test").id
    file.write_text(service(more=more))
    return project, candidate


def split(
    project: Project, release: str, share: float, *, id: str = "ro_1", judge: Judge = "canary"
) -> None:
    """Split traffic as the pointer of a rollout does."""
    said = Split(id, release, judge, share)
    with project.state.begin() as connection:
        move_pointer(connection, "rollout:late", msgspec.json.encode(said).decode())
    follow(project)
    until(lambda: _at_work(project) == said, 20)  # on a busy machine it takes long to open


def _at_work(project: Project) -> Split | None:
    found = project.serving.engine.splits.get("late")
    return found.split if isinstance(found, OpenSplit) else None


def end(project: Project) -> None:
    with project.state.begin() as connection:
        move_pointer(connection, "rollout:late", "")
    follow(project)


def follow(project: Project) -> None:
    project.run(project.serving.follow()).result()


def ask(project: Project, user: str, **values: Any) -> Reply:
    return project.service("late").answer({"p": 0.5, **values}, user=user)


def met_candidate(project: Project) -> set[str]:
    return {user for user in USERS if ask(project, user).output["by"] == "candidate"}


def record_of(project: Project, reply: Reply) -> Record:
    project.serving.writer.drain()
    return read_record(project.state, reply.request_id)
