"""Whoever waits for a person: polls, waits long, and gets what was promised."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from test_reviewing import ASKING, HUMAN, MODEL, QUEUE, SERVICE, STATIC

from conftest import write_project
from live import Live, chat_service, provider_up, serve
from roadworthy.models.faulty import FaultyUpstream
from roadworthy.review.rulings import Ruling, draft_output, rule_on
from roadworthy.serve import reviews as waiting_room
from roadworthy.store.reviews import read_review
from roadworthy.types import DAY_US


def services(*parts: str) -> dict[str, str]:
    return {"late": SERVICE + "".join(parts)}


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    folder = write_project(tmp_path / "project", services(STATIC, ASKING), project=QUEUE)
    with serve(folder) as live:
        yield live


def asked(live: Live) -> str:
    reply = live.answer("late", {"p": 0.9})
    assert reply.status == 202
    return str(reply.json["review_id"])


def poll(live: Live, id: str, more: str = "", **kwargs: Any) -> Any:
    response = live.ask("GET", f"/v1/reviews/{id}{more}", **kwargs)
    assert response.status == 200, response.body
    return response.json


def decide(live: Live, id: str, **fields: Any) -> None:
    live.serving.writer.drain()
    state = live.project.state
    digest = read_review(state, id).review.digest
    ruling = Ruling(**{"decision": "approve", "digest": digest, **fields})
    rule_on(state, live.project.clock, id, ruling, by="key:k_2")


def expire(live: Live) -> None:
    live.serving.writer.drain()
    clock: Any = live.project.clock
    clock.set(clock.now_us() + DAY_US + 1)
    live.serving.jobs.run_now("reviews")


def test_a_case_is_open_then_decided_and_stays_so(live: Live) -> None:
    id = asked(live)
    open_one = poll(live, id)
    assert (open_one["state"], open_one["output"], open_one["decision"]) == ("open", None, None)
    assert open_one["disposition"] == "review"
    decide(live, id)
    decided = poll(live, id)
    assert (decided["state"], decided["disposition"]) == ("decided", "answered")
    assert decided["output"] == {"label": True, "probability": 0.9}
    assert (decided["decision"], decided["reasons"]) == ("approve", ["approved by a person"])
    assert decided["decided_at"] > open_one["due_at"][:4]
    assert poll(live, id) == decided


def test_who_waits_hears_of_it_when_it_is_decided(live: Live) -> None:
    id = asked(live)
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(poll, live, id, "?wait_s=20") for _ in range(8)]
        time.sleep(0.1)
        started = time.monotonic()
        decide(live, id, decision="reject", reason_code="unsafe")
        said = [future.result() for future in waiting]
    assert {one["disposition"] for one in said} == {"refused"}
    assert {one["output"] for one in said} == {None}
    assert time.monotonic() - started < 15


def test_many_wait_without_a_thread_each(live: Live) -> None:
    id = asked(live)
    before = threading.active_count()
    with ThreadPoolExecutor(40) as pool:
        waiting = [pool.submit(poll, live, id, "?wait_s=1") for _ in range(40)]
        time.sleep(0.5)
        ours = threading.active_count() - before - 40
        assert {future.result()["state"] for future in waiting} == {"open"}
    assert ours < 20, "only the pool that reads the store"


def test_beyond_the_most_that_wait_one_is_told_to_come_again(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting_room, "MOST_WAITING", 0)
    response = live.ask("GET", f"/v1/reviews/{asked(live)}?wait_s=20")
    assert (response.status, response.json["state"]) == (200, "open")
    assert response.headers["retry-after"] == "5"


@pytest.mark.parametrize(
    "query", ["wait_s=x", "wait_s=-1", "wait_s=61", "wait_s=nan", "wait_s=1&wait_s=2", "wait=1"]
)
def test_a_time_that_makes_no_sense_is_refused(live: Live, query: str) -> None:
    response = live.ask("GET", f"/v1/reviews/rv_1?{query}")
    assert (response.status, response.code) == (400, "invalid_request")


def test_only_who_asked_and_reviewers_see_a_case(live: Live) -> None:
    id = asked(live)
    other, reviewer = live.new_key("answer"), live.new_key("review")
    elsewhere = live.new_key("answer", "review", services=("other",))
    assert live.ask("GET", f"/v1/reviews/{id}", key=other).status == 403
    assert live.ask("GET", f"/v1/reviews/{id}", key=elsewhere).status == 404
    assert poll(live, id, key=reviewer)["state"] == "open"
    assert live.ask("GET", "/v1/reviews/rv_none").status == 404
    assert live.ask("GET", f"/v1/reviews/{id}", key="rw_none").status == 401
    assert live.ask("POST", f"/v1/reviews/{id}", {}).status == 405


def test_in_time_over_the_ladder_answers_and_a_late_decision_changes_nothing(live: Live) -> None:
    id = asked(live)
    expire(live)
    expired = poll(live, id)
    assert (expired["state"], expired["disposition"]) == ("expired", "fallback")
    assert expired["output"] == {"label": False, "probability": 0.2}
    assert expired["reasons"] == ["nobody decided in time"]
    decide(live, id, decision="correct", label=True, reason_code="wrong_label")
    assert poll(live, id) == expired


def test_who_waits_for_a_forgotten_users_case_is_told(live: Live) -> None:
    key = live.new_key("answer", "act_as")
    body = {"input": {"p": 0.9}, "user": "ann"}
    asked = live.ask("POST", "/v1/services/late/answer", body, key=key).json["review_id"]
    gone = live.ask("DELETE", "/api/users/ann/records")
    assert gone.json["records"] == 1
    said = poll(live, asked, key=live.new_key("review"))
    assert (said["state"], said["disposition"]) == ("withdrawn", "refused")
    assert said["reasons"] == ["withdrawn: its user was forgotten"]


@pytest.mark.parametrize(
    ("policy", "disposition", "output"),
    [
        ("refuse", "refused", None),
        ("answer", "answered", {"label": True, "probability": 0.9}),
    ],
)
def test_what_is_given_in_the_end_is_declared(
    tmp_path: Path, policy: str, disposition: str, output: Any
) -> None:
    parts = services(STATIC, ASKING, f'on_expiry = "{policy}"\n')
    with serve(write_project(tmp_path / "project", parts, project=QUEUE)) as live:
        id = asked(live)
        expire(live)
        said = poll(live, id)
    assert (said["state"], said["disposition"], said["output"]) == ("expired", disposition, output)


def test_where_no_model_answered_and_nobody_decides_it_is_refused(tmp_path: Path) -> None:
    service = SERVICE.replace(MODEL, "input.missing")
    asking = '[review]\nqueue = "desk"\non_expiry = "answer"\n'
    project = write_project(tmp_path / "p", {"late": service + HUMAN + asking}, project=QUEUE)
    with serve(project) as live:
        id = asked(live)
        expire(live)
        said = poll(live, id)
    assert (said["disposition"], said["output"]) == ("refused", None)


def test_of_a_chat_the_ladder_answers_too(tmp_path: Path) -> None:
    chat = SERVICE.replace("predict", "generate").replace(MODEL, "{'text': 'hello'}")
    rule = "[[fallback]]\nuse = \"rule\"\nexpression = \"{'text': 'later'}\"\n"
    project = write_project(tmp_path / "p", {"late": chat + rule + ASKING}, project=QUEUE)
    with serve(project) as live:
        id = live.chat("late").headers["x-roadworthy-review-id"]
        expire(live)
        said = poll(live, id)
    assert (said["disposition"], said["output"]) == ("fallback", {"text": "later"})


@pytest.mark.parametrize(
    ("said", "contract", "draft", "given"),
    [
        ("Hello there.", "", {"text": "Hello there."}, {"text": "Hello there."}),
        ('{"label": true}', 'contract = { output = "o.json" }\n', {"label": True}, {"label": True}),
    ],
)
def test_what_an_upstream_said_is_given_as_the_service_would(
    tmp_path: Path, said: str, contract: str, draft: Any, given: Any
) -> None:
    asking = '[review]\nwhen = ["true"]\nqueue = "desk"\non_expiry = "refuse"\n'
    with FaultyUpstream(answer=said) as upstream:
        service = contract + chat_service(cost="per_request_usd = 1, per_day_usd = 9", more=asking)
        project = provider_up(upstream, input_usd=1, output_usd=1) + QUEUE
        files = {"services/reply/o.json": '{"type": "object", "required": ["label"]}'}
        folder = write_project(tmp_path / "p", {"reply": service}, files, project)
        with serve(folder) as live:
            id = live.chat("reply").headers["x-roadworthy-review-id"]
            live.serving.writer.drain()
            shown = read_review(live.project.state, id).review.draft
            decide(live, id)
            got = poll(live, id)
    assert draft_output(shown) == draft
    assert (got["disposition"], got["output"]) == ("answered", given)
