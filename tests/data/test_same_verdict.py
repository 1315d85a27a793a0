"""A batch in Parquet, the same as CSV, and each record alone: the same rules, the same counts."""

# ruff: noqa: DTZ001 - times without a zone are what is tested

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from roadworthy.data.contract import ROW_RULES, Contract, Field, Table, rules_of
from roadworthy.data.live import LiveRules
from roadworthy.data.validate import validate

TEXTS = st.one_of(
    st.sampled_from(
        ["", "a", "NA", "N12", "ÄÖ", "e\u0301", "🤦🏼", "a,b", 'q"q', "x\ny", " ", "0", "n\u0085"]
    ),
    st.text(
        alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=6
    ),
)
FLOATS = st.one_of(
    st.sampled_from(
        [
            math.nan,
            math.inf,
            -math.inf,
            0.0,
            -0.0,
            0.1,
            0.3,
            2.5,
            3.0,
            1e300,
            -1e300,
            5e-324,
            2.0**63,
            -(2.0**63),
            2.0**53,
            9.2e18,
            1e16,
            1e-7,
        ]
    ),
    st.floats(width=64),
)
INTEGERS = st.one_of(
    st.sampled_from([0, 1, -1, 2**63 - 1, -(2**63), 2**53 + 1]), st.integers(-50, 50)
)
UNSIGNED = st.sampled_from([0, 3, 2**63 - 1, 2**63, 2**64 - 1])
DATES = st.dates(date(1, 1, 1), date(9999, 12, 31))
DATE_TEXTS = st.one_of(
    DATES.map(date.isoformat),
    st.sampled_from(["2013-02-29", "2012-02-29", "0000-01-01", "2013-1-1", "2013-13-01", "x"]),
)
TIMES = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31))
# At the ends of the calendar a zone has no Python time, so pyarrow could not give it back.
ZONED = st.datetimes(datetime(1900, 1, 1), datetime(2900, 1, 1)).map(
    lambda t: t.replace(tzinfo=UTC)
)
TIME_TEXTS = st.one_of(
    TIMES.map(datetime.isoformat),
    st.sampled_from(
        [
            "2013-03-10T02:30:00",
            "2013-03-10T02:30:00-05:00",
            "2013-03-10 02:30:00.123456789Z",
            "2013-01-01T00:00:00+00",
            "2013-01-01T24:00:00Z",
            "2013-01-01",
            "2013-01-01T00:00Z",
            "0001-01-01T00:00:00+05:00",
            "2013-01-01T00:00:00+01:00",
            "2012-12-31T23:30:00Z",
        ]
    ),
)
# How a column may hold a field: the Arrow type, its values, and whether CSV text means the same.
COLUMNS: dict[str, list[tuple[pa.DataType, st.SearchStrategy[Any], bool]]] = {
    "string": [(pa.string(), TEXTS, True), (pa.int64(), INTEGERS, False)],
    "integer": [
        (pa.int64(), INTEGERS, True),
        (pa.uint64(), UNSIGNED, True),
        (pa.float64(), FLOATS, True),
        (pa.bool_(), st.booleans(), True),
        (pa.string(), st.sampled_from(["x", "1 2", "--1"]), True),
        (pa.string(), st.sampled_from(["3", "4.0"]), False),
    ],
    "number": [
        (pa.float64(), FLOATS, True),
        (pa.int64(), st.integers(-(2**53), 2**53), True),
        (pa.bool_(), st.booleans(), True),
        (pa.string(), st.sampled_from(["x", "1_0", "0x1"]), True),
    ],
    "boolean": [(pa.bool_(), st.booleans(), True), (pa.int64(), st.integers(0, 1), True)],
    "date": [(pa.date32(), DATES, True), (pa.string(), DATE_TEXTS, True)],
    "timestamp": [
        (pa.timestamp("us"), TIMES, True),
        (pa.timestamp("us", "America/New_York"), ZONED, True),
        (pa.string(), TIME_TEXTS, True),
    ],
}


@st.composite
def fields(draw: st.DrawFn, name: str) -> Field:
    kind: Any = draw(st.sampled_from(sorted(COLUMNS)))
    rules: dict[str, Any] = {"required": draw(st.booleans())}
    if kind in ("integer", "number"):
        bounds = st.sampled_from([-1, 0, 2.5, 3, 9.0e15, None])
        low = draw(bounds)
        rules["minimum" if draw(st.booleans()) else "exclusive_minimum"] = low
        rules["maximum" if draw(st.booleans()) else "exclusive_maximum"] = draw(bounds)
        rules["multiple_of"] = draw(st.sampled_from([None, None, 3, 0.1]))
        rules["enum"] = draw(st.sampled_from([(), (), (0, 1, 3)]))
    if kind == "string":
        rules["min_length"] = draw(st.sampled_from([None, 1, 2]))
        rules["max_length"] = draw(st.sampled_from([None, 1, 3]))
        rules["pattern"] = draw(st.sampled_from(["", r"^[A-Z]", "^[^\\n]*$", "[0-9]$", "\u00c4|q"]))
        rules["enum"] = draw(st.sampled_from([(), (), ("", "a", "ÄÖ", "🤦🏼")]))
    if kind == "date":
        rules["minimum"] = draw(st.sampled_from([None, "2013-01-01"]))
        rules["exclusive_maximum"] = draw(st.sampled_from([None, "2500-06-30"]))
        rules["enum"] = draw(st.sampled_from([(), (), ("2012-02-29", "2013-01-01")]))
    if kind == "timestamp":
        rules["minimum"] = draw(st.sampled_from([None, "2013-01-01T00:00:00+01:00"]))
        rules["exclusive_maximum"] = draw(st.sampled_from([None, "2500-06-30T12:00:00Z"]))
        rules["has_timezone"] = draw(st.booleans())
    return Field(name=name, column=name, type=kind, **rules)


