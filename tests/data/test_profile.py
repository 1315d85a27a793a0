"""A draft of a contract says what the data is, and the data keeps it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from roadworthy.data.contract import Contract, Field
from roadworthy.data.odcs import load_contract
from roadworthy.data.profile import draft_of, profile
from roadworthy.data.validate import validate
from roadworthy.types import MICRO, SettableClock

ROWS = 40


def drafted(source: Any, folder: Path, clock: SettableClock | None = None) -> Contract:
    file = folder / "draft.odcs.yaml"
    file.write_text(draft_of(profile(source, clock=clock)))
    return load_contract(file)


def field(contract: Contract, name: str) -> Field:
    found = contract.tables[0].field(name)
    assert found is not None
    return found


@pytest.fixture
def batch() -> pa.Table:
    start = datetime(2013, 1, 1, tzinfo=UTC)
    return pa.table(
        {
            "id": list(range(ROWS)),
            "other id": [f"x{n}" for n in range(ROWS)],
            "kind": ["a", "it's"] * (ROWS // 2),
            "email": [f"{n}@example.org" for n in range(ROWS)],
            "seats": pa.array([float(n % 7) for n in range(ROWS - 1)] + [None]),
            "temp": [n / 4 for n in range(ROWS)],
            "seen": [start + timedelta(hours=n) for n in range(ROWS)],
            "is_open": [n % 2 == 0 for n in range(ROWS)],
        }
    )


def test_the_data_keeps_its_draft(batch: pa.Table, tmp_path: Path) -> None:
    file = tmp_path / "things.parquet"
    parquet.write_table(batch, file)
    contract = drafted(file, tmp_path)
    report = validate(contract, file)
    assert (report.kept, contract.id, contract.status) == (True, "things", "draft")
    assert len(report.rules) > 20


def test_a_draft_says_types_ranges_enums_keys_and_nulls(batch: pa.Table, tmp_path: Path) -> None:
    contract = drafted(batch, tmp_path)
    assert field(contract, "id").key_position == 1
    assert field(contract, "other id").unique
    assert field(contract, "kind").enum == ("a", "it's")
    seats = field(contract, "seats")
    assert (seats.type, seats.minimum, seats.maximum, seats.required) == ("integer", 0, 6, False)
    assert field(contract, "temp").type == "number"
    seen = field(contract, "seen")
    assert (seen.type, seen.minimum) == ("timestamp", "2013-01-01T00:00:00Z")
    assert field(contract, "is_open").type == "boolean"


def test_what_looks_personal_is_marked_and_never_written_down(
    batch: pa.Table, tmp_path: Path
) -> None:
    assert field(drafted(batch, tmp_path), "email").is_personal
    assert "@example" not in (tmp_path / "draft.odcs.yaml").read_text()


def test_freshness_is_twice_the_longest_gap_where_it_holds_now(
    batch: pa.Table, tmp_path: Path
) -> None:
    clock = SettableClock()
    newest = datetime(2013, 1, 1, tzinfo=UTC) + timedelta(hours=ROWS - 1)
    clock.set(int(newest.timestamp() * MICRO))
    (check,) = (c for c in drafted(batch, tmp_path, clock).tables[0].checks if c.max_age_s)
    assert (check.field, check.max_age_s) == ("seen", 7_200)
    later = drafted(batch, tmp_path, SettableClock())
    assert not any(check.kind == "freshness" for check in later.tables[0].checks)


def test_a_time_of_the_future_does_not_make_a_draft_promise_freshness(tmp_path: Path) -> None:
    start = datetime(2013, 1, 1, tzinfo=UTC)
    times = [start + timedelta(hours=hour) for hour in (0, 1, 2, 9000)]
    rows = pa.table({"seen": pa.array(times, pa.timestamp("us"))})
    clock = SettableClock()
    for days, promised in ((0.1, [7_200]), (30, [])):
        clock.set(int((start + timedelta(days=days)).timestamp() * MICRO))
        checks = drafted(rows, tmp_path, clock).tables[0].checks
        assert [check.max_age_s for check in checks if check.kind == "freshness"] == promised


def test_a_text_that_keeps_a_column_from_a_type_is_null(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("n,word\n1,NA\nNA,x\n2.5,y\n")
    contract = drafted(file, tmp_path)
    assert contract.tables[0].null_texts == ("NA",)
    assert (field(contract, "n").type, field(contract, "word").type) == ("number", "string")
    assert validate(contract, file).kept


def test_a_table_without_rows_gets_a_draft_too(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("a,b\n")
    assert validate(drafted(file, tmp_path), file).kept


def test_hostile_names_and_values_are_written_so_that_they_are_read_back(tmp_path: Path) -> None:
    table = pa.table(
        {
            'a "b"\n: c': ["yes", "no", "1"] * ROWS,
            "x' -- ": ["NO", "2013-01-01", "~"] * ROWS,
            "n": pa.array([float("nan"), float("inf"), 1.5] * ROWS, from_pandas=False),
        }
    )
    contract = drafted(table, tmp_path)
    assert [one.name for one in contract.tables[0].fields] == table.column_names
    assert field(contract, "x' -- ").enum == ("2013-01-01", "NO", "~")
    report = validate(contract, table)
    assert {rule.rule for rule in report.failed} == {"n.type"}
