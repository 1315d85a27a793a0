"""What becomes of cases that nobody decides in time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, update

from review_cases import a_review, approve, ask
from roadworthy.declare.project import Queue
from roadworthy.review import expiry
from roadworthy.review.expiry import Looked, look_at_times
from roadworthy.review.rulings import rule_on
from roadworthy.store.actions import list_actions
from roadworthy.store.reviews import Waiting, read_review
from roadworthy.store.state import open_state
from roadworthy.store.tables import reviews
from roadworthy.types import HOUR_US, MICRO, SettableClock

MINUTE_US = 60 * MICRO
START_US = 1_700_000_000 * MICRO
QUEUES = {"desk": Queue(owner="Ada", escalate_to="Bo")}


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_state(f"sqlite:///{tmp_path}/state.db")
    yield engine
    engine.dispose()


@pytest.fixture
def clock() -> SettableClock:
    clock = SettableClock()
    clock.set(START_US)
    return clock


def static(waiting: Waiting) -> dict[str, Any]:
    return {"disposition": "fallback", "output": waiting.review.id, "reasons": ["too late"]}


def look(engine: Engine, clock: SettableClock, told: list[Any] | None = None) -> Looked:
    def tell(connection: Any, queue: str, event: str, subject: str, facts: Any) -> None:
        if told is not None:
            told.append((queue, event, facts["cases"]))

    return look_at_times(engine, clock, QUEUES, static, tell)


def test_at_three_quarters_of_its_time_a_case_is_escalated_once(
    engine: Engine, clock: SettableClock
) -> None:
    told: list[Any] = []
    review = ask(engine, a_review(clock))  # due in an hour
    clock.set(START_US + 44 * MINUTE_US)
    assert look(engine, clock, told) == Looked(0, 0)
    clock.set(START_US + 46 * MINUTE_US)
    assert look(engine, clock, told) == Looked(1, 0)
    assert look(engine, clock, told) == Looked(0, 0)
    known = read_review(engine, review.id)
    assert (known.owner, known.state) == ("Bo", "open")
    assert known.escalated_at_us is not None
    assert told == [("desk", "review.escalate", 1)]
    (act,) = list_actions(engine)
    assert (act.by, act.action, act.subject) == ("job:reviews", "review.escalate", "desk")
    assert act.detail["reviews"] == [review.id]


def test_at_its_end_a_case_gives_what_the_service_declares(
    engine: Engine, clock: SettableClock
) -> None:
    told: list[Any] = []
    review = ask(engine, a_review(clock))
    clock.set(START_US + HOUR_US + MICRO)
    assert look(engine, clock, told) == Looked(0, 1)
    known = read_review(engine, review.id)
    assert (known.state, known.decision) == ("expired", "")
    assert known.given == static(known)
    assert told == [("desk", "review.expire", 1)]
    assert look(engine, clock) == Looked(0, 0)


def test_where_nobody_waits_nothing_is_given(engine: Engine, clock: SettableClock) -> None:
    audit = ask(engine, a_review(clock, kind="audit"))
    clock.set(START_US + HOUR_US + MICRO)
    look(engine, clock)
    known = read_review(engine, audit.id)
    assert (known.state, known.given) == ("expired", {})


def test_what_is_decided_meanwhile_stays_decided(engine: Engine, clock: SettableClock) -> None:
    review = ask(engine, a_review(clock))
    clock.set(START_US + HOUR_US + MICRO)

    def instead(waiting: Waiting) -> dict[str, Any]:
        rule_on(engine, clock, review.id, approve(review), by="key:k_2")
        return static(waiting)

    did = look_at_times(engine, clock, QUEUES, instead, lambda *_: None)
    known = read_review(engine, review.id)
    assert (did.expired, known.state, known.decision) == (1, "decided", "approve")
    assert known.given["output"] == {"label": True, "probability": 0.9}
    assert [act.action for act in list_actions(engine)] == ["review.decide"]


def test_more_than_one_round_are_ended_in_one_look(
    engine: Engine, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expiry, "MOST_AT_ONCE", 3)
    ask(engine, *[a_review(clock) for _ in range(8)])
    clock.set(START_US + 50 * MINUTE_US)
    assert look(engine, clock).escalated == 8
    clock.set(START_US + HOUR_US + MICRO)
    assert look(engine, clock).expired == 8


def test_a_queue_that_is_gone_from_the_file_is_still_seen_to(
    engine: Engine, clock: SettableClock
) -> None:
    review = ask(engine, a_review(clock, queue="gone"))
    clock.set(START_US + 50 * MINUTE_US)
    assert look(engine, clock).escalated == 1
    assert read_review(engine, review.id).owner == "Ada"
    clock.set(START_US + HOUR_US + MICRO)
    assert look(engine, clock).expired == 1


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.integers(-30, 120), max_size=8))
def test_however_the_clock_jumps_each_case_ends_once(
    engine: Engine, clock: SettableClock, minutes: list[int]
) -> None:
    with engine.begin() as connection:
        connection.execute(reviews.delete())
    clock.set(START_US)
    review = ask(engine, a_review(clock))
    expired = 0
    for minute in minutes:
        clock.set(START_US + minute * MINUTE_US + 5 * MICRO)
        expired += look(engine, clock).expired
    was_over = any(minute >= 60 for minute in minutes)
    assert expired == was_over
    assert read_review(engine, review.id).state == ("expired" if was_over else "open")


def test_a_case_is_taken_no_longer_once_its_time_is_over(
    engine: Engine, clock: SettableClock
) -> None:
    review = ask(engine, a_review(clock))
    with engine.begin() as connection:
        taken = {"taken_by": "key:k_2", "taken_until_us": START_US + 2 * HOUR_US}
        connection.execute(update(reviews).values(taken))
    clock.set(START_US + HOUR_US + MICRO)
    look(engine, clock)
    ruled = rule_on(engine, clock, review.id, approve(review), by="key:k_2")
    assert ruled.is_late
    assert read_review(engine, review.id).given["output"] == review.id
