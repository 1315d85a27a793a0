"""The routes of people who decide."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import to_builtins

from conftest import write_project
from control_plane import Plane
from review_cases import a_review, approve, ask, reject
from roadworthy.app import open_project
from roadworthy.declare.project import Queue
from roadworthy.review.rulings import rule_on
from roadworthy.store.reviews import read_review

QUEUES = """
[queues.desk]
owner = "Ada"
second_share = 1.0
[queues.leads]
owner = "Lea"
"""
SERVICE = """
name = "late"
kind = "predict"
owners = { product = "test" }
objectives = { deadline_ms = 2000 }
cost = { per_day_usd = 1 }
contract = { output = "output.json" }
[[models]]
name = "own"
provider = "rule"
model = "{'label': input.p >= 0.5, 'probability': input.p}"
[[fallback]]
use = "static"
output = { label = false }
[review]
max_error = 0.1
queue = "desk"
"""
SCHEMA = '{"type": "object", "required": ["label"], "properties": {"label": {"type": "boolean"}}}'


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Plane]:
    files = {"services/late/output.json": SCHEMA}
    folder = write_project(tmp_path / "project", {"late": SERVICE}, files, QUEUES)
    with open_project(folder) as project:
        yield Plane(project)


def asked(desk: Plane, p: float = 0.9) -> str:
    review_id = desk.answer("late", {"p": p}).review_id
    assert review_id
    return review_id


def decide(desk: Plane, id: str, **fields: Any) -> Any:
    digest = desk.get(f"/api/review/{id}")["digest"]
    body = {"decision": "approve", "digest": digest, **fields}
    return desk.ask("POST", f"/api/review/{id}/decide", body)


def test_a_queue_lists_what_waits_and_how_it_stands(desk: Plane) -> None:
    ids = [asked(desk, 0.9 - k / 100) for k in range(3)]
    first = desk.get("/api/review?limit=2")
    assert [row["id"] for row in first["reviews"]] == ids[:2]
    row = first["reviews"][0]
    assert (row["kind"], row["state"], row["owner"], row["is_late"]) == (
        "review",
        "open",
        "Ada",
        False,
    )
    assert row["why"] == "nothing is certified yet"
    (queue,) = first["queues"]
    assert (queue["queue"], queue["open"], queue["late"]) == ("desk", 3, 0)
    second = desk.get(f"/api/review?limit=2&before={first['before']}")
    assert [row["id"] for row in second["reviews"]] == ids[2:]
    assert second["before"] is None
    assert desk.get("/api/review?queue=leads")["reviews"] == []
    assert desk.ask("GET", "/api/review?before=x").status == 400


def test_a_case_shows_what_it_is_decided_by(desk: Plane) -> None:
    past = asked(desk, 0.8)
    assert decide(desk, past, decision="reject", reason_code="unsafe").status == 200
    case = desk.get(f"/api/review/{asked(desk)}")
    assert (case["input"], case["draft"]) == ({"p": 0.9}, {"label": True, "probability": 0.9})
    assert (case["score"], case["is_blind"]) == (0.9, False)
    (similar,) = case["similar"]
    assert (similar["id"], similar["decision"], similar["is_same"]) == (past, "reject", False)
    assert similar["ruling"]["reason_code"] == "unsafe"
    assert "unsafe" in {code["code"] for code in case["reason_codes"]}


def test_two_people_are_not_on_one_case(desk: Plane) -> None:
    id = asked(desk)
    _, other = desk.make_key("review")
    taken = desk.ask("POST", f"/api/review/{id}/take")
    assert (taken.status, taken.json["taken_by"]) == (200, f"key:{desk.admin.id}")
    refused = desk.ask("POST", f"/api/review/{id}/take", key=other)
    assert (refused.status, refused.error["code"]) == (409, "conflict")
    assert f"key:{desk.admin.id} is at work on" in refused.error["message"]


def test_a_decision_is_given_once_and_a_double_click_is_harmless(desk: Plane) -> None:
    id = asked(desk)
    first, again = decide(desk, id), decide(desk, id)
    assert (first.json["is_new"], again.json["is_new"]) == (True, False)
    assert first.json["says"] == "Whoever waits gets it now."
    assert again.json["decided_at"] == first.json["decided_at"]
    other = decide(desk, id, decision="reject", reason_code="other")
    assert (other.status, other.error["code"]) == (409, "conflict")
    assert desk.get(f"/v1/reviews/{id}")["output"] == {"label": True, "probability": 0.9}


def test_a_correction_is_given_to_whoever_asks_the_same_again(desk: Plane) -> None:
    id = asked(desk)
    wrong = decide(desk, id, decision="correct", output={"label": "no"}, reason_code="wrong_label")
    assert (wrong.status, wrong.error["code"]) == (422, "contract_violation")
    fields = {"decision": "correct", "label": False, "reason_code": "wrong_label"}
    assert decide(desk, id, **fields).status == 200
    desk.follow()
    again = desk.answer("late", {"p": 0.9})
    assert (again.disposition, again.output) == ("cached", {"label": False})


def test_a_case_goes_to_other_people(desk: Plane) -> None:
    id = asked(desk)
    desk.ask("POST", f"/api/review/{id}/take")
    given = desk.ask("POST", f"/api/review/{id}/hand-over", {"queue": "leads"})
    assert (given.json["queue"], given.json["owner"], given.json["taken_by"]) == (
        "leads",
        "Lea",
        "",
    )
    to = desk.ask("POST", f"/api/review/{id}/hand-over", {"to": "Zoe", "reason": "she knows"})
    assert (to.json["queue"], to.json["owner"]) == ("leads", "Zoe")
    for body in ({}, {"queue": "none"}):
        assert desk.ask("POST", f"/api/review/{id}/hand-over", body).status == 400
    acts = desk.get("/api/actions?action=review.hand_over")["actions"]
    assert [act["detail"]["owner"] for act in acts] == ["Zoe", "Lea"]
    decide(desk, id)
    late = desk.ask("POST", f"/api/review/{id}/hand-over", {"to": "Zoe"})
    assert late.status == 409


def test_a_second_look_shows_neither_confidence_nor_the_first_decision(desk: Plane) -> None:
    id = asked(desk)
    decide(desk, id, decision="reject", reason_code="unsafe")
    (row,) = desk.get("/api/review")["reviews"]
    assert (row["kind"], row["why"], row["request_id"]) == ("second", "", "")
    case = desk.get(f"/api/review/{row['id']}")
    assert (case["score"], case["confidence"], case["reasons"]) == (None, None, [])
    assert (case["is_blind"], case["similar"], case["ruling"]) == (True, [], {})
    assert "unsafe" not in str({**case, "reason_codes": None})
    _, other = desk.make_key("review")
    body = {"decision": "approve", "digest": case["digest"]}
    mine = desk.ask("POST", f"/api/review/{row['id']}/decide", body)
    assert mine.status == 403
    assert desk.ask("POST", f"/api/review/{row['id']}/decide", body, key=other).status == 200
    shown = desk.get("/api/reviewers")
    assert [one["decided"] for one in shown["reviewers"]] == [1, 1]
    (pair,) = shown["pairs"]
    assert (pair["n"], pair["agreed"], pair["kappa"]) == (1, 0, 0.0)


def test_a_blind_look_tells_neither_support_nor_verdicts_nor_past_decisions(desk: Plane) -> None:
    decide(desk, asked(desk), decision="reject", reason_code="unsafe")
    content = {"model": "own", "sentences": [["So.", 0.31]], "verdicts": [["facts", "deny", "no"]]}
    review = a_review(kind="audit", service="late", content=content)
    ask(desk.project.state, review)
    case = desk.get(f"/api/review/{review.id}")
    assert (case["content"], case["similar"]) == ({"model": "own"}, [])
    desk.ask("POST", f"/api/review/{review.id}/decide", to_builtins(approve(review)))
    assert desk.get(f"/api/review/{review.id}")["content"] == content


def test_a_planted_case_looks_like_any_other_until_it_is_decided(desk: Plane) -> None:
    review = a_review(kind="planted", service="late")
    ask(desk.project.state, review)
    asked(desk)
    planted, usual = desk.get("/api/review")["reviews"]
    assert planted["id"] == review.id
    assert {name for name in planted if bool(planted[name]) != bool(usual[name])} == set()
    assert (planted["kind"], usual["kind"]) == ("review", "review")
    decide(desk, review.id)
    assert desk.get(f"/api/review/{review.id}")["kind"] == "planted"


def test_a_key_of_other_services_sees_no_case(desk: Plane) -> None:
    id = asked(desk)
    _, other = desk.make_key("review", services=("other",))
    listed = desk.get("/api/review", key=other)
    assert (listed["reviews"], listed["queues"]) == ([], [])
    for method, path in (("GET", ""), ("POST", "/take"), ("POST", "/hand-over")):
        assert desk.ask(method, f"/api/review/{id}{path}", key=other).status == 403
    body = {"decision": "reject", "reason_code": "other"}
    assert desk.ask("POST", f"/api/review/{id}/decide", body, key=other).status == 403
    assert desk.get("/api/reviewers", key=other) == {"reviewers": [], "pairs": []}


def test_a_late_decision_says_that_it_comes_too_late(desk: Plane) -> None:
    id = asked(desk)
    clock: Any = desk.project.clock
    clock.set(clock.now_us() + 86_401_000_000)
    desk.serving.jobs.run_now("reviews")
    said = decide(desk, id).json
    assert (said["state"], said["is_late"]) == ("expired", True)
    assert "its time was over" in said["says"]


def test_rubber_stamping_shows_in_planted_cases(desk: Plane) -> None:
    state, clock = desk.project.state, desk.project.clock
    for k in range(6):
        review = a_review(clock, kind="planted", service="late")
        ask(state, review)
        with state.begin() as connection:
            connection.exec_driver_sql('UPDATE reviews SET expected = \'{"decision":"correct"}\'')
        ruling = approve(review) if k < 4 else reject()
        rule_on(state, clock, review.id, ruling, by="key:k_stamp")
    (one,) = desk.get("/api/reviewers")["reviewers"]
    assert (one["planted"], one["missed"], one["approved_share"]) == (6, 4, pytest.approx(4 / 6))
    assert 0.8 < one["most_missed"] < 1
    assert read_review(state, review.id).given == {}
    assert Queue(owner="Ada").planted_share == 0
