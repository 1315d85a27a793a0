"""A batch is held to its contract: what breaks it is counted, shown, and set aside."""

from __future__ import annotations

import gzip
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from roadworthy.data.contract import Check, Contract, Field, Limits, LogicalType, Table
from roadworthy.data.report import Report, RuleReport
from roadworthy.data.validate import validate
from roadworthy.errors import NotFound, RequestError, StoreError
from roadworthy.types import MICRO, SettableClock

Rows = dict[str, list[Any]]


def text(name: str, **rules: Any) -> Field:
    return Field(name=name, column=name, **rules)


def whole(name: str, **rules: Any) -> Field:
    return Field(name=name, column=name, type="integer", **rules)


def contract_of(*fields: Field, checks: tuple[Check, ...] = (), **more: Any) -> Contract:
    table = Table(name="t", physical_name="t_1", fields=fields, checks=checks, **more)
    return Contract(id="c", version="1", tables=(table,), digest="")


def held(rows: Rows, *fields: Field, **more: Any) -> Report:
    return validate(contract_of(*fields, **more), pa.table(rows))


def told(report: Report, name: str) -> RuleReport:
    return next(rule for rule in report.rules if rule.rule == name)


def broken(report: Report) -> dict[str, int]:
    return {rule.rule: rule.failed for rule in report.rules if rule.failed}


def values(rule: RuleReport) -> list[Any]:
    return [example.get("value") for example in rule.examples]


def test_a_batch_that_keeps_its_contract_is_kept() -> None:
    report = held({"a": [1, 2, None]}, whole("a", minimum=0, unique=True))
    assert (report.kept, report.rows, report.failed_rows, broken(report)) == (True, 3, 0, {})
    assert (report.contract, report.version, report.table) == ("c", "1", "t")


def test_each_broken_rule_says_how_many_rows_and_shows_the_first() -> None:
    rows: Rows = {"a": [1, -5, None, 900, -6], "b": ["x", "xx", "q", None, "xxxxx"]}
    report = held(
        rows,
        whole("a", required=True, minimum=0, maximum=100, unit="km"),
        text("b", max_length=2, enum=("x", "xx", "xxxxx")),
    )
    assert broken(report) == {
        "a.required": 1,
        "a.minimum": 2,
        "a.maximum": 1,
        "b.max_length": 1,
        "b.enum": 1,
    }
    assert told(report, "a.minimum").examples == (
        {"row": 2, "value": "-5"},
        {"row": 5, "value": "-6"},
    )
    assert told(report, "a.minimum").expected == ">= 0 km"
    assert (report.failed_rows, report.kept) == (4, False)


def test_a_personal_value_is_never_shown() -> None:
    report = held(
        {"mail": ["nobody", "nobody"]},
        text("mail", pattern="@", unique=True, is_personal=True),
        checks=(Check(kind="sql", field="mail", query="SELECT CAST(${column} AS INT) FROM t_1"),),
    )
    assert "nobody" not in str(report)
    assert told(report, "mail.pattern").examples == ({"row": 1}, {"row": 2})


def test_a_warning_is_told_and_breaks_nothing() -> None:
    report = held({"a": [-1]}, whole("a", minimum=0, severity="warning"))
    assert (report.kept, report.failed_rows, broken(report)) == (True, 0, {"a.minimum": 1})


@pytest.mark.parametrize(
    "kind", [pa.int8(), pa.uint8(), pa.uint32(), pa.int64(), pa.uint64(), pa.float64()]
)
def test_rows_with_a_key_that_came_before_are_counted(kind: Any, tmp_path: Path) -> None:
    table = pa.table({"a": pa.array([7, 1, 7, None, 7, 1, None], kind)})
    contract = contract_of(whole("a", unique=True))
    file = tmp_path / "a.parquet"
    parquet.write_table(table, file)
    for source in (table, file):
        report = validate(contract, source)
        assert broken(report) == {"a.unique": 3}
        assert [one["row"] for one in told(report, "a.unique").examples] == [3, 5, 6]
        assert report.failed_rows == 3


def test_a_unique_integer_may_be_as_wide_as_it_likes(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"a": [-(2**63), 2**63 - 1, 0, 0]}), file)
    assert broken(validate(contract_of(whole("a", unique=True)), file)) == {"a.unique": 1}


