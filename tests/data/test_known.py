"""Rows in the order in which they became known: pushed one after the other, they serve history."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_history import Asked, Event, spine_of, table_of
from test_online import START_US, StoppedClock
from view_samples import HEAD, HOUR_US, SQL, source, view

from roadworthy.data.history import history
from roadworthy.data.known import KnownRows
from roadworthy.data.online import SqliteFeatures
from roadworthy.data.push import Pusher
from roadworthy.data.served import FeatureSource
from roadworthy.data.views import online_key
from roadworthy.errors import NotFound

pytest.importorskip("duckdb")

EVENTS = [
    Event("EWR", 1, 1, 1.0),
    Event("JFK", 2, 5, 2.0),  # known late, after a newer one
    Event("JFK", 3, 4, 3.0),
    Event("EWR", 6, 2, 4.0),  # known before it happens, as a forecast is
    Event("EWR", 4, 7, None),
    Event(None, 4, 4, 5.0),  # nobody's
]


def hour_us(hours: int) -> int:
    return START_US + hours * HOUR_US


def test_rows_come_when_they_are_known_and_not_before() -> None:
    rows = KnownRows(view(), {"weather": source(data=table_of(EVENTS))})
    by_hour = [rows.between(hour_us(h - 1), hour_us(h)) for h in range(9)]
    winds = [[row["wind_mph"] for row in known] for known in by_hour]
    assert winds == [[], [1.0], [], [], [3.0], [2.0], [4.0], [None], []]
    assert rows.between(hour_us(-1), hour_us(8)) == [row for known in by_hour for row in known]
    assert rows.between(hour_us(8), hour_us(1)) == []
    (first,) = by_hour[1]
    assert first == {
        "origin": "EWR",
        "observed_at": "2013-01-01T01:00:00Z",
        "known_at": "2013-01-01T01:00:00Z",
        "wind_mph": 1.0,
        "temp_f": 50.0,
        "temp_c": 10.0,
    }


def test_what_is_pushed_as_it_becomes_known_is_what_history_says(tmp_path: Path) -> None:
    sources, store = {"weather": source(data=table_of(EVENTS))}, SqliteFeatures(tmp_path / "o.db")
    rows, pusher, clock = KnownRows(view(), sources), Pusher(view(), sources), StoppedClock()
    try:
        for moment in range(9):
            clock.put(moment)
            pusher.push(rows.between(hour_us(moment - 1), hour_us(moment)), store, clock)
            asked = [Asked("EWR", moment), Asked("JFK", moment)]
            offline = history([view()], spine_of(asked), sources)["wind_mph"].to_pylist()
            served = FeatureSource([view()], store, clock)
            found = [served.vector({"origin": one.origin}).values["wind_mph"] for one in asked]
            assert found == offline
        fresh = store.freshness(online_key(view()))
        assert fresh is not None
        assert fresh.pushed == 2
    finally:
        store.close()


def test_a_view_with_one_time_has_it_once() -> None:
    head = HEAD.replace('created_time = "known_at"', 'created_time = "observed_at"')
    made = view(SQL.replace("observed_at, known_at,", "observed_at,"), head)
    (row,) = KnownRows(made, {"weather": source(data=table_of(EVENTS[:1]))}).between(0, 2**60)
    assert [*row] == ["origin", "wind_mph", "temp_f", "temp_c", "observed_at"]


def test_a_source_without_rows_anywhere_is_told() -> None:
    with pytest.raises(NotFound, match="expected a file, got none"):
        KnownRows(view(), {"weather": source(url="/nowhere/weather.parquet")})
