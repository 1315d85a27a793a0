"""One record is held to the rules of its contract, in the words of the contract."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from roadworthy.data.contract import Field, Table
from roadworthy.data.live import LiveRules, compile_live, json_schema_of
from roadworthy.declare.schemas import compile_schema
from roadworthy.errors import ContractViolation


def table(*fields: Field, is_closed: bool = False) -> Table:
    return Table(name="t", physical_name="t", fields=fields, is_closed=is_closed)


SEEN = Field(
    name="seen",
    column="SEEN",
    type="timestamp",
    required=True,
    minimum="2013-01-01T00:00:00Z",
    exclusive_maximum="2014-01-01T00:00:00+01:00",
)
DISTANCE = Field(name="distance", column="d", type="integer", minimum=0, multiple_of=5)


@pytest.mark.parametrize(
    ("record", "broken"),
    [
        ({"seen": "2013-06-01T00:00:00Z", "distance": 10.0}, ()),
        ({"seen": "2013-06-01 00:00:00"}, ()),
        ({"seen": "2013-01-01T00:30:00+01:00"}, ("seen.minimum",)),
        ({"seen": "2013-12-31T23:00:00Z"}, ("seen.exclusive_maximum",)),
        ({"seen": "2013-02-29T00:00:00Z"}, ("seen.type",)),
        ({"seen": None}, ("seen.required",)),
        ({}, ("seen.required",)),
        ({"seen": float("nan"), "distance": float("inf")}, ("distance.type", "seen.required")),
        ({"seen": "2013-06-01T00:00:00Z", "distance": True}, ("distance.type",)),
        ({"seen": "2013-06-01T00:00:00Z", "distance": "5"}, ("distance.type",)),
        ({"seen": "2013-06-01T00:00:00Z", "distance": 2**63}, ("distance.type",)),
        (
            {"seen": "2013-06-01T00:00:00Z", "distance": -7},
            ("distance.minimum", "distance.multiple_of"),
        ),
        ({"seen": "2013-06-01T00:00:00Z", "more": 1}, ("columns",)),
    ],
)
def test_a_record_breaks_the_rules_of_its_contract(
    record: dict[str, Any], broken: tuple[str, ...]
) -> None:
    live = LiveRules(table(SEEN, DISTANCE, is_closed=True))
    assert sorted(live.broken(record)) == sorted(broken)


def test_a_record_that_json_cannot_hold_is_refused() -> None:
    with pytest.raises(ContractViolation, match="values that JSON can hold"):
        LiveRules(table(Field(name="t", column="t"))).broken({"t": b"x"})


def test_a_request_is_refused_in_the_schema_s_words() -> None:
    check = compile_live(table(SEEN, DISTANCE))
    assert check.first_problem({"seen": "2013-06-01T00:00:00Z", "distance": 5}) == ""
    assert (
        check.first_problem({"seen": "2013-06-01T00:00:00Z", "distance": -5})
        == "input.distance: expected >= 0, got -5"
    )
    assert "input.seen" in check.first_problem({"seen": "2012-06-01T00:00:00Z"})


def test_what_is_optional_may_be_null_and_what_is_a_key_may_not() -> None:
    schema = json_schema_of(
        table(Field(name="k", column="k", key_position=1), Field(name="o", column="o", enum=("x",)))
    )
    assert schema["required"] == ["k"]
    assert schema["properties"]["k"] == {"type": "string"}
    assert schema["properties"]["o"] == {"type": ["string", "null"], "enum": ["x", None]}
    assert "additionalProperties" not in schema


@pytest.mark.parametrize(
    ("field", "said"),
    [
        (SEEN, "a timestamp in ISO 8601, such as `2026-03-01T08:30:00Z`"),
        (
            Field(name="seen", column="s", type="timestamp", has_timezone=True),
            "a timestamp in ISO 8601 with its offset, such as `2026-03-01T08:30:00+01:00`",
        ),
        (Field(name="seen", column="s", type="date"), "a date in ISO 8601, such as `2026-03-01`"),
        (Field(name="seen", column="s", type="time"), "a time in ISO 8601, such as `08:30:00`"),
    ],
)
@pytest.mark.parametrize(
    ("value", "got"),
    [("01.03.2026", "string of 10 characters"), (5, "5"), ([], "array of 0 items")],
)
def test_a_time_that_is_none_is_told_with_an_example(
    field: Field, said: str, value: Any, got: str
) -> None:
    problem = f"input.seen: expected {said}, got {got}"
    assert compile_live(table(field)).first_problem({"seen": value}) == problem
    served = compile_schema(json_schema_of(table(field)))
    assert served.first_problem({"seen": value}) == problem
    example = said.partition("`")[2].rstrip("`")
    wide = msgspec.structs.replace(field, minimum=None, exclusive_maximum=None)
    assert not compile_live(table(wide)).first_problem({"seen": example})
