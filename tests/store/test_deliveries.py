from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine
from store_samples import START_US

from roadworthy.declare.load import load_project
from roadworthy.store.actions import append_action
from roadworthy.store.acts_told import NOTICES, tell_acts
from roadworthy.store.deliveries import (
    GIVE_UP_AFTER_US,
    LONGEST_ASKED_WAIT_S,
    Delivery,
    Tried,
    announce,
    drop_deliveries,
    list_deliveries,
    new_id,
    next_due,
    note_result,
    queue_delivery,
    send_again,
    standings,
    wait_s,
)
from roadworthy.store.state import open_state
from roadworthy.store.switchboard import Switchboard
from roadworthy.types import DAY_US, HOUR_US, MICRO, SettableClock

GOOD, DOWN = Tried(204), Tried(None, "no connection")
FAILED, REFUSED = Tried(500, "answered with status 500"), Tried(404, "status 404", is_final=True)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_state(f"sqlite:///{tmp_path / 'state.db'}")
    yield engine
    engine.dispose()


@pytest.fixture
def clock() -> SettableClock:
    clock = SettableClock()
    clock.set(START_US)
    return clock


def queue(engine: Engine, clock: SettableClock, n: int, subject: str = "reply") -> str:
    with engine.begin() as connection:
        return queue_delivery(connection, clock, "ops", "service.stop", subject, {"n": n})


def due(engine: Engine, now_us: int) -> Delivery:
    found = next_due(engine, "ops", now_us)
    assert found is not None
    return found


def work_off(engine: Engine, now_us: int, tried: Tried = GOOD) -> list[str]:
    """Try all that is due and return the bodies, in order."""
    bodies = []
    while delivery := next_due(engine, "ops", now_us):
        bodies.append(delivery.body)
        note_result(engine, delivery, tried, now_us, 1.0)
    return bodies


def test_a_notice_is_there_with_its_act_or_not_at_all(engine: Engine, clock: SettableClock) -> None:
    def act_and_fail() -> None:
        with engine.begin() as connection:
            queue_delivery(connection, clock, "ops", "service.stop", "reply", {})
            raise LookupError

    with pytest.raises(LookupError):
        act_and_fail()
    assert list_deliveries(engine, "ops") == []


def test_only_the_oldest_of_a_subject_is_due(engine: Engine, clock: SettableClock) -> None:
    for n in range(3):
        queue(engine, clock, n)
    queue(engine, clock, 9, "triage")
    now_us = clock.now_us()
    note_result(engine, due(engine, now_us), FAILED, now_us, 1.0)
    assert due(engine, now_us).body == '{"n":9}'
    assert work_off(engine, now_us) == ['{"n":9}']
    assert work_off(engine, now_us + 10 * MICRO) == ['{"n":0}', '{"n":1}', '{"n":2}']


def test_what_was_given_up_does_not_hold_up_what_comes_after(
    engine: Engine, clock: SettableClock
) -> None:
    queue(engine, clock, 0)
    queue(engine, clock, 1)
    now_us = clock.now_us()
    note_result(engine, due(engine, now_us), REFUSED, now_us, 1.0)
    assert work_off(engine, now_us) == ['{"n":1}']


def test_waits_double_up_to_an_hour_and_end_after_three_days(
    engine: Engine, clock: SettableClock
) -> None:
    queue(engine, clock, 0)
    now_us = started_us = clock.now_us()
    waits = []
    while delivery := next_due(engine, "ops", now_us):
        note_result(engine, delivery, FAILED, now_us, 1.0)
        (after,) = list_deliveries(engine, "ops")
        if after.given_up_at_us is None:
            waits.append((after.next_try_us - now_us) // MICRO)
        now_us = after.next_try_us
    assert waits[:10] == [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600]
    assert set(waits[10:]) == {3600}
    assert after.given_up_at_us is not None
    assert 0 <= after.given_up_at_us - started_us - GIVE_UP_AFTER_US < HOUR_US
    assert after.last_error == "answered with status 500"


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True), st.floats(0, 1e9) | st.none())
def test_no_wait_is_without_bounds(tries: int, draw: float, asked_s: float | None) -> None:
    waited = wait_s(tries, Tried(429, "no", retry_after_s=asked_s), draw)
    assert 1 <= waited <= LONGEST_ASKED_WAIT_S
    assert asked_s is not None or 5 <= waited <= 3600


