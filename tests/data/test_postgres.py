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
from hypothesis import HealthCheck, given, settings
from pyarrow import csv as pacsv
from pyarrow import parquet
from test_same_verdict import as_json, batches

from roadworthy.data.batch import SOURCE, statement_for
from roadworthy.data.columns import Column, family_of
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


def creating(name: str, columns: dict[str, str], rows: list[Any], how: str = "") -> str:
    listed = ", ".join(f'"{column}" {kind}' for column, kind in columns.items())
    values = ", ".join(f"({', '.join(map(quoted, row))})" for row in rows)
    filled = f"INSERT INTO {name} VALUES {values};" if rows else ""
    return f"SET timezone = 'UTC'; CREATE {how}TABLE {name} ({listed}); {filled}"


def loading() -> str:
    other = "CREATE TABLE other (code text); INSERT INTO other VALUES ('ABC'), ('ab'), (NULL);"
    return f"{creating('t', COLUMNS, ROWS)} {other}"


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


HARD_FIELDS = (
    Field(name="num", column="num", type="number", required=True, minimum=0, multiple_of=1),
    Field(name="whole", column="whole", type="integer", maximum=7),
    Field(name="tiny", column="tiny", type="number", multiple_of=3),
    Field(name="at", column="at", type="timestamp", minimum="2013-01-01T00:00:00Z"),
    Field(name="zoned", column="zoned", type="timestamp", has_timezone=True),
    Field(name="opened", column="opened", type="time", maximum="08:00:00"),
    Field(name="mood", column="mood", enum=("fine",), max_length=4, pattern="^f"),
    Field(name="day", column="day", type="date"),
)
HARD_TYPES = ("numeric", "numeric", "double precision", "text", "text", "text", "mood", "text")
HARD_ROWS: list[tuple[Any, ...]] = [
    ("1e400", "1e400", "5e-324", "2013-01-01T00:00:00+23:59", "2013-01-01T00:00:00", "08:00:00"),
    ("-1e400", "3.5", "9", "2012-12-31T00:00:00-23:59", "2013-01-01T00:00:00+16", "08:00:00.5"),
    ("1e-400", "7.0", "4", "2013-01-01T00:00:00.9999999-23", "x", "08:00:00.0000009"),
    ("NaN", "NaN", "NaN", "2012-12-31T23:59:59.9999999Z", "2013-01-01T00:00:00Z", "24:00:00"),
    (None, "8", None, "0001-01-01T00:00:00+23:59", None, "23:59:59.9999999"),
    ("Infinity", "-Infinity", "-Infinity", "2013-01-01", None, None),
]
HARD_MOODS = ["fine", "fine", "sad", "sadder", None, None]
HARD_DAYS = ["2013-02-29", "2012-02-29", "0000-01-01", "9999-12-31", None, "x"]


@pytest.mark.slow
@NEEDS_SERVER
def test_what_postgres_has_no_number_or_offset_for_is_judged_as_duckdb_judges(server: Path) -> None:
    table = Table(name="hard", physical_name="hard", fields=HARD_FIELDS)
    rows = [
        (*row, mood, day) for row, mood, day in zip(HARD_ROWS, HARD_MOODS, HARD_DAYS, strict=True)
    ]
    columns = dict(zip((field.column for field in HARD_FIELDS), HARD_TYPES, strict=True))
    loaded = creating("hard", columns, rows)
    made = f"CREATE TYPE mood AS ENUM ('fine', 'sad', 'sadder'); {loaded}"
    families = {n: Column(n, "string" if k == "mood" else family_of(k)) for n, k in columns.items()}
    statement = statement_for(table, families, "postgres", "hard")
    (row,) = psql(server, f"{made} {statement.sql};")
    # Parquet holds no such number: 1e400 is one that is too wide for a float, as infinity is.
    floats = [value and float(value) for value in (row[0] for row in HARD_ROWS)]
    wholes = [value and float(value) for value in (row[1] for row in HARD_ROWS)]
    here = pa.table(
        {
            "num": pa.array(floats, pa.float64(), from_pandas=False),
            "whole": pa.array(wholes, pa.float64(), from_pandas=False),
            "tiny": pa.array([r[2] and float(r[2]) for r in HARD_ROWS], from_pandas=False),
            **{name: [row[at] for row in rows] for at, name in enumerate(columns) if at > 2},
        }
    )
    with open_source(here) as source:
        expected = statement_for(table, source.columns)
        counts = named(expected.rules, source.rows(expected.sql)[0])
    assert named(statement.rules, row) == counts
    assert counts["num.type"] == "3"
    assert counts["mood.enum"] == "2"


GENERATED = {
    pa.int64(): "bigint",
    pa.uint64(): "numeric",
    pa.float64(): "double precision",
    pa.bool_(): "boolean",
    pa.string(): "text",
    pa.date32(): "date",
    pa.timestamp("us"): "timestamp",
    pa.timestamp("us", "America/New_York"): "timestamp with time zone",
}


