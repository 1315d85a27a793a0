"""How much waits for people, and how much they decide, as numbers that pages show."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, update

from review_cases import CLOCK, a_review, ask
from roadworthy.store.state import open_state
from roadworthy.store.tables import drafts, reviews
from roadworthy.store.waiting import (
    MOST_COUNTED,
    count_decided,
    count_open,
    count_paths,
    count_unknown,
)
from roadworthy.types import DAY_US


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    found = open_state(f"sqlite:///{tmp_path}/state.db")
    yield found
    found.dispose()


def test_what_waits_is_counted_up_to_a_number(engine: Engine) -> None:
    assert count_open(engine) == 0
    ask(engine, *(a_review() for _ in range(MOST_COUNTED + 5)))
    assert count_open(engine) == MOST_COUNTED + 1
    assert count_open(engine, ["late"]) == MOST_COUNTED + 1
    assert count_open(engine, ["other"]) == 0


def test_decisions_are_counted_by_day_and_service(engine: Engine) -> None:
    cases = [a_review() for _ in range(3)]
    ask(engine, *cases)
    day = CLOCK.now_us() // DAY_US
    with engine.begin() as connection:
        for place, case in enumerate(cases):
            change = {"state": "decided", "decided_at_us": (day - place % 2) * DAY_US + 5}
            connection.execute(update(reviews).where(reviews.c.id == case.id).values(change))
    assert count_decided(engine, (day - 1) * DAY_US) == {day: 2, day - 1: 1}
    assert count_decided(engine, day * DAY_US) == {day: 2}
    assert count_decided(engine, 0, ["other"]) == {}


def test_paths_and_unknown_confidences_are_of_the_newest_drafts(engine: Engine) -> None:
    cases = [a_review(at_us=CLOCK.now_us() + n) for n in range(5)]
    ask(engine, *cases)
    newest = drafts.c.request_id == cases[4].request_id
    with engine.begin() as connection:
        connection.execute(update(drafts).where(newest).values(path="alone", confidence=0.9))
    assert count_paths(engine, "late", 0, 100) == {"alone": 1, "person": 4}
    assert count_paths(engine, "late", 0, 1) == {"alone": 1}
    assert count_paths(engine, "late", cases[4].at_us + 1, 9) == {}
    assert count_unknown(engine, "late", 100) == (4, 5)
    assert count_unknown(engine, "late", 1) == (0, 1)
    assert count_unknown(engine, "other", 9) == (0, 0)
