from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from store_samples import START_US, a_record, an_outcome, some_records

from roadworthy.errors import MissingExtra, StoreError
from roadworthy.store.export import export_records
from roadworthy.store.records import outcome_row, record_row
from roadworthy.store.state import insert_rows, open_state
from roadworthy.store.tables import bodies, outcomes, records
from roadworthy.types import MICRO, Attempt, Record, Usage

parquet: Any = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_state(f"sqlite:///{tmp_path / 'state.db'}")
    yield engine
    engine.dispose()


def store(engine: Engine, found: list[Record]) -> None:
    with engine.begin() as connection:
        insert_rows(connection, records, [record_row(record) for record in found])


def test_a_record_becomes_a_typed_row(engine: Engine, tmp_path: Path) -> None:
    record = a_record(
        tags=("web",),
        attempts=(Attempt("gpt", "ok", 5, Usage(1, 2), 7, "rates"), Attempt("rule", "ok", 1)),
        features={"wind": 3.5, "gates": [1]},
        timings={"route": 3, "call": 5},
        cost_micro=7,
        is_late=True,
    )
    store(engine, [record])
    assert export_records(engine, tmp_path / "r.parquet") == 1
    table = parquet.read_table(tmp_path / "r.parquet")
    (row,) = table.to_pylist()
    assert row["at"] == datetime.fromtimestamp(START_US / MICRO, UTC)
    assert str(table.schema.field("cost_micro").type) == "int64"
    assert (row["id"], row["cost_micro"], row["is_late"]) == (record.id, 7, True)
    assert row["tags"] == ["web"]
    assert [a["model"] for a in json.loads(row["attempts"])] == ["gpt", "rule"]
    assert json.loads(row["timings"]) == {"route": 3, "call": 5}
    assert json.loads(row["features"]) == {"wind": 3.5, "gates": [1]}
    assert row["confidence"] is row["cache"] is None


def test_every_field_has_a_column_and_bodies_only_where_asked_for(
    engine: Engine, tmp_path: Path
) -> None:
    fields = set(Record.__struct_fields__) - {"at_us", "input", "output"} | {"at", "outcomes"}
    assert export_records(engine, tmp_path / "a.parquet") == 0
    assert set(parquet.read_schema(tmp_path / "a.parquet").names) == fields
    assert export_records(engine, tmp_path / "b.parquet", with_bodies=True) == 0
    assert set(parquet.read_schema(tmp_path / "b.parquet").names) == fields | {"input", "output"}


def test_outcomes_and_bodies_go_with_their_record(engine: Engine, tmp_path: Path) -> None:
    known, other = some_records(2)
    store(engine, [known, other])
    with engine.begin() as connection:
        insert_rows(connection, outcomes, [outcome_row(an_outcome(known.id, {"late": True}))])
        insert_rows(connection, bodies, [(other.id, b'{"a":1}', None)])
    export_records(engine, tmp_path / "r.parquet", with_bodies=True)
    rows = parquet.read_table(tmp_path / "r.parquet").to_pylist()
    assert [o["value"] for o in json.loads(rows[0]["outcomes"])] == [{"late": True}]
    assert json.loads(rows[1]["outcomes"]) == []
    assert [row["input"] for row in rows] == [None, '{"a":1}']


def test_a_large_export_is_written_in_chunks_oldest_first(engine: Engine, tmp_path: Path) -> None:
    found = some_records(4500)
    store(engine, [*found, a_record(service="reply")])
    assert export_records(engine, tmp_path / "r.parquet", service="delay") == 4500
    file = parquet.ParquetFile(tmp_path / "r.parquet")
    assert file.num_row_groups > 1
    assert file.read(["id"]).column("id").to_pylist() == [record.id for record in found]


def test_only_the_span_is_exported(engine: Engine, tmp_path: Path) -> None:
    store(engine, some_records(10, step_us=1000))
    since_us, until_us = START_US + 2000, START_US + 5000
    path = tmp_path / "r.parquet"
    assert export_records(engine, path, since_us=since_us, until_us=until_us) == 3


def test_what_cannot_be_written_leaves_nothing_behind(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="expected a file that can be written"):
        export_records(engine, tmp_path / "nowhere" / "r.parquet")
    (tmp_path / "r.parquet").mkdir()
    with pytest.raises(StoreError):
        export_records(engine, tmp_path / "r.parquet")
    assert not list(tmp_path.glob(".r.parquet*"))


def test_without_pyarrow_the_extra_is_named(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # as where it is not installed
    with pytest.raises(MissingExtra, match=r"roadworthy\[data\]"):
        export_records(engine, tmp_path / "r.parquet")
