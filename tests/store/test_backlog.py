from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine
from store_samples import a_record

from roadworthy.store.backlog import find_backlog
from roadworthy.store.spool import Spool
from roadworthy.store.state import open_state
from roadworthy.store.writer import Writer
from roadworthy.types import SystemClock

CLOCK = SystemClock()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_state(f"sqlite:///{tmp_path / 'state.db'}")
    yield engine
    engine.dispose()


def test_without_a_spool_nothing_waits(engine: Engine, tmp_path: Path) -> None:
    assert find_backlog(tmp_path / "spool", engine) == 0


def test_it_is_what_the_writer_itself_would_say(engine: Engine, tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", CLOCK)
    writer = Writer(spool, engine, (), CLOCK)
    try:
        for number in range(3):
            spool.append(a_record(number))
        assert find_backlog(spool.folder, engine) == writer.lag.bytes > 0
        writer.drain()
        assert find_backlog(spool.folder, engine) == writer.lag.bytes == 0
        spool.append(a_record(3))
        spool.rotate()
        spool.append(a_record(4))
        assert find_backlog(spool.folder, engine) == writer.lag.bytes > 0
    finally:
        spool.close()


def test_what_a_killed_process_left_waits(engine: Engine, tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", CLOCK)
    spool.append(a_record(1))
    left = find_backlog(spool.folder, engine)
    spool.close()
    following = Spool(tmp_path / "spool", CLOCK)
    assert find_backlog(following.folder, engine) == left > 0
    following.close()
