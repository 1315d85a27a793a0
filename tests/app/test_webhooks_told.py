"""Webhooks of a project that is served: what happens is told, and nothing waits for the telling."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import write_project
from live import Live, serve, until
from receiver import SECRET, Receiver, Reply, receiving
from roadworthy.store.deliveries import list_deliveries, queue_delivery
from roadworthy.store.jobs import list_jobs
from roadworthy.types import MICRO, SettableClock

SERVICE = """
name = "price"
kind = "predict"
owners = { product = "test" }
objectives = { deadline_ms = 1000 }
cost = { per_day_usd = 1 }
[[models]]
name = "rule"
provider = "rule"
model = "{'usd': 3}"
"""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def live(tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Iterator[Live]:
    monkeypatch.setenv("OPS_WEBHOOK_SECRET", SECRET)
    hook = f'[webhooks.ops]\nurl = "{receiver.url}"\nsecret_env = "OPS_WEBHOOK_SECRET"\n'
    with serve(write_project(tmp_path / "project", {"price": SERVICE}, {}, hook)) as live:
        until(lambda: ran(live, "webhook:ops"), 10)
        yield live


def ran(live: Live, job: str) -> bool:
    jobs = {state.name: state.last_run_us for state in list_jobs(live.project.state)}
    return jobs[job] is not None


def go_on(live: Live, seconds: float) -> None:
    assert isinstance(live.project.clock, SettableClock)
    live.project.clock.set(live.project.clock.now_us() + int(seconds * MICRO))


def test_a_stop_over_http_is_told_with_who_and_why(live: Live, receiver: Receiver) -> None:
    live.ask("POST", "/api/services/price/stop", {"reason": "wrong prices"})
    go_on(live, 5)
    until(lambda: bool(receiver.got), 10)
    (got,) = receiver.got
    notice = got.notice
    assert (notice.type, notice.subject) == ("service.stop", "price")
    assert notice.data["reason"] == "wrong prices"
    assert notice.data["by"].startswith("key:k_")
    assert notice.data["link"] == "/services/price"


def test_a_receiver_that_hangs_delays_neither_jobs_nor_requests(
    live: Live, receiver: Receiver
) -> None:
    hold = threading.Event()
    receiver.always = Reply(hold=hold)
    with live.project.state.begin() as connection:
        queue_delivery(connection, live.project.clock, "ops", "service.stop", "price", {})
    before = {state.name: state.last_run_us for state in list_jobs(live.project.state)}
    go_on(live, 3601)
    until(lambda: bool(receiver.got), 10)
    assert live.answer("price", {"n": 1}).status == 200
    for job in ("leases", "rollup", "retention"):
        assert live.serving.jobs.run_now(job).last_run_us != before[job]
    assert list_deliveries(live.project.state, "ops")[0].tries == 0, "it still hangs"
    hold.set()


def test_a_receiver_that_refuses_degrades_the_project_until_it_takes_again(
    live: Live, receiver: Receiver
) -> None:
    receiver.replies = [Reply(410)]
    live.ask("POST", "/api/services/price/stop", {})
    go_on(live, 5)
    until(lambda: "webhook ops" in live.serving.trouble, 10)
    health = live.ask("GET", "/healthz").json
    assert health["status"] == "degraded"
    assert "answered with status 410" in health["trouble"]["webhook ops"]
    live.ask("POST", "/api/services/price/resume", {})
    go_on(live, 5)
    until(lambda: "webhook ops" not in live.serving.trouble, 10)
    assert [got.notice.type for got in receiver.got] == ["service.stop", "service.resume"]


def test_stopping_the_server_waits_for_no_receiver(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPS_WEBHOOK_SECRET", SECRET)
    hold = threading.Event()
    receiver.always = Reply(hold=hold)
    hook = f'[webhooks.ops]\nurl = "{receiver.url}"\nsecret_env = "OPS_WEBHOOK_SECRET"\n'
    folder = write_project(tmp_path / "project", {"price": SERVICE}, {}, hook)
    with serve(folder) as live:
        with live.project.state.begin() as connection:
            queue_delivery(connection, live.project.clock, "ops", "service.stop", "price", {})
        until(lambda: bool(receiver.got), 10)
    state = next(s for s in live.serving.senders if s.name == "ops")
    assert state.trouble == ""
    hold.set()