def test_a_key_of_two_fields_is_one_key() -> None:
    rows: Rows = {"a": [1, 1, 1, None], "b": ["x", "y", "x", "x"]}
    report = held(rows, whole("a", key_position=1), text("b", key_position=2))
    assert broken(report) == {"primary_key": 1, "a.required": 1}
    assert told(report, "primary_key").examples == ({"row": 3, "a": "1", "b": "x"},)


COUNTS: list[tuple[Check, Any]] = [
    (Check(kind="null_values", field="a", limits=Limits(at_most=1)), 1),
    (Check(kind="null_values", field="a", unit="percent", limits=Limits(less_than=26)), 25.0),
    (Check(kind="missing_values", field="b", values=(None, "?"), limits=Limits(equal=2)), 2),
    (Check(kind="invalid_values", field="b", values=("x",), limits=Limits(more_than=0)), 1),
    (Check(kind="invalid_values", field="b", pattern="^[a-z]", limits=Limits(unequal=2)), 1),
    (Check(kind="duplicate_values", field="b", fields=("b",), limits=Limits(at_least=1)), 1),
    (Check(kind="duplicate_values", fields=("a", "b"), limits=Limits(equal=1)), 1),
    (Check(kind="row_count", limits=Limits(outside=(5, 9))), 4),
    (Check(kind="sql", query="SELECT AVG(a) FROM ${table}", limits=Limits(equal=2)), 2.0),
    (Check(kind="sql", field="a", query='SELECT MAX(${column}) FROM "t_1"'), 4),
]
NOT: dict[str, Limits] = {"sql": Limits(more_than=99), "row_count": Limits(more_than=4)}


@pytest.mark.parametrize(("check", "measured"), COUNTS, ids=[c.kind for c, _ in COUNTS])
@pytest.mark.parametrize("is_file", [False, True])
def test_a_measure_is_held_to_its_limits(
    check: Check, measured: Any, is_file: bool, tmp_path: Path
) -> None:
    table = pa.table({"a": [1, 1, 4, None], "b": ["x", "x", "?", None]})
    source: Any = table
    if is_file:
        source = tmp_path / "a.parquet"
        parquet.write_table(table, source)
    fields = whole("a"), text("b")
    report = validate(contract_of(*fields, checks=(check,)), source)
    assert (report.rules[-1].measured, broken(report)) == (measured, {})
    limits = NOT.get(check.kind, Limits(at_least=99))
    worse = Check(**{**{n: getattr(check, n) for n in check.__struct_fields__}, "limits": limits})
    report = validate(contract_of(*fields, checks=(worse,)), source)
    assert not report.kept
    assert report.rules[-1].measured == measured
    assert report.rules[-1].failed >= 1


def test_freshness_goes_by_the_clock_of_the_project() -> None:
    at = Field(name="at", column="at", type="timestamp")
    check = Check(kind="freshness", field="at", max_age_s=3_600)
    newest = datetime(2013, 1, 1, 12, tzinfo=UTC)
    for kind in (pa.timestamp("us"), pa.timestamp("us", "America/New_York")):
        table = pa.table({"at": pa.array([newest, None], kind)})
        for later_s, is_kept in ((3_590, True), (3_601, False)):
            clock = SettableClock()
            clock.set(int((newest.timestamp() + later_s) * MICRO))
            report = validate(contract_of(at, checks=(check,)), table, clock=clock)
            assert report.kept == is_kept
            assert report.rules[-1].measured == pytest.approx(later_s, abs=9)


NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)
STALE, LATER = NOON - timedelta(days=3), NOON + timedelta(days=400)


@pytest.mark.parametrize("kind", ["naive", "zoned", "date", "text", "parquet"])
def test_a_time_of_the_future_hides_no_stale_data_and_is_told_itself(
    kind: str, tmp_path: Path
) -> None:
    at = Field(name="at", column="at", type="date" if kind == "date" else "timestamp")
    check = Check(kind="freshness", field="at", max_age_s=86_400, name="at.freshness")
    moments = [STALE, LATER, None, STALE]
    source: Any = pa.table({"at": pa.array(moments, pa.timestamp("us", "UTC"))})
    if kind == "naive":
        source = source.cast(pa.schema({"at": pa.timestamp("us")}))
    elif kind == "date":
        source = source.cast(pa.schema({"at": pa.date32()}))
    elif kind == "text":
        source = tmp_path / "t.csv"
        source.write_text(f"at,n\n{STALE.isoformat()},1\n{LATER.isoformat()},2\n")
    elif kind == "parquet":
        parquet.write_table(source, tmp_path / "t.parquet")
        source = tmp_path / "t.parquet"
    clock = SettableClock()
    clock.set(int(NOON.timestamp() * MICRO))
    report = validate(contract_of(at, checks=(check,)), source, clock=clock)
    assert broken(report) == {"at.future": 1, "at.freshness": 1}
    future = next(rule for rule in report.rules if rule.rule == "at.future")
    assert (future.severity, future.expected) == ("warning", "a time that has come")
    assert [example["row"] for example in future.examples] == [2]
    assert report.rules[-1].measured == pytest.approx(3 * 86_400, abs=43_210)


