"""What a change breaks, held against every value of a sample and against plain arithmetic."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from roadworthy.data.accepted import accepts, are_limits_within, is_nullable, is_within
from roadworthy.data.contract import Check, Contract, Field, Limits, Table
from roadworthy.data.diff import (
    Change,
    Diff,
    compatibility_of,
    diff,
    transitive_compatibility,
)

NUMBERS = [n / 4 for n in range(-64, 65)]
"""Bounds are whole and multiples of halves, so all sets that are not the same differ at these."""
TEXTS = ["", "a", "b", "ab", "abc", "abcd", "7", "2020-01-01", "2020-01-02"]
DAYS = [f"2020-01-0{day}" for day in range(1, 8)]
MOMENTS = [
    f"{day}T{hour}:00:00{zone}" for day in DAYS for hour in ("00", "12") for zone in ("", "Z")
]
SAMPLE: list[Any] = [
    *(None, True, False, {}, []),
    *NUMBERS,
    *(6 * 2**64, -6 * 2**64, 0.1),
    *(*TEXTS, "z", "zz", "zzz"),
    *(*DAYS, "1999-01-01", "2030-01-01"),
    *(*MOMENTS, *(f"{year}-01-01T00:00:00{zone}" for year in (1999, 2030) for zone in ("", "Z"))),
]

bounds = st.one_of(st.none(), st.integers(-5, 5))
nullable = st.booleans()


def numeric(kind: str) -> st.SearchStrategy[Field]:
    return st.builds(
        Field,
        name=st.just("x"),
        column=st.just("x"),
        type=st.just(kind),
        required=nullable,
        minimum=bounds,
        maximum=bounds,
        exclusive_minimum=bounds,
        exclusive_maximum=bounds,
        multiple_of=st.sampled_from([None, 1, 2, 3, 0.5, 1.5]),
        enum=st.one_of(st.just(()), st.sampled_from([(0, 1), (1, 2.0, 3), (0.5,), (-4, 4, 5)])),
    )


def in_time(kind: str, values: list[str]) -> st.SearchStrategy[Field]:
    days = st.one_of(st.none(), st.sampled_from(values))
    return st.builds(
        Field,
        name=st.just("x"),
        column=st.just("x"),
        type=st.just(kind),
        required=nullable,
        minimum=days,
        exclusive_maximum=days,
        has_timezone=st.booleans() if kind == "timestamp" else st.just(False),
    )


texts = st.builds(
    Field,
    name=st.just("x"),
    column=st.just("x"),
    required=nullable,
    min_length=st.sampled_from([None, 0, 1, 3]),
    max_length=st.sampled_from([None, 0, 2, 3]),
    enum=st.one_of(st.just(()), st.lists(st.sampled_from(TEXTS), unique=True).map(tuple)),
)
others = st.builds(
    Field,
    name=st.just("x"),
    column=st.just("x"),
    type=st.sampled_from(["boolean", "object", "array"]),
    required=nullable,
)
fields = st.one_of(
    numeric("integer"),
    numeric("number"),
    in_time("date", DAYS),
    in_time("timestamp", MOMENTS),
    texts,
    others,
)


def contract(*parts: Field, version: str = "1.0.0", **table: Any) -> Contract:
    whole = Table(name="weather", physical_name="weather", fields=parts, **table)
    return Contract(id="weather", version=version, tables=(whole,), digest="")


def of_field(**values: Any) -> Field:
    return Field(name="x", column="x", **values)


def changes(old: Field, new: Field) -> dict[str, tuple[str, ...]]:
    return {c.change: c.breaks for c in diff(contract(old), contract(new)).changes}


def swapped(parties: frozenset[str]) -> frozenset[str]:
    other = {"producer": "consumer", "consumer": "producer"}
    return frozenset(other[party] for party in parties)


# The order itself.


@settings(max_examples=400)
@given(fields, fields)
def test_a_change_breaks_the_producer_if_and_only_if_a_value_is_refused_now(
    old: Field, new: Field
) -> None:
    # In JSON a date is a text too; in a column it is none, so a change of these types breaks both.
    assume(("string" in (old.type, new.type)) <= (old.type == new.type))
    found = diff(contract(old), contract(new)).breaks
    refused = [v for v in SAMPLE if accepts(old, v) and not accepts(new, v)]
    unseen = [v for v in SAMPLE if accepts(new, v) and not accepts(old, v)]
    assert ("producer" in found, "consumer" in found) == (bool(refused), bool(unseen))


@given(fields)
def test_nothing_changed_is_nothing_broken(field: Field) -> None:
    found = diff(contract(field), contract(field))
    assert found.changes == ()
    assert found.compatibility == "FULL"


@given(fields, fields)
def test_versions_exchanged_exchange_producer_and_consumer(old: Field, new: Field) -> None:
    forth, back = diff(contract(old), contract(new)), diff(contract(new), contract(old))
    assert forth.breaks == swapped(back.breaks)
    words = {"BACKWARD": "FORWARD", "FORWARD": "BACKWARD"}
    assert forth.compatibility == words.get(back.compatibility, back.compatibility)


@given(fields, fields, fields)
def test_what_lies_within_lies_within_all_that_is_wider(a: Field, b: Field, c: Field) -> None:
    if is_within(a, b) and is_within(b, c):
        assert is_within(a, c)


limit = st.builds(
    Limits,
    at_least=bounds,
    more_than=bounds,
    at_most=bounds,
    less_than=bounds,
    equal=bounds,
    unequal=bounds,
    outside=st.one_of(st.none(), st.tuples(st.integers(-5, 5), st.integers(-5, 5))),
)


@settings(max_examples=400)
@given(limit, limit)
def test_limits_are_compared_as_the_numbers_that_they_allow(a: Limits, b: Limits) -> None:
    is_subset = all(b.allow(n) for n in NUMBERS if a.allow(n))
    assert are_limits_within(a, b) == is_subset


def test_limits_of_texts_are_compared_by_the_text() -> None:
    assert are_limits_within(Limits(equal="ok"), Limits(unequal="bad"))
    assert not are_limits_within(Limits(equal="ok"), Limits(unequal="ok"))
    assert not are_limits_within(Limits(equal="ok"), Limits(at_least=0))
    assert not are_limits_within(Limits(), Limits(equal="ok"))


# Single changes.

CASES: list[tuple[dict[str, Any], dict[str, Any], dict[str, tuple[str, ...]]]] = [
    ({}, {"required": True}, {"required added": ("producer",)}),
    ({"required": True}, {}, {"required removed": ("consumer",)}),
    (
        {"type": "number", "maximum": 9},
        {"type": "number", "maximum": 8},
        {"maximum lowered": ("producer",)},
    ),
    (
        {"type": "number", "minimum": 9},
        {"type": "number", "minimum": 8.5},
        {"minimum lowered": ("consumer",)},
    ),
    ({"type": "integer"}, {"type": "number"}, {"type integer -> number": ("consumer",)}),
    (
        {"type": "integer"},
        {"type": "string"},
        {"type integer -> string": ("producer", "consumer")},
    ),
    (
        {"enum": ("a", "b")},
        {"enum": ("a", "c")},
        {"enum value removed": ("producer",), "enum value added": ("consumer",)},
    ),
    ({"enum": ("a", "b")}, {"enum": ("b", "a")}, {}),
    ({"enum": ("a",)}, {}, {"enum removed": ("consumer",)}),
    ({"pattern": "^a"}, {"pattern": "^b"}, {"pattern changed": ("producer", "consumer")}),
    ({}, {"pattern": "^b"}, {"pattern added": ("producer",)}),
    ({"max_length": 3}, {"max_length": 5}, {"max length raised": ("consumer",)}),
    ({"min_length": 3}, {"min_length": 5}, {"min length raised": ("producer",)}),
    (
        {"type": "integer", "multiple_of": 2},
        {"type": "integer", "multiple_of": 4},
        {"multiple of changed": ("producer",)},
    ),
    ({}, {"unique": True}, {"unique added": ("producer",)}),
    (
        {"type": "timestamp"},
        {"type": "timestamp", "has_timezone": True},
        {"time zone added": ("producer",)},
    ),
    (
        {"unit": "degF"},
        {"unit": "degC"},
        {"unit changed": ("producer", "consumer")},
    ),
    ({}, {"unit": "degC"}, {"unit added": ("producer",)}),
    ({}, {"available_at": "label"}, {"available at changed": ("consumer",)}),
    ({"available_at": "label"}, {"available_at": "seen"}, {"available at changed": ("producer",)}),
    ({}, {"severity": "warning"}, {"severity lowered": ("consumer",)}),
    ({}, {"business_name": "delay", "definition": "late"}, {
        "business name changed": (), "definition changed": ()
    }),
    ({}, {"is_personal": True}, {"personal changed": ()}),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "expected"), CASES, ids=lambda value: str(value)[:40])
def test_a_change_has_a_name_and_breaks_whom_it_breaks(
    old: dict[str, Any], new: dict[str, Any], expected: dict[str, tuple[str, ...]]
) -> None:
    assert changes(of_field(**old), of_field(**new)) == expected


def test_a_date_is_no_text_whatever_the_text_may_be() -> None:
    days = of_field(enum=("2020-01-01",))
    assert diff(contract(days), contract(of_field(type="date"))).compatibility == "NONE"
    assert diff(contract(of_field(type="date")), contract(X)).compatibility == "NONE"


def test_rules_that_say_the_same_in_other_words_break_nobody() -> None:
    old = of_field(type="integer", exclusive_minimum=0)
    new = of_field(type="integer", minimum=1)
    assert changes(old, new) == {"exclusive minimum removed": (), "minimum added": ()}


def test_another_physical_name_breaks_both() -> None:
    found = diff(contract(of_field()), contract(Field(name="x", column="y")))
    assert [c.change for c in found.changes] == ["physical name changed"]
    assert found.compatibility == "NONE"


# Fields, tables, keys and checks.

Y = Field(name="y", column="y")
X = of_field()


def only(found: Diff) -> Change:
    (change,) = found.changes
    return change


def test_a_field_that_is_gone_breaks_whoever_reads_it() -> None:
    gone = only(diff(contract(X, Y), contract(X)))
    assert (gone.field, gone.change, gone.breaks) == ("y", "field removed", ("consumer",))


def test_a_field_more_breaks_producers_only_if_it_is_required() -> None:
    needed = msgspec.structs.replace(Y, required=True)
    assert only(diff(contract(X), contract(X, Y))).breaks == ()
    assert only(diff(contract(X), contract(X, needed))).breaks == ("producer",)


def test_a_table_that_refuses_other_fields_makes_each_field_matter_to_both() -> None:
    closed = contract(X, Y, is_closed=True), contract(X, is_closed=True)
    assert only(diff(*closed)).breaks == ("producer", "consumer")
    assert only(diff(closed[1], closed[0])).breaks == ("consumer",)
    assert only(diff(contract(X), closed[1])).change == "undeclared fields refused"
    assert only(diff(contract(X), closed[1])).breaks == ("producer",)
    assert only(diff(closed[1], contract(X))).breaks == ("consumer",)


def keyed(*names: str) -> Contract:
    whole = (
        Field(name=n, column=n, required=True, key_position=1 + names.index(n) if n in names else 0)
        for n in ("x", "y", "z")
    )
    return contract(*whole)


@pytest.mark.parametrize(
    ("old", "new", "breaks"),
    [
        ("x", "xy", ("consumer",)),
        ("xy", "x", ("producer",)),
        ("xy", "yx", ()),
        ("x", "y", ("producer", "consumer")),
        ("", "x", ("producer",)),
        ("x", "", ("consumer",)),
    ],
)
def test_a_key_of_fewer_fields_asks_more(old: str, new: str, breaks: tuple[str, ...]) -> None:
    found = only(diff(keyed(*old), keyed(*new)))
    assert (found.change, found.breaks) == ("key changed", breaks)


def test_what_a_key_asks_may_be_said_otherwise() -> None:
    by_key = contract(of_field(required=True, key_position=1))
    by_rule = contract(of_field(required=True, unique=True))
    assert diff(by_key, by_rule).compatibility == "FULL"


def test_a_field_that_joins_the_key_is_required_from_then_on() -> None:
    found = diff(contract(X, Y), contract(msgspec.structs.replace(X, key_position=1), Y))
    assert {c.change: c.breaks for c in found.changes} == {
        "key changed": ("producer",),
        "required added": ("producer",),
    }


def rows(at_least: float, **more: Any) -> Contract:
    check = Check(kind="row_count", limits=Limits(at_least=at_least), **more)
    return contract(X, checks=(check,))


def test_checks_are_compared_by_what_they_allow() -> None:
    tighter = only(diff(rows(10), rows(20)))
    assert (tighter.change, tighter.breaks) == ("check tightened", ("producer",))
    assert str(tighter) == (
        "`weather` check tightened (weather.row_count >= 10 rows -> weather.row_count >= 20 rows)"
    )
    assert only(diff(rows(20), rows(10))).breaks == ("consumer",)
    assert only(diff(rows(10), contract(X))).change == "check removed"
    assert only(diff(contract(X), rows(10))).breaks == ("producer",)
    assert only(diff(rows(10), rows(10, severity="warning"))).change == "check severity lowered"


def test_a_check_of_another_name_or_query_is_told_apart() -> None:
    assert only(diff(rows(10), rows(10, name="enough"))).change == "check renamed"
    assert only(diff(rows(10), rows(10, name="enough"))).breaks == ()
    assert only(diff(rows(10), rows(10, description="why"))).change == "check reworded"
    old, new = (
        contract(X, checks=(Check(kind="sql", name="sum", query=q, limits=Limits(equal=0)),))
        for q in ("SELECT 1", "SELECT 2")
    )
    assert only(diff(old, new)).breaks == ("producer", "consumer")


def fresh(seconds: float) -> Contract:
    return contract(X, checks=(Check(kind="freshness", field="x", max_age_s=seconds),))


def test_older_data_is_looser() -> None:
    assert only(diff(fresh(60), fresh(90))).breaks == ("consumer",)
    assert only(diff(fresh(90), fresh(60))).breaks == ("producer",)


def test_a_table_that_is_gone_breaks_consumers_and_one_more_breaks_nobody() -> None:
    two = msgspec.structs.replace(
        contract(X), tables=(*contract(X).tables, Table(name="t", physical_name="t", fields=()))
    )
    assert only(diff(two, contract(X))).breaks == ("consumer",)
    assert only(diff(contract(X), two)).breaks == ()


def test_another_text_for_null_breaks_both() -> None:
    found = only(diff(contract(X), contract(X, null_texts=("NA",))))
    assert (found.change, found.breaks) == ("null texts changed", ("producer", "consumer"))


@pytest.mark.parametrize("pattern", ["^a", "^[a-z]+$", "b", ""])
def test_a_pattern_never_hides_a_value_that_is_refused_or_new(pattern: str) -> None:
    for other in ("^a", "^a.*", "^[a-z]+$", ""):
        old, new = of_field(pattern=pattern), of_field(pattern=other)
        found = diff(contract(old), contract(new)).breaks
        for value in TEXTS:
            assert accepts(new, value) or not accepts(old, value) or "producer" in found
            assert accepts(old, value) or not accepts(new, value) or "consumer" in found


# The words, and who reads.


def test_the_words_say_which_version_reads_what_was_written_under_the_other() -> None:
    assert compatibility_of([]) == "FULL"
    assert compatibility_of(["consumer"]) == "BACKWARD"
    assert compatibility_of(["producer"]) == "FORWARD"
    assert compatibility_of(["producer", "consumer"]) == "NONE"


def test_transitive_means_against_every_earlier_version() -> None:
    wide, middle, narrow = (
        contract(of_field(type="number", maximum=most)) for most in (30, 20, 10)
    )
    assert diff(middle, wide).compatibility == "BACKWARD"
    assert transitive_compatibility([narrow, middle, wide]) == "BACKWARD_TRANSITIVE"
    assert transitive_compatibility([wide, narrow, middle]) == "NONE"
    assert transitive_compatibility([wide, middle, narrow]) == "FORWARD_TRANSITIVE"
    assert transitive_compatibility([wide, wide]) == "FULL_TRANSITIVE"


def test_a_change_names_the_services_that_read_it() -> None:
    readers = {"weather.x": ["delay"], "weather.y": ["crew", "delay"]}
    found = diff(contract(X, Y), contract(msgspec.structs.replace(X, required=True)), readers)
    assert {c.field: c.read_by for c in found.changes} == {"x": ("delay",), "y": ("crew", "delay")}
    whole = diff(contract(X), contract(X, is_closed=True), readers)
    assert only(whole).read_by == ("crew", "delay")


def test_a_change_is_said_in_one_line() -> None:
    old, new = of_field(type="number", maximum=9.5), of_field(type="number", maximum=8)
    assert str(only(diff(contract(old), contract(new)))) == (
        "`weather.x` maximum lowered (9.5 -> 8)"
    )
    assert str(only(diff(contract(X), contract(X, Y)))) == "`weather.y` field added (string)"
    kinds = diff(contract(of_field(type="date")), contract(of_field(type="integer")))
    assert str(only(kinds)) == "`weather.x` type date -> integer"


def test_a_key_is_never_null() -> None:
    assert not is_nullable(of_field(key_position=1))
    assert not accepts(of_field(key_position=1), None)
    assert accepts(of_field(type="number"), float("nan"))
    assert not accepts(of_field(type="number"), float("inf"))
    assert not accepts(of_field(type="integer"), 2**63)
    assert not accepts(of_field(type="number"), True)
