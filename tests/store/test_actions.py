from __future__ import annotations

import hashlib
import json
import multiprocessing
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import IntegrityError

from roadworthy.store.actions import GENESIS, append_action, list_actions, verify_chain
from roadworthy.store.state import open_state
from roadworthy.types import SettableClock, SystemClock

CLOCK = SettableClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def engine(path: Path) -> Iterator[Engine]:
    engine = open_state(f"sqlite:///{path}")
    yield engine
    engine.dispose()


@pytest.fixture
def five(engine: Engine) -> Engine:
    for number in range(1, 6):
        append_action(engine, CLOCK, "key:k_1", "test.act", f"s{number}", {"n": number})
    return engine


def edit(path: Path, *statements: str) -> None:
    """Change the file as somebody would who has its path, a SQLite shell and bad intentions."""
    disarm = [f"DROP TRIGGER actions_no_{act}" for act in ("update", "delete")]
    with sqlite3.connect(path) as connection:
        for statement in (*disarm, *statements):
            connection.execute(statement)
    connection.close()


def test_an_action_keeps_who_did_what_to_what_and_when(engine: Engine) -> None:
    clock = SettableClock()
    clock.set(1_365_000_000_000_000)
    append_action(engine, clock, "ada", "release.promote", "svc@1", {"b": [1], "a": "é"})
    (action,) = list_actions(engine)
    assert (action.seq, action.by, action.action, action.subject) == (
        1,
        "ada",
        "release.promote",
        "svc@1",
    )
    assert action.detail == {"a": "é", "b": [1]}
    assert 0 <= action.at_us - 1_365_000_000_000_000 < 10_000_000


def test_each_action_carries_the_hash_of_its_content_and_of_the_one_before(five: Engine) -> None:
    previous = GENESIS
    for a in reversed(list_actions(five)):
        detail = json.dumps(a.detail, separators=(",", ":"))
        content = [a.seq, a.at_us, a.by, a.action, a.subject, detail, previous]
        text = json.dumps(content, separators=(",", ":"), ensure_ascii=False)
        assert a.previous == previous
        assert a.hash == hashlib.sha256(text.encode()).hexdigest()
        previous = a.hash


def test_an_untouched_chain_holds_and_names_its_head(five: Engine) -> None:
    chain = verify_chain(five)
    assert (chain.length, chain.broken_at, chain.problem) == (5, None, "")
    assert chain.head == list_actions(five)[0].hash


def test_an_empty_chain_holds(engine: Engine) -> None:
    assert verify_chain(engine).head == GENESIS


def test_a_chain_longer_than_a_page_is_walked_to_its_end(engine: Engine, path: Path) -> None:
    with engine.begin() as connection:
        for number in range(2_005):
            append_action(connection, CLOCK, "ada", "test.act", str(number))
    assert verify_chain(engine).length == 2_005
    edit(path, "UPDATE actions SET subject = 'x' WHERE seq = 2003")
    assert verify_chain(engine).broken_at == 2_003


@pytest.mark.parametrize(
    "change",
    [
        "at_us = at_us + 1",
        "by = 'mallory'",
        "action = 'test.other'",
        "subject = 's4'",
        "detail = '{\"n\":4}'",
        "detail = '{\"n\": 3}'",
        f"hash = '{'1' * 64}'",
        f"previous = '{'1' * 64}'",
    ],
)
def test_a_changed_row_breaks_the_chain_at_its_number(
    five: Engine, path: Path, change: str
) -> None:
    edit(path, f"UPDATE actions SET {change} WHERE seq = 3")
    chain = verify_chain(five)
    assert (chain.length, chain.broken_at) == (2, 3)
    assert "action 3" in chain.problem


def test_a_row_changed_with_its_hash_made_to_fit_breaks_the_chain_at_the_next(
    five: Engine, path: Path
) -> None:
    three = list_actions(five)[2]
    content = [3, three.at_us, "mallory", three.action, three.subject, '{"n":3}', three.previous]
    text = json.dumps(content, separators=(",", ":"))
    fitting = hashlib.sha256(text.encode()).hexdigest()
    edit(path, f"UPDATE actions SET by = 'mallory', hash = '{fitting}' WHERE seq = 3")
    chain = verify_chain(five)
    assert chain.broken_at == 4
    assert "action 4 does not follow from action 3" in chain.problem


