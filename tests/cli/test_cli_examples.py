"""The whole way: an answer is corrected, held or accepted, and read back from what was exported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from command_line import run
from sqlalchemy import select

from conftest import MakeProject, write_project
from live import Live, serve
from roadworthy.app import Project
from roadworthy.declare.training import read_training
from roadworthy.review.rulings import Ruling, rule_on
from roadworthy.store.actions import verify_chain
from roadworthy.store.examples import Example, list_examples
from roadworthy.store.forget import forget_user
from roadworthy.store.tables import reviews

QUEUE = '[queues.desk]\nowner = "Ada"\n'
HEAD = """
owners = { product = "test" }
objectives = { deadline_ms = 2000 }
cost = { per_day_usd = 1 }
"""
MODEL = '[[models]]\nname = "own"\nprovider = "rule"\nmodel = "{}"\n'
STATIC = '[[fallback]]\nuse = "static"\noutput = {}\n[review]\nmax_error = 0.1\nqueue = "desk"\n'
LATE = f"""
name = "late"
kind = "predict"
contract = {{ input = "input.json", output = "output.json" }}
{HEAD}{MODEL.format("{'label': input.p >= 0.5, 'probability': input.p}")}
{STATIC.format("{ label = false, probability = 0.2 }")}
"""
CHAT = f"""
name = "chat"
kind = "generate"
contract = {{ input = "input.json" }}
chat = {{ variable = "question" }}
{HEAD}{MODEL.format("{'text': 'hello'}")}{STATIC.format("{ text = 'later' }")}
"""
NUMBER: dict[str, Any] = {"type": "number", "minimum": 0, "maximum": 1}
INPUT = {"properties": {"p": NUMBER, "who": {"x-personal": True}}, "required": ["p"]}
OUTPUT = {"properties": {"label": {"type": "boolean"}, "probability": NUMBER}}
QUESTION = {"properties": {"question": {"type": "string", "minLength": 3}}}
FILES = {
    "services/late/input.json": json.dumps(INPUT),
    "services/late/output.json": json.dumps(OUTPUT),
    "services/chat/input.json": json.dumps(QUESTION),
}
SERVICES = {"late": LATE, "chat": CHAT}


def decide(where: Project | Live, request: str, by: str = "key:ada", **ruling: Any) -> None:
    where.serving.writer.drain()
    project = where.project if isinstance(where, Live) else where
    with project.state.connect() as connection:
        query = select(reviews.c.id, reviews.c.digest).where(reviews.c.request_id == request)
        found = connection.execute(query.order_by(reviews.c.id)).all()[-1]
    said = msgspec.convert(ruling | {"digest": found.digest}, Ruling)
    rule_on(project.state, project.clock, found.id, said, by=by)


def learn(where: Project | Live) -> list[Example]:
    state = where.serving.jobs.run_now("examples")
    assert state.last_error == ""
    return list_examples(where.project.state if isinstance(where, Live) else where.state)


def test_a_correction_is_learned_and_read_back(make_project: MakeProject, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    project = make_project(SERVICES, FILES, QUEUE)
    late = project.service("late")
    fixed, right, odd = (late.answer({"p": p, "who": "Ann"}) for p in (0.9, 0.1, 0.7))
    output = {"label": False, "probability": 0.3}
    wrong: dict[str, Any] = {"reason_code": "wrong_label", "severity": "critical"}
    decide(project, fixed.request_id, decision="correct", output=output, **wrong)
    decide(project, right.request_id, decision="approve")
    decide(project, odd.request_id, decision="correct", label="no", **wrong)

    found = {json.loads(one.input)["p"]: one for one in learn(project)}
    assert [found[p].state for p in (0.9, 0.1, 0.7)] == ["accepted", "accepted", "quarantined"]
    assert found[0.7].why.startswith("contract: output.label: expected boolean")

    folder = ("--project", project.folder, "--json")
    listed = run("examples", "list", "--state", "quarantined", *folder)
    assert [one["id"] for one in listed.json["examples"]] == [found[0.7].id]
    assert listed.json["counts"][0]["checks"] == {"contract": 1}
    suite, rows = tmp_path / "fixed.jsonl", tmp_path / "rows.parquet"
    done = run("examples", "export", "late", "--suite", suite, "--training", rows, *folder)
    assert (done.code, done.json["personal"]) == (0, ["who"])
    cases = [json.loads(line) for line in suite.read_text().splitlines()]
    (case,) = [case for case in cases if "correction" in case["tags"]]
    assert (case["input"], case["expect"]) == ({"p": 0.9}, {"label": False})
    assert (case["severity"], len(cases)) == ("critical", 2)
    assert done.json["training"]["classes"] == {"false": 2}
    training = tmp_path / "training.json"
    training.write_text(done.out)
    assert (read_training(training).rows, done.json["snapshot"]["rows"]) == (2, 2)
    rows.unlink()
    again = run("examples", "export", "late", "--suite", suite, "--training", rows, *folder)
    assert (again.code, rows.exists()) == (2, False), "both are written, or neither"

    released = run("examples", "release", found[0.7].id, "--reason", "known", *folder)
    assert released.json["examples"][0]["state"] == "accepted"
    rejected = run("examples", "reject", found[0.7].id, "--reason", "no", *folder)
    assert rejected.json["examples"][0]["why"].endswith(": no")
    assert verify_chain(project.state).problem == ""


def test_nothing_is_lost_by_a_restart(make_project: MakeProject) -> None:
    project = make_project(SERVICES, FILES, QUEUE)
    reply = project.service("late").answer({"p": 0.9})
    decide(project, reply.request_id, decision="approve")
    before = learn(project)
    project.close()
    again = make_project(SERVICES, FILES, QUEUE)
    assert learn(again) == before
    reply = again.service("late").answer({"p": 0.8})
    decide(again, reply.request_id, decision="approve")
    assert len(learn(again)) == 2


def test_a_second_look_that_disagrees_holds_it(make_project: MakeProject) -> None:
    project = make_project(SERVICES, FILES, QUEUE + "second_share = 1.0\n")
    late = project.service("late")
    reply = late.answer({"p": 0.9})
    project.serving.writer.drain()
    decide_with_second(project, reply.request_id)
    (one,) = learn(project)
    assert (one.state, one.why) == ("quarantined", "agreement: a second review is still open")
    decide(project, reply.request_id, "key:bob", decision="reject", reason_code="wrong_label")
    (one,) = learn(project)
    assert one.why.startswith("conflict: key:ada (rv_")


def decide_with_second(project: Project, request: str) -> None:
    with project.state.connect() as connection:
        query = select(reviews.c.id, reviews.c.digest).where(reviews.c.request_id == request)
        id, digest = connection.execute(query).one()
    said = Ruling(decision="approve", digest=digest)
    queues = project.declaration.queues
    rule_on(project.state, project.clock, id, said, by="key:ada", queues=queues)


def test_who_is_forgotten_teaches_nothing(make_project: MakeProject) -> None:
    project = make_project(SERVICES, FILES, QUEUE)
    for user, p in (("ann", 0.9), ("bob", 0.8)):
        reply = project.service("late").answer({"p": p}, user=user)
        decide(project, reply.request_id, decision="approve")
    assert len(learn(project)) == 2
    serving = project.serving
    drain = serving.writer.drain
    forget_user(project.state, project.clock, serving.spool, drain, "ann", by="test")
    assert [json.loads(one.input) for one in learn(project)] == [{"p": 0.8}]


def test_a_chat_becomes_a_case_that_can_be_asked_again(tmp_path: Path) -> None:
    folder = write_project(tmp_path / "project", SERVICES, FILES, QUEUE)
    with serve(folder) as live:
        asked = live.chat("chat", "what now?")
        request = asked.headers["x-roadworthy-request-id"]
        text = {"text": "good day"}
        decide(live, request, decision="correct", output=text, reason_code="tone")
        (one,) = learn(live)
        assert (one.state, one.why) == ("accepted", "")
        suite = tmp_path / "chat.jsonl"
        run("examples", "export", "chat", "--suite", suite, "--project", folder)
        case = json.loads(suite.read_text())
        assert case["input"]["messages"][-1]["content"] == "what now?"
        assert case["expect"] == text
        again = live.answer("chat", case["input"])
        assert again.status in (200, 202), again.body


def test_an_export_says_what_it_wants(make_project: MakeProject, tmp_path: Path) -> None:
    project = make_project(SERVICES, FILES, QUEUE)
    project.serving.writer.drain()
    nothing = run("examples", "export", "late", "--project", project.folder)
    assert (nothing.code, "got neither" in nothing.err) == (2, True)
    suite = tmp_path / "a.jsonl"
    other = run("examples", "export", "other", "--suite", suite, "--project", project.folder)
    assert (other.code, suite.exists()) == (4, False)
    empty = run("examples", "export", "late", "--suite", suite, "--project", project.folder)
    assert (empty.code, "0 cases" in empty.out) == (0, True)
    listed = run("examples", "list", "--project", project.folder)
    assert (listed.code, listed.out) == (0, "examples: none\n")
