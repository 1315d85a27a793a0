"""A training set that holds what was not known yet, beside what the views say was known."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from view_samples import source, view

from roadworthy.data.history import history
from roadworthy.data.time_travel import Travelled, leaks_of, travel

pa = pytest.importorskip("pyarrow")
np = pytest.importorskip("numpy")

START = datetime(2013, 1, 1)  # noqa: DTZ001 - a column of naive times, which are UTC
HOURS = 2000


def observed(known_after_h: int) -> tuple[Any, list[bool]]:
    """Return hourly weather, each known so much later, and whether the hour itself was stormy."""
    wind = np.random.default_rng(5).normal(10, 4, HOURS)
    hours = [START + timedelta(hours=n) for n in range(HOURS)]
    table = pa.table(
        {
            "origin": pa.array(["EWR"] * HOURS),
            "observed_at": pa.array(hours, pa.timestamp("us")),
            "known_at": pa.array(
                [hour + timedelta(hours=known_after_h) for hour in hours], pa.timestamp("us")
            ),
            "wind_mph": pa.array(wind),
            "temp_f": pa.array([50.0] * HOURS),
        }
    )
    return table, [bool(w > 12) for w in wind]


def spine_of(label: list[bool]) -> Any:
    """Ask at the beginning of each hour how stormy it will be."""
    hours = [START + timedelta(hours=n) for n in range(HOURS)]
    return pa.table(
        {
            "origin": pa.array(["EWR"] * HOURS),
            "at": pa.array(hours, pa.timestamp("us")),
            "late": pa.array(label),
        }
    )


def travelled(rows: Any, weather: Any) -> list[Travelled]:
    views = [view()]
    return travel(rows, views, {"weather": source(data=weather)}, "late", time="at")


def test_the_point_in_time_join_does_not_travel() -> None:
    weather, label = observed(known_after_h=2)
    views = [view()]
    rows = history(views, spine_of(label), {"weather": source(data=weather)})
    found = travelled(rows, weather)
    wind = next(row for row in found if row.feature == "wind_mph")
    assert (wind.rows, wind.unequal, wind.area) == (HOURS, 0, wind.area_as_known)
    assert wind.area_as_known < 0.6 < 0.6 + 0.05 < wind.area_shuffled, "dealt anew, some travel"
    assert leaks_of(found, sum(label)) == []


def test_a_join_by_the_latest_event_travels() -> None:
    weather, label = observed(known_after_h=2)
    naive = spine_of(label).append_column("wind_mph", weather["wind_mph"])
    found = travelled(naive, weather)
    assert [row.feature for row in found] == ["wind_mph"]
    leaks = leaks_of(found, sum(label))
    assert [(leak.feature, leak.cause) for leak in leaks] == [("wind_mph", "future")]
    assert "holds in 2,000 of 2,000 training rows something else than was known" in leaks[0].why
    assert "area of 0.999 instead of 0.535" in leaks[0].why


def test_values_that_differ_and_tell_nothing_more_are_no_leak() -> None:
    weather, label = observed(known_after_h=2)
    noise = pa.array(np.random.default_rng(6).normal(10, 4, HOURS))
    found = travelled(spine_of(label).append_column("wind_mph", noise), weather)
    assert found[0].unequal == HOURS
    assert leaks_of(found, sum(label)) == []


def test_few_rows_say_nothing() -> None:
    row = Travelled(
        feature="x", rows=99, unequal=99, area=1.0, area_as_known=0.5, area_shuffled=0.5
    )
    assert leaks_of([row], 50) == []
    assert len(leaks_of([Travelled(**{**_fields(row), "rows": 200})], 100)) == 1


def _fields(row: Travelled) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__struct_fields__}
