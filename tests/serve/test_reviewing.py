"""Answers that are given alone within a certified bound, and those that wait for a person."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import insert

from conftest import MakeProject, write_project
from live import serve, until
from roadworthy.app import Project
from roadworthy.errors import DeclarationError, ModelUnavailable
from roadworthy.review.desk import InForce
from roadworthy.review.scoring import Scored
from roadworthy.serve.context import Sources
from roadworthy.serve.request import Reply
from roadworthy.store.records import read_record
from roadworthy.store.switchboard import move_pointer
from roadworthy.store.tables import corrections, drafts, reviews
from roadworthy.types import DAY_US, Answer, Call, Passage, Record, Sentence

QUEUE = '[queues.desk]\nowner = "Ada"\n'
MODEL = "{'label': input.p >= 0.5, 'probability': input.p}"
SERVICE = f"""
name = "late"
kind = "predict"
owners = {{ product = "test" }}
objectives = {{ deadline_ms = 2000 }}
cost = {{ per_day_usd = 1 }}
[[models]]
name = "own"
provider = "rule"
model = "{MODEL}"
"""
STATIC = '[[fallback]]\nuse = "static"\noutput = { label = false, probability = 0.2 }\n'
HUMAN = '[[fallback]]\nuse = "human"\n'
BOUND = "[review]\nmax_error = 0.1\n"
ASKING = f'{BOUND}queue = "desk"\n'


def make(make_project: MakeProject, *parts: str) -> Project:
    return make_project({"late": SERVICE + "".join(parts)}, project=QUEUE)


def certify(project: Project, threshold: float, **fields: Any) -> None:
    """Put a certificate in force for what serves now, as the job that certifies does."""
    release = project.serving.engine.releases["late"].id
    said = InForce("ct_1", threshold, release, "own", **fields)
    with project.state.begin() as connection:
        move_pointer(connection, "automation:late", msgspec.json.encode(said).decode())
    project.run(project.serving.follow()).result()


def ask(project: Project, p: float, **fields: Any) -> Reply:
    return project.service("late").answer({"p": p}, **fields)


def rows(project: Project, table: Any) -> list[Any]:
    project.serving.writer.drain()
    with project.state.connect() as connection:
        return list(connection.execute(table.select().order_by(table.c.at_us)).all())


def record_of(project: Project, reply: Reply) -> Record:
    project.serving.writer.drain()
    return read_record(project.state, reply.request_id)


def test_nothing_is_given_alone_until_it_is_certified(make_project: MakeProject) -> None:
    project = make(make_project, STATIC, ASKING)
    reply = ask(project, 0.99)
    assert (reply.disposition, reply.output, reply.error) == ("review", None, None)
    assert reply.review_id.startswith("rv_")
    (review,) = rows(project, reviews)
    assert (review.id, review.state, review.queue, review.owner) == (
        reply.review_id,
        "open",
        "desk",
        "Ada",
    )
    assert json.loads(review.draft) == {"label": True, "probability": 0.99}
    assert json.loads(review.input) == {"p": 0.99}
    assert review.due_us - review.at_us == 86_400_000_000
    record = record_of(project, reply)
    assert (record.disposition, record.review, record.output) == ("review", review.id, None)
    assert record.decided == "nothing is certified yet"
    assert {"confidence", "decide"} <= set(record.timings)


def test_within_a_certified_bound_an_answer_is_given_alone(make_project: MakeProject) -> None:
    project = make(make_project, STATIC, ASKING)
    ask(project, 0.5)
    certify(project, 0.9, audit_share=0.01)
    sure, unsure = ask(project, 0.02), ask(project, 0.8)
    assert (sure.disposition, sure.output) == ("answered", {"label": False, "probability": 0.02})
    assert unsure.disposition == "review"
    record = record_of(project, sure)
    assert (record.certificates, record.score) == (("ct_1",), 0.98)
    assert record.decided == "score 0.980, certified from 0.900 on"
    first, second, third = rows(project, drafts)
    assert [first.path, second.path, third.path] == ["person", "alone", "person"]
    assert (second.score, second.share, second.certificate) == (0.98, 0.01, "ct_1")
    assert second.predicted == b"false"


def test_a_group_that_nothing_is_known_of_is_not_answered_alone(make_project: MakeProject) -> None:
    project = make(make_project, STATIC, ASKING, '[outcomes]\ngroups = ["size"]\n')
    certify(project, 0.9, groups=("size=big",))
    answer = project.service("late").answer
    assert answer({"p": 0.99, "size": "big"}).disposition == "answered"
    for other in ({"size": "new"}, {}):
        assert answer({"p": 0.99, **other}).disposition == "review"


@pytest.mark.parametrize("other", [{"release": "rl_other"}, {"scorer": "fit_1"}])
def test_what_was_certified_for_something_else_certifies_nothing(
    make_project: MakeProject, other: dict[str, str]
) -> None:
    project = make(make_project, STATIC, ASKING)
    ask(project, 0.5)
    release = project.serving.engine.releases["late"].id
    said = msgspec.structs.replace(InForce("ct_1", 0.1, release, "own"), **other)
    with project.state.begin() as connection:
        move_pointer(connection, "automation:late", msgspec.json.encode(said).decode())
    project.run(project.serving.follow()).result()
    assert ask(project, 0.99).disposition == "review"


def test_without_a_queue_the_ladder_answers(make_project: MakeProject) -> None:
    project = make(make_project, STATIC, BOUND)
    reply = ask(project, 0.9)
    assert (reply.disposition, reply.output) == ("fallback", {"label": False, "probability": 0.2})
    assert "not_sure: the answer may not be given alone: nothing is certified yet" in reply.reasons
    (draft,) = rows(project, drafts)
    assert (draft.path, draft.is_drawn, draft.share) == ("ladder", 0, 0.0)


def test_where_all_outcomes_are_reported_each_is_drawn(make_project: MakeProject) -> None:
    project = make(make_project, STATIC, BOUND, '[outcomes]\nreported = "all"\n')
    ask(project, 0.9)
    (draft,) = rows(project, drafts)
    assert (draft.path, draft.is_drawn, draft.share) == ("ladder", 1, 1.0)


def test_a_full_day_goes_down_the_ladder_and_is_no_evidence(make_project: MakeProject) -> None:
    project = make(make_project, STATIC, ASKING, "capacity_per_day = 2\n")
    assert [ask(project, 0.9).disposition for _ in range(3)] == ["review", "review", "fallback"]
    assert [draft.share for draft in rows(project, drafts)] == [1.0, 1.0, 0.0]
    assert len(rows(project, reviews)) == 2


def test_whoever_is_asked_where_all_is_reported_has_the_chance_of_the_others(
    make_project: MakeProject,
) -> None:
    project = make(make_project, STATIC, ASKING, '[outcomes]\nreported = "all"\n')
    certify(project, 0.99, ask_share=0.5)
    asked = [ask(project, 0.9).disposition for _ in range(20)]
    assert set(asked) == {"review", "fallback"}
    assert {(draft.is_drawn, draft.share) for draft in rows(project, drafts)} == {(1, 1.0)}


def test_nothing_of_a_full_day_has_a_chance_whatever_its_coin_says(
    make_project: MakeProject,
) -> None:
    project = make(make_project, STATIC, ASKING, "capacity_per_day = 1\n")
    certify(project, 0.99, ask_share=0.5)
    asked = [ask(project, 0.9).disposition for _ in range(20)]
    assert asked.count("review") == 1
    kept = rows(project, drafts)[asked.index("review") + 1 :]
    assert {draft.share for draft in kept} == {0.0}


def test_people_are_asked_no_more_after_a_restart(make_project: MakeProject) -> None:
    project = make(make_project, STATIC, ASKING, "capacity_per_day = 2\n")
    assert [ask(project, 0.9).disposition for _ in range(2)] == ["review", "review"]
    project.close()
    again = make(make_project, STATIC, ASKING, "capacity_per_day = 2\n")
    assert ask(again, 0.9).disposition == "fallback"


def test_overflow_can_be_refused(make_project: MakeProject) -> None:
    project = make(make_project, BOUND, 'overflow = "refuse"\n')
    reply = ask(project, 0.9)
    assert reply.disposition == "refused"
    assert reply.error is not None
    assert (reply.error.code, reply.error.status) == ("not_sure", 403)


def test_a_rule_asks_however_sure_the_model_is(make_project: MakeProject) -> None:
    when = "when = ['input.p > 0.95', 'input.missing == 1']\n"
    project = make(make_project, STATIC, ASKING, when)
    ask(project, 0.5)
    certify(project, 0.1, audit_share=0.01)
    reply = ask(project, 0.99)
    assert reply.disposition == "review"
    assert reply.reasons[-1] == "rule `input.p > 0.95` asks a person"
    fails_closed = ask(project, 0.9)
    assert fails_closed.disposition == "review"
    assert "could not be computed" in fails_closed.reasons[-1]
    assert [draft.path for draft in rows(project, drafts)][1:] == ["rule", "rule"]


def test_an_audited_answer_is_given_and_looked_at(make_project: MakeProject) -> None:
    project = make(make_project, STATIC, ASKING)
    ask(project, 0.5)
    certify(project, 0.6, audit_share=1.0)
    reply = ask(project, 0.9)
    assert (reply.disposition, reply.review_id) == ("answered", "")
    *_, audit = rows(project, reviews)
    assert (audit.kind, audit.request_id) == ("audit", reply.request_id)


def test_unknown_confidence_is_never_enough(make_project: MakeProject) -> None:
    service = SERVICE.replace("'probability': input.p", "'shade': input.p")
    static = '[[fallback]]\nuse = "static"\noutput = { label = false }\n'
    project = make_project({"late": service + static + ASKING}, project=QUEUE)
    ask(project, 0.5)
    certify(project, 0.0)
    assert ask(project, 0.9).disposition == "review"


def test_a_lever_asks_people_of_everything_and_another_trusts_again(
    make_project: MakeProject,
) -> None:
    project = make(make_project, STATIC, ASKING)
    ask(project, 0.5)
    certify(project, 0.6, audit_share=0.01)
    board = project.serving.switchboard
    assert ask(project, 0.9).disposition == "answered"
    board.ask_people("late", by="test", reason="odd answers")
    project.run(project.serving.follow()).result()
    assert ask(project, 0.9).disposition == "review"
    board.trust_again("late", by="test")
    project.run(project.serving.follow()).result()
    assert ask(project, 0.9).disposition == "answered"
    board.stop("late", "ct_1", by="test")
    project.run(project.serving.follow()).result()
    assert ask(project, 0.9).disposition == "review"


def test_a_correction_is_given_wherever_the_same_is_asked_again(make_project: MakeProject) -> None:
    project = make(make_project, STATIC, ASKING)
    held = ask(project, 0.9)
    (review,) = rows(project, reviews)
    said = json.dumps({"label": False, "probability": 0.0}).encode()
    with project.state.begin() as connection:
        values = ("late", review.input_digest, "", review.id, review.at_us, said)
        connection.execute(insert(corrections).values(values))
        move_pointer(connection, "corrections:late", review.id)
    project.run(project.serving.follow()).result()
    again, other = ask(project, 0.9), ask(project, 0.91)
    assert (again.disposition, again.output, again.model) == (
        "cached",
        json.loads(said),
        "correction",
    )
    assert record_of(project, again).cache == {"kind": "correction", "review": held.review_id}
    assert other.disposition == "review"
    assert ask(project, 0.9, role="agent").disposition == "review", "said for another role"


def test_a_correction_that_breaks_the_schema_of_today_is_given_to_nobody(
    make_project: MakeProject,
) -> None:
    schema = '{"type": "object", "required": ["label", "probability"]}'
    services = {"late": 'contract = { output = "output.json" }' + SERVICE + STATIC + ASKING}
    project = make_project(services, {"services/late/output.json": schema}, project=QUEUE)
    ask(project, 0.9)
    (review,) = rows(project, reviews)
    with project.state.begin() as connection:
        values = ("late", review.input_digest, "", review.id, review.at_us, b'{"label": false}')
        connection.execute(insert(corrections).values(values))
        move_pointer(connection, "corrections:late", review.id)
    project.run(project.serving.follow()).result()
    assert ask(project, 0.9).disposition == "review"


def test_the_last_rung_asks_a_person_where_no_model_answers(make_project: MakeProject) -> None:
    service = SERVICE.replace(MODEL, "input.missing")
    project = make_project(
        {"late": f'{service}{HUMAN}[review]\nqueue = "desk"\non_expiry = "refuse"\n'}, project=QUEUE
    )
    reply = ask(project, 0.9)
    assert (reply.disposition, reply.error) == ("review", None)
    (review,) = rows(project, reviews)
    assert (review.draft, review.id) == (b"", reply.review_id)
    assert rows(project, drafts) == []


def test_each_protocol_says_that_a_person_decides(tmp_path: Path) -> None:
    chat = SERVICE.replace("predict", "generate").replace('"late"', '"chat"')
    chat = chat.replace(MODEL, "{'text': 'hello'}")
    static = '[[fallback]]\nuse = "static"\noutput = { text = "later" }\n'
    services = {
        "late": SERVICE + STATIC + ASKING,
        "chat": chat + static + ASKING + 'holding = "One moment."\n',
    }
    with serve(write_project(tmp_path / "project", services, project=QUEUE)) as live:
        native = live.answer("late", {"p": 0.9})
        tensor = {"name": "p", "shape": [1], "datatype": "FP64", "data": [0.9]}
        infer = live.ask("POST", "/v2/models/late/infer", {"inputs": [tensor]})
        many = {**tensor, "shape": [2], "data": [0.9, 0.1]}
        both = live.ask("POST", "/v2/models/late/infer", {"inputs": [many]})
        whole, stream = live.chat("chat"), live.chat("chat", stream=True)
        live.serving.writer.drain()
        records = live.records()
    assert native.status == 202
    assert native.json["output"] is None
    assert native.json["review_id"] == native.headers["x-roadworthy-review-id"]
    assert (infer.status, infer.json["outputs"]) == (200, [])
    assert infer.json["parameters"]["disposition"] == "review"
    assert infer.json["parameters"]["review_id"].startswith("rv_")
    ids = {out["name"]: out["data"] for out in both.json["outputs"]}["roadworthy.review_id"]
    assert len(ids) == 2
    assert whole.json["choices"][0]["message"]["content"] == "One moment."
    assert whole.headers["x-roadworthy-disposition"] == "review"
    assert b"One moment." in stream.body
    assert b"hello" not in whole.body + stream.body
    assert {record.disposition for record in records} == {"review"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f'{STATIC}{BOUND}queue = "other"\n', "review.queue: expected a queue of this project"),
        (f'{STATIC}[review]\nwhen = ["true"]\n', "a queue, because a person is asked"),
        (BOUND, "review.overflow: expected a rung of the ladder that answers"),
        (f'{STATIC}[review]\nqueue = "desk"\n', "review: expected `max_error` or `when`"),
        (f"{STATIC}{BOUND}capacity_per_day = 5\n", "`queue` beside it"),
        (f"{HUMAN}{STATIC}{ASKING}", "`human` as the last rung"),
        (f'{STATIC}{ASKING}when = ["answer.x"]\n', "unknown name `answer`"),
        (f'{STATIC}{ASKING}[outcomes]\nunit = "entity"\n', "fields, because `unit` is `entity`"),
        (f'{STATIC}{ASKING}respond_within = "soon"\n', "a length of time such as `90m`"),
    ],
)
def test_what_does_not_fit_is_said(make_project: MakeProject, text: str, said: str) -> None:
    with pytest.raises(DeclarationError, match=said.replace("(", r"\(")):
        make(make_project, text).load("late")


def test_stopped_elsewhere_is_obeyed_by_the_next_request(make_project: MakeProject) -> None:
    project = make(make_project, STATIC, ASKING)
    ask(project, 0.5)
    certify(project, 0.6, audit_share=0.01)
    project.serving.switchboard.ask_people("late", by="test")
    until(lambda: ask(project, 0.9).disposition == "review", 1.0)


class FailingScore:
    id = "own"

    def read(self, call: Call, answer: Answer) -> Scored:
        raise ModelUnavailable("the embedder is gone")


def test_where_nobody_can_say_how_sure_an_answer_is_it_is_not_given(
    make_project: MakeProject,
) -> None:
    project = make(make_project, STATIC, ASKING)
    ask(project, 0.5)
    certify(project, 0.1)
    desk = project.serving.engine.releases["late"].desk
    assert desk is not None
    desk.scorer = FailingScore()
    reply = ask(project, 0.9)
    assert (reply.disposition, reply.error) == ("review", None)
    assert record_of(project, reply).decided == "how sure the answer is, is unknown"


def test_a_score_is_held_against_the_threshold_of_its_own_model(make_project: MakeProject) -> None:
    project = make(make_project, STATIC, ASKING)
    ask(project, 0.5)
    certify(project, 0.1)
    desk = project.serving.engine.releases["late"].desk
    assert desk is not None
    other = FailingScore()
    other.id = "fit_1"

    class Swapped:
        id = "own"

        def read(self, call: Call, answer: Answer) -> Scored:
            assert desk is not None
            desk.scorer = other
            desk.in_force = msgspec.structs.replace(desk.in_force, scorer=other.id)
            return Scored(0.9)

    desk.scorer = Swapped()
    assert ask(project, 0.9).disposition == "review"
    assert rows(project, drafts)[-1].scorer == "own"


def test_support_that_guard_and_score_ask_for_is_computed_once() -> None:
    class Counting:
        asked = 0

        def find(self, question: str) -> tuple[Passage, ...]:
            return ()

        def support(self, text: str, passages: Any) -> tuple[Sentence, ...]:
            self.asked += 1
            return (Sentence(text, 0.5),)

    pages = Counting()
    sources = Sources(pages)
    passages = (Passage("a.md", "A", "text"),)
    assert sources.support("one", passages) == sources.support("one", passages)
    assert pages.asked == 1
    sources.support("two", passages)
    sources.support("two", (Passage("b.md", "B", "text"),))
    assert pages.asked == 3
    sources.close()


def test_where_no_bodies_are_kept_a_case_is_emptied_a_day_after_it_ended(
    make_project: MakeProject,
) -> None:
    project = make(make_project, STATIC, ASKING, '[records]\nbodies = "none"\n')
    ask(project, 0.9)
    (review,) = rows(project, reviews)
    ended = reviews.update().values(
        state="decided", decision="reject", ruling=b'{"decision":"reject","text":"of Ann"}'
    )
    with project.state.begin() as connection:
        connection.execute(ended.values(decided_at_us=review.at_us))
    project.serving.jobs.run_now("bodies")
    assert rows(project, reviews)[0].input == review.input, "who waits may still ask"
    with project.state.begin() as connection:
        connection.execute(ended.values(decided_at_us=review.at_us - 2 * DAY_US))
    assert project.serving.jobs.run_now("bodies").last_result == "1 cases emptied"
    (kept,) = rows(project, reviews)
    assert (kept.input, kept.draft, kept.given) == (b"", b"", None)
    assert json.loads(kept.ruling) == {"decision": "reject"}
    assert project.serving.jobs.run_now("bodies").last_result == "0 cases emptied"


@pytest.mark.parametrize("source", ["review", "Audit ", "planted", "second", "import"])
def test_no_client_speaks_as_a_reviewer(tmp_path: Path, source: str) -> None:
    services = {"late": SERVICE + STATIC + ASKING}
    with serve(write_project(tmp_path / "project", services, project=QUEUE)) as live:
        id = live.answer("late", {"p": 0.9}).json["request_id"]
        told = {"label": True, "source": source}
        got = live.ask("POST", f"/v1/requests/{id}/outcome", told)
        assert (got.status, got.code) == (400, "invalid_request")
        told["source"] = "shop"
        assert live.ask("POST", f"/v1/requests/{id}/outcome", told).status == 201
