"""The same rules in Postgres: a real server counts what DuckDB counts."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlglot

from roadworthy.data.batch import SOURCE, statement_for
from roadworthy.data.contract import Check, Contract, Field, Limits, Rule, Table
from roadworthy.data.sources import open_source
from roadworthy.data.validate import validate
from roadworthy.errors import RequestError, StoreError

PROGRAMS = ("initdb", "pg_ctl", "psql")
NEEDS_SERVER = pytest.mark.skipif(
    # initdb runs as another user, who must be able to write there.
    not all(map(shutil.which, PROGRAMS)) or not Path(os.devnull).is_char_device(),
    reason="needs Postgres (apt-get install postgresql) and a device at /dev/null",
)

FIELDS = (
    Field(name="id", column="id", type="integer", key_position=1, minimum=0, multiple_of=2),
    Field(
        name="temp",
        column="Temp",
        type="number",
        required=True,
        minimum=-40,
        exclusive_maximum=130,
        multiple_of=0.1,
    ),
    Field(name="code", column="code", min_length=1, max_length=3, pattern="^[A-Z]+%?[^\\n]*$"),
    Field(name="kind", column="kind", enum=("a", "it's"), unique=True),
    Field(name="day", column="day", type="date", maximum="2013-12-31"),
    Field(
        name="seen", column="seen", type="timestamp", minimum="2013-01-01T00:00:00Z", required=True
    ),
    Field(name="zoned", column="zoned", type="timestamp", has_timezone=True),
    Field(name="opened", column="opened", type="time", minimum="08:00:00"),
    Field(name="is_open", column="is_open", type="boolean"),
    Field(name="share", column="share", type="integer"),
)
CHECKS = (
    Check(kind="null_values", field="code", limits=Limits(less_than=1)),
    Check(kind="invalid_values", field="code", pattern="^X", limits=Limits(equal=0)),
    Check(kind="missing_values", field="kind", values=(None, "a"), limits=Limits(equal=0)),
    Check(kind="duplicate_values", fields=("code", "kind"), limits=Limits(equal=0)),
    Check(kind="row_count", limits=Limits(more_than=100)),
    Check(kind="freshness", field="seen", max_age_s=1.0),
)
TABLE = Table(name="t", physical_name="t", fields=FIELDS, checks=CHECKS)
COLUMNS = {
    "id": "bigint",
    "Temp": "double precision",
    "code": "text",
    "kind": "text",
    "day": "date",
    "seen": "timestamp",
    "zoned": "timestamptz",
    "opened": "time",
    "is_open": "boolean",
    "share": "double precision",
}
ROWS: list[tuple[Any, ...]] = [
    (2, 20.5, "ABC", "a", "2013-01-01", "2013-01-01", "2013-01-01 00:00+00", "08:00", True, 1.0),
    (2, float("nan"), "", "a", "2014-01-01", "2012-01-01", None, "07:59:59.500", None, 1.5),
    (3, float("inf"), "ABCD", "it's", None, None, None, None, False, float("nan")),
    (None, -41.0, "ab", "b", None, "2013-06-01", None, None, None, 1e300),
    (-4, 0.30000000000000004, "Ä\n", None, None, "2013-06-01", None, None, None, None),
    (6, 0.25, None, None, None, "2013-06-01", None, None, None, -3.0),
    (8, 1e300, "A%", "a", None, "2013-06-01", None, None, None, 2.0**63),
]


@pytest.fixture(scope="module")
def server() -> Iterator[Path]:
    """Run a server that only a socket in the folder leads to; root lets `postgres` run it."""
    user = "postgres" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="rw-pg-"))
    if user:
        shutil.chown(folder, user)

    def run(*words: str) -> None:
        subprocess.run(
            words, check=True, user=user, cwd=folder, stdout=subprocess.DEVNULL, timeout=60
        )

    data = str(folder / "data")
    try:
        run("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        options = f"-c listen_addresses='' -k {folder} -c fsync=off -c timezone=Asia/Tokyo"
        run("pg_ctl", "-D", data, "-w", "-l", str(folder / "log"), "-o", options, "start")
        try:
            psql(folder, loading())
            yield folder
        finally:
            run("pg_ctl", "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def psql(folder: Path, sql: str) -> list[list[str]]:
    words = ["psql", "-X", "-q", "--csv", "-t", "-h", str(folder), "-U", "postgres", "-v"]
    done = subprocess.run(
        [*words, "ON_ERROR_STOP=1"], input=sql, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return list(csv.reader(done.stdout.splitlines()))


def quoted(value: Any) -> str:
    return "NULL" if value is None else "'" + str(value).replace("'", "''") + "'"


def loading() -> str:
    columns = ", ".join(f'"{name}" {kind}' for name, kind in COLUMNS.items())
    rows = ", ".join(f"({', '.join(map(quoted, row))})" for row in ROWS)
    other = "CREATE TABLE other (code text); INSERT INTO other VALUES ('ABC'), ('ab'), (NULL);"
    return f"SET timezone = 'UTC'; CREATE TABLE t ({columns}); INSERT INTO t VALUES {rows}; {other}"


def in_memory() -> pa.Table:
    kinds = {
        "bigint": pa.int64(),
        "double precision": pa.float64(),
        "text": pa.string(),
        "boolean": pa.bool_(),
    }
    columns = {}
    for at, (name, kind) in enumerate(COLUMNS.items()):
        values = [row[at] for row in ROWS]
        columns[name] = pa.array(values, kinds.get(kind, pa.string()), from_pandas=False)
    columns["day"] = columns["day"].cast(pa.date32())
    opened = [text and time.fromisoformat(text) for text in columns["opened"].to_pylist()]
    columns["opened"] = pa.array(opened, pa.time64("us"))
    for name, zone in (("seen", None), ("zoned", "UTC")):
        columns[name] = columns[name].cast(pa.timestamp("us", zone))
    return pa.table(columns)


def by_duckdb() -> dict[str, str]:
    with open_source(in_memory()) as source:
        statement = statement_for(TABLE, source.columns)
        return named(statement.rules, source.rows(statement.sql)[0])


def named(rules: tuple[Rule, ...], row: Any) -> dict[str, str]:
    return {rule.name: str(value) for rule, value in zip(rules, row[1:], strict=True)}


def test_the_statement_is_one_select_that_postgres_parses() -> None:
    statement = statement_for(TABLE, dialect="postgres", relation='"s"."t"')
    (parsed,) = sqlglot.parse(statement.sql, read="postgres")
    assert isinstance(parsed, sqlglot.exp.Select)
    assert {table.sql() for table in parsed.find_all(sqlglot.exp.Table)} == {'"s"."t"'}
    assert not {"TRY_CAST", "ISNAN", "REGEXP_MATCHES"} & set(statement.sql.upper().split("("))


def test_without_columns_a_statement_is_for_the_types_of_the_contract() -> None:
    assert statement_for(TABLE).sql.endswith(f"FROM {SOURCE}) AS read_rows")


@pytest.mark.slow
@NEEDS_SERVER
def test_postgres_counts_what_duckdb_counts(server: Path) -> None:
    with open_source(in_memory()) as source:
        statement = statement_for(TABLE, source.columns, "postgres", "t")
    (row,) = psql(server, f"SET timezone = 'UTC'; {statement.sql};")
    assert named(statement.rules, row) == by_duckdb()
    assert sum(value not in ("0", "7") for value in row[1:]) > 20


@pytest.mark.slow
@NEEDS_SERVER
def test_a_table_of_postgres_is_validated_where_it_is(server: Path) -> None:
    pytest.importorskip("psycopg")
    key = Check(
        kind="foreign_key", field="code", fields=("code",), references="other.code", name="fk"
    )
    mean = Check(
        kind="sql", query='SELECT COUNT("Temp") FROM ${table}', limits=Limits(equal=5), name="mean"
    )
    write = Check(kind="sql", query="SELECT 1 FROM other; DROP TABLE other", name="write")
    table = Table(name="t", physical_name="t", fields=FIELDS, checks=(*CHECKS, key, mean, write))
    contract = Contract(id="c", version="1", tables=(table,), digest="")
    url = f"postgresql://postgres:secret@/postgres?host={server}"
    there = validate(contract, f"{url}#t", references={"other": f"{url}#other"})
    here = validate(contract, in_memory(), references={"other": pa.table({"code": ["ABC", "ab"]})})
    counts = {rule.rule: rule.failed for rule in here.rules}
    assert {rule.rule: rule.failed for rule in there.rules} == counts
    assert counts["fk"] == 4
    assert (there.rows, there.failed_rows) == (here.rows, here.failed_rows)
    assert there.rules[-1].examples[0]["problem"] == "expected one SELECT, got another statement"
    assert "secret" not in str(there)
    shown = {rule.rule: rule.examples for rule in there.rules}
    assert {one["value"] for one in shown["kind.enum"]} == {"b"}


@pytest.mark.slow
@NEEDS_SERVER
def test_a_table_that_cannot_be_read_says_why(server: Path, tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    contract = Contract(id="c", version="1", tables=(TABLE,), digest="")
    url = f"postgresql://postgres@/postgres?host={server}"
    with pytest.raises(StoreError, match="none of the name `nothing`"):
        validate(contract, f"{url}#nothing")
    with pytest.raises(RequestError, match="got no table"):
        validate(contract, url)
    with pytest.raises(StoreError, match="a source that can be read"):
        validate(contract, f"postgresql://postgres:pw@/postgres?host={tmp_path}#t")
    with pytest.raises(RequestError, match="its rows stay"):
        validate(contract, f"{url}#t", quarantine=tmp_path / "bad.parquet")
