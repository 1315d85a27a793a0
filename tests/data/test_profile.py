"""A draft of a contract says what the data is, and the data keeps it."""

from __future__ import annotations

import csv
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from math import inf, nan
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from roadworthy.data.contract import Contract, Field
from roadworthy.data.odcs import load_contract
from roadworthy.data.profile import draft_of, profile
from roadworthy.data.validate import validate
from roadworthy.errors import StoreError
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


HARD = """NA|null|nan|it's|a "b"|\\|a: b|- x|#|~|yes|1|1e5|0x1F|2013-01-01|2013-02-30|08:30:00
2013-01-01T00:00:00Z|{}|é|e\u0301|🤦🏼|\u2028|\ufeff|\t|\x85|\x1b[0m|\0"""
TEXTS = st.one_of(
    st.sampled_from(["", " ", "a\nb", "\r", *HARD.replace("\n", "|").split("|")]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
)
FLOATS = st.one_of(
    st.sampled_from([nan, inf, -inf, -0.0, 5e-324, 1e300, 2.0**63, -(2.0**63), 9.2e18, 0.1, 3.0]),
    st.floats(),
)
WIDE = st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-3, 3))
MOMENTS = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31))  # noqa: DTZ001
ZONED = st.datetimes(datetime(1900, 1, 1), datetime(2900, 1, 1)).map(  # noqa: DTZ001
    lambda moment: moment.replace(tzinfo=UTC)
)
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False, places=4, max_value=10**9)
DAYS = st.dates(date(1, 1, 1), date(9999, 12, 31))
KINDS: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.string(), TEXTS),
    (pa.int8(), st.integers(-128, 127)),
    (pa.int64(), WIDE),
    (pa.uint64(), st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 9))),
    (pa.decimal128(38, 0), st.integers(-(10**37), 10**37).map(Decimal)),
    (pa.decimal128(20, 4), DECIMALS.filter(lambda d: abs(d) < 10**9)),
    (pa.float64(), FLOATS),
    (pa.float32(), st.floats(width=32)),
    (pa.bool_(), st.booleans()),
    (pa.date32(), DAYS),
    (pa.timestamp("us"), MOMENTS),
    (pa.timestamp("s"), MOMENTS.map(lambda moment: moment.replace(microsecond=0))),
    (pa.timestamp("us", "America/New_York"), ZONED),
    (pa.time64("us"), st.times()),
    (pa.binary(), st.binary(max_size=4)),
    (pa.list_(pa.int64()), st.lists(WIDE, max_size=3)),
    (pa.struct([("a", pa.string())]), st.fixed_dictionaries({"a": TEXTS})),
    (pa.null(), st.none()),
    (pa.duration("us"), st.timedeltas(timedelta(-9), timedelta(9))),
]
HEADS = st.one_of(
    st.sampled_from(
        ["a", "A b", 'q"', "it's", "roadworthy_row", "email", "p0", "é", "a.b", "${x}"]
    ),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=6).filter(
        lambda name: bool(name.strip())
    ),
)


@st.composite
def frames(draw: st.DrawFn) -> pa.Table:
    names = draw(st.lists(HEADS, min_size=1, max_size=4, unique_by=str.casefold))
    rows = draw(st.integers(0, 8))
    repeats = draw(st.sampled_from([1, 1, 12]))
    columns = {}
    for name in names:
        kind, values = draw(st.sampled_from(KINDS))
        values = st.one_of(st.none(), values) if draw(st.booleans()) else values
        found = draw(st.lists(values, min_size=rows, max_size=rows)) * repeats
        columns[name] = pa.array(found, kind, from_pandas=False)
    return pa.table(columns)


def is_told(frame: pa.Table) -> bool:
    """Return whether a contract has a word for the type of some column."""
    strange = (pa.types.is_binary, pa.types.is_duration)
    return not all(
        any(test(column.type) for test in strange) and column.null_count < len(column)
        for column in frame.columns
    )


def keeps_its_draft(source: Any) -> None:
    with TemporaryDirectory() as folder:
        contract = drafted(source, Path(folder))
        report = validate(contract, source)
        assert report.kept, [(rule.rule, rule.examples) for rule in report.failed]
        assert all(rule.kind in ("type", "future") for rule in report.failed)  # warnings


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(frames().filter(is_told))
def test_any_frame_keeps_its_draft(frame: pa.Table) -> None:
    keeps_its_draft(frame)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(frames().filter(is_told))
def test_any_file_keeps_its_draft(frame: pa.Table) -> None:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "f.parquet"
        parquet.write_table(frame, file)
        keeps_its_draft(file)


CELLS = st.one_of(TEXTS, FLOATS.map(str), WIDE.map(str), DAYS.map(str), MOMENTS.map(str))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(HEADS, min_size=1, max_size=3, unique_by=str.casefold), st.data())
def test_any_csv_keeps_its_draft(names: list[str], data: st.DataObject) -> None:
    some = st.lists(data.draw(st.sampled_from([CELLS, TEXTS, FLOATS.map(str), WIDE.map(str)])))
    columns = [data.draw(some) for _ in names]
    with TemporaryDirectory() as folder:
        file = Path(folder) / "f.csv"
        with file.open("w", encoding="utf-8", newline="") as opened:
            writer = csv.writer(opened, lineterminator="\n", quoting=csv.QUOTE_ALL)
            writer.writerow(names)
            writer.writerows(zip(*columns, strict=False))
        keeps_its_draft(file)


def test_a_column_that_no_type_holds_is_left_out_and_named(tmp_path: Path) -> None:
    table = pa.table({"a": [1], "raw": [b"x"]})
    assert [one.name for one in drafted(table, tmp_path).tables[0].fields] == ["a"]
    assert "holds what they do: 'raw'" in (tmp_path / "draft.odcs.yaml").read_text()
    with pytest.raises(StoreError, match=r"expected a column of numbers, .*, got none in `raw`"):
        profile(table.select(["raw"]))


def test_what_is_not_of_its_type_is_a_warning_of_the_draft(tmp_path: Path) -> None:
    table = pa.table({"a": [1.5, inf, nan]})
    contract = drafted(table, tmp_path)
    assert field(contract, "a").severity == "warning"
    report = validate(contract, table)
    assert (report.kept, [rule.rule for rule in report.failed]) == (True, ["a.type"])


def test_integers_that_64_bits_do_not_hold_are_numbers(tmp_path: Path) -> None:
    table = pa.table(
        {"a": pa.array([1, 2**64 - 1], pa.uint64()), "b": pa.array([1, 2], pa.uint64())}
    )
    contract = drafted(table, tmp_path)
    assert (field(contract, "a").type, field(contract, "b").type) == ("number", "integer")
    assert not validate(contract, table).failed


def test_no_value_that_looks_personal_leaves_a_profile() -> None:
    table = pa.table(
        {"birth_date": [date(1970, 1, 2)], "phone": [5551234], "address": ["Elm St 9"]}
    )
    said = str(profile(table))
    assert not any(value in said for value in ("1970", "5551234", "Elm"))


@pytest.mark.parametrize("end", ["\x85", "\u2028", "\u2029"])
def test_a_value_that_yaml_takes_for_the_end_of_a_line_is_kept_whole(
    end: str, tmp_path: Path
) -> None:
    kinds = [end, f"a{end}b"] * (ROWS // 2)
    assert set(field(drafted(pa.table({"kind": kinds}), tmp_path), "kind").enum) == set(kinds)
