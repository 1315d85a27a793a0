"""What moved a prediction, computed beside the request and kept with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import InstallPlugin, MakeProject, write_project
from live import serve
from roadworthy.app import Project
from roadworthy.errors import NotFound
from roadworthy.serve.request import Reply
from roadworthy.store.explanations import read_explanation
from roadworthy.store.forget import forget_user
from roadworthy.store.tables import reviews

MODEL = """
from roadworthy.types import Answer, Attempt

def value_of(row):
    return {"label": row["a"] > 1, "probability": 0.1 * row["a"] + 0.02 * row["b"]}

class Linear:
    def __init__(self, spec):
        self.name = spec.name
    async def answer(self, call):
        attempt = Attempt(self.name, "ok", 1)
        return Answer(model=self.name, output=value_of(call.input), attempts=(attempt,))
    async def stream(self, call):
        yield await self.answer(call)
    async def close(self):
        pass
    def predict_rows(self, rows):
        return [value_of(row) for row in rows]

def open_it(spec):
    return Linear(spec)
"""
SERVICE = """
name = "sum"
kind = "predict"
owners = { product = "test" }
objectives = { deadline_ms = 2000 }
cost = { per_request_usd = 0.001, per_day_usd = 1 }
[[models]]
name = "own"
provider = "linear"
model = "sum"
[[fallback]]
use = "static"
output = { label = false, probability = 0.2 }
[review]
max_error = 0.1
queue = "desk"
"""
PROJECT = '[queues.desk]\nowner = "Ada"\n[providers.linear]\nkind = "linear"\n'


@pytest.fixture
def project(make_project: MakeProject, install_plugin: InstallPlugin) -> Project:
    install_plugin("models", "linear", MODEL)
    return make_project({"sum": SERVICE}, project=PROJECT)


def ask(project: Project, a: float, b: float, user: str = "") -> Reply:
    return project.service("sum").answer({"a": a, "b": b}, user=user)


def test_parts_add_up_and_are_those_of_the_model(project: Project) -> None:
    for k in range(10):
        ask(project, k % 5, k % 2)
    reply = ask(project, 3.0, 1.0)
    project.serving.writer.drain()
    found = project.serving.explainer.explain(reply.request_id)
    assert found.of == "probability"
    parts = dict(found.attribution.parts)
    assert found.attribution.value == pytest.approx(0.32)
    assert parts["a"] == pytest.approx(0.1 * (3.0 - 2.0), abs=0.03)
    assert found.attribution.reference + sum(parts.values()) == found.attribution.value
    assert "`a` is 3" in found.sentences[0]
    assert project.serving.explainer.explain(reply.request_id) == found, "kept"


def decide_all(project: Project) -> None:
    """Let a person have approved every case."""
    project.serving.writer.drain()
    with project.state.begin() as connection:
        connection.execute(reviews.update().values(decision="approve", decided_at_us=1))


def test_what_a_person_decided_is_explained_by_a_job(project: Project) -> None:
    replies = [ask(project, k, 0.0) for k in range(5)]
    decide_all(project)
    project.serving.jobs.run_now("explain")
    for reply in replies:
        assert read_explanation(project.state, reply.request_id)["of"] == "probability"
    assert project.serving.jobs.run_now("explain").last_result.startswith("0 reviews explained")


def test_what_cannot_be_explained_says_why(make_project: MakeProject) -> None:
    rule = SERVICE.replace('provider = "linear"', 'provider = "rule"')
    rule = rule.replace('model = "sum"', "model = \"{'label': true, 'probability': input.a}\"")
    made = make_project({"sum": rule}, project='[queues.desk]\nowner = "Ada"\n')
    reply = made.service("sum").answer({"a": 0.4})
    made.serving.writer.drain()
    with pytest.raises(NotFound, match="model `own` does not take rows"):
        made.serving.explainer.explain(reply.request_id)
    decide_all(made)
    made.serving.jobs.run_now("explain")
    assert "does not take rows" in read_explanation(made.state, reply.request_id)["missing"]
    assert made.serving.jobs.run_now("explain").last_result == "0 reviews explained, 0 cannot be"
    with pytest.raises(NotFound, match="does not take rows"):
        made.serving.explainer.explain(reply.request_id)
    with pytest.raises(NotFound):
        made.serving.explainer.explain("rq_none")


def test_without_bodies_nothing_explains(
    make_project: MakeProject, install_plugin: InstallPlugin
) -> None:
    install_plugin("models", "linear", MODEL)
    made = make_project({"sum": SERVICE + '[records]\nbodies = "none"\n'}, project=PROJECT)
    reply = ask(made, 1.0, 1.0)
    made.serving.writer.drain()
    with pytest.raises(NotFound, match="its input was not kept"):
        made.serving.explainer.explain(reply.request_id)


def test_a_forgotten_user_leaves_no_explanation(project: Project) -> None:
    reply = ask(project, 1.0, 1.0, user="ann")
    project.serving.writer.drain()
    project.serving.explainer.explain(reply.request_id)
    serving = project.serving
    forget_user(project.state, project.clock, serving.spool, serving.writer.drain, "ann", by="test")
    assert read_explanation(project.state, reply.request_id) is None


def test_it_is_shown_over_http(tmp_path: Path, install_plugin: InstallPlugin) -> None:
    install_plugin("models", "linear", MODEL)
    with serve(write_project(tmp_path / "p", {"sum": SERVICE}, project=PROJECT)) as live:
        ids = [live.answer("sum", {"a": k, "b": 1.0}).json["request_id"] for k in range(3)]
        got = live.ask("GET", f"/api/requests/{ids[2]}/explanation")
        none = live.ask("GET", "/api/requests/rq_none/explanation")
    assert got.status == 200
    body = got.json
    assert body["reference"] + sum(part["contribution"] for part in body["parts"]) == body["value"]
    assert (none.status, none.code) == (404, "not_found")
