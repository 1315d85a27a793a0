"""Batches held to a declared volume: too many rows, too few of a day, too many values."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("duckdb")

import pyarrow as pa
from pyarrow import parquet

from roadworthy.data.contract import Contract, Field, Table
from roadworthy.data.load_steps import FixedClock
from roadworthy.data.push_rate import HOUR_S, PushRate
from roadworthy.data.report import Report
from roadworthy.data.validate import validate
from roadworthy.data.volume import held_to
from roadworthy.declare.project import Volume

NOW = datetime(2013, 1, 2, 6, tzinfo=UTC)
NOW_US = int(NOW.timestamp()) * 1_000_000


def report_of(source: Any, kind: str = "timestamp", zoned: bool = True, **volume: Any) -> Report:
    at = Field(name="at", column="at", type=kind, has_timezone=zoned)  # type: ignore[arg-type]
    table = Table(name="t", physical_name="t", fields=(at,))
    contract = Contract(id="t", version="1.0.0", tables=(table,), digest="")
    held = held_to(contract, table, Volume(time="at", **volume))
    return validate(held, source, clock=FixedClock(NOW_US))


def of_day(report: Report) -> int:
    (rule,) = (rule for rule in report.rules if rule.rule == "volume.rows_per_day")
    assert isinstance(rule.measured, int)
    return rule.measured


def test_ten_rows_where_a_thousand_were_declared_are_a_warning_that_says_so() -> None:
    times = [NOW - timedelta(hours=n) for n in range(10)]
    report = report_of(pa.table({"at": times}), rows_per_day=[900, 1100])
    (rule,) = report.failed
    assert (rule.rule, rule.severity, rule.failed, rule.measured) == (
        "volume.rows_per_day",
        "warning",
        1,
        10,
    )
    assert rule.expected == "900 to 1100 rows of a day"
    assert (report.kept, report.failed_rows) == (True, 0)


def test_a_day_ends_as_long_ago_as_rows_may_be_late() -> None:
    times = [NOW - timedelta(hours=n) for n in range(100)]
    assert of_day(report_of(pa.table({"at": times}), rows_per_day=[24, 24])) == 24
    fresh = pa.table({"at": times[:10]})
    assert of_day(report_of(fresh, rows_per_day=[24, 24])) == 10
    assert of_day(report_of(fresh, rows_per_day=[24, 24], late_by="5h")) == 5
    assert of_day(report_of(fresh, rows_per_day=[24, 24], late_by="2d")) == 0


def test_of_dates_the_last_whole_day_is_counted() -> None:
    days = [date(2013, 1, 2)] * 9 + [date(2013, 1, 1)] * 5 + [date(2012, 12, 31)] * 3
    table = pa.table({"at": days})
    assert of_day(report_of(table, "date", False, rows_per_day=[5, 5])) == 5
    assert of_day(report_of(table, "date", False, rows_per_day=[3, 3], late_by="1d")) == 3


@settings(max_examples=40, deadline=None)
@given(hours=st.lists(st.integers(-48, 72), max_size=60), late=st.integers(0, 30))
def test_a_day_is_counted_alike_in_every_kind_of_source(hours: list[int], late: int) -> None:
    times = [NOW - timedelta(hours=one) for one in hours]
    volume: dict[str, Any] = {"rows_per_day": [0, 9]} | ({"late_by": f"{late}h"} if late else {})
    expected = sum(late <= one < late + 24 for one in hours)
    as_text = pa.table({"at": pa.array([one.isoformat() for one in times], pa.string())})
    zoned = pa.table({"at": pa.array(times, pa.timestamp("us", "UTC"))})
    plain = pa.table({"at": pa.array([t.replace(tzinfo=None) for t in times], pa.timestamp("us"))})
    assert of_day(report_of(zoned, **volume)) == expected
    assert of_day(report_of(plain, zoned=False, **volume)) == expected
    report = report_of(as_text, **volume)
    assert of_day(report) in (expected, 0)  # a text in a column of times has another type


def test_a_file_is_counted_as_a_table_is(tmp_path: Path) -> None:
    times = [NOW - timedelta(hours=n) for n in range(30)]
    parquet.write_table(pa.table({"at": times}), tmp_path / "a.parquet")
    (tmp_path / "a.csv").write_text("at\n" + "".join(f"{at.isoformat()}\n" for at in times))
    for name in ("a.parquet", "a.csv"):
        report = report_of(str(tmp_path / name), rows=29, rows_per_day=[1, 30], distinct={"at": 30})
        assert of_day(report) == 24
        assert [rule.rule for rule in report.failed] == ["volume.rows"]


def test_without_a_volume_a_contract_is_what_it_was() -> None:
    table = Table(name="t", physical_name="t", fields=())
    contract = Contract(id="t", version="1.0.0", tables=(table,), digest="")
    assert held_to(contract, table, None) is contract


@given(pushes=st.lists(st.tuples(st.integers(0, 30), st.integers(1, 50)), min_size=1))
def test_the_busiest_second_is_the_one_with_most_rows(pushes: list[tuple[int, int]]) -> None:
    rate, sums = PushRate(), dict[int, int]()
    for second, rows in sorted(pushes):
        rate.add("v@1", rows, 10 * HOUR_S + second + 0.5)
        sums[second] = sums.get(second, 0) + rows
    assert rate.busiest("v@1", 10 * HOUR_S + 40.0) == max(sums.values())
    assert rate.busiest("w@1", 10 * HOUR_S + 40.0) == 0
    assert rate.busiest("v@1", 12.5 * HOUR_S) == 0
