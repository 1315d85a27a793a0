"""What the scripts of this example share: the columns, and the prepared files on disk.

A prepared file holds the flights of one month, one line each, in the order in which the question is
asked. Its columns are `KEYS` (which flight), `INPUT` (what the request brings) and `TRUTH` (what
happened later: never an input). What the views of `features/` read lies beside them as Parquet.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).resolve().parent
DATA = FOLDER / "data"
SERVICE = FOLDER / "services" / "flight-delay"

ASKED_BEFORE = timedelta(hours=2)
"""The question is asked this long before the scheduled departure."""

LATE_AFTER_MIN = 15
"""A flight is late when it leaves more than this many minutes after its schedule."""

DEPARTURES, WEATHER = "departures.parquet", "weather.parquet"
"""The files of the sources that roadworthy.toml declares."""

KEYS = ("asked_at", "scheduled_at", "date", "flight")

CATEGORIES = ("carrier", "origin", "dest", "manufacturer")
WHOLE_NUMBERS = ("scheduled_minute", "weekday", "distance_miles", "departures_this_hour")
PLANE_NUMBERS = ("plane_age_years", "seats")
NUMBERS = WHOLE_NUMBERS + PLANE_NUMBERS
INPUT = ("tailnum", *CATEGORIES, *NUMBERS)
"""What a request brings. The plane's number is for the views: a model would learn it by heart."""

LABEL = "is_late"
TRUTH = ("truth_status", "truth_delay_min")
"""`departed` or `cancelled`; the delay in minutes, negative when early, empty when cancelled."""

UNKNOWN_AT_T = ("dep_time", "dep_delay", "arr_time", "arr_delay", "air_time")
"""Columns of the source that hold the future; no feature may be made of them."""


class Flight(NamedTuple):
    """One real flight: the question, and what turned out to be true.

    Attributes:
        asked_at: When the question is asked: two hours before the schedule, aware UTC.
        input: What the request brings, as the service's contract wants it.
        departed_at: When it really left, aware UTC; None when it was cancelled.
        is_late: The label; None when it was cancelled, because then there is none.
    """

    name: str
    asked_at: datetime
    input: dict[str, Any]
    departed_at: datetime | None
    is_late: bool | None


def month_file(month: int, data: Path = DATA) -> Path:
    """Return where the prepared flights of a month of 2013 are."""
    return data / f"flights-2013-{month:02}.csv.gz"


def read_flights(first: date, last: date, data: Path = DATA) -> Iterator[Flight]:
    """Yield the flights of these local days of 2013, in the order in which they are asked about.

    Raises:
        FileNotFoundError: A month was not prepared yet.
    """
    for row in _rows(first, last, data):
        yield to_flight(row)


def count_flights(first: date, last: date, data: Path = DATA) -> int:
    """Return how many flights `read_flights` yields.

    Raises:
        FileNotFoundError: A month was not prepared yet.
    """
    return sum(1 for _ in _rows(first, last, data))


def _rows(first: date, last: date, data: Path) -> Iterator[dict[str, str]]:
    days = first.isoformat(), last.isoformat()
    for month in range(first.month, last.month + 1):
        with gzip.open(month_file(month, data), "rt", encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                if days[0] <= row["date"] <= days[1]:
                    yield row


def to_flight(row: Mapping[str, str]) -> Flight:
    """Turn one line of a prepared file into a flight."""
    scheduled = datetime.fromisoformat(row["scheduled_at"])
    delay = int(row["truth_delay_min"]) if row["truth_status"] == "departed" else None
    return Flight(
        name=f"{row['carrier']}{row['flight']} {row['origin']}-{row['dest']} {row['date']}",
        asked_at=datetime.fromisoformat(row["asked_at"]),
        input=to_input(row),
        departed_at=None if delay is None else scheduled + timedelta(minutes=delay),
        is_late=None if delay is None else delay > LATE_AFTER_MIN,
    )


def to_input(row: Mapping[str, str]) -> dict[str, Any]:
    """Return what a line brings to one request of `flight-delay`; empty becomes null."""
    request: dict[str, Any] = {"tailnum": row["tailnum"] or None}
    request |= {name: row[name] for name in CATEGORIES}
    request |= {name: int(row[name]) for name in WHOLE_NUMBERS}
    return request | {name: int(row[name]) if row[name] else None for name in PLANE_NUMBERS}
