"""Queries are run without any way to write, to wait or to fill the memory."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.evaluate.scorers import sql
from roadworthy.evaluate.scorers.sql import is_ordered, is_same_result, query_of, run_query
from scorer_cases import ground_in

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


@pytest.fixture
def flights(tmp_path: Path) -> Path:
    ground_in(tmp_path)
    return tmp_path / "flights.db"


@pytest.mark.parametrize(
    "query",
    [
        "INSERT INTO flight VALUES (9, 'X', 'Y', 0, '')",
        "UPDATE flight SET id = 0",
        "DROP TABLE flight",
        "CREATE TABLE other (x)",
        "CREATE TEMP TABLE other AS SELECT * FROM flight",
        "REPLACE INTO flight SELECT * FROM flight",
        "VACUUM INTO 'copy.db'",
        "ATTACH 'copy.db' AS copy",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA table_info(flight)",
        "BEGIN EXCLUSIVE",
        "WITH x AS (SELECT 1) DELETE FROM flight",
        "SELECT * FROM pragma_database_list",
    ],
)
def test_a_query_that_does_more_than_read_is_refused(query: str, flights: Path) -> None:
    before = hashlib.sha256(flights.read_bytes()).hexdigest()
    with pytest.raises(sqlite3.Error):
        run_query(flights, query)
    assert hashlib.sha256(flights.read_bytes()).hexdigest() == before
    assert sorted(path.name for path in flights.parent.glob("*.db*")) == ["flights.db"]


def test_an_endless_query_is_stopped_after_the_same_work_every_time(
    flights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "MOST_STEPS", 20)
    with pytest.raises(sqlite3.OperationalError, match="interrupted"):
        run_query(flights, ENDLESS)


@pytest.mark.slow
def test_the_real_limit_stops_it_too(flights: Path) -> None:
    with pytest.raises(sqlite3.OperationalError, match="interrupted"):
        run_query(flights, ENDLESS)


def test_a_result_has_a_most_of_rows_and_of_bytes(flights: Path) -> None:
    many = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {}) SELECT {} FROM n"
    )
    assert len(run_query(flights, many.format(10_000, "i"))) == 10_000
    with pytest.raises(sqlite3.DataError, match="at most 10000 rows"):
        run_query(flights, many.format(10_001, "i"))
    with pytest.raises(sqlite3.DataError, match="at most"):
        run_query(flights, many.format(500, "hex(zeroblob(100000))"))
    with pytest.raises(sqlite3.DataError, match="too big"):
        run_query(flights, "SELECT hex(zeroblob(10000000))")


def test_columns_that_are_no_text_are_read_all_the_same(flights: Path) -> None:
    assert run_query(flights, "SELECT CAST(x'ff41' AS TEXT)") == [("\ufffdA",)]


@pytest.mark.parametrize(
    ("query", "ordered"),
    [
        ("select a from t order\n by a", True),
        ("select 'order by' from t", False),
        ('select "order by" from t -- order by', False),
        ("select a /* order by */ from t", False),
        ("select row_number() over (order by a) from t", False),
        ("select a from (select a from t order by a limit 1) order by 1", True),
        ("select 'it''s', a from t order by a", True),
    ],
)
def test_only_the_whole_query_has_an_order(query: str, ordered: bool) -> None:
    assert is_ordered(query) is ordered


def test_a_sum_in_another_order_is_the_same() -> None:
    assert is_same_result([(0.1 + 0.2,)], [(0.3,)], is_ordered=False)
    assert not is_same_result([(0.3,)], [(0.30001,)], is_ordered=False)


def test_the_first_block_of_code_is_the_query() -> None:
    assert query_of("Try:\n```sql\nSELECT 1;\n```\nor\n```\nSELECT 2\n```") == "SELECT 1"
    assert query_of("  SELECT 1 ; ") == "SELECT 1"


VALUES = st.one_of(st.none(), st.integers(-3, 3), st.sampled_from(["a", "b", 0.5]))


@given(st.lists(st.tuples(VALUES, VALUES), max_size=6))
def test_rows_are_a_bag(rows: list[tuple[object, object]]) -> None:
    mixed = sorted(rows, key=repr)
    assert is_same_result(rows, mixed, is_ordered=False)
    assert is_same_result(rows, mixed, is_ordered=True) is (rows == mixed)
    assert not is_same_result(rows, [*rows, (1, 1)], is_ordered=False)


def test_a_file_that_is_being_written_is_read_as_it_lies_there(flights: Path) -> None:
    with closing(sqlite3.connect(flights, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        assert len(run_query(flights, "SELECT id FROM flight")) == 3
        connection.execute("ROLLBACK")
