from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine

from roadworthy.errors import RequestError, StoreError
from roadworthy.store.actions import append_action, list_actions, verify_chain
from roadworthy.store.backup import back_up
from roadworthy.store.state import SCHEMA, find_schema, open_state
from roadworthy.types import SystemClock

CLOCK = SystemClock()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_state(f"sqlite:///{tmp_path / 'state.db'}")
    yield engine
    engine.dispose()


def test_a_backup_is_one_file_that_opens_as_a_state(engine: Engine, tmp_path: Path) -> None:
    append_action(engine, CLOCK, "ada", "release.promote", "triage@1")
    folder = tmp_path / "copies"
    folder.mkdir()
    size = back_up(engine, folder / "copy.db")
    assert [path.name for path in folder.iterdir()] == ["copy.db"]
    assert (folder / "copy.db").stat().st_size == size
    copy = open_state(f"sqlite:///{folder / 'copy.db'}")
    assert [act.subject for act in list_actions(copy)] == ["triage@1"]
    copy.dispose()


def test_a_backup_is_whole_while_the_state_is_written(engine: Engine, tmp_path: Path) -> None:
    written = threading.Event()
    ended = threading.Event()

    def write() -> None:
        while not ended.is_set():
            append_action(engine, CLOCK, "ada", "release.promote", "triage@1")
            written.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert written.wait(5)
        for number in range(5):
            back_up(engine, tmp_path / f"{number}.db")
    finally:
        ended.set()
        writer.join()
    lengths = []
    for number in range(5):
        copy = open_state(f"sqlite:///{tmp_path / f'{number}.db'}")
        chain = verify_chain(copy)
        assert chain.problem == ""
        lengths.append(chain.length)
        copy.dispose()
    assert lengths == sorted(lengths)


def test_what_is_there_is_not_replaced(engine: Engine, tmp_path: Path) -> None:
    back_up(engine, tmp_path / "copy.db")
    with pytest.raises(RequestError, match="expected the name of a new file"):
        back_up(engine, tmp_path / "copy.db")


def test_a_place_that_is_not_there_is_told_and_nothing_is_left(
    engine: Engine, tmp_path: Path
) -> None:
    with pytest.raises(StoreError, match="expected a place for the backup that can be written"):
        back_up(engine, tmp_path / "nowhere" / "copy.db")
    assert not (tmp_path / "nowhere").exists()


def test_what_an_interrupted_backup_left_is_no_hindrance(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / ".copy.db.unfinished").write_bytes(b"half of it")
    back_up(engine, tmp_path / "copy.db")
    assert not (tmp_path / ".copy.db.unfinished").exists()


def test_only_sqlite_is_copied(tmp_path: Path) -> None:
    other = create_engine("postgresql+pg8000://", module=sqlite3)
    with pytest.raises(StoreError, match="pg_dump"):
        back_up(other, tmp_path / "copy.db")


def test_the_schema_of_a_state_is_found_without_making_one(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new' / 'state.db'}"
    assert find_schema(url) == ""
    assert not (tmp_path / "new").exists()
    open_state(url).dispose()
    assert find_schema(url) == SCHEMA


def test_what_is_no_state_is_told(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(b"no database at all, but long enough to be read" * 50)
    with pytest.raises(StoreError, match="expected a state that can be opened"):
        find_schema(f"sqlite:///{tmp_path / 'state.db'}")