def test_a_time_of_the_future_beside_fresh_ones_is_a_warning() -> None:
    at = Field(name="at", column="at", type="timestamp")
    check = Check(kind="freshness", field="at", max_age_s=86_400, name="at.freshness")
    clock = SettableClock()
    clock.set(int(NOON.timestamp() * MICRO))
    table = pa.table({"at": pa.array([NOON, LATER], pa.timestamp("us"))})
    report = validate(contract_of(at, checks=(check,)), table, clock=clock)
    assert report.kept
    assert broken(report) == {"at.future": 1}


def test_freshness_of_times_that_all_lie_in_the_future_is_broken() -> None:
    at = Field(name="at", column="at", type="timestamp")
    check = Check(kind="freshness", field="at", max_age_s=86_400)
    table = pa.table({"at": pa.array([LATER], pa.timestamp("us"))})
    clock = SettableClock()
    clock.set(int(NOON.timestamp() * MICRO))
    assert not validate(contract_of(at, checks=(check,)), table, clock=clock).kept


def test_freshness_without_any_time_is_broken() -> None:
    at = Field(name="at", column="at", type="timestamp")
    check = Check(kind="freshness", field="at", max_age_s=3_600)
    assert not validate(
        contract_of(at, checks=(check,)), pa.table({"at": pa.array([None], pa.timestamp("us"))})
    ).kept


def test_a_foreign_key_is_looked_up_in_the_reference(tmp_path: Path) -> None:
    key = Check(
        kind="foreign_key", field="a", fields=("a",), references="u.id", name="a.foreign_key"
    )
    contract = contract_of(whole("a"), checks=(key,))
    other = tmp_path / "u.csv"
    other.write_text("id,name\n1,x\n2,y\n,z\n")
    table = pa.table({"a": [1, 2, 3, None, 3]})
    report = validate(contract, table, references={"u": str(other)})
    assert broken(report) == {"a.foreign_key": 2}
    assert values(told(report, "a.foreign_key")) == ["3", "3"]
    with pytest.raises(RequestError, match=r"a reference with column `id`, got none"):
        validate(contract, table, references={"u": pa.table({"ID_": [1]})})


def test_a_foreign_key_without_its_reference_is_not_run_and_not_kept() -> None:
    key = Check(kind="foreign_key", field="a", fields=("a",), references="u.id", name="fk")
    table = pa.table({"a": [1, -2]})
    report = validate(contract_of(whole("a", minimum=0), checks=(key,)), table)
    rule = told(report, "fk")
    assert rule.not_run.startswith("expected where the rows of `u` are, got nothing; name them")
    assert "`--reference u=SOURCE`" in rule.not_run
    assert (report.kept, report.failed_rows, broken(report)) == (
        False,
        1,
        {"a.minimum": 1, "fk": 1},
    )
    mild = msgspec.structs.replace(key, severity="warning")
    report = validate(contract_of(whole("a"), checks=(mild,)), table)
    assert (report.kept, bool(told(report, "fk").not_run)) == (True, True)


def test_a_foreign_key_into_postgres_says_why_it_cannot_be_looked_up() -> None:
    key = Check(kind="foreign_key", field="a", fields=("a",), references="u.id", name="fk")
    there = {"u": "postgresql://me:s3cret@host/base#u"}
    report = validate(
        contract_of(whole("a"), checks=(key,)), pa.table({"a": [1]}), references=there
    )
    said = told(report, "fk").not_run
    assert said.startswith("expected `u` to be a file or a frame: rows of Postgres stay there")
    assert "s3cret" not in said