@st.composite
def batches(draw: st.DrawFn) -> tuple[Table, pa.Table, bool]:
    """Draw a table, a batch for it, and whether CSV text means the same."""
    rows = draw(st.integers(0, 6))
    drawn, columns, is_same_as_text = [], {}, True
    for name in ("a", "b", "c")[: draw(st.integers(1, 3))]:
        field = draw(fields(name))
        kind, values, is_text_safe = draw(st.sampled_from(COLUMNS[field.type]))
        found = draw(st.lists(st.one_of(st.none(), values), min_size=rows, max_size=rows))
        is_same_as_text &= is_text_safe
        drawn.append(field)
        columns[name] = pa.array(found, kind, from_pandas=False)
    table = Table(name="t", physical_name="t", fields=tuple(drawn))
    return table, pa.table(columns), is_same_as_text


def as_json(value: Any) -> Any:
    """Return a value of a column as a record holds it."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat() if value.tzinfo else value.isoformat()
    return value.isoformat() if isinstance(value, date) else value


def as_text(value: Any) -> str:
    """Return a value of a column as CSV holds it: null is empty, an empty text is quoted."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value)
    text = str(as_json(value))
    return '"' + text.replace('"', '""') + '"' if not text or set(text) & set(',"\n\r') else text


def by_record(table: Table, batch: pa.Table) -> Counter[str]:
    live = LiveRules(table)
    return Counter(
        rule
        for row in batch.to_pylist()
        for rule in live.broken({name: as_json(value) for name, value in row.items()})
    )


def by_batch(table: Table, source: Any) -> tuple[Counter[str], bool]:
    contract = Contract(id="c", version="1", tables=(table,), digest="")
    report = validate(contract, source)
    names = {rule.name for rule in rules_of(table) if rule.kind in ROW_RULES}
    told = {rule.rule: rule.failed for rule in report.rules}
    assert names <= set(told)
    return Counter({name: told[name] for name in names if told[name]}), report.kept


HEALTH = [HealthCheck.too_slow]


@settings(max_examples=60, deadline=None, suppress_health_check=HEALTH, derandomize=True)
@given(batches())
def test_batch_text_and_record_agree(drawn: tuple[Table, pa.Table, bool]) -> None:
    agree(drawn)


@pytest.mark.slow
@settings(max_examples=400, deadline=None, suppress_health_check=HEALTH)
@given(batches())
def test_batch_text_and_record_agree_about_many(drawn: tuple[Table, pa.Table, bool]) -> None:
    agree(drawn)


def agree(drawn: tuple[Table, pa.Table, bool]) -> None:
    table, batch, is_same_as_text = drawn
    expected = by_record(table, batch)
    assert by_batch(table, batch) == (expected, not expected)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "batch.parquet"
        parquet.write_table(batch, file)
        assert by_batch(table, file) == (expected, not expected)
        if is_same_as_text:
            text = Path(folder) / "batch.csv"
            lines = [",".join(batch.column_names)]
            # A single empty value is an empty line: a second column keeps each row a line.
            lines = [f"{lines[0]},end"] + [
                ",".join([*map(as_text, row.values()), "."]) for row in batch.to_pylist()
            ]
            text.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="")
            assert by_batch(table, text) == (expected, not expected)


@pytest.mark.parametrize("kind", ["integer", "number"])
def test_a_nan_in_parquet_is_a_null_whatever_its_statistics_say(kind: Any, tmp_path: Path) -> None:
    file = tmp_path / "nan.parquet"
    parquet.write_table(pa.table({"x": pa.array([1.0, math.nan, 5.0], from_pandas=False)}), file)
    field = Field(name="x", column="x", type=kind, required=True, minimum=0, maximum=9)
    found, is_kept = by_batch(Table(name="t", physical_name="t", fields=(field,)), file)
    assert found == Counter({"x.required": 1})
    assert not is_kept


def test_an_hour_that_clocks_skip_is_an_hour_in_utc() -> None:
    table = Table(
        name="t",
        physical_name="t",
        fields=(Field(name="at", column="at", type="timestamp", has_timezone=True),),
    )
    gap = datetime(2013, 3, 10, 2, 30)
    assert by_record(table, pa.table({"at": [gap.isoformat()]})) == Counter({"at.type": 1})
    offset = (gap - timedelta(hours=1)).isoformat() + "-05:00"
    assert not by_record(table, pa.table({"at": [offset]}))