def test_a_receiver_that_answers_again_soon_gets_what_it_was_not_there_for(
    engine: Engine, clock: SettableClock
) -> None:
    for subject in ("a", "b", "c"):
        queue(engine, clock, 0, subject)
    now_us = clock.now_us()
    for _ in range(8):
        work_off(engine, now_us, DOWN)
        now_us = max(row.next_try_us for row in list_deliveries(engine, "ops"))
    work_off(engine, now_us, DOWN)
    queue(engine, clock, 1, "d")
    assert work_off(engine, now_us) == ['{"n":1}']
    assert len(work_off(engine, now_us + 30 * MICRO)) == 3


def test_a_clock_that_was_set_back_leaves_nothing_waiting_for_years(
    engine: Engine, clock: SettableClock
) -> None:
    queue(engine, clock, 0)
    now_us = clock.now_us()
    note_result(engine, due(engine, now_us), FAILED, now_us, 1.0)
    assert next_due(engine, "ops", now_us) is None
    assert next_due(engine, "ops", now_us - 365 * DAY_US) is not None


def test_what_was_given_up_is_sent_again_on_demand_in_its_old_order(
    engine: Engine, clock: SettableClock
) -> None:
    first = queue(engine, clock, 0)
    now_us = clock.now_us()
    note_result(engine, due(engine, now_us), REFUSED, now_us, 1.0)
    queue(engine, clock, 1)
    assert send_again(engine, clock, "ops") == 1
    assert due(engine, clock.now_us()).id == first
    assert work_off(engine, clock.now_us()) == ['{"n":0}', '{"n":1}']
    assert send_again(engine, clock, "ops") == 0


def test_a_standing_counts_and_names_the_last_failure(engine: Engine, clock: SettableClock) -> None:
    for n in range(4):
        queue(engine, clock, n, f"s{n}")
    now_us = clock.now_us()
    for tried in (GOOD, REFUSED, FAILED):
        note_result(engine, due(engine, now_us), tried, now_us, 1.0)
    found, idle = sorted(standings(engine, ["idle", "ops"]), key=lambda one: -one.waiting)
    assert (found.waiting, found.delivered, found.given_up) == (2, 1, 1)
    assert found.last_error in {FAILED.error, REFUSED.error}
    assert found.oldest_us is not None
    assert (idle.webhook, idle.waiting, idle.last_error) == ("idle", 0, "")


def test_old_notices_are_dropped(engine: Engine, clock: SettableClock) -> None:
    queue(engine, clock, 0)
    with engine.begin() as connection:
        assert drop_deliveries(connection, START_US - 1) == 0
        assert drop_deliveries(connection, START_US + HOUR_US) == 1


def test_an_announcement_reaches_those_that_take_it(
    engine: Engine, clock: SettableClock, tmp_path: Path
) -> None:
    (tmp_path / "roadworthy.toml").write_text(
        '[project]\nname = "demo"\n'
        '[webhooks.all]\nurl = "https://a.example.com"\nsecret_env = "A"\n'
        '[webhooks.some]\nurl = "https://a.example.com"\nsecret_env = "A"\n'
        'events = ["service.stop"]\n'
    )
    project = load_project(tmp_path)
    with engine.begin() as connection:
        assert len(announce(connection, clock, project, "service.stop", "reply", {})) == 2
        assert len(announce(connection, clock, project, "release.promote", "reply", {})) == 1
    assert [row.event for row in list_deliveries(engine, "some")] == ["service.stop"]