def test_a_foreign_key_of_a_table_into_itself_needs_no_reference() -> None:
    key = Check(kind="foreign_key", field="boss", fields=("boss",), references="t.id", name="fk")
    table = pa.table({"id": [1, 2, 3], "boss": [None, 1, 9]})
    report = validate(contract_of(whole("id"), whole("boss"), checks=(key,)), table)
    assert broken(report) == {"fk": 1}
    assert values(told(report, "fk")) == ["9"]


def test_a_foreign_key_of_two_fields_is_one_key() -> None:
    key = Check(kind="foreign_key", field="a", fields=("a", "b"), references="u.x, u.y", name="fk")
    report = validate(
        contract_of(whole("a"), text("b"), checks=(key,)),
        pa.table({"a": [1, 1, None], "b": ["p", "q", "q"]}),
        references={"u": pa.table({"x": [1, 2], "y": ["p", "q"]})},
    )
    assert broken(report) == {"fk": 1}


def test_columns_may_come_in_any_order_and_there_may_be_more() -> None:
    assert held({"extra": [1], "b": ["x"], "a": [1]}, whole("a"), text("b")).kept


def test_a_renamed_column_is_named_with_what_may_have_become_of_it() -> None:
    report = held({"a": [1], "temp_c": [3]}, whole("a"), whole("temp", minimum=0))
    assert told(report, "columns").examples == ({"missing": "temp", "instead": ["temp_c"]},)
    assert broken(report) == {"columns": 1}


def test_a_closed_table_refuses_a_column_more() -> None:
    report = held({"a": [1], "b": [2]}, whole("a"), is_closed=True)
    assert told(report, "columns").examples == ({"unexpected": "b"},)


def test_a_column_is_found_by_its_physical_name() -> None:
    field = Field(name="a", column='A b"c', type="integer", minimum=3)
    assert broken(held({'A b"c': [1]}, field)) == {"a.minimum": 1}


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_bad_rows_are_set_aside_as_they_were(suffix: str, tmp_path: Path) -> None:
    source = tmp_path / "a.parquet"
    rows = {"roadworthy_row": [9, 9, 9, 9], "p0": ["w", "x", "y", "z"], "a": [1, -5, 7, -5]}
    parquet.write_table(pa.table(rows), source)
    target = tmp_path / f"bad{suffix}"
    contract = contract_of(whole("a", minimum=0, unique=True), text("p0", max_length=1))
    report = validate(contract, source, quarantine=target)
    found = (
        parquet.read_table(target) if suffix == ".parquet" else csv.read_csv(target)
    ).to_pylist()
    assert [
        (row["p0"], row["a"], row["roadworthy_row_2"], row["roadworthy_rules"]) for row in found
    ] == [
        ("x", -5, 2, "a.minimum"),
        ("z", -5, 4, "a.minimum, a.unique"),
    ]
    assert {row["roadworthy_row"] for row in found} == {9}
    assert (report.quarantined, report.failed_rows) == (2, 2)
    assert target.stat().st_mode & 0o077 == 0


def test_no_column_of_a_user_is_lost_in_the_quarantine(tmp_path: Path) -> None:
    names = ("Roadworthy_ROW", "roadworthy_row_2", "roadworthy_rules", "roadworthy_line", "c0")
    target = tmp_path / "bad.parquet"
    table = pa.table({"a": [1, -1]} | {name: [f"{name} 1", f"{name} 2"] for name in names})
    assert validate(contract_of(whole("a", minimum=0)), table, quarantine=target).quarantined == 1
    (row,) = parquet.read_table(target).to_pylist()
    assert {name: row[name] for name in names} == {name: f"{name} 2" for name in names}
    assert (row["roadworthy_row_3"], row["roadworthy_rules_2"]) == (2, "a.minimum")
    assert row["roadworthy_line_2"] is None


def test_a_quarantine_of_nothing_is_an_empty_file(tmp_path: Path) -> None:
    target = tmp_path / "bad.parquet"
    table = pa.table({"a": [1]})
    assert validate(contract_of(whole("a")), table, quarantine=target).quarantined == 0
    assert parquet.read_table(target).num_rows == 0


def test_a_quarantine_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    table, contract = pa.table({"a": [1]}), contract_of(whole("a"))
    with pytest.raises(StoreError, match="a file that can be written"):
        validate(contract, table, quarantine=tmp_path / "none" / "bad.parquet")
    with pytest.raises(RequestError, match=r"`.parquet` or `.csv`"):
        validate(contract, table, quarantine=tmp_path / "bad.xlsx")


