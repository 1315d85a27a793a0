"""Features computed for each request: one definition, and the same value on both sides."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_history import Asked, Event, spine_of, table_of
from view_samples import HEAD, source, view

from roadworthy.data.computed import check_computed, open_computed, plain
from roadworthy.data.history import history
from roadworthy.data.views import View
from roadworthy.errors import DeclarationError

pa = pytest.importorskip("pyarrow")

REQUEST = '-- [request]\n-- seats = "integer"\n-- miles = "number"\n'


def with_computed(*lines: str) -> View:
    text = "".join(f"-- {line}\n" for line in lines)
    return view(head=f"{HEAD}{REQUEST}-- [computed]\n{text}")


def value(expression: str, input: Any, features: Any) -> Any:
    (one,) = open_computed([with_computed(f'x = "{expression}"')])
    return one.value(input, features)


def test_it_reads_the_request_and_the_stored_features() -> None:
    assert value("input.miles * features.wind_mph", {"miles": 2}, {"wind_mph": 3.0}) == 6.0


@pytest.mark.parametrize(
    ("expression", "input", "features"),
    [
        ("input.miles / features.wind_mph", {}, {"wind_mph": 3.0}),
        ("input.miles / features.wind_mph", {"miles": 1.0}, {"wind_mph": None}),
        ("1 / input.seats", {"seats": 0}, {}),
        ("input.miles / features.wind_mph", {"miles": 1.0}, {"wind_mph": 0.0}),
        ("input.miles", {"miles": "far"}, {}),
        ("[input.miles]", {"miles": 1.0}, {}),
    ],
)
def test_what_has_no_value_is_null(expression: str, input: Any, features: Any) -> None:
    assert value(expression, input, features) is None


def test_a_frame_and_a_request_give_the_same() -> None:
    made = with_computed(
        'chill = "features.temp_f - input.miles * 0.5"',
        'crowded = "input.seats > 100 && features.wind_mph > 1.0"',
        "kind = \"features.wind_mph > 1.5 ? 'windy' : 'calm'\"",
    )
    check_computed(made)
    weather = source(data=table_of([Event("EWR", 0, 0, 1.0), Event("JFK", 0, 0, 2.0)]))
    spine = spine_of([Asked("EWR", 1), Asked("JFK", 1), Asked("XXX", 1)])
    spine = spine.append_column("seats", pa.array([10, 200, 200], pa.int32()))
    spine = spine.append_column("miles", pa.array([2, 4, 6], pa.int16()))
    rows = history([made], spine, {"weather": weather}).to_pylist()
    assert [row["chill"] for row in rows] == [49.0, 48.0, None]
    assert [row["crowded"] for row in rows] == [False, True, None]
    assert [row["kind"] for row in rows] == ["calm", "windy", None]
    for row in rows:
        for one in open_computed([made]):
            request = {"seats": row["seats"], "miles": row["miles"]}
            assert one.value(request, row) == row[one.name]


def joined(**columns: Any) -> list[Any]:
    spine = spine_of([Asked("EWR", 1), Asked("EWR", 1)])
    for name, values in columns.items():
        spine = spine.append_column(name, values if hasattr(values, "type") else pa.array(values))
    weather = source(data=table_of([Event("EWR", 0, 0, 2.0)]))
    made = with_computed('x = "features.wind_mph * input.miles"')
    found: list[Any] = history([made], spine, {"weather": weather})["x"].to_pylist()
    return found


def test_a_spine_that_lacks_a_field_of_the_request_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(DeclarationError) as refused:
        joined(seats=[1, 2], mlies=[1.0, 2.0])
    assert str(refused.value) == (
        "spine: expected a column `miles` (number), which `weather_now@1` reads of a request, got "
        "none among `origin`, `at`, `label`, `seats`, `mlies`; did you mean `mlies`?"
    )


@pytest.mark.parametrize(
    ("miles", "got"),
    [
        (["1.0", "2.0"], "string in 2 of 2 rows, the first of them row 1"),
        ([None, "2.0"], "string in 1 of 2 rows, the first of them row 2"),
        ([True, False], "boolean in 2 of 2 rows"),
        ([Decimal(1), Decimal(2)], "Decimal in 2 of 2 rows"),
    ],
)
def test_a_spine_with_values_of_another_type_is_refused(miles: list[Any], got: str) -> None:
    with pytest.raises(DeclarationError) as refused:
        joined(seats=[1, 2], miles=miles)
    said = f"expected `miles` to be number, as `[request]` of `weather_now@1` says, got {got}"
    assert said in str(refused.value)


def test_what_means_the_same_fits_in_whichever_type_it_comes() -> None:
    assert joined(seats=[1.0, None], miles=pa.array([1, 2], pa.uint8())) == [2.0, 4.0]
    assert joined(seats=[1, 2], miles=[float("nan"), 2.0]) == [None, 4.0]
    assert joined(seats=pa.nulls(2), miles=pa.nulls(2)) == [None, None]
    with pytest.raises(DeclarationError, match="`seats` to be integer"):
        joined(seats=[1.5, 2.0], miles=[1.0, 2.0])


def test_a_spine_in_csv_has_the_types_of_the_request(tmp_path: Path) -> None:
    made = view(
        head=f'{HEAD}-- [request]\n-- code = "string"\n-- [computed]\n-- x = "input.code"\n'
    )
    weather = source(data=table_of([]))
    path = tmp_path / "spine.csv"
    path.write_text("origin,at,code\nEWR,2013-01-01,007\n")
    assert history([made], path, {"weather": weather})["x"].to_pylist() == ["007"]


def test_a_value_of_a_csv_that_is_not_of_its_type_is_told_with_its_line(tmp_path: Path) -> None:
    made = with_computed('x = "input.miles"')
    path = tmp_path / "spine.csv"
    path.write_text("origin,at,seats,miles\nEWR,2013-01-01,1,2.5\nEWR,2013-01-01,1,secret\n")
    with pytest.raises(DeclarationError) as refused:
        history([made], path, {"weather": source(data=table_of([]))})
    said = "spine: expected column `miles` to hold values of type DOUBLE, got another value"
    assert str(refused.value) == f"{said} - {path}:3"
    assert "secret" not in str(refused.value)


def test_a_feature_that_never_has_a_value_is_refused() -> None:
    with pytest.raises(DeclarationError, match=r"some row, got none .* convert with `double"):
        check_computed(with_computed('x = "features.wind_mph * input.seats"'))


def test_a_feature_of_two_kinds_is_refused() -> None:
    with pytest.raises(DeclarationError, match="of one kind, got float and str"):
        check_computed(with_computed("x = \"[1.0, 'a'][input.seats > 1 ? 0 : 1]\""))


def test_a_value_that_differs_between_a_request_and_training_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As it would if one side told a whole number from one with decimals and the other did not."""
    made = with_computed('x = "string(input.miles)"')
    check_computed(made)
    monkeypatch.setattr("roadworthy.data.computed._through_json", lambda row: row | {"miles": 2.5})
    with pytest.raises(DeclarationError, match="expected `x` to be the same for a request and in"):
        check_computed(made)


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (3.0, "integer", 3),
        (3.5, "integer", None),
        (True, "integer", None),
        (1, "boolean", None),
        (3, "number", 3.0),
        (float("nan"), "number", None),
        (float("inf"), "number", None),
        ("3", "number", None),
        (3, "string", None),
        (date(2013, 1, 2), "date", "2013-01-02"),
        ("2013-01-02", "date", "2013-01-02"),
        (datetime(2013, 1, 2, 3, tzinfo=UTC), "date", "2013-01-02"),
        ("2013-01-02T03:00:00-05:00", "timestamp", "2013-01-02T08:00:00Z"),
        (
            datetime(2013, 1, 2, 3, tzinfo=timezone(timedelta(hours=1))),
            "timestamp",
            "2013-01-02T02:00:00Z",
        ),
        ("2013-01-02 03:00", "timestamp", "2013-01-02T03:00:00Z"),
        ("yesterday", "timestamp", None),
        (7, "timestamp", None),
        (None, "string", None),
    ],
)
def test_values_are_the_same_however_they_come(value: Any, kind: Any, expected: Any) -> None:
    found = plain(value, kind)
    assert found == expected
    assert type(found) is type(expected)


@given(
    st.one_of(st.integers(), st.floats(), st.text(), st.booleans(), st.none(), st.datetimes()),
    st.sampled_from(["integer", "number", "string", "boolean", "date", "timestamp"]),
)
def test_what_is_plain_stays_as_it_is(value: Any, kind: Any) -> None:
    once = plain(value, kind)
    assert plain(once, kind) == once
