"""Invented rows keep every rule of their contract that is known, and the declared volume."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("duckdb")

from roadworthy.data.contract import Check, Contract, Field, Limits, Table
from roadworthy.data.load_steps import FixedClock, check_each
from roadworthy.data.made_rows import Made, write_rows
from roadworthy.data.relations import SourceTable, open_duck
from roadworthy.data.validate import validate
from roadworthy.data.volume import held_to
from roadworthy.declare.project import Volume
from roadworthy.errors import DeclarationError

NOW_US = 1_357_020_000_000_000
"""2013-01-01T06:00:00Z."""
FRESH = Check(kind="freshness", field="seen_at", max_age_s=120, severity="error")


def source_of(*fields: Field, checks: tuple[Check, ...] = (), **volume: Any) -> SourceTable:
    table = Table(name="t", physical_name="t", fields=fields, checks=checks, is_closed=True)
    contract = Contract(id="t", version="1.0.0", tables=(table,), digest="")
    return SourceTable(
        name="t", contract=contract, table=table, volume=Volume(**volume) if volume else None
    )


def field(name: str, kind: str = "string", **more: Any) -> Field:
    return Field(name=name, column=name, type=kind, **more)  # type: ignore[arg-type]


def broken(source: SourceTable, rows: int, folder: Path) -> dict[str, Any]:
    """Return the rules that so many invented rows break, each with what was measured."""
    path = folder / "rows.parquet"
    connection = open_duck([str(path)])
    write_rows(connection, Made(source, rows, NOW_US, {}), path, 0, rows)
    connection.close()
    contract = held_to(source.contract, source.table, source.volume)
    report = validate(contract, str(path), clock=FixedClock(NOW_US))
    assert report.rows == rows
    found = {rule.rule: rule.measured for rule in report.failed}
    # Each alone is held to the same rules as the batch.
    if not found:
        as_file = source.__class__(
            name="t", contract=source.contract, table=source.table, url=str(path)
        )
        assert check_each(as_file).note == ""
    return found


_bounds = st.tuples(st.integers(-1000, 1000), st.integers(0, 500)).map(lambda b: (b[0], sum(b)))


@st.composite
def fields(draw: st.DrawFn, number: int) -> Field:
    kind = draw(st.sampled_from(["string", "integer", "number", "boolean", "date", "timestamp"]))
    more: dict[str, Any] = {"required": draw(st.booleans())}
    if kind == "string":
        choice = draw(st.sampled_from(["pattern", "enum", "length", "none"]))
        if choice == "pattern":
            more["pattern"] = draw(st.sampled_from(["^[A-Z]{3}$", "^N[0-9]{1,5}$", "a|b", "^x?$"]))
        elif choice == "enum":
            more["enum"] = ("one", "it's", 'a "b"')
        elif choice == "length":
            more["min_length"] = draw(st.integers(0, 5))
            more["max_length"] = more["min_length"] + draw(st.integers(1, 5))
    if kind in ("integer", "number") and draw(st.booleans()):
        low, high = draw(_bounds)
        is_open = draw(st.booleans())
        more["exclusive_minimum" if is_open else "minimum"] = low
        more["exclusive_maximum" if is_open else "maximum"] = high + 2
    elif kind in ("integer", "number") and draw(st.booleans()):
        more["multiple_of"] = draw(st.sampled_from([2, 5, 10] if kind == "integer" else [0.5, 2]))
    if kind == "timestamp":
        more["has_timezone"] = draw(st.booleans())
    if kind == "date" and draw(st.booleans()):
        more["minimum"] = "2012-06-01"
    return field(f"f{number}", kind, **more)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    made=st.integers(1, 5).flatmap(lambda n: st.tuples(*(fields(k) for k in range(n)))),
    rows=st.integers(1, 400),
)
def test_invented_rows_keep_their_contract(made: tuple[Field, ...], rows: int) -> None:
    with TemporaryDirectory() as folder:
        assert broken(source_of(*made), rows, Path(folder)) == {}


@pytest.mark.parametrize("rows", [1, 2, 999, 5000])
def test_no_key_comes_twice(rows: int, tmp_path: Path) -> None:
    keys = (
        field("station", key_position=1, pattern="^[A-D]{2}$"),
        field("bay", "integer", key_position=2, minimum=1, maximum=7),
        field("half", "number", key_position=3),
        field("code", unique=True, pattern="^[a-z]{4}$"),
    )
    assert broken(source_of(*keys), rows, tmp_path) == {}


def test_rows_are_as_many_a_day_and_as_varied_as_declared(tmp_path: Path) -> None:
    source = source_of(
        field("plane", required=True),
        field("seen_at", "timestamp", required=True),
        field("seats", "integer", minimum=0, maximum=900),
        field("told_at", "timestamp"),
        checks=(FRESH, Check(kind="null_values", field="seats", limits=Limits(at_most=0))),
        rows=5000,
        rows_per_day=(900, 1000),
        time="seen_at",
        distinct={"plane": 40, "seats": 12},
    )
    assert broken(source, 5000, tmp_path) == {}
    few = source_of(*source.table.fields, rows=4000, distinct={"plane": 39, "seats": 11})
    path = tmp_path / "rows.parquet"
    report = validate(held_to(few.contract, few.table, few.volume), str(path))
    assert {rule.rule: rule.measured for rule in report.failed} == {
        "volume.rows": 5000,
        "volume.distinct.plane": 40,
        "volume.distinct.seats": 12,
    }
    assert report.kept


def test_days_follow_each_other_and_a_key_may_hold_one(tmp_path: Path) -> None:
    source = source_of(
        field("shop", key_position=1),
        field("day", "date", key_position=2, maximum=date(2013, 1, 1).isoformat()),
        rows=600,
        rows_per_day=[50, 60],
        time="day",
    )
    assert broken(source, 600, tmp_path) == {}


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (field("a", key_position=1, pattern="^[ab]$"), "allows 100 different a, got one that allo"),
        (field("a", "integer", key_position=1, minimum=1, maximum=9), "got one that allows 9"),
        (field("a", unique=True, pattern="^[0-9]$"), "got one of which 10 were found"),
        (field("a", pattern="^[0-9]{9}$", max_length=3), "expected a rule that some text keeps"),
    ],
)
def test_a_contract_that_holds_fewer_rows_than_declared_is_told(
    made: Field, said: str, tmp_path: Path
) -> None:
    with pytest.raises(DeclarationError, match=said):
        broken(source_of(made), 100, tmp_path)


def test_an_end_of_time_is_kept(tmp_path: Path) -> None:
    late = field("at", "timestamp", exclusive_minimum="2013-01-01T05:59:00Z")
    early = field("on", "timestamp", maximum="2012-12-24T00:00:00Z")
    assert broken(source_of(late, early), 50, tmp_path) == {}