def test_a_frame_an_arrow_batch_and_a_duckdb_table_are_sources(tmp_path: Path) -> None:
    contract = contract_of(whole("a", required=True, maximum=2), text("b"))
    rows: Rows = {"a": [1, 3, None], "b": ["x", None, "z"]}
    file = tmp_path / "d.duckdb"
    table = pa.table(rows)
    with duckdb.connect(str(file)) as connection:
        connection.register("held", table)
        connection.execute("CREATE SCHEMA s; CREATE TABLE s.t AS SELECT * FROM held")
    sources: list[Any] = [pd.DataFrame(rows), table, table.to_batches()[0], f"{file}#s.t"]
    for source in sources:
        report = validate(contract, source)
        assert broken(report) == {"a.required": 1, "a.maximum": 1}, source


def test_dates_in_a_frame_are_days_at_midnight() -> None:
    day = Field(name="d", column="d", type="date", minimum="2013-01-01")
    frame = pd.DataFrame({"d": pd.to_datetime(["2013-01-01T00", "2012-12-31T00", "2013-01-01T01"])})
    assert broken(validate(contract_of(day), frame)) == {"d.type": 1, "d.minimum": 1}


def test_files_of_one_pattern_are_one_source(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"a": [1], "b": ["x"]}), tmp_path / "1.parquet")
    parquet.write_table(pa.table({"b": ["x"], "a": [-1]}), tmp_path / "2.parquet")
    (tmp_path / "1.csv").write_text("a,b\n1,x\n")
    (tmp_path / "2.csv").write_text("b;a\nx;-1\n")
    contract = contract_of(whole("a", minimum=0), text("b", max_length=1))
    for name in ("*.parquet", "*.csv"):
        report = validate(contract, str(tmp_path / name))
        assert (report.rows, broken(report)) == (2, {"a.minimum": 1})


TYPES: list[tuple[LogicalType, pa.Array, int]] = [
    ("object", pa.array([{"x": 1}]), 0),
    ("array", pa.array([[1]]), 0),
    ("object", pa.array([[1]]), 1),
    ("string", pa.array([b"x"]), 1),
    ("time", pa.array([1], pa.time64("us")), 0),
    ("string", pa.array(["a", "b"]).dictionary_encode(), 0),
    ("integer", pa.array([2**63], pa.decimal128(38, 0)), 1),
    ("integer", pa.array([1], pa.decimal128(38, 1)), 0),
    ("number", pa.array([math.inf], pa.float32()), 1),
    ("string", pa.nulls(1), 0),
]


