from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, event, func, select
from sqlalchemy.exc import OperationalError
from store_samples import (
    CLOCK,
    HOUR_US,
    START_US,
    a_hold,
    a_record,
    an_outcome,
    settled,
    some_records,
)
from store_samples import records as any_records

from roadworthy.errors import StoreError
from roadworthy.store.records import outcomes_of, read_bodies, read_record
from roadworthy.store.rollups import summarise, verify_hours
from roadworthy.store.spending import expire_holds, read_holds, read_spending
from roadworthy.store.spool import Spool
from roadworthy.store.state import open_state
from roadworthy.store.tables import records, spool_positions
from roadworthy.store.writer import BATCH, Writer
from roadworthy.types import DAY_US, Arm, Record, SpoolEntry

DAY = START_US - START_US % DAY_US
EVER = (START_US - HOUR_US, START_US + 10 * HOUR_US)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_state(f"sqlite:///{tmp_path / 'state.db'}")
    yield engine
    engine.dispose()


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "spool", CLOCK)
    yield spool
    spool.close()


@pytest.fixture
def writer(spool: Spool, engine: Engine) -> Writer:
    return Writer(spool, engine, (), CLOCK)


def fill(spool: Spool, entries: Sequence[SpoolEntry]) -> None:
    for entry in entries:
        spool.append(entry)


