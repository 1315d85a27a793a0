from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine
from store_samples import START_US, a_hold, a_record, settled

from roadworthy.store.spending import (
    add_spending,
    close_holds,
    expire_holds,
    open_holds,
    prune_spending,
    read_holds,
    read_spending,
)
from roadworthy.store.state import open_state
from roadworthy.types import DAY_US, MICRO, Record

DAY = START_US - START_US % DAY_US


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_state(f"sqlite:///{tmp_path / 'state.db'}")
    yield engine
    engine.dispose()


def test_what_requests_cost_adds_up_per_day_and_scope(engine: Engine) -> None:
    both = ("service:delay", "user:delay/ann")
    with engine.begin() as connection:
        add_spending(
            connection,
            [settled(a_record(), 5), settled(a_record(), 7, scopes=both), settled(a_record(), 0)],
        )
        add_spending(connection, [settled(a_record(START_US + DAY_US), 100)])
        add_spending(connection, [settled(a_record(), 1)])
    assert read_spending(engine, DAY) == {"service:delay": 13, "user:delay/ann": 7}
    assert read_spending(engine, DAY + DAY_US) == {"service:delay": 100}
    assert read_spending(engine, DAY - DAY_US) == {}


def test_old_days_are_pruned(engine: Engine) -> None:
    with engine.begin() as connection:
        add_spending(connection, [settled(a_record(START_US + k * DAY_US), 5) for k in range(3)])
    assert prune_spending(engine, DAY + 2 * DAY_US) == 2
    assert read_spending(engine, DAY) == {}
    assert read_spending(engine, DAY + 2 * DAY_US) == {"service:delay": 5}


def test_holds_are_read_as_they_were_placed_until_they_are_closed(engine: Engine) -> None:
    holds = [a_hold("rq_1"), a_hold("rq_2", micro=9)]
    with engine.begin() as connection:
        open_holds(connection, holds)
        open_holds(connection, holds[:1])
    assert read_holds(engine) == holds
    with engine.begin() as connection:
        close_holds(connection, ["rq_1", "rq_unknown"])
        close_holds(connection, [])
    assert read_holds(engine) == holds[1:]


def test_a_hold_whose_lease_ended_is_settled_by_a_record_that_says_lost(engine: Engine) -> None:
    hold = a_hold("rq_1", micro=500, lease_s=60)
    with engine.begin() as connection:
        open_holds(connection, [hold, a_hold("rq_2", lease_s=61)])
    left: list[Record] = []
    assert expire_holds(engine, START_US + 60 * MICRO, left.append) == 1
    (record,) = left
    assert (record.id, record.disposition, record.error_code) == ("rq_1", "failed", "lost")
    assert (record.cost_micro, record.reserved_micro, record.scopes) == (0, 500, hold.scopes)
    assert (record.service, record.key, record.at_us) == ("delay", "k1", START_US)
    assert len(read_holds(engine)) == 2, "its record closes it, when that is drained"