@pytest.mark.parametrize(("kind", "column", "failed"), TYPES)
def test_a_column_has_the_type_of_its_field(
    kind: LogicalType, column: pa.Array, failed: int
) -> None:
    report = held({"f": column}, Field(name="f", column="f", type=kind))
    assert broken(report) == ({"f.type": failed} if failed else {})


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.parquet", None, "expected a file, got none"),
        ("torn.parquet", b"PAR1 nothing", "a source that can be read"),
        ("empty.csv", b"", "a header line that names the columns, got an empty file"),
        ("twice.csv", b"a,b,A\n1,2,3\n", "got `A` in columns 1 and 3"),
        ("unnamed.csv", b"a,,b\n1,2,3\n", "a name for column 2"),
        ("wide.csv", "a,b\n1,2\n".encode("utf-16"), "UTF-16; save it as UTF-8"),
        ("latin.csv", "a,ä\n1,2\n".encode("latin-1"), "a header in UTF-8"),
        ("cut.csv.gz", b"\x1f\x8b\x08\x00", "a file that can be read"),
    ],
)
def test_a_source_that_cannot_be_read_says_why(
    name: str, content: bytes | None, said: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(StoreError, match=said):
        validate(contract_of(whole("a")), tmp_path / name)


def test_what_is_no_source_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").write_bytes(b"")
    for source in (tmp_path / "a.xlsx", 3):
        with pytest.raises(RequestError, match=r"expected a"):
            validate(contract_of(whole("a")), source)
    with pytest.raises(StoreError, match="got a folder"):
        validate(contract_of(whole("a")), tmp_path)
    with pytest.raises(StoreError, match="columns of one type each, got several in column a"):
        validate(contract_of(whole("a")), pd.DataFrame({"a": [1, "x", 2.5]}))


def test_a_table_is_chosen_by_name() -> None:
    tables = tuple(Table(name=n, physical_name=n, fields=(whole("a"),)) for n in ("t", "u"))
    contract = Contract(id="c", version="1", tables=tables, digest="")
    assert validate(contract, pa.table({"a": [1]}), table="u").table == "u"
    with pytest.raises(RequestError, match=r"expected `--table`, got none; .*`t`, `u`"):
        validate(contract, pa.table({"a": [1]}))
    with pytest.raises(NotFound, match="got `v`"):
        validate(contract, pa.table({"a": [1]}), table="v")


@pytest.mark.parametrize(
    ("rule", "bound", "failed"),
    [
        ("minimum", 2.5, 2),
        ("exclusive_minimum", 2.5, 2),
        ("exclusive_minimum", 3, 3),
        ("maximum", 2.5, 2),
        ("exclusive_maximum", 2.5, 2),
        ("exclusive_maximum", 4.0, 1),
        ("maximum", 1e300, 0),
        ("minimum", 1e300, 4),
    ],
)
def test_a_whole_number_may_have_a_bound_that_is_none(rule: str, bound: float, failed: int) -> None:
    report = held({"a": [1, 2, 3, 4]}, whole("a", **{rule: bound}))
    assert broken(report) == ({f"a.{rule}": failed} if failed else {})


@pytest.mark.parametrize("field", ["a", "b"])
def test_a_rule_of_several_fields_is_broken_where_one_is_missing(field: str) -> None:
    key = Check(kind="foreign_key", field="a", fields=("a", "b"), references="u.x, u.y", name="fk")
    table = pa.table({"a": [1], "b": ["p"]}).select([field])
    report = validate(
        contract_of(whole("a", key_position=1), text("b", key_position=2), checks=(key,)),
        table,
        references={"u": pa.table({"x": [9], "y": ["q"]})},
    )
    missing = "b" if field == "a" else "a"
    assert told(report, "fk").examples == ({"missing": missing},)
    assert (told(report, "fk").failed, told(report, "primary_key").failed) == (1, 1)


@pytest.mark.parametrize(
    "url",
    [
        "mysql://me:s3cret@host/base#t",
        "postgresql://me:s3cret@host:port/base#t",
        "postgresql://me:s3#s3cret@host/base#t",
        "postgresql://me:s3/s3cret@host/base",
        "postgresql://host/base?password=s3cret",
        "s3cret://me:s3cret@host",
    ],
)
def test_a_password_in_a_url_is_never_said(url: str) -> None:
    with pytest.raises(RequestError) as caught:
        validate(contract_of(whole("a")), url)
    assert "s3cret" not in str(caught.value).replace("s3cret://", "")


NAMES = ("s[1]", "s*", "s?", "s]", "a{b,c}", "%41", "a'b", "d[x]/e*")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("ending", [".csv", ".CSV", ".parquet", ".PARQUET", ".Csv.GZ"])
def test_a_name_of_a_file_is_no_pattern(name: str, ending: str, tmp_path: Path) -> None:
    for one, number in ((name, -1), ("s1", 1), ("sx", 1), ("ab", 1), ("dx/ex", 1)):
        file = tmp_path / f"{one}{ending}"
        file.parent.mkdir(exist_ok=True)
        if ending.lower() == ".parquet":
            parquet.write_table(pa.table({"a": [number]}), file)
        else:
            content = f"a\n{number}\n".encode()
            file.write_bytes(gzip.compress(content) if "G" in ending else content)
    report = validate(contract_of(whole("a", minimum=0)), tmp_path / f"{name}{ending}")
    assert (report.rows, broken(report)) == (1, {"a.minimum": 1})


def test_a_pattern_below_a_folder_with_brackets_says_how_to_write_them(tmp_path: Path) -> None:
    folder = tmp_path / "d[1]"
    folder.mkdir()
    (folder / "a.csv").write_text("a\n1\n")
    contract = contract_of(whole("a"))
    with pytest.raises(StoreError, match=r"got none - .*; `\[` and `\]` are part of a pattern"):
        validate(contract, f"{folder}/*.csv")
    with pytest.raises(StoreError) as caught:
        validate(contract, folder)
    named = str(caught.value).partition("name `")[2].rstrip("`").replace("parquet", "csv")
    assert validate(contract, named).rows == 1
