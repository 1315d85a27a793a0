from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from roadworthy.errors import NotFound, StoreError
from roadworthy.release.environment import Commit, Environment
from roadworthy.release.promotion import promote
from roadworthy.release.registry import (
    Manifest,
    Release,
    add_release,
    champion_of,
    list_releases,
    read_release,
)
from roadworthy.store.actions import list_actions, verify_chain
from roadworthy.store.state import open_state
from roadworthy.store.switchboard import Switchboard
from roadworthy.types import SettableClock

CLOCK = SettableClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def engine(path: Path) -> Iterator[Engine]:
    engine = open_state(f"sqlite:///{path}")
    yield engine
    engine.dispose()


def add(engine: Engine, content: str, service: str = "svc") -> Release:
    manifest = Manifest(
        service=service,
        declaration_hash="d" * 64,
        files={"service.toml": "1" * 64, "model.onnx": content},
        models=(),
        providers={},
        packages={"numpy": "2"},
        environment=Environment("3.11.9", "linux-x86_64", {"numpy": "2"}),
        commit=Commit("c" * 40, is_dirty=True),
    )
    return add_release(engine, CLOCK, manifest, "ada")


def test_a_release_is_read_as_it_was_added(engine: Engine) -> None:
    release = add(engine, "a")
    assert read_release(engine, release.id) == release


def test_an_unknown_release_is_not_found(engine: Engine) -> None:
    with pytest.raises(NotFound, match="no release `svc@none`"):
        read_release(engine, "svc@none")


def test_adding_is_written_down_with_the_commit(engine: Engine) -> None:
    release = add(engine, "a")
    (action,) = list_actions(engine)
    assert (action.action, action.subject, action.by) == ("release.build", release.id, "ada")
    assert action.detail == {"service": "svc", "commit": "c" * 40 + "+"}


def test_releases_are_listed_newest_first_and_by_service(engine: Engine) -> None:
    first, second, other = add(engine, "a"), add(engine, "b"), add(engine, "a", "other")
    assert list_releases(engine) == [other, second, first]
    assert list_releases(engine, "svc") == [second, first]
    assert list_releases(engine, limit=1) == [other]


def test_a_release_changed_in_the_store_is_refused(engine: Engine, path: Path) -> None:
    release = add(engine, "a")
    with sqlite3.connect(path) as connection:
        connection.execute("""UPDATE releases SET manifest = replace(manifest, '"a"', '"b"')""")
    connection.close()
    with pytest.raises(StoreError, match=f"release `{release.id}` was changed in the store"):
        read_release(engine, release.id)


def test_a_service_without_a_promoted_release_has_no_champion(engine: Engine) -> None:
    add(engine, "a")
    assert champion_of(engine, "svc") is None


def test_promoting_moves_the_pointer_that_every_process_follows(engine: Engine) -> None:
    board = Switchboard(engine, CLOCK)
    first, second = add(engine, "a"), add(engine, "b")
    promote(engine, CLOCK, first.id, by="ada")
    promote(engine, CLOCK, second.id, by="bob")
    assert board.poll()
    assert board.get("champion:svc") == second.id
    assert champion_of(engine, "svc") == second
    board.close()


def test_promoting_is_written_down_with_what_served_before(engine: Engine) -> None:
    first, second = add(engine, "a"), add(engine, "b")
    promote(engine, CLOCK, first.id, by="ada")
    promote(engine, CLOCK, second.id, by="bob")
    (action, _) = list_actions(engine, action="release.promote")
    assert (action.by, action.subject) == ("bob", second.id)
    assert action.detail == {"service": "svc", "from": first.id}
    assert verify_chain(engine).problem == ""


def test_an_older_release_is_promoted_again(engine: Engine) -> None:
    first, second = add(engine, "a"), add(engine, "b")
    for release in (first, second, first):
        promote(engine, CLOCK, release.id, by="ada")
    assert champion_of(engine, "svc") == first


def test_promoting_the_champion_changes_nothing(engine: Engine) -> None:
    board = Switchboard(engine, CLOCK)
    release = add(engine, "a")
    assert promote(engine, CLOCK, release.id, by="ada") == release
    board.poll()
    assert promote(engine, CLOCK, release.id, by="ada") == release
    assert not board.poll()
    assert len(list_actions(engine, action="release.promote")) == 1
    board.close()


def test_an_unknown_release_is_not_promoted(engine: Engine) -> None:
    with pytest.raises(NotFound):
        promote(engine, CLOCK, "svc@none", by="ada")
    assert list_actions(engine) == []
