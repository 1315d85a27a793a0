"""What the webhook of a queue hears of its cases, even when it was away for an hour."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import write_project
from live import Live, serve
from receiver import SECRET, Receiver, Reply, json_of, receiving
from roadworthy.store.deliveries import list_deliveries
from roadworthy.types import HOUR_US, MICRO

QUEUES = """
[queues.desk]
owner = "Ada"
escalate_to = "Bo"
webhook = "ops"
[queues.quiet]
owner = "Cy"
"""
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
output = { label = false }
[review]
max_error = 0.1
queue = "desk"
respond_within = "4h"
"""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def live(tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Iterator[Live]:
    monkeypatch.setenv("OPS_WEBHOOK_SECRET", SECRET)
    hook = f'[webhooks.ops]\nurl = "{receiver.url}"\nsecret_env = "OPS_WEBHOOK_SECRET"\n'
    with serve(write_project(tmp_path / "project", {"late": SERVICE}, {}, hook + QUEUES)) as live:
        yield live


def look(live: Live, later_us: int = 0) -> None:
    """Let the queues be looked at, and what is due be sent."""
    clock: Any = live.project.clock
    if later_us:
        clock.set(clock.now_us() + later_us)
    live.serving.writer.drain()
    live.serving.jobs.run_now("reviews")
    for sender in live.serving.senders:
        live.serving.jobs.run_now(sender.job().name)


def events(live: Live) -> list[str]:
    return [one.event for one in reversed(list_deliveries(live.project.state, "ops"))]


def asked(live: Live) -> str:
    return str(live.answer("late", {"p": 0.9}).json["review_id"])


def decide(live: Live, id: str, **fields: Any) -> None:
    key = live.new_key("review")
    body = {"decision": "reject", "reason_code": "unsafe", **fields}
    response = live.ask("POST", f"/api/review/{id}/decide", body, key=key)
    assert response.status == 200, response.body


def test_it_hears_what_waits_is_late_is_over_and_is_decided(live: Live, receiver: Receiver) -> None:
    look(live)
    id, other = asked(live), asked(live)
    look(live, 5 * MICRO)
    look(live, 5 * MICRO)
    assert events(live) == ["review.ask"]
    decide(live, id)
    look(live, 3 * HOUR_US)
    look(live, HOUR_US)
    assert events(live) == ["review.ask", "review.decide", "review.escalate", "review.expire"]
    heard: dict[Any, Any] = {json_of(got)["type"]: got.notice.data for got in receiver.got}
    assert (heard["review.ask"]["cases"], heard["review.ask"]["queue"]) == (2, "desk")
    assert heard["review.decide"]["decision"] == "reject"
    assert heard["review.decide"]["link"] == f"/review/{id}"
    assert (heard["review.escalate"]["to"], heard["review.escalate"]["reviews"]) == ("Bo", [other])
    assert heard["review.expire"]["link"] == "/review?queue=desk"


def test_a_receiver_that_is_down_for_an_hour_holds_up_nobody(
    live: Live, receiver: Receiver
) -> None:
    receiver.replies = [Reply(503)] * 50
    look(live)
    id = asked(live)
    decide(live, id)
    assert live.ask("GET", f"/v1/reviews/{id}").json["state"] == "decided"
    for _ in range(4):
        look(live, HOUR_US // 4)
    assert all(one.delivered_at_us is None for one in list_deliveries(live.project.state, "ops"))
    receiver.replies = []
    look(live, HOUR_US)
    decided = [one for one in list_deliveries(live.project.state, "ops") if one.subject == id]
    assert [one.delivered_at_us is not None for one in decided] == [True]


def test_a_queue_without_a_webhook_tells_nobody(live: Live) -> None:
    look(live)
    id = asked(live)
    live.serving.writer.drain()
    key = live.new_key("review")
    given = live.ask("POST", f"/api/review/{id}/hand-over", {"queue": "quiet"}, key=key)
    assert given.status == 200
    decide(live, id)
    look(live, 5 * MICRO)
    assert events(live) == []
