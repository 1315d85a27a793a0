from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import StaticPool

from roadworthy.errors import StoreError
from roadworthy.store.actions import list_actions
from roadworthy.store.schema import metadata
from roadworthy.store.state import open_state
from roadworthy.store.switchboard import Stop, Switchboard
from roadworthy.types import SettableClock

CLOCK = SettableClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture(params=["by the driver", "by SQLAlchemy"])
def engine(path: Path, request: pytest.FixtureRequest) -> Iterator[Engine]:
    if request.param == "by the driver":
        engine = open_state(f"sqlite:///{path}")
    else:
        # A database in memory has one connection only, so it is polled as Postgres would be.
        arguments = {"check_same_thread": False}
        engine = create_engine("sqlite://", poolclass=StaticPool, connect_args=arguments)
        metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def board(engine: Engine) -> Iterator[Switchboard]:
    board = Switchboard(engine, CLOCK)
    yield board
    board.close()


@pytest.fixture
def other(engine: Engine) -> Iterator[Switchboard]:
    other = Switchboard(engine, CLOCK)
    yield other
    other.close()


def test_a_pointer_that_was_never_set_is_empty(board: Switchboard) -> None:
    assert board.get("champion:svc") == ""
    assert board.epoch_of("champion:svc") == 0
    assert not board.poll()


def test_a_pointer_set_by_one_is_seen_by_the_others_next_poll(
    board: Switchboard, other: Switchboard
) -> None:
    other.set("champion:svc", "svc@1", by="ada")
    assert board.get("champion:svc") == ""
    assert board.poll()
    assert board.get("champion:svc") == "svc@1"


def test_a_change_is_told_once_also_to_whoever_made_it(board: Switchboard) -> None:
    board.set("champion:svc", "svc@1", by="ada")
    assert board.poll()
    assert not board.poll()
    assert board.get("champion:svc") == "svc@1"


def test_several_changes_between_two_polls_are_all_seen(
    board: Switchboard, other: Switchboard
) -> None:
    other.set("champion:a", "a@1", by="ada")
    other.set("champion:b", "b@1", by="ada")
    other.set("champion:a", "a@2", by="ada")
    assert board.poll()
    assert (board.get("champion:a"), board.get("champion:b")) == ("a@2", "b@1")
    assert not board.poll()


def test_the_epoch_of_a_pointer_grows_only_with_its_own_changes(board: Switchboard) -> None:
    board.set("champion:a", "a@1", by="ada")
    board.set("champion:b", "b@1", by="ada")
    board.poll()
    a, b = board.epoch_of("champion:a"), board.epoch_of("champion:b")
    board.set("champion:a", "a@2", by="ada")
    board.poll()
    assert 0 < a < b < board.epoch_of("champion:a")
    assert board.epoch_of("champion:b") == b


def test_setting_a_pointer_writes_down_who_moved_it_from_where(
    board: Switchboard, engine: Engine
) -> None:
    board.set("champion:svc", "svc@1", by="ada")
    board.set("champion:svc", "svc@2", by="bob")
    (action, _) = list_actions(engine)
    assert (action.action, action.by, action.subject) == ("switchboard.set", "bob", "champion:svc")
    assert action.detail == {"from": "svc@1", "to": "svc@2", "reason": ""}


def test_a_service_is_stopped_and_resumed(board: Switchboard, other: Switchboard) -> None:
    other.stop("svc", by="ada", reason="wrong fares")
    assert board.poll()
    stop = board.stopped("svc")
    assert stop is not None
    assert (stop.by, stop.reason) == ("ada", "wrong fares")
    assert 0 <= CLOCK.now_us() - stop.since_us < 60_000_000
    other.resume("svc", by="bob")
    assert board.poll()
    assert board.stopped("svc") is None


def test_stopping_one_model_leaves_the_service_and_its_other_models(board: Switchboard) -> None:
    board.stop("svc", "org/big", by="ada")
    board.poll()
    assert board.stopped("svc", "org/big") is not None
    assert board.stopped("svc", "small") is None
    assert board.stopped("svc") is None


def test_stopping_and_resuming_are_written_down(board: Switchboard, engine: Engine) -> None:
    board.stop("svc", "big", by="ada", reason="too dear")
    board.resume("svc", "big", by="bob", reason="price fell")
    resumed, stopped = list_actions(engine)
    assert (stopped.action, stopped.by, stopped.subject) == ("service.stop", "ada", "stop:svc/big")
    assert stopped.detail["reason"] == "too dear"
    assert (resumed.action, resumed.by) == ("service.resume", "bob")


def test_whatever_stands_in_a_stop_stops(board: Switchboard) -> None:
    board.set("stop:svc", "by hand", by="ada")
    board.poll()
    assert board.stopped("svc") == Stop("", 0, "by hand")


def test_while_the_store_cannot_be_read_the_pointers_stay_and_the_trouble_shows(
    path: Path,
) -> None:
    engine = open_state(f"sqlite:///{path}")
    board = Switchboard(engine, CLOCK)
    board.set("champion:svc", "svc@1", by="ada")
    board.poll()
    alter(path, "ALTER TABLE switchboard RENAME TO lost")
    assert not board.poll()
    assert "no such table" in board.trouble
    assert board.get("champion:svc") == "svc@1"
    alter(path, "ALTER TABLE lost RENAME TO switchboard")
    board.poll()
    assert board.trouble == ""
    board.close()
    engine.dispose()


def test_a_store_without_the_table_is_refused_at_once(path: Path) -> None:
    sqlite3.connect(path).close()
    engine = create_engine(f"sqlite:///{path}")
    with pytest.raises(StoreError, match="no such table"):
        Switchboard(engine, CLOCK)
    engine.dispose()


def test_a_store_that_is_not_there_is_refused_and_not_made(path: Path) -> None:
    engine = create_engine(f"sqlite:///{path}")
    with pytest.raises(StoreError, match="unable to open"):
        Switchboard(engine, CLOCK)
    assert not path.exists()
    engine.dispose()


def alter(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.close()