RESULTS = {"good": GOOD, "down": DOWN, "failed": FAILED, "refused": REFUSED}
STEPS = st.lists(
    st.tuples(st.just("queue"), st.sampled_from("abc"))
    | st.tuples(st.just("try"), st.sampled_from(sorted(RESULTS)))
    | st.tuples(st.just("wait"), st.sampled_from(["5", "40", "4000", "90000", "-90000"]))
    | st.tuples(st.just("crash"), st.just("")),
    max_size=40,
)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = open_state(f"sqlite:///{tmp_path_factory.mktemp('kept') / 'state.db'}")
    yield engine
    engine.dispose()


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_whatever_happens_nothing_is_lost_and_each_subject_is_told_in_order(
    kept: Engine, steps: list[tuple[str, str]]
) -> None:
    clock = SettableClock()
    clock.set(START_US)
    with kept.begin() as connection:
        drop_deliveries(connection, START_US * 10)
    queued, told_of = 0, list[Delivery]()
    now_us = START_US
    for step, what in steps:
        if step == "queue":
            queue(kept, clock, queued, what)
            queued += 1
        elif step == "wait":
            now_us += int(what) * MICRO
        elif delivery := next_due(kept, "ops", now_us):
            told_of.append(delivery)  # the receiver has it, whether or not that is noted
            if step == "try":
                note_result(kept, delivery, RESULTS[what], now_us, 0.5)
    rows = list_deliveries(kept, "ops", limit=100)
    assert len(rows) == queued
    assert not any(row.delivered_at_us and row.given_up_at_us for row in rows)
    for subject in "abc":
        order = [one.seq for one in told_of if one.subject == subject]
        assert order == sorted(order)


def test_an_id_cannot_end_what_is_signed() -> None:
    assert "." not in new_id()
    assert new_id() != new_id()


# What is told of acts.


def switch(engine: Engine, clock: SettableClock, *services: str) -> None:
    board = Switchboard(engine, clock)
    for service in services:
        board.stop(service, by="cli:ana", reason="wrong prices")
    board.close()


def told(engine: Engine, clock: SettableClock) -> int:
    return tell_acts(engine, clock, "ops", list(NOTICES))


def test_a_webhook_is_told_each_new_act_once_and_nothing_of_the_past(
    engine: Engine, clock: SettableClock
) -> None:
    switch(engine, clock, "old")
    assert told(engine, clock) == 0
    switch(engine, clock, "reply", "triage")
    append_action(engine, clock, "cli:ana", "keys.create", "k_1")
    assert told(engine, clock) == 2
    assert told(engine, clock) == 0
    newest, oldest = list_deliveries(engine, "ops")
    assert (oldest.subject, newest.subject, newest.event) == ("reply", "triage", "service.stop")
    for part in ('"reason":"wrong prices"', '"by":"cli:ana"', '"link":"/services/triage"'):
        assert part in newest.body


def test_a_model_that_was_stopped_is_named(engine: Engine, clock: SettableClock) -> None:
    told(engine, clock)
    board = Switchboard(engine, clock)
    board.stop("reply", "frontier", by="cli:ana")
    board.resume("reply", "frontier", by="cli:ana")
    board.close()
    assert told(engine, clock) == 2
    events = [
        (row.event, '"model":"frontier"' in row.body) for row in list_deliveries(engine, "ops")
    ]
    assert events == [("service.resume", True), ("service.stop", True)]


def test_many_acts_are_told_page_by_page_and_old_ones_not_at_all(
    engine: Engine, clock: SettableClock
) -> None:
    told(engine, clock)
    switch(engine, clock, "old")
    clock.set(START_US + 4 * DAY_US)
    switch(engine, clock, *(f"s{n}" for n in range(3)))
    for n in range(1100):
        append_action(engine, clock, "cli:ana", "keys.create", f"k_{n}")
    switch(engine, clock, "last")
    assert told(engine, clock) == 4
    assert list_deliveries(engine, "ops")[0].subject == "last"
