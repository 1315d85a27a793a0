"""Tables in files of SQLite and DuckDB are held to contracts as files are, and never changed."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from pyarrow import parquet

from roadworthy.data.contract import Check, Contract, Field, Table
from roadworthy.data.validate import validate
from roadworthy.errors import RequestError, StoreError

FIELDS = (
    Field(name="id", column="id", type="integer", key_position=1),
    Field(name="share", column="share", type="number", maximum=1),
    Field(name="is_open", column="is_open", type="boolean"),
    Field(name="seen", column="seen", type="timestamp", minimum="2013-01-01T00:00:00Z"),
    Field(name="word", column="word", max_length=3),
)
CONTRACT = Contract(
    id="c", version="1", tables=(Table(name="t", physical_name="t", fields=FIELDS),), digest=""
)
CREATE = """
CREATE TABLE t (id INTEGER, share DOUBLE, is_open BOOLEAN, seen TEXT, word TEXT, raw BLOB);
INSERT INTO t VALUES
    (1, 0.1, 1, '2013-01-01 00:00:00', 'abc', x'00'),
    (9007199254740993, 2, 0, '2012-01-01T00:00:00Z', 'abcd', NULL),
    (1, 0.30000000000000004, NULL, 'yesterday', 'ä', NULL),
    (NULL, NULL, NULL, NULL, NULL, NULL);
