"""One entity is one key, whoever names it: a source, a push, a request, a training set."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from view_samples import HEAD, source

from roadworthy.data.contract import LogicalType
from roadworthy.data.history import history
from roadworthy.data.materialize import materialize
from roadworthy.data.online import SqliteFeatures
from roadworthy.data.push import Pusher
from roadworthy.data.relations import SourceTable
from roadworthy.data.served import FeatureSource
from roadworthy.data.views import View, read_view
from roadworthy.errors import ContractViolation, DeclarationError
from roadworthy.types import SettableClock

pa = pytest.importorskip("pyarrow")

AT = datetime(2013, 1, 1)  # noqa: DTZ001 - a column of naive times, which are UTC
VIEW_HEAD = HEAD.replace('"origin"', '"at_key"').replace('"weather"', '"rows"')


@pytest.fixture
def online(tmp_path: Path) -> Iterator[SqliteFeatures]:
    store = SqliteFeatures(tmp_path / "online.db")
    yield store
    store.close()


@pytest.fixture
def clock() -> SettableClock:
    found = SettableClock()
    found.set(1_356_998_400_000_000 + 3_600_000_000)
    return found


def rows_of(kind: LogicalType, keys: list[Any], sql: str = "at_key") -> tuple[View, SourceTable]:
    """Return a view whose feature is the place of each key, and its rows."""
    types: dict[str, LogicalType] = {"at_key": kind, "observed_at": "timestamp"}
    types |= {"known_at": "timestamp", "place": "integer"}
    columns = {
        "at_key": keys,
        "observed_at": pa.array([AT] * len(keys), pa.timestamp("us")),
        "known_at": pa.array([AT] * len(keys), pa.timestamp("us")),
        "place": list(range(len(keys))),
    }
    made = source("rows", types, data=pa.table(columns))
    text = f"{VIEW_HEAD}\nSELECT {sql} AS at_key, observed_at, known_at, place FROM rows\n"
    return read_view("keyed", text, {"rows": made}), made


def served(view: View, store: SqliteFeatures, clock: SettableClock, keys: list[Any]) -> list[Any]:
    found = FeatureSource([view], store, clock)
    return [found.vector({"at_key": key}).values["place"] for key in keys]


def trained(view: View, rows: SourceTable, keys: list[Any]) -> list[Any]:
    spine = pa.table({"at_key": keys, "at": [AT + timedelta(hours=1)] * len(keys)})
    places: list[Any] = history([view], spine, {"rows": rows})["place"].to_pylist()
    return places


NUMBERS = [0.0, -0.0, 0.1, 1e300, math.nan, math.inf]


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_both_zeros_are_one_number_and_what_is_no_number_is_nobody(
    online: SqliteFeatures, clock: SettableClock, zero: float
) -> None:
    view, rows = rows_of("number", [zero, 0.1, 1e300])
    materialize(view, {"rows": rows}, online, clock)
    expected = [0, 0, 1, 2, None, None]
    assert served(view, online, clock, NUMBERS) == expected
    assert trained(view, rows, NUMBERS) == expected


def test_a_row_whose_entity_is_no_number_is_left_out_online_and_in_training(
    online: SqliteFeatures, clock: SettableClock
) -> None:
    view, rows = rows_of("number", [0.0, 1.0], sql="at_key / at_key - at_key")  # NaN, 0
    assert materialize(view, {"rows": rows}, online, clock).rows == 1
    assert served(view, online, clock, [math.nan, 0.0]) == [None, 1]
    assert trained(view, rows, [math.nan, 0.0]) == [None, 1]


def test_a_number_with_decimals_is_no_whole_one(
    online: SqliteFeatures, clock: SettableClock
) -> None:
    view, rows = rows_of("integer", [5, 6, 2**53 + 1])
    materialize(view, {"rows": rows}, online, clock)
    assert served(view, online, clock, [5, 5.0, 5.7, 2**53 + 1, 2**53]) == [0, 0, None, 2, None]
    assert trained(view, rows, [5.0, math.nan, None, 6.0, math.inf]) == [0, None, None, 1, None]
    assert trained(view, rows, [5, 2**53 + 1, 2**53]) == [0, 2, None]
    with pytest.raises(DeclarationError, match="spine: expected whole numbers in `at_key`"):
        trained(view, rows, [5.7, 5.0])
    with pytest.raises(DeclarationError, match="spine: expected whole numbers in `at_key`"):
        trained(view, rows, ["5.7"])


def test_a_number_with_decimals_in_a_file_is_not_rounded(tmp_path: Path) -> None:
    view, rows = rows_of("integer", [5, 6, 2**53 + 1])
    spine = tmp_path / "spine.csv"
    spine.write_text(f"at_key,at\n5,2013-01-01T01:00:00Z\n{2**53 + 1},2013-01-01T01:00:00Z\n,\n")
    found = history([view], spine, {"rows": rows})
    assert found["at_key"].to_pylist() == [5, 2**53 + 1, None]
    assert found["place"].to_pylist() == [0, 2, None]
    spine.write_text("at_key,at\n5.7,2013-01-01T01:00:00Z\n")
    with pytest.raises(DeclarationError, match="expected whole numbers in `at_key`"):
        history([view], spine, {"rows": rows})


@pytest.mark.parametrize(
    ("kind", "pushed", "asked"),
    [("number", -0.0, [0.0, -0.0]), ("number", 0.0, [0.0, -0.0]), ("integer", 5.0, [5, 5.0])],
)
def test_a_push_names_an_entity_as_requests_do(
    online: SqliteFeatures, clock: SettableClock, kind: LogicalType, pushed: Any, asked: list[Any]
) -> None:
    view, rows = rows_of(kind, [])
    row = {"at_key": pushed, "observed_at": f"{AT.isoformat()}Z", "place": 7}
    Pusher(view, {"rows": rows}).push([row], online, clock)
    assert served(view, online, clock, asked) == [7, 7]


@pytest.mark.parametrize(
    ("kind", "pushed"),
    [("integer", 5.7), ("number", math.nan), ("number", math.inf), ("integer", math.nan)],
)
def test_a_push_of_nobody_is_refused(
    online: SqliteFeatures, clock: SettableClock, kind: LogicalType, pushed: Any
) -> None:
    view, rows = rows_of(kind, [])
    row = {"at_key": pushed, "observed_at": f"{AT.isoformat()}Z", "place": 7}
    with pytest.raises(ContractViolation, match=r"rows\[0\]"):
        Pusher(view, {"rows": rows}).push([row], online, clock)


def test_a_moment_is_one_entity_in_every_zone(
    online: SqliteFeatures, clock: SettableClock, tmp_path: Path
) -> None:
    view, rows = rows_of("timestamp", pa.array([AT], pa.timestamp("us")))
    materialize(view, {"rows": rows}, online, clock)
    texts = ["2013-01-01T00:00:00Z", "2013-01-01T02:00:00+02:00", "2013-01-01T00:00:00+02:00"]
    assert served(view, online, clock, texts) == [0, 0, None]
    assert trained(view, rows, texts) == [0, 0, None]
    spine = tmp_path / "spine.csv"
    spine.write_text(
        "".join(["at_key,at\n", *(f"{text},2013-01-01T01:00:00Z\n" for text in texts)])
    )
    assert history([view], spine, {"rows": rows})["place"].to_pylist() == [0, 0, None]
