"""A training set is a value: the same parts give the same id, and the id gives the same rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from test_history import Asked, Event, spine_of, table_of
from test_online import StoppedClock
from view_samples import HEAD, SQL, source, view

from roadworthy.data.snapshots import (
    build_set,
    open_set,
    read_set,
    rebuild_set,
    row_hash,
    save_set,
    write_rows,
)
from roadworthy.errors import DeclarationError, NotFound, StoreError
from roadworthy.store.artifacts import Artifacts
from roadworthy.store.data_versions import read_snapshots
from roadworthy.store.state import open_state

pa = pytest.importorskip("pyarrow")

EVENTS = [Event("EWR", 1, 1, 1.0), Event("EWR", 2, 3, 2.0), Event("JFK", 1, 2, None)]
ASKED = [Asked("EWR", 1), Asked("EWR", 3), Asked("JFK", 4), Asked("XXX", 4)]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    state = open_state(f"sqlite:///{tmp_path}/state.db")
    yield state
    state.dispose()


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    return Artifacts(tmp_path / "artifacts")


def made(events: list[Event] = EVENTS, asked: list[Asked] = ASKED, **changes: Any) -> Any:
    weather = source(data=table_of(events), version=changes.pop("version", "1.0.0"))
    return build_set([view(weather=weather, **changes)], spine_of(asked), {"weather": weather})


def test_the_same_parts_give_the_same_id() -> None:
    assert made().snapshot == made().snapshot
    assert made().snapshot.id.startswith("ts_")


@pytest.mark.parametrize(
    "other",
    [
        {"events": [*EVENTS[:2], Event("JFK", 1, 2, 3.0)]},
        {"asked": ASKED[::-1]},
        {"asked": ASKED[:3]},
        {"sql": SQL.replace("5 / 9", "5 / 8")},
        {"head": HEAD.replace("version = 1", "version = 2")},
        {"version": "1.1.0"},
    ],
    ids=["source", "order", "rows", "sql", "version", "contract"],
)
def test_any_other_part_gives_another_id(other: dict[str, Any]) -> None:
    assert made(**other).snapshot.id != made().snapshot.id


def test_what_was_saved_is_read_and_rebuilt_from_its_id(
    engine: Engine, artifacts: Artifacts
) -> None:
    first = made()
    kept = save_set(first, engine, artifacts, StoppedClock(), by="test")
    saved = open_set(engine, kept.id)
    assert saved == kept
    assert read_set(saved, artifacts).equals(first.rows)
    weather = source(data=table_of([*EVENTS, Event("EWR", 9, 9, 9.0)]))  # known later
    again = rebuild_set(saved, artifacts, [view(weather=weather)], {"weather": weather})
    assert again.snapshot.row_hash == saved.row_hash
    assert row_hash(read_set(saved, artifacts)) == saved.row_hash


def test_to_save_it_twice_is_to_save_it_once(engine: Engine, artifacts: Artifacts) -> None:
    for _ in range(2):
        save_set(made(), engine, artifacts, StoppedClock(), by="test")
    assert [one.rows for one in read_snapshots(engine)] == [4]


def test_what_cannot_be_rebuilt_says_what_changed(engine: Engine, artifacts: Artifacts) -> None:
    saved = save_set(made(), engine, artifacts, StoppedClock(), by="test")
    weather = source(data=table_of([*EVENTS, Event("EWR", 3, 3, 9.0)]))  # written back later
    with pytest.raises(DeclarationError, match="what changed: rows of a source"):
        rebuild_set(saved, artifacts, [view(weather=weather)], {"weather": weather})
    weather = source(data=table_of(EVENTS), version="2.0.0")
    other = view(SQL.replace("5 / 9", "5 / 8"), weather=weather)
    with pytest.raises(DeclarationError, match="view `weather_now@1`, contract of source `weath"):
        rebuild_set(saved, artifacts, [other], {"weather": weather})


def test_an_id_that_nobody_saved_is_not_found(engine: Engine) -> None:
    with pytest.raises(NotFound, match="no snapshot `ts_x`"):
        open_set(engine, "ts_x")


def test_a_hash_is_of_values_not_of_how_they_lie() -> None:
    table = made().rows
    parts = pa.concat_tables([table.slice(0, 2), table.slice(2)])
    assert row_hash(parts) == row_hash(table) == row_hash(table.slice(0))
    large = table.set_column(0, "origin", table["origin"].cast(pa.large_string()))
    coded = table.set_column(0, "origin", table["origin"].dictionary_encode())
    assert row_hash(large) == row_hash(coded) == row_hash(table)
    nan = pa.table({"a": pa.array([float("nan"), 1.0])})
    assert row_hash(nan) == row_hash(pa.table({"a": pa.array([None, 1.0])}))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": [1, None]}, {"a": [1, 0]}),
        ({"a": ["x", None]}, {"a": ["x", ""]}),
        ({"a": ["ab", "c"]}, {"a": ["a", "bc"]}),
        ({"a": [1, 2]}, {"a": [2, 1]}),
        ({"a": [1]}, {"b": [1]}),
        ({"a": [1]}, {"a": [1.0]}),
        ({"a": [True]}, {"a": [1]}),
        ({"a": ["1"]}, {"a": [1]}),
    ],
)
def test_what_differs_has_another_hash(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert row_hash(pa.table(one)) != row_hash(pa.table(other))


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="expected a file that can be written"):
        write_rows(made().rows, tmp_path / "nowhere" / "rows.parquet")
