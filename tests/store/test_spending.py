from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Engine, insert
from store_samples import START_US, a_hold, a_record, settled

from roadworthy.errors import StoreError
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
from roadworthy.store.tables import holds as holds_table
from roadworthy.types import DAY_US, MICRO, Kind, Record

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


def test_a_hold_whose_lease_ended_is_settled_by_a_record_that_says_lost() -> None:
    hold = a_hold("rq_1", micro=500, lease_s=60)
    left, written = [hold, a_hold("rq_2", lease_s=61)], list[Record]()
    assert expire_holds(left, START_US + 60 * MICRO, written.append) == 1
    (record,) = written
    assert (record.id, record.disposition, record.error_code) == ("rq_1", "failed", "lost")
    assert (record.cost_micro, record.reserved_micro, record.scopes) == (0, 500, hold.scopes)
    assert (record.service, record.key, record.at_us) == ("delay", "k1", START_US)
    assert [hold.id for hold in left] == ["rq_2"]


@pytest.mark.parametrize("kind", ["predict", "generate"])
def test_a_lost_request_is_recorded_as_of_its_kind(kind: Kind) -> None:
    hold = msgspec.structs.replace(a_hold("rq_1"), kind=kind)
    written: list[Record] = []
    expire_holds([hold], START_US + DAY_US, written.append)
    assert written[0].kind == kind


def test_a_lost_request_whose_record_cannot_be_written_gets_it_the_next_time() -> None:
    left, written = [a_hold("rq_1"), a_hold("rq_2"), a_hold("rq_3")], list[str]()

    def append(record: Record) -> None:
        if record.id == "rq_2" and len(written) == 1:
            raise StoreError("no room")
        written.append(record.id)

    with pytest.raises(StoreError):
        expire_holds(left, START_US + DAY_US, append)
    append(a_record(id="rq_other"))
    assert expire_holds(left, START_US + DAY_US, append) == 2
    assert written == ["rq_1", "rq_other", "rq_2", "rq_3"]


def test_a_hold_of_before_holds_had_a_kind_is_read(engine: Engine) -> None:
    hold = a_hold("rq_1")
    entry = msgspec.msgpack.encode(msgspec.to_builtins(hold)[:-1])
    row = {"id": hold.id, "entry": entry, "lease_us": hold.lease_us}
    with engine.begin() as connection:
        connection.execute(insert(holds_table).values(row))
    assert read_holds(engine) == [hold]
    assert hold.kind == "generate"
