"""What tells what users got counts the answers that were shown, and no others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Engine
from store_samples import START_US, a_hold, a_record

from roadworthy.improve.said import read_asked
from roadworthy.review.labels import Label, import_labels
from roadworthy.store.records import find_ends, find_records, outcomes_of, record_row
from roadworthy.store.rollups import (
    add_cells,
    read_failures,
    read_hours,
    rebuild_hours,
    summarise,
    summarise_by,
    tally,
    verify_hours,
)
from roadworthy.store.spending import expire_holds
from roadworthy.store.state import insert_rows, open_state
from roadworthy.store.tables import bodies, record_tags, records
from roadworthy.types import DAY_US, HOUR_US, SHOWN, Arm, Record, SettableClock

ARMS: tuple[Arm, ...] = ("champion", "candidate", "shadow", "audit")
UNTIL_US = START_US + HOUR_US


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_state(f"sqlite:///{tmp_path / 'state.db'}")
    yield engine
    engine.dispose()


@pytest.fixture
def stored(engine: Engine) -> list[Record]:
    """Store a request of each arm, of which those failed that nobody was shown."""
    given = [
        a_record(
            START_US + number,
            arm=arm,
            disposition="answered" if arm in SHOWN else "failed",
            cost_micro=10**number,
            is_late=arm not in SHOWN,
            user="ann",
            tags=("web",),
        )
        for number, arm in enumerate(ARMS)
    ]
    with engine.begin() as connection:
        insert_rows(connection, records, [record_row(record) for record in given])
        insert_rows(connection, record_tags, [("web", record.id) for record in given])
        add_cells(connection, tally(given))
    return given


def test_sums_leave_out_what_nobody_was_shown(engine: Engine, stored: list[Record]) -> None:
    found = summarise(engine, "delay")
    assert (found.requests, found.failed, found.late, found.cost_micro) == (2, 0, 0, 11)
    for by in ("service", "user", "tag", "key"):
        assert {f.requests for f in summarise_by(engine, by).values()} == {2}
    assert summarise(engine, by="user", value="ann").requests == 2


def test_one_may_ask_for_them(engine: Engine, stored: list[Record]) -> None:
    assert summarise(engine, arms=("shadow",)).cost_micro == 100
    assert summarise(engine, arms=ARMS).requests == 4
    by_arm = summarise_by(engine, "arm", arms=ARMS)
    assert {arm: found.requests for arm, found in by_arm.items()} == dict.fromkeys(ARMS, 1)


def test_hours_and_error_budgets_leave_them_out(engine: Engine, stored: list[Record]) -> None:
    (hour,) = read_hours(engine, ["delay"], START_US - HOUR_US, UNTIL_US)["delay"]
    assert (hour.requests, hour.failed, hour.late, hour.cost_micro) == (2, 0, 0, 11)
    failures = read_failures(engine, ["delay"], START_US - HOUR_US, UNTIL_US)["delay"]
    assert (failures.requests, failures.failed) == (2, 0)


def test_lists_leave_them_out_but_who_names_one_finds_it(
    engine: Engine, stored: list[Record]
) -> None:
    shown = {record.id for record in stored if record.arm in SHOWN}
    assert {record.id for record in find_records(engine)} == shown
    assert {record.id for record in find_records(engine, user="ann", tag="web")} == shown
    assert find_records(engine, disposition="failed") == []
    assert len(find_records(engine, arms=ARMS)) == 4
    for record in stored:
        assert [found.id for found in find_records(engine, id=record.id)] == [record.id]


def test_causes_leave_them_out(engine: Engine, stored: list[Record]) -> None:
    assert len(find_ends(engine, since_us=START_US - HOUR_US, limit=10)) == 2
    failed = find_ends(engine, disposition="failed", since_us=START_US - HOUR_US, limit=10)
    assert failed == []


def test_what_is_checked_and_rebuilt_is_all_of_it(engine: Engine, stored: list[Record]) -> None:
    assert verify_hours(engine, START_US - DAY_US, START_US + DAY_US) == {}
    assert rebuild_hours(engine, START_US - DAY_US, START_US + DAY_US) == 0


def test_a_label_about_an_entity_is_of_what_was_shown(engine: Engine, stored: list[Record]) -> None:
    with engine.begin() as connection:
        rows = [(record.id, b'{"flight":"7"}', None) for record in stored]
        insert_rows(connection, bodies, rows)
    clock = SettableClock()
    clock.set(START_US + DAY_US)
    label = Label(row=1, entity={"flight": "7"}, label=True, at_us=START_US + HOUR_US)
    import_labels(engine, clock, [label], service="delay", by="test")
    labelled = {record.arm for record in stored if outcomes_of(engine, record.id)}
    assert labelled == set(SHOWN)


def test_nothing_is_learned_from_them(engine: Engine, stored: list[Record]) -> None:
    with engine.connect() as connection:
        found = read_asked(connection, [record.id for record in stored])
    assert {one.record.arm for one in found.values()} <= set(SHOWN)


def test_a_shadow_that_a_crash_took_is_no_request_of_a_user() -> None:
    kept: list[Record] = []
    ours = a_hold("rq_2")
    holds = [msgspec.structs.replace(a_hold("rq_1"), scopes=("shadow:delay",)), ours]
    expire_holds(holds, ours.lease_us, kept.append)
    assert [(record.error_code, record.arm) for record in kept] == [
        ("lost", "shadow"),
        ("lost", "champion"),
    ]
