"""Money that is set aside: a request at work keeps it, a dead process only until its lease ends."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conftest import MakeProject, write_project
from roadworthy import open_project
from roadworthy.app import Project
from roadworthy.cost.ledger import Ceiling
from roadworthy.store.records import find_records
from roadworthy.store.rollups import summarise, verify_hours
from roadworthy.store.spending import read_holds
from roadworthy.types import DAY_US, HOUR_US, MICRO, Hold, SettableClock

NOON_US = 20_000 * DAY_US + DAY_US // 2
SCOPE = "service:reply"
SERVICE = """
name = "reply"
kind = "generate"
owners = { product = "test" }
objectives = { deadline_ms = 5000 }
cost = { per_request_usd = 0.01, per_day_usd = 0.10 }
[[models]]
name = "script"
provider = "metered"
model = "script.jsonl"
max_output_tokens = 10
"""
METERED = """
[providers.metered]
kind = "scripted"
[providers.metered.prices."script.jsonl"]
input_usd_per_million = 1.0
output_usd_per_million = 1.0
"""
SCRIPT = {"services/reply/script.jsonl": '{"text": "Hello.", "delay_ms": 300}'}


def set_clock(project: Project, now_us: int) -> None:
    assert isinstance(project.clock, SettableClock)
    project.clock.set(now_us)


def held(project: Project) -> int:
    return project.serving.ledger.spent(SCOPE)[1]


def run_leases(project: Project) -> None:
    project.serving.writer.drain()
    assert project.serving.jobs.run_now("leases").last_error == ""
    project.serving.writer.drain()


def test_a_clock_that_is_set_past_its_lease_lets_a_request_at_work_be(
    make_project: MakeProject,
) -> None:
    project = make_project({"reply": SERVICE}, SCRIPT, METERED)
    set_clock(project, NOON_US)
    service = project.service("reply")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(service.answer, {"text": "Hi"})
        while not asked.done() and not held(project):
            time.sleep(0.001)
        set_clock(project, NOON_US + HOUR_US)
        run_leases(project)
        assert (find_records(project.state), held(project) > 0) == ([], True)
        reply = asked.result()

    project.serving.writer.drain()
    records = find_records(project.state)
    assert [(r.id, r.disposition) for r in records] == [(reply.request_id, "answered")]
    assert project.serving.ledger.spent(SCOPE) == (reply.cost_micro, 0)
    assert read_holds(project.state) == []


class LeapingClock(SettableClock):
    """A replay's clock, which is set while a request is at work: by `leaps` before each look."""

    def __init__(self, now_us: int) -> None:
        super().__init__()
        self.set(now_us)
        self.leaps: list[int] = []

    def now_us(self) -> int:
        if self.leaps:
            self.set(super().now_us() + self.leaps.pop(0))
        return super().now_us()


@pytest.mark.parametrize("leap_us", [300 * MICRO, DAY_US])
def test_a_request_in_a_fast_replay_is_found_at_its_time_and_counted_once(
    make_project: MakeProject, leap_us: int
) -> None:
    project = make_project({"reply": SERVICE}, SCRIPT, METERED)
    clock = project.clock = LeapingClock(NOON_US)
    service, ledger = project.service("reply"), project.serving.ledger
    replies = []
    for _ in range(2):
        clock.leaps = [0, leap_us]  # it comes, and then its money is set aside
        replies.append(service.answer({"text": "Hi"}))
    project.serving.writer.drain()

    records = find_records(project.state)
    assert [r.id for r in records] == [reply.request_id for reply in reversed(replies)]
    for record in records:
        assert abs(int(record.id[3:15], 16) * 1000 - record.at_us) < 1000
        hour_us = record.at_us - record.at_us % HOUR_US
        assert summarise(project.state, "reply", hour_us, hour_us + HOUR_US).requests >= 1
        assert verify_hours(project.state, hour_us, hour_us + HOUR_US) == {}
        assert record in find_records(
            project.state, since_us=record.at_us, until_us=record.at_us + 1
        )
    today_us = clock.now_us() // DAY_US * DAY_US
    todays = [record.cost_micro for record in records if record.at_us >= today_us]
    assert ledger.spent(SCOPE) == (sum(todays), 0)


def leave_a_hold(folder: Path) -> Hold:
    """Let a process end before its request does."""
    with open_project(folder) as project:
        set_clock(project, NOON_US)
        ceilings = [Ceiling(SCOPE, 100_000, "cost.per_day_usd")]
        return project.serving.ledger.reserve(
            "rq_1", ceilings, 500, NOON_US + 60 * MICRO, "reply", "k1", kind="predict"
        )


def test_what_an_earlier_process_left_counts_until_its_lease_ends_and_is_recorded_as_lost(
    tmp_path: Path,
) -> None:
    folder = write_project(tmp_path, {"reply": SERVICE}, SCRIPT, METERED)
    hold = leave_a_hold(folder)
    with open_project(folder) as project:
        run_leases(project)
        assert (read_holds(project.state), held(project)) == ([hold], 500)
        assert find_records(project.state) == []
        set_clock(project, hold.lease_us)
        for _ in range(2):
            run_leases(project)
            (record,) = find_records(project.state)
            assert (record.id, record.error_code, record.kind) == ("rq_1", "lost", "predict")
            assert (record.service, record.cost_micro, record.reserved_micro) == ("reply", 0, 500)
            assert (read_holds(project.state), held(project)) == ([], 0)