"""
BROKEN = {
    "id.required": 1,
    "primary_key": 1,
    "share.maximum": 1,
    "seen.type": 1,
    "seen.minimum": 1,
    "word.max_length": 1,
}


def in_sqlite(file: Path, sql: str = CREATE) -> Path:
    connection = sqlite3.connect(file)
    connection.executescript(sql)
    connection.close()
    return file


def in_duckdb(file: Path, sql: str = CREATE) -> Path:
    with duckdb.connect(str(file)) as connection:
        connection.execute(sql.replace("x'00'", "'\\x00'::BLOB").replace("id INTEGER", "id BIGINT"))
    return file


def broken(source: Any, contract: Contract = CONTRACT, **more: Any) -> dict[str, int]:
    report = validate(contract, source, **more)
    return {rule.rule: rule.failed for rule in report.rules if rule.failed}


MAKERS = [
    (in_sqlite, "d.sqlite"),
    (in_sqlite, "d.db"),
    (in_duckdb, "d.duckdb"),
    (in_duckdb, "d.DB"),
]


@pytest.mark.parametrize(("make", "name"), MAKERS)
def test_a_table_of_a_file_is_a_source(
    make: Callable[[Path], Path], name: str, tmp_path: Path
) -> None:
    assert broken(f"{make(tmp_path / name)}#t") == BROKEN


def test_a_url_of_sqlite_is_a_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = in_sqlite(tmp_path / "odd name?")
    monkeypatch.chdir(tmp_path)
    assert broken(f"sqlite:///{file}#t") == broken("sqlite:///odd name?#t") == BROKEN


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
@pytest.mark.parametrize(("make", "name"), MAKERS[1:3])
def test_bad_rows_leave_the_database_as_it_was(
    make: Callable[[Path], Path], name: str, suffix: str, tmp_path: Path
) -> None:
    file, target = make(tmp_path / name), tmp_path / f"bad{suffix}"
    before = hashlib.sha256(file.read_bytes()).hexdigest()
    report = validate(CONTRACT, f"{file}#t", quarantine=target)
    assert (report.quarantined, report.failed_rows) == (3, 3)
    if suffix == ".parquet":
        rows = parquet.read_table(target).sort_by("roadworthy_row").to_pylist()
        assert [(row["id"], row["word"], row["roadworthy_rules"]) for row in rows] == [
            (9007199254740993, "abcd", "share.maximum, seen.minimum, word.max_length"),
            (1, "ä", "seen.type, primary_key"),
            (None, None, "id.required"),
        ]
        assert rows[1]["share"] == 0.30000000000000004
    else:
        assert "9007199254740993" in target.read_text()
    assert hashlib.sha256(file.read_bytes()).hexdigest() == before
    assert {path.name for path in tmp_path.iterdir()} == {file.name, target.name}


def test_a_column_of_sqlite_may_mix_its_types(tmp_path: Path) -> None:
    values = "(1), (2.5), ('3'), ('x'), (x'00ff'), (9223372036854775807), (0.30000000000000004)"
    sql = f"CREATE TABLE t (v); INSERT INTO t VALUES {values}"
    file, target = in_sqlite(tmp_path / "m.db", sql), tmp_path / "bad.parquet"
    field = Field(name="v", column="v", type="number", maximum=2)
    table = Table(name="t", physical_name="t", fields=(field,))
    contract = Contract(id="c", version="1", tables=(table,), digest="")
    found = broken(f"{file}#t", contract, quarantine=target)
    assert found == {"v.type": 2, "v.maximum": 3}
    rows = parquet.read_table(target).to_pylist()
    assert [row["v"] for row in rows] == ["2.5", "3", "x", "X'00FF'", "9223372036854775807"]


def test_integers_and_floats_of_one_column_keep_their_digits(tmp_path: Path) -> None:
    sql = "CREATE TABLE t (v); INSERT INTO t VALUES (9007199254740993), (0.5)"
    file, target = in_sqlite(tmp_path / "m.db", sql), tmp_path / "bad.parquet"
    field = Field(name="v", column="v", type="integer", maximum=2)
    table = Table(name="t", physical_name="t", fields=(field,))
    contract = Contract(id="c", version="1", tables=(table,), digest="")
    assert broken(f"{file}#t", contract, quarantine=target) == {"v.type": 1, "v.maximum": 1}
    rows = parquet.read_table(target).to_pylist()
    assert [row["v"] for row in rows] == ["9007199254740993", "0.5"]


def test_a_foreign_key_is_looked_up_in_sqlite_too(tmp_path: Path) -> None:
    key = Check(kind="foreign_key", field="id", fields=("id",), references="u.id", name="fk")
    table = Table(name="t", physical_name="t", fields=FIELDS[:1], checks=(key,))
    contract = Contract(id="c", version="1", tables=(table,), digest="")
    file = in_sqlite(tmp_path / "u.db", "CREATE TABLE u (id INT); INSERT INTO u VALUES (1), (2)")
    assert broken(pa.table({"id": [1, 3]}), contract, references={"u": f"{file}#u"}) == {"fk": 1}


def test_a_table_without_rows_and_one_of_hostile_names_are_sources(tmp_path: Path) -> None:
    sql = 'CREATE TABLE "a ""b"" #1" ("c ""d""" TEXT, e BOOLEAN);CREATE VIEW w AS SELECT 1 AS id'
    file = in_sqlite(tmp_path / "e.db", sql)
    field = Field(name="c", column='c "d"', required=True)
    table = Table(name="t", physical_name="t", fields=(field,))
    contract = Contract(id="c", version="1", tables=(table,), digest="")
    assert broken(f'{file}#a "b" #1', contract) == {}
    assert broken(f"{file}#w", contract) == {"columns": 1}


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{}/d.db#nothing", "got none of the name `nothing` - .*; there: `t`"),
        ("{}/d.duckdb#nothing", "nothing does not exist"),
        ("{}/none.sqlite#t", "expected a file, got none"),
        ("{}/other.sqlite#t", "a database of SQLite, got a file of another kind"),
        ("{}/torn.db#t", "expected a table that can be read, got `database disk image is mal"),
        ("{}/latin.db#t", "got a text that is not UTF-8"),
    ],
)
def test_a_table_that_cannot_be_read_says_why(source: str, said: str, tmp_path: Path) -> None:
    in_sqlite(tmp_path / "d.db")
    in_duckdb(tmp_path / "d.duckdb")
    (tmp_path / "other.sqlite").write_text("nothing of the kind")
    torn = in_sqlite(tmp_path / "torn.db", f"{CREATE} CREATE TABLE b AS SELECT randomblob(99999)")
    torn.write_bytes(torn.read_bytes()[:4096] + b"\xff" * 4096)
    sql = "CREATE TABLE t (id INTEGER, word TEXT); INSERT INTO t VALUES (1, CAST(x'e9' AS TEXT))"
    in_sqlite(tmp_path / "latin.db", sql)
    with pytest.raises(StoreError, match=said):
        validate(CONTRACT, source.format(tmp_path))


@pytest.mark.parametrize(("make", "name"), MAKERS[1:3])
def test_without_a_table_those_that_there_are_are_named(
    make: Callable[[Path], Path], name: str, tmp_path: Path
) -> None:
    file = make(tmp_path / name)
    with pytest.raises(RequestError, match=r"#table`, got no table; there: `t`"):
        validate(CONTRACT, str(file))
