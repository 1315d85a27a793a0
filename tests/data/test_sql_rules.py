"""A rule that a contract's author wrote in SQL reads the batch, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from roadworthy.data import authored
from roadworthy.data.contract import Check, Contract, Field, Limits, Table
from roadworthy.data.report import RuleReport
from roadworthy.data.sql_rules import pure_query
from roadworthy.data.validate import validate


def judged(query: str, source: object) -> RuleReport:
    fields = (
        Field(name="n", column="n", type="number"),
        Field(name="seen", column="seen", type="timestamp"),
    )
    check = Check(kind="sql", query=query, limits=Limits(at_least=0), name="mine")
    table = Table(name="t", physical_name="t", fields=fields, checks=(check,))
    report = validate(Contract(id="c", version="1", tables=(table,), digest=""), source)
    return next(rule for rule in report.rules if rule.rule == "mine")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "t.parquet"
    parquet.write_table(pa.table({"n": [1.0, 3.0], "seen": ["2013-01-01T00:00:00Z", "x"]}), file)
    return file


@pytest.mark.parametrize(
    ("query", "measured"),
    [
        ("SELECT AVG(n) FROM ${table}", 2.0),
        ("SELECT MAX(n) - MIN(n) FROM t", 2.0),
        ("WITH months AS (SELECT MONTH(seen) AS m FROM t) SELECT COUNT(m) FROM months", 1),
        ("SELECT EPOCH(MAX(seen)) FROM ${table}", 1356998400.0),
    ],
)
def test_it_reads_values_in_their_types(query: str, measured: float, source: Path) -> None:
    rule = judged(query, source)
    assert (rule.measured, rule.failed) == (measured, 0)


def test_it_reads_a_csv_in_types_too(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("n,seen,more\n1.5,2013-01-01T00:00:00Z,a\nx,y,b\n")
    assert judged("SELECT SUM(n) + COUNT(seen) + COUNT(more) FROM ${table}", file).measured == 4.5


@pytest.mark.parametrize(
    "query",
    [
        "SELECT COUNT(*) FROM '{other}'",
        "SELECT COUNT(*) FROM read_text('{other}')",
        "SELECT COUNT(*) FROM read_csv('/etc/passwd')",
        "SELECT COUNT(*) FROM glob('/etc/*')",
        "SELECT COUNT(*) FROM 'https://example.org/x.csv'",
        "SELECT COUNT(*) FROM query('COPY t TO ''{other}''')",
        "COPY (SELECT 1) TO '{other}'",
        "COPY (SELECT 1) TO '{own}'",
        "SELECT 1; DROP VIEW t",
        "ATTACH '{other}' AS x",
        "SET enable_external_access = true",
        "INSTALL httpfs",
        "PRAGMA database_list",
        "CREATE TABLE x AS SELECT 1",
        "DELETE FROM t",
        "SELECT COUNT(*) FROM duckdb_secrets()",
        "SELECT COUNT(*) FROM frame",
        "SELECT COUNT(*) FROM information_schema.tables",
        "SELECT COUNT(*) FROM roadworthy_source_base.salaries",
        "WITH frame AS (SELECT * FROM frame) SELECT COUNT(*) FROM frame",
        "SELECT COUNT(*) FROM t WHERE n IN (SELECT n FROM other)",
        "SELECT LENGTH(getenv('HOME'))",
    ],
)
def test_it_can_reach_nothing_else(query: str, source: Path, tmp_path: Path) -> None:
    frame = pa.table({"n": [1]})
    other = tmp_path / "other.csv"
    other.write_text(f"secret,{frame.num_rows}\n")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    rule = judged(query.format(other=other, own=source), source)
    assert (rule.failed, rule.measured) == (1, None)
    assert rule.examples[0]["problem"]
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert "secret" not in os.listdir(tmp_path)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT n FROM t", "one row of one column, got 2 rows"),
        ("SELECT 1, 2", "one row of one column"),
        ("SELECT 'x'", "a number, got another"),
        ("SELECT MAX(n) FROM t WHERE n > 9", "a number, got null"),
        ("SELECT nothing FROM t", "nothing"),
        ("SELEC", "one SELECT, got another statement"),
        ("SELECT (", "not SQL"),
    ],
)
def test_one_that_gives_no_number_is_broken(query: str, said: str, source: Path) -> None:
    rule = judged(query, source)
    assert rule.failed == 1
    assert said in rule.examples[0]["problem"]


def test_one_that_never_ends_is_ended(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authored, "MOST_S", 0.2)
    query = "SELECT COUNT(*) FROM range(10000000) a, range(10000000) b WHERE a.range <> b.range"
    rule = judged(query, source)
    assert rule.failed == 1
    assert "INTERRUPT" in rule.examples[0]["problem"].upper()


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT LENGTH(pg_read_file('/etc/passwd'))", "got `pg_read_file`"),
        ("SELECT LENGTH(pg_catalog.pg_read_file('/etc/passwd'))", "got `pg_read_file`"),
        ("SELECT LENGTH(\"pg_read_file\"('/etc/passwd'))", "got `pg_read_file`"),
        ("SELECT COUNT(*) FROM pg_ls_dir('/')", "got `pg_ls_dir`"),
        ("SELECT COUNT(*) FROM salaries", "tables of the contract (`t`), got `salaries`"),
        ("SELECT COUNT(*) FROM (TABLE salaries) AS x", "got `salaries`"),
        ("SELECT (SELECT MAX(s) FROM salaries) FROM t", "got `salaries`"),
        ("WITH s AS (SELECT * FROM s) SELECT COUNT(*) FROM s", "got `s`"),
        ("SELECT COUNT(*) FROM other.t", "got `other.t`"),
        ("SELECT LENGTH(set_config('statement_timeout', '0', false))", "got `set_config`"),
        ("SELECT LENGTH(query_to_xml('SELECT 1', true, true, '')::text)", "got `query_to_xml`"),
        ("WITH d AS (DELETE FROM t RETURNING 1) SELECT COUNT(*) FROM d", "changes nothing"),
        ("SELECT 1 INTO x", "changes nothing"),
        ("SELECT pg_sleep(1)", "got `pg_sleep`"),
        ("SELECT LENGTH(current_user)", "functions that only compute"),
    ],
)
def test_one_for_postgres_reads_no_other_table_and_calls_what_computes(
    query: str, said: str
) -> None:
    written, problem = pure_query(query, "postgres", ["t"])
    assert written == ""
    assert said in problem


@pytest.mark.parametrize(
    "query",
    [
        "SELECT AVG(CASE WHEN n IS NULL THEN 1 ELSE 0 END) FROM t /* all */",
        "WITH big AS (SELECT n FROM t WHERE n > 3) SELECT COUNT(*) FROM big AS b",
        "SELECT COUNT(*) FROM t AS a JOIN t AS b ON a.n = b.n WHERE a.x ~ '^a'",
        "SELECT EXTRACT(EPOCH FROM CURRENT_TIMESTAMP - MAX(seen)) FROM t",
        "SELECT COUNT(*) FROM GENERATE_SERIES(1, 3) AS s(n)",
        "SELECT PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY n) FROM t",
    ],
)
def test_one_that_only_computes_runs_without_its_comments(query: str) -> None:
    written, problem = pure_query(query, "postgres", ["t"])
    assert problem == ""
    assert "/*" not in written