def count(engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(records)).scalar_one()


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait for what a thread does, at most 10 s."""
    done = threading.Event()
    for _ in range(1000):
        if condition():
            return
        done.wait(0.01)
    raise AssertionError("it did not happen within 10 s")


def test_everything_a_record_holds_is_stored(spool: Spool, engine: Engine, writer: Writer) -> None:
    record = a_record(tags=("web",), timings={"call": 5}, input=b'{"a":1}', output=b"2")
    fill(spool, [record, an_outcome(record.id, {"late": [True]})])
    assert writer.drain() == 2
    body = {"input": None, "output": None}
    assert read_record(engine, record.id) == msgspec.structs.replace(record, **body)
    assert read_bodies(engine, record.id) == (b'{"a":1}', b"2")
    assert [o.value for o in outcomes_of(engine, record.id)] == [{"late": [True]}]
    assert writer.drain() == 0


@given(st.lists(any_records, max_size=20))
@settings(max_examples=15, deadline=None)
def test_every_record_is_read_back_equal_and_adds_up(
    tmp_path_factory: pytest.TempPathFactory, given: list[Record]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    engine = open_state(f"sqlite:///{folder / 'state.db'}")
    spool = Spool(folder / "spool", CLOCK)
    fill(spool, given)
    Writer(spool, engine, (), CLOCK).drain()
    for record in given:
        found = read_record(engine, record.id)
        bodies = dict(zip(("input", "output"), read_bodies(engine, record.id), strict=True))
        assert msgspec.structs.replace(found, **bodies) == record
    assert verify_hours(engine, *EVER) == {}
    assert summarise(engine, arms=get_args(Arm)).requests == len(given)
    spool.close()
    engine.dispose()


def test_a_batch_is_stored_with_its_sums_or_not_at_all(
    spool: Spool, engine: Engine, writer: Writer
) -> None:
    fill(spool, [settled(r, 7) for r in some_records(3 * BATCH)])
    fail_at = 3  # the first is that of the position

    def fail(connection: object, *_: object) -> None:
        nonlocal fail_at
        fail_at -= 1
        if not fail_at:
            raise KeyboardInterrupt  # nothing in the writer expects this one

    event.listen(engine, "commit", fail)
    with pytest.raises(KeyboardInterrupt):
        writer.drain()
    event.remove(engine, "commit", fail)
    stored = count(engine)
    assert stored < 3 * BATCH
    assert summarise(engine).requests == stored
    assert read_spending(engine, DAY) == {"service:delay": 7 * stored}
    again = Writer(spool, engine, (), CLOCK)
    assert again.drain() == 3 * BATCH - stored
    assert read_spending(engine, DAY) == {"service:delay": 21 * BATCH}
    assert verify_hours(engine, *EVER) == {}


def test_a_failure_at_any_statement_loses_and_doubles_nothing(
    spool: Spool, engine: Engine, writer: Writer
) -> None:
    hold, entries = a_hold("rq_0"), [hold_then_record(k) for k in range(5)]
    left = 0

    def fail(*_: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise RuntimeError("something nobody thought of")

    event.listen(engine, "before_cursor_execute", fail)
    failures = 0
    for statement in range(1, 100):
        fill(spool, [hold, *(entry for pair in entries for entry in pair)])
        left = statement
        try:
            writer.drain()
        except RuntimeError:
            failures += 1
            left = 0
            writer.drain()
        else:
            break
    event.remove(engine, "before_cursor_execute", fail)
    assert failures > 5
    assert count(engine) == summarise(engine).requests == 5
    assert read_spending(engine, DAY) == {"service:delay": 35}
    assert read_holds(engine) == [hold]
    assert writer.trouble == ""


def hold_then_record(k: int) -> tuple[SpoolEntry, SpoolEntry]:
    record = settled(a_record(START_US + k, user=f"u{k}", input=b"{}"), 7)
    return a_hold(record.id), record


def test_a_start_after_an_abrupt_end_replays_what_is_missing_and_nothing_twice(
    tmp_path: Path, engine: Engine
) -> None:
    first, second = some_records(BATCH), some_records(BATCH)
    abandoned = Spool(tmp_path / "spool", CLOCK)
    fill(abandoned, first)
    Writer(abandoned, engine, (), CLOCK).drain()
    fill(abandoned, second)  # and here the process ends
    spool = Spool(tmp_path / "spool", CLOCK)
    writer = Writer(spool, engine, (), CLOCK)
    assert writer.lag.bytes > 0
    assert writer.drain() == BATCH
    assert writer.lag == (0.0, 0)
    assert count(engine) == summarise(engine).requests == 2 * BATCH
    spool.close()
    abandoned.close()


@pytest.mark.parametrize("forgotten", [True, False])
def test_records_that_are_replayed_count_once_even_if_the_position_is_lost(
    spool: Spool, engine: Engine, writer: Writer, forgotten: bool
) -> None:
    entries: list[SpoolEntry] = []
    holds = []
    for record in some_records(20):
        holds.append(a_hold(record.id))
        entries += [holds[-1], settled(record, 7), an_outcome(record.id)]
    fill(spool, entries)
    writer.drain()
    if forgotten:
        with engine.begin() as connection:
            connection.execute(spool_positions.delete())
    else:
        fill(spool, entries)
    seen: list[SpoolEntry] = []
    again = Writer(spool, engine, [seen.extend], CLOCK)
    again.drain()
    assert count(engine) == summarise(engine).requests == 20
    assert read_spending(engine, DAY) == {"service:delay": 140}
    assert read_holds(engine) == []
    assert len(outcomes_of(engine, holds[0].id)) == 1
    assert not [entry for entry in seen if isinstance(entry, Record)]


def test_the_same_record_twice_in_one_batch_counts_once(
    spool: Spool, engine: Engine, writer: Writer
) -> None:
    record = settled(a_record(), 7)
    fill(spool, [record, record])
    writer.drain()
    assert summarise(engine).requests == 1
    assert read_spending(engine, DAY) == {"service:delay": 7}


def test_an_open_hold_is_kept_until_its_record_comes(
    spool: Spool, engine: Engine, writer: Writer
) -> None:
    record = a_record()
    hold = a_hold(record.id)
    spool.append(hold)
    writer.drain()
    assert read_holds(engine) == [hold]
    spool.append(settled(record, 7))
    writer.drain()
    assert read_holds(engine) == []
    assert read_spending(engine, DAY) == {"service:delay": 7}


def test_a_request_given_up_as_lost_is_counted_as_what_it_was_when_it_comes_after_all(
    spool: Spool, engine: Engine, writer: Writer
) -> None:
    record = settled(a_record(team="ops"), 7)
    spool.append(a_hold(record.id, lease_s=1))
    writer.drain()
    assert expire_holds(read_holds(engine), START_US + HOUR_US, spool.append) == 1
    writer.drain()
    assert read_record(engine, record.id).error_code == "lost"
    assert read_holds(engine) == []
    assert summarise(engine).failed == 1
    fill(spool, [record, record])
    writer.drain()
    assert read_record(engine, record.id) == record
    assert summarise(engine).failed == 0
    assert summarise(engine).answered == 1
    assert read_spending(engine, DAY) == {"service:delay": 7}
    assert verify_hours(engine, *EVER) == {}


def test_a_record_that_came_is_not_given_up_as_lost(
    spool: Spool, engine: Engine, writer: Writer
) -> None:
    record = settled(a_record(), 7)
    spool.append(a_hold(record.id, lease_s=1))
    writer.drain()
    spool.append(record)  # in the spool, when the job looks at the database
    expire_holds(read_holds(engine), START_US + HOUR_US, spool.append)
    writer.drain()
    assert read_record(engine, record.id) == record
    assert read_holds(engine) == []


@pytest.mark.parametrize("where", ["input_tokens", "latency_us"])
def test_an_entry_the_database_never_takes_is_set_aside(
    spool: Spool, engine: Engine, writer: Writer, where: str
) -> None:
    good = some_records(3)
    bad = a_record(**{where: 2**63})
    fill(spool, [good[0], bad, *good[1:]])
    assert writer.drain() == 4
    assert count(engine) == summarise(engine).requests == 3
    assert "rejected" in writer.trouble
    assert bad.id.encode() in (spool.folder / "rejected").read_bytes()


@pytest.fixture
def impatient(engine: Engine) -> Engine:
    """Let a locked database be noticed after 10 ms."""
    event.listen(engine, "checkout", lambda raw, *_: raw.execute("PRAGMA busy_timeout = 10"))
    return engine


def test_a_locked_database_is_said_and_waited_for(
    spool: Spool, impatient: Engine, writer: Writer
) -> None:
    fill(spool, some_records(5))
    with impatient.connect() as other:
        other.exec_driver_sql("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="database is locked"):
            writer.drain()
        assert writer.trouble == "records wait in the spool: database is locked"
        assert writer.lag.bytes > 0
        fill(spool, some_records(5))
    assert writer.drain() == 10
    assert writer.trouble == ""
    assert count(impatient) == 10


def test_nothing_is_said_to_wait_in_a_spool_that_is_gone(spool: Spool, writer: Writer) -> None:
    fill(spool, some_records(5))
    shutil.rmtree(spool.folder)
    with pytest.raises(StoreError, match=r"^records are not stored: expected a spool that can be"):
        writer.drain()
    assert "wait in the spool" not in writer.trouble


def test_a_full_database_is_said_and_waited_for(
    spool: Spool, engine: Engine, writer: Writer
) -> None:
    with engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    limit = [pages]
    event.listen(
        engine, "checkout", lambda raw, *_: raw.execute(f"PRAGMA max_page_count = {limit[0]}")
    )
    fill(spool, some_records(300))
    with pytest.raises(StoreError, match="disk is full"):
        writer.drain()
    assert "disk is full" in writer.trouble
    limit[0] = 1_000_000
    assert writer.drain() == 300
    assert summarise(engine).requests == count(engine) == 300


def test_the_thread_drains_by_itself_and_goes_on_after_trouble(
    spool: Spool, impatient: Engine, writer: Writer
) -> None:
    writer.start()
    try:
        with impatient.connect() as other:
            other.exec_driver_sql("BEGIN IMMEDIATE")
            fill(spool, some_records(5))
            wait_for(lambda: "locked" in writer.trouble)
        wait_for(lambda: count(impatient) == 5)
        wait_for(lambda: writer.trouble == "")
        fill(spool, some_records(5))
        writer.wake()
        wait_for(lambda: count(impatient) == 10)
    finally:
        writer.stop()
    assert summarise(impatient).requests == count(impatient) == 10


def test_an_error_nobody_expected_is_said_and_does_not_end_the_thread(
    spool: Spool, engine: Engine, writer: Writer
) -> None:
    def fail(connection: object) -> None:
        raise RuntimeError("something nobody thought of")

    event.listen(engine, "commit", fail)
    fill(spool, some_records(5))
    writer.start()
    try:
        wait_for(lambda: "something nobody thought of" in writer.trouble)
        event.remove(engine, "commit", fail)
        wait_for(lambda: count(engine) == 5)
        wait_for(lambda: writer.trouble == "")
    finally:
        writer.stop()
    assert summarise(engine).requests == count(engine) == 5


def test_stopping_drains_what_is_there(spool: Spool, engine: Engine, writer: Writer) -> None:
    writer.start()
    fill(spool, some_records(2 * BATCH))
    writer.stop()
    assert count(engine) == 2 * BATCH


def test_sinks_see_what_was_stored_and_cannot_stop_the_writer(
    spool: Spool, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(entries: Sequence[SpoolEntry]) -> None:
        raise ValueError("no collector")

    seen: list[SpoolEntry] = []
    writer = Writer(spool, engine, [broken, seen.extend], CLOCK)
    records = some_records(2 * BATCH)
    fill(spool, records)
    writer.drain()
    assert seen == records
    assert len([line for line in caplog.records if "a sink failed" in line.message]) == 1


@pytest.mark.parametrize(("kept", "is_early"), [(0, True), (0, False), (1, False)])
def test_a_folder_that_was_emptied_or_put_back_hides_no_new_records(
    tmp_path: Path, engine: Engine, kept: int, is_early: bool
) -> None:
    folder = tmp_path / "spool"
    spool = Spool(folder, CLOCK, segment_bytes=2000 if kept else 1 << 20)
    fill(spool, some_records(40))
    copies = {path: path.read_bytes() for path in sorted(folder.glob("*.spool"))[:kept]}
    Writer(spool, engine, (), CLOCK).drain()
    spool.close()
    for path in folder.glob("*.spool"):
        path.unlink()
    for path, content in copies.items():
        path.write_bytes(content)
    spool = Spool(folder, CLOCK)
    writer = Writer(spool, engine, (), CLOCK)
    if not is_early:
        writer.drain()
    fill(spool, some_records(60))
    writer.drain()
    assert count(engine) == summarise(engine).requests == 100
    spool.close()


def test_a_second_process_that_drains_the_same_spool_is_noticed(
    spool: Spool, engine: Engine, writer: Writer
) -> None:
    fill(spool, some_records(5))
    writer.drain()
    fill(spool, some_records(5))
    Writer(spool, engine, (), CLOCK).drain()
    fill(spool, some_records(5))
    with pytest.raises(StoreError, match="expected one process to drain this spool"):
        writer.drain()
    assert writer.drain() == 5, "from where the other one ended"
    assert count(engine) == summarise(engine).requests == 15


def test_a_commit_that_happened_though_it_failed_is_not_repeated(
    spool: Spool, engine: Engine, writer: Writer
) -> None:
    writer.drain()

    def commit_and_fail(connection: Connection) -> None:
        event.remove(engine, "commit", commit_and_fail)
        connection.connection.commit()
        raise OperationalError("COMMIT", None, sqlite3.OperationalError("disk I/O error"))

    event.listen(engine, "commit", commit_and_fail)
    fill(spool, some_records(5))
    with pytest.raises(StoreError, match="disk I/O error"):
        writer.drain()
    fill(spool, some_records(5))
    assert writer.drain() == 5
    assert count(engine) == summarise(engine).requests == 10


def test_an_entry_that_cannot_be_decoded_is_set_aside_once(
    spool: Spool, engine: Engine, writer: Writer
) -> None:
    spool.append(msgspec.Raw(b"\xc0"))  # type: ignore[arg-type]
    for _ in range(3):
        writer.drain()
    assert writer.lag.bytes == 0
    assert (spool.folder / "rejected").stat().st_size == 9
    fill(spool, some_records(5))
    assert writer.drain() == 5


def test_a_spool_may_move_with_its_project(tmp_path: Path, engine: Engine) -> None:
    spool = Spool(tmp_path / "spool", CLOCK)
    fill(spool, some_records(10))
    Writer(spool, engine, (), CLOCK).drain()
    spool.close()
    (tmp_path / "spool").rename(tmp_path / "elsewhere")
    spool = Spool(tmp_path / "elsewhere", CLOCK)
    assert Writer(spool, engine, (), CLOCK).drain() == 0
    spool.close()


def test_drained_segments_are_deleted(tmp_path: Path, engine: Engine) -> None:
    spool = Spool(tmp_path / "spool", CLOCK, segment_bytes=10_000)
    fill(spool, some_records(500))
    assert len(list(spool.folder.glob("*.spool"))) > 5
    Writer(spool, engine, (), CLOCK).drain()
    assert len(list(spool.folder.glob("*.spool"))) == 1
    spool.close()


def test_the_lag_is_how_long_the_oldest_entry_waits(
    spool: Spool, impatient: Engine, writer: Writer
) -> None:
    writer.drain()
    assert writer.lag == (0.0, 0)
    fill(spool, some_records(1))
    lag = writer.lag
    assert lag.bytes == spool.end.offset
    assert 0 < lag.seconds < 10


CRASHING = """
import os, sys, threading
sys.path.insert(0, {samples!r})
from pathlib import Path
from store_samples import CLOCK, a_hold, a_record, settled
from roadworthy.store.spool import Spool
from roadworthy.store.state import open_state
from roadworthy.store.writer import Writer
spool = Spool(Path({folder!r}) / "spool", CLOCK)
writer = Writer(spool, open_state("sqlite:///" + {folder!r} + "/state.db"), (), CLOCK)
writer.drain()
writer.start()
while True:
    record = settled(a_record(), 7)
    spool.append(a_hold(record.id))
    spool.append(record)
    os.write(1, (record.id + "\\n").encode())
"""


@pytest.mark.slow
def test_kill_9_under_load_loses_and_doubles_nothing(tmp_path: Path) -> None:
    open_state(f"sqlite:///{tmp_path / 'state.db'}").dispose()
    code = CRASHING.format(samples=str(Path(__file__).parent), folder=str(tmp_path))
    said: list[str] = []
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            said += [process.stdout.readline().decode().strip() for _ in range(3 * BATCH)]
            process.send_signal(signal.SIGKILL)
            said += process.stdout.read().decode().split("\n")[:-1]
    engine = open_state(f"sqlite:///{tmp_path / 'state.db'}")
    spool = Spool(tmp_path / "spool", CLOCK)
    writer = Writer(spool, engine, (), CLOCK)
    writer.drain()
    with engine.connect() as connection:
        found = set(connection.execute(select(records.c.id)).scalars())
    assert found >= set(said)
    assert len(found) - len(said) <= 3
    assert summarise(engine).requests == len(found)
    assert sum(read_spending(engine, DAY).values()) == 7 * len(found)
    assert len(read_holds(engine)) <= 3
    assert verify_hours(engine, *EVER) == {}
    assert writer.trouble == ""
    spool.close()
    engine.dispose()
