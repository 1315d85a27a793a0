from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert

from roadworthy.store.built import read_built, read_latest
from roadworthy.store.state import open_state
from roadworthy.store.tables import releases


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """A state with two releases of `a`, one of `b` and one of `c`."""
    engine = open_state(f"sqlite:///{tmp_path / 'state.db'}")
    built = [("a@1", "a", 10, "ann"), ("a@2", "a", 20, "bob"), ("b@1", "b", 5, "up")]
    with engine.begin() as connection:
        for id, service, at_us, by in [*built, ("c@1", "c", 30, "up")]:
            row = {"id": id, "service": service, "created_at_us": at_us, "by": by, "manifest": ""}
            connection.execute(insert(releases).values(row))
    yield engine
    engine.dispose()


def test_the_newest_release_of_each_service_is_found(engine: Engine) -> None:
    found = read_latest(engine, ["a", "b", "none"])
    assert found == {"a": ("a@2", "a", 20, "bob"), "b": ("b@1", "b", 5, "up")}


def test_who_built_releases_is_found_by_their_ids(engine: Engine) -> None:
    found = read_built(engine, ["a@1", "c@1", "d@1"])
    assert found == {"a@1": ("a@1", "a", 10, "ann"), "c@1": ("c@1", "c", 30, "up")}
    assert read_built(engine, []) == {}