@pytest.mark.slow
@NEEDS_SERVER
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(drawn=batches())
def test_postgres_counts_what_duckdb_counts_of_any_batch(
    server: Path, drawn: tuple[Table, pa.Table, bool]
) -> None:
    table, batch, _ = drawn
    columns = {
        name: GENERATED[kind]
        for name, kind in zip(batch.column_names, batch.schema.types, strict=True)
    }
    rows = [tuple(map(as_json, row.values())) for row in batch.to_pylist()]
    families = {name: Column(name, family_of(kind)) for name, kind in columns.items()}
    statement = statement_for(table, families, "postgres", "g")
    (row,) = psql(server, f"{creating('g', columns, rows, 'TEMP ')} {statement.sql};")
    with open_source(batch) as source:
        expected = statement_for(table, source.columns)
        counts = named(expected.rules, source.rows(expected.sql)[0])
    assert (int(row[0]), named(statement.rules, row)) == (batch.num_rows, counts)


@pytest.mark.slow
@NEEDS_SERVER
@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_bad_rows_of_postgres_are_written_to_a_file_and_stay_where_they_are(
    server: Path, suffix: str, tmp_path: Path
) -> None:
    pytest.importorskip("psycopg")
    made = (
        "DROP TABLE IF EXISTS q; DROP TYPE IF EXISTS size; CREATE TYPE size AS ENUM ('s', 'xl');"
        "CREATE TABLE q (id bigint, price numeric, size size, tags text[], at timestamptz,"
        " day date, roadworthy_row int);"
        "INSERT INTO q VALUES (1, 0.12345678901234567890123, 'xl', '{a,b}', '2013-01-01Z', "
        "'infinity', 7), (2, 1e400, 's', NULL, '0044-03-15Z BC', NULL, NULL), (3, 1, 's', NULL,"
        " NULL, NULL, NULL), (1, NULL, NULL, NULL, NULL, NULL, NULL);"
    )
    psql(server, made)
    fields = (
        Field(name="id", column="id", type="integer", unique=True),
        Field(name="price", column="price", type="number", minimum=0.5),
        Field(name="size", column="size", enum=("s",)),
        Field(name="at", column="at", type="timestamp"),
    )
    table = Table(name="q", physical_name="q", fields=fields)
    contract = Contract(id="c", version="1", tables=(table,), digest="")
    url, target = f"postgresql://postgres@/postgres?host={server}#q", tmp_path / f"bad{suffix}"
    report = validate(contract, url, quarantine=target)
    read = parquet.read_table if suffix == ".parquet" else pacsv.read_csv
    rows = read(target).sort_by("roadworthy_row_2").to_pylist()
    assert (report.quarantined, report.failed_rows, len(rows)) == (3, 3, 3)
    assert [row["roadworthy_rules"] for row in rows] == [
        "price.minimum, size.enum",
        "price.type, at.type",
        "id.unique",
    ]
    assert (rows[0]["id"], rows[0]["roadworthy_row"], rows[0]["size"]) == (1, 7, "xl")
    if suffix == ".parquet":
        assert rows[0]["price"] == "0.12345678901234567890123"
        assert (rows[0]["tags"], rows[0]["day"]) == ("{a,b}", "infinity")
        assert (len(rows[1]["price"]), rows[1]["at"]) == (401, "0044-03-15 00:00:00+00 BC")
    assert psql(server, "SELECT COUNT(*), COUNT(price) FROM q;") == [["4", "3"]]


@pytest.mark.slow
@NEEDS_SERVER
def test_a_foreign_key_of_postgres_is_looked_up_in_the_same_database_alone(server: Path) -> None:
    pytest.importorskip("psycopg")
    key = Check(
        kind="foreign_key", field="code", fields=("code",), references="other.code", name="fk"
    )
    table = Table(name="t", physical_name="t", fields=FIELDS[2:3], checks=(key,))
    contract = Contract(id="c", version="1", tables=(table,), digest="")
    url = f"postgresql://postgres@/postgres?host={server}"

    def fk(reference: Any) -> tuple[int, str]:
        report = validate(contract, f"{url}#t", references={"other": reference})
        return next((rule.failed, rule.not_run) for rule in report.rules if rule.rule == "fk")

    assert fk(f"{url}#other") == fk("public.other") == (4, "")
    elsewhere = f"postgresql://me:s3cret@/elsewhere?host={server}#other"
    for reference in (elsewhere, "other.csv", "./other", pa.table({"code": ["ABC"]})):
        failed, said = fk(reference)
        assert (failed, "s3cret" in said) == (1, False)
        assert said.startswith("expected `other` to be a table of the same database, got `")


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
    with pytest.raises(StoreError, match="a file that can be written"):
        validate(contract, f"{url}#t", quarantine=tmp_path / "none" / "bad.parquet")
