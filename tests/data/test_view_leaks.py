"""Views that are made of what was not known yet: refused, flagged, or said not to be traceable."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from view_samples import source, view

from roadworthy.data.odcs import load_contract
from roadworthy.data.relations import SourceTable
from roadworthy.data.view_leaks import Declared, declared_leaks
from roadworthy.data.views import View, load_views
from roadworthy.errors import DeclarationError

pytest.importorskip("duckdb")

CASES = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "cases" / "data" / "views.jsonl")
    .read_text()
    .splitlines()
]
AIRLINE = Path(__file__).parents[2] / "examples" / "airline"


def known_at(made: SourceTable, **available: str) -> SourceTable:
    """Return a source whose contract says when some of its fields are known."""
    fields = tuple(
        msgspec.structs.replace(field, available_at=available.get(field.name, ""))
        for field in made.table.fields
    )
    table = msgspec.structs.replace(made.table, fields=fields)
    return msgspec.structs.replace(made, table=table)


FLIGHTS = known_at(
    source(
        "flights",
        {
            "tailnum": "string",
            "scheduled_at": "timestamp",
            "left_at": "timestamp",
            "delay": "number",
            "was_late": "boolean",
        },
    ),
    delay="left_at",
    was_late="label",
)
TRIPS = source(
    "trips",
    {"station": "string", "ended_at": "timestamp", "booked_at": "timestamp", "minutes": "number"},
)
PLANES = source("planes", {"tailnum": "string", "seats": "integer"})


def head_of(entity: str, event: str, created: str, *sources: str) -> str:
    named = ", ".join(f'"{name}"' for name in sources)
    return (
        f'-- version = 1\n-- entity = ["{entity}"]\n-- event_time = "{event}"\n'
        f'-- created_time = "{created}"\n-- owner = "us"\n-- sources = [{named}]\n'
    )


def of_flights(sql: str, created: str = "known") -> tuple[View, dict[str, SourceTable]]:
    sources = {"flights": FLIGHTS, "planes": PLANES}
    head = head_of("tailnum", "scheduled_at", created, *sources)
    return view(sql, head, "delays", **sources), sources


def of_trips(sql: str, created: str = "ended_at") -> tuple[View, dict[str, SourceTable]]:
    sources = {"trips": TRIPS}
    return view(
        sql, head_of("station", "ended_at", created, "trips"), "trips_now", **sources
    ), sources


def looked_at(made: tuple[View, dict[str, SourceTable]]) -> Declared:
    return declared_leaks([made[0]], made[1])


def flight_leaks(created: str, more: str = "", feature: str = "delay") -> Declared:
    return looked_at(
        of_flights(
            f"SELECT tailnum, scheduled_at, {created} AS known, {feature} FROM flights {more}"
        )
    )


# What a row's own fields need


def test_a_field_that_is_known_later_than_its_row_counts_is_a_leak() -> None:
    (leak,) = flight_leaks("scheduled_at").leaks
    assert (leak.feature, leak.cause) == ("delay", "known_later")
    assert leak.why == (
        "`delay` is made of `flights.delay`, which is known only at `left_at`; "
        "let `created_time` of `delays@1` be `left_at`, or `greatest(…)` of it"
    )


def test_the_label_is_a_leak_whenever_its_row_counts() -> None:
    (leak,) = flight_leaks("left_at", feature="was_late").leaks
    assert leak.cause == "label"


def test_rows_chosen_by_what_is_known_later_leak_into_every_feature() -> None:
    found = flight_leaks("scheduled_at", "WHERE delay > 15", "1 AS one, tailnum AS plane")
    assert {leak.feature for leak in found.leaks} == {"one", "plane"}
    assert "has its rows chosen by `flights.delay`" in found.leaks[0].why


def test_computed_features_leak_what_they_are_made_of() -> None:
    sources = {"flights": FLIGHTS}
    head = head_of("tailnum", "scheduled_at", "scheduled_at", "flights")
    head += '-- [computed]\n-- doubled = "features.delay * 2.0"\n'
    made = view("SELECT tailnum, scheduled_at, delay FROM flights", head, "delays", **sources)
    assert {leak.feature for leak in declared_leaks([made], sources).leaks} == {"delay", "doubled"}


@pytest.mark.parametrize(
    "created",
    [
        "left_at",
        "greatest(left_at, scheduled_at)",
        "left_at + INTERVAL 1 HOUR",
        "left_at + to_minutes(5)",
        "CAST(left_at AS TIMESTAMPTZ)",
        "(left_at)",
        "CASE WHEN delay > 0 THEN left_at + INTERVAL 1 DAY ELSE left_at END",
        "coalesce(left_at, left_at + INTERVAL 1 DAY)",
        "max(left_at) OVER (PARTITION BY tailnum ORDER BY left_at)",
    ],
)
def test_a_created_time_that_is_never_before_the_known_one_is_honest(created: str) -> None:
    assert flight_leaks(created) == Declared([], [])


@pytest.mark.parametrize(
    "created",
    [
        "least(left_at, scheduled_at)",
        "coalesce(left_at, scheduled_at)",
        "coalesce(scheduled_at, left_at)",
        "left_at - INTERVAL 1 DAY",
        "left_at + INTERVAL '-1 day'",
        "left_at + (scheduled_at - left_at)",
        "date_trunc('day', left_at)",
        "CAST(left_at AS DATE)",
        "CAST(left_at AS TIMESTAMP_S)",
        "left_at AT TIME ZONE 'Asia/Tokyo' AT TIME ZONE 'UTC'",
        "CASE WHEN delay > 0 THEN left_at ELSE scheduled_at END",
        "if(delay > 0, scheduled_at, left_at)",
        "min(left_at) OVER (PARTITION BY tailnum ORDER BY left_at)",
        "lag(left_at) OVER (PARTITION BY tailnum ORDER BY left_at)",
        "strptime(strftime(left_at, '%Y'), '%Y')",
    ],
)
def test_a_created_time_that_only_mentions_the_known_one_is_a_leak(created: str) -> None:
    assert [leak.feature for leak in flight_leaks(created).leaks] == ["delay"]


@pytest.mark.parametrize(
    "created",
    ["TIMESTAMP '1970-01-01'", "date_trunc('month', scheduled_at)", "least(left_at, scheduled_at)"],
)
def test_a_created_time_that_no_time_of_the_sources_stands_behind_is_said(created: str) -> None:
    found = flight_leaks(created, feature="'a' AS letter")
    assert found.leaks == []
    assert found.untraced[0].startswith(
        "`delays@1` cannot be traced: nothing shows that `known`, its created time, is never before"
    )


def test_a_source_that_lost_a_column_since_cannot_be_traced() -> None:
    made, _ = of_flights("SELECT tailnum, scheduled_at, left_at AS known, delay FROM flights")
    fields = FLIGHTS.table.fields[:-2]
    table = msgspec.structs.replace(FLIGHTS.table, fields=fields)
    now = {"flights": msgspec.structs.replace(FLIGHTS, table=table)}
    (said,) = declared_leaks([made], now).untraced
    assert said.startswith("`delays@1` cannot be traced: expected columns and types")


# What is refused because it hides what it reads


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["sql"])
def test_a_view_is_refused_flagged_or_honest(case: dict[str, str]) -> None:
    of = of_flights if case["of"] == "flights" else of_trips
    if case["expect"] == "refused":
        with pytest.raises(DeclarationError) as refused:
            of(case["sql"])
        assert case["got"] in str(refused.value)
        return
    found = looked_at(of(case["sql"]))
    assert found.untraced == []
    assert {leak.feature for leak in found.leaks} == ({"x"} if case["expect"] == "leak" else set())


def test_the_message_says_how_a_window_looks_back() -> None:
    with pytest.raises(DeclarationError) as refused:
        of_trips("SELECT station, ended_at, max(minutes) OVER () AS x FROM trips")
    assert str(refused.value) == (
        "trips_now: expected windows that see no later row, got `max` of all rows, without "
        "`ORDER BY` - features/trips_now.sql; look back only: `OVER (PARTITION BY entity ORDER BY "
        "time ROWS 9 PRECEDING)`"
    )


def test_a_struct_of_named_columns_is_traced() -> None:
    sql = "SELECT tailnum, scheduled_at, known, s.d AS x FROM (SELECT tailnum, scheduled_at, "
    made = of_flights(sql + "scheduled_at AS known, {'d': delay} AS s FROM flights)")
    assert [leak.feature for leak in looked_at(made).leaks] == ["x"]


# What looks ahead


OVER = "PARTITION BY station ORDER BY ended_at"


def test_a_window_that_looks_ahead_is_refused_wherever_it_stands() -> None:
    for sql in (
        "WITH t AS (SELECT *, lead(minutes) OVER (ORDER BY ended_at) AS n FROM trips) "
        "SELECT station, ended_at, n FROM t",
        "SELECT station, ended_at, minutes FROM trips "
        "QUALIFY row_number() OVER (PARTITION BY station ORDER BY ended_at DESC) = 1",
    ):
        with pytest.raises(DeclarationError, match="windows that see no later row"):
            of_trips(sql)


def test_what_a_window_leaves_out_is_refused_because_no_version_would_hold_it() -> None:
    with pytest.raises(DeclarationError, match="a window without `EXCLUDE`"):
        of_trips(f"SELECT station, ended_at, sum(minutes) OVER ({OVER} ROWS BETWEEN 3 PRECEDING "
                 "AND CURRENT ROW EXCLUDE CURRENT ROW) AS x FROM trips")  # fmt: skip


@pytest.mark.parametrize(
    "order",
    [
        "minutes",
        "ended_at",
        "ended_at, booked_at",
        "booked_at NULLS FIRST",
        "date_trunc('day', booked_at)",
    ],
)
def test_a_window_that_is_not_ordered_by_the_created_time_is_a_leak(order: str) -> None:
    made = of_trips(
        "SELECT station, ended_at, booked_at, avg(minutes) OVER (PARTITION BY station "
        f"ORDER BY {order}) AS x, rank() OVER (PARTITION BY station ORDER BY {order}) AS y "
        "FROM trips",
        "booked_at",
    )
    found = looked_at(made)
    assert [leak.feature for leak in found.leaks] == ["x", "y"]
    assert (
        "of other rows, and nothing shows that their `booked_at` is not after" in found.leaks[0].why
    )
    honest = of_trips(
        "SELECT station, ended_at, booked_at, avg(minutes) OVER (PARTITION BY station "
        "ORDER BY booked_at) AS x FROM trips",
        "booked_at",
    )
    assert looked_at(honest) == Declared([], [])


def test_a_group_is_known_with_its_last_row() -> None:
    whole = "SELECT station, {} AS ended_at, avg(minutes) AS mean FROM trips GROUP BY station"
    assert looked_at(of_trips(whole.format("max(ended_at)"))) == Declared([], [])
    assert looked_at(of_trips(whole.format("min(ended_at)"))).untraced
    flights = (
        "SELECT tailnum, max(scheduled_at) AS scheduled_at, {} AS known, avg(delay) AS mean "
        "FROM flights GROUP BY ALL"
    )
    assert looked_at(of_flights(flights.format("max(left_at)"))) == Declared([], [])
    assert looked_at(of_flights(flights.format("min(left_at)"))).leaks
    assert looked_at(of_flights(flights.format("max(left_at) FILTER (WHERE delay < 9)"))).leaks


# What other rows need that a join reaches


JOINED = (
    "SELECT a.station, a.ended_at, b.minutes AS x FROM trips a {} ON a.station = b.station AND {}"
)


@pytest.mark.parametrize("join", ["JOIN trips b", "LEFT JOIN trips b"])
@pytest.mark.parametrize(
    ("condition", "is_honest"),
    [
        ("b.ended_at < a.ended_at", True),
        ("a.ended_at >= b.ended_at", True),
        ("b.ended_at = a.ended_at", True),
        ("b.ended_at BETWEEN a.ended_at - INTERVAL 1 DAY AND a.ended_at", True),
        ("b.ended_at + INTERVAL 1 HOUR <= a.ended_at", True),
        ("b.ended_at <= a.ended_at - INTERVAL 1 HOUR", True),
        ("(b.ended_at <= a.ended_at AND b.minutes > 1)", True),
        ("b.ended_at > a.ended_at", False),
        ("TRUE", False),
        ("b.booked_at <= a.ended_at", False),
        ("b.ended_at <= a.booked_at", False),
        ("b.ended_at <= a.ended_at + INTERVAL 1 HOUR", False),
        ("(b.ended_at <= a.ended_at OR b.minutes > 1)", False),
        ("NOT b.ended_at <= a.ended_at", False),
        ("date_trunc('day', b.ended_at) <= a.ended_at", False),
    ],
)
def test_a_join_may_reach_rows_that_are_not_later_alone(
    join: str, condition: str, is_honest: bool
) -> None:
    leaks = looked_at(of_trips(JOINED.format(join, condition))).leaks
    assert bool(leaks) is not is_honest
    assert is_honest or "`x` is made of `trips.minutes` of other rows" in leaks[0].why


def test_each_side_of_a_union_stands_for_its_own_rows() -> None:
    sides = (
        "SELECT tailnum, scheduled_at, left_at AS known, delay FROM flights UNION ALL "
        "SELECT tailnum, scheduled_at, {} AS known, delay FROM flights"
    )
    assert looked_at(of_flights(sides.format("left_at"))) == Declared([], [])
    assert looked_at(of_flights(sides.format("scheduled_at"))).leaks


def test_a_table_of_facts_that_no_time_is_said_of_can_be_joined() -> None:
    made = of_flights(
        "SELECT tailnum, scheduled_at, left_at AS known, delay, seats FROM flights "
        "JOIN planes USING (tailnum)"
    )
    assert looked_at(made) == Declared([], [])


def test_a_window_over_a_window_is_looked_at_through_both() -> None:
    sql = (
        "WITH day AS (SELECT station, ended_at, avg(minutes) OVER (PARTITION BY station "
        "ORDER BY {} ROWS 9 PRECEDING) AS m FROM trips) SELECT station, ended_at, max(m) OVER "
        "(PARTITION BY station ORDER BY ended_at) AS x FROM day"
    )
    assert looked_at(of_trips(sql.format("ended_at"))) == Declared([], [])
    assert looked_at(of_trips(sql.format("booked_at"))).leaks


def test_the_views_of_the_example_are_honest() -> None:
    sources = {}
    for name in ("weather", "departures"):
        contract = load_contract(AIRLINE / "contracts" / f"{name}.odcs.yaml", AIRLINE)
        (table,) = contract.tables
        sources[name] = SourceTable(name=name, contract=contract, table=table)
    views = load_views(AIRLINE, sources)
    assert len(views) == 5
    assert declared_leaks([*views.values()], sources) == Declared([], [])