@pytest.mark.parametrize("seq", [1, 3])
def test_a_removed_row_breaks_the_chain_where_it_was(five: Engine, path: Path, seq: int) -> None:
    edit(path, f"DELETE FROM actions WHERE seq = {seq}")
    chain = verify_chain(five)
    assert chain.broken_at == seq
    assert f"expected action {seq}, got action {seq + 1}" in chain.problem


def test_removed_last_rows_are_missed(five: Engine, path: Path) -> None:
    edit(path, "DELETE FROM actions WHERE seq > 3")
    chain = verify_chain(five)
    assert (chain.length, chain.broken_at) == (3, 4)
    assert "expected 5 actions, got 3" in chain.problem


def test_two_rows_that_changed_places_break_the_chain(five: Engine, path: Path) -> None:
    edit(
        path,
        "UPDATE actions SET seq = 99 WHERE seq = 2",
        "UPDATE actions SET seq = 2 WHERE seq = 3",
        "UPDATE actions SET seq = 3 WHERE seq = 99",
    )
    assert verify_chain(five).broken_at == 2


def test_a_row_put_in_front_breaks_the_chain(five: Engine, path: Path) -> None:
    edit(
        path,
        "INSERT INTO actions SELECT 0, at_us, by, action, subject, detail, previous, hash"
        " FROM actions WHERE seq = 1",
    )
    assert verify_chain(five).broken_at == 1


@pytest.mark.parametrize("statement", ["UPDATE actions SET by = 'bob'", "DELETE FROM actions"])
def test_the_database_itself_refuses_to_change_an_action(five: Engine, statement: str) -> None:
    with five.connect() as connection, pytest.raises(IntegrityError, match="append-only"):
        connection.exec_driver_sql(statement)
    assert verify_chain(five).length == 5


def test_an_act_that_is_rolled_back_takes_its_action_with_it(five: Engine) -> None:
    with five.connect() as connection:
        append_action(connection, CLOCK, "ada", "test.act", "s6")
        connection.rollback()
    append_action(five, CLOCK, "ada", "test.act", "s6")
    assert verify_chain(five).length == 6


def test_a_row_of_the_same_number_is_refused_rather_than_forking_the_chain(
    five: Engine, path: Path
) -> None:
    edit(path, "UPDATE switchboard SET epoch = 4 WHERE name = 'actions'")
    with pytest.raises(IntegrityError):
        append_action(five, CLOCK, "ada", "test.act", "s5")
    assert verify_chain(five).length == 5


def test_actions_are_listed_newest_first_a_page_at_a_time(five: Engine) -> None:
    first = list_actions(five, limit=2)
    second = list_actions(five, limit=2, before=first[-1].seq)
    assert [a.seq for a in (*first, *second)] == [5, 4, 3, 2]


def test_actions_are_listed_by_kind_and_subject(five: Engine) -> None:
    append_action(five, CLOCK, "ada", "keys.revoke", "s2")
    assert [a.seq for a in list_actions(five, action="keys.revoke")] == [6]
    assert [a.seq for a in list_actions(five, subject="s2")] == [6, 2]


def append_many(url: str, name: str, count: int) -> None:
    engine = create_engine(url)
    for number in range(count):
        append_action(engine, SystemClock(), name, "test.act", str(number))
    engine.dispose()


@pytest.mark.slow
def test_two_processes_that_append_at_once_make_one_chain(engine: Engine) -> None:
    spawn = multiprocessing.get_context("spawn")
    url = str(engine.url)
    workers = [spawn.Process(target=append_many, args=(url, name, 300)) for name in ("a", "b")]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert verify_chain(engine).length == 600
    assert verify_chain(engine).problem == ""
    for name in ("a", "b"):
        theirs = [a.subject for a in list_actions(engine, limit=600) if a.by == name]
        assert theirs == [str(number) for number in reversed(range(300))]
