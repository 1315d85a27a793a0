"""Fresh values put online by hand: held to the contracts, newest event first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import MakeProject
from feature_project import AT_US, FILES, SOURCES
from roadworthy.data.features import Features, open_declared
from roadworthy.data.push import MOST_ROWS, plain_rows
from roadworthy.errors import (
    ContractViolation,
    DeclarationError,
    NotFound,
    RequestError,
    StoreError,
)
from roadworthy.types import SettableClock

pytest.importorskip("duckdb")

ROW = {
    "origin": "EWR",
    "observed_at": "2013-01-01T05:30:00Z",
    "wind_mph": 20.0,
    "temp_f": 50,
    "temp_c": 10.0,
}


@pytest.fixture
def features(make_project: MakeProject) -> Iterator[Features]:
    project = make_project({}, files=FILES, project=SOURCES)
    assert isinstance(project.clock, SettableClock)
    project.clock.set(AT_US)
    found = Features(project.declaration, project.state, project.clock)
    found.apply(by="test")
    yield found
    found.close()


def wind(features: Features, origin: str = "EWR") -> Any:
    vector = features.open_source(["weather_now@1"]).vector({"origin": origin})
    return vector.values["wind_mph"]


def test_a_fresh_row_is_served_at_once(features: Features) -> None:
    features.fill(features.view("weather_now"))
    assert wind(features) == 12.5
    pushed = features.push("weather_now", [ROW])
    assert (pushed.view, pushed.rows, pushed.taken) == ("weather_now@1", 1, 1)
    assert wind(features) == 20.0


def test_a_name_with_capitals_keeps_the_rules_of_its_field(make_project: MakeProject) -> None:
    renamed = FILES["features/weather_now.sql"].replace("wind_mph,", "wind_mph AS Wind,")
    files = FILES | {"features/weather_now.sql": renamed}
    project = make_project({}, files=files, project=SOURCES)
    assert isinstance(project.clock, SettableClock)
    project.clock.set(AT_US)
    features = Features(project.declaration, project.state, project.clock)
    features.apply(by="test")
    row = {name: value for name, value in ROW.items() if name != "wind_mph"}
    with pytest.raises(ContractViolation, match=r"rows\[0\]\.Wind: expected <= 254, got 300"):
        features.push("weather_now", [row | {"Wind": 300}])
    features.close()


def test_a_row_that_is_no_newer_changes_nothing(features: Features) -> None:
    features.fill(features.view("weather_now"))
    assert features.push("weather_now", [ROW | {"observed_at": "2013-01-01T05:00:00Z"}]).taken == 0
    assert wind(features) == 12.5


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"wind_mph": 300}, "rows[1].wind_mph: expected <= 254, got 300"),
        ({"wind_mph": "20"}, "rows[1].wind_mph: expected"),
        ({"origin": "Newark"}, "rows[1].origin: expected a string that matches"),
        ({"origin": None}, "rows[1].origin: expected"),
        (
            {"observed_at": "yesterday"},
            "rows[1].observed_at: expected a timestamp in ISO 8601, such as `2026-03-01T08:30:00Z`,"
            " got string of 9 characters",
        ),
        ({"observed_at": 5}, "rows[1].observed_at: expected a timestamp in ISO 8601"),
        (
            {"observed_at": "0001-01-01T00:00:00+05:00"},
            "rows[1].observed_at: expected a timestamp of the years 1 to 9999 in UTC",
        ),
        (
            {"known_at": "9999-12-31T23:59:59-23:59"},
            "rows[1].known_at: expected a timestamp of the years 1 to 9999 in UTC",
        ),
        ({"wind_mph": {"a": [1]}}, "rows[1].wind_mph: expected null or number, got object"),
        ({"temp_c": 10**400}, "rows[1].temp_c: expected <= 1.79"),
        ({"observed_at": "2013-01-01T07:00:00Z"}, "rows[1].observed_at: expected a time that has"),
        ({"known_at": "2013-01-01T07:00:00Z"}, "rows[1].known_at: expected a time that has come"),
        ({"gust_mph": 1}, "rows[1]: expected only fields"),
        ({"temp_c": float("inf")}, "rows[1].temp_c: expected"),
        ({"origin": float("nan")}, "rows[1].origin: expected string, got null"),
    ],
)
def test_a_row_that_breaks_the_contract_is_refused_with_all_others(
    features: Features, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(ContractViolation) as refused:
        features.push("weather_now", [ROW, ROW | change])
    assert said in str(refused.value)
    assert str(refused.value).startswith(str(refused.value.param))
    assert wind(features) is None


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00Z", "2013-01-01T00:00:00+23:59"])
def test_a_time_at_the_end_of_the_calendar_is_a_time(features: Features, moment: str) -> None:
    assert features.push("weather_now", [ROW | {"observed_at": moment}]).taken == 1


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (ROW, "rows: expected a list of objects, got object of 5 fields"),
        ("x", "rows: expected a list of objects, got string of 1 characters"),
        (None, "rows: expected a list of objects, got null"),
        ([ROW, [ROW]], "rows[1]: expected an object with origin, wind_mph, temp_f, temp_c, obs"),
        ([ROW, "x"], "rows[1]: expected an object"),
        ([ROW, None], "rows[1]: expected an object"),
        ([ROW, 3], "rows[1]: expected an object"),
    ],
)
def test_what_is_no_list_of_objects_is_wrong_usage(
    features: Features, rows: Any, said: str
) -> None:
    with pytest.raises(RequestError) as refused:
        features.push("weather_now", rows)
    assert not isinstance(refused.value, ContractViolation)
    assert str(refused.value).startswith(said)
    assert wind(features) is None


def test_a_feature_is_given_or_null_but_never_left_out(features: Features) -> None:
    without = {name: value for name, value in ROW.items() if name != "temp_c"}
    with pytest.raises(ContractViolation, match=r"rows\[0\].temp_c: expected a value or null"):
        features.push("weather_now", [without])
    features.push("weather_now", [ROW | {"wind_mph": None, "temp_c": None}])
    assert wind(features) is None


def test_a_push_is_not_a_way_to_load_a_source(features: Features) -> None:
    with pytest.raises(ContractViolation, match="expected at most 10,000, got 10,001"):
        features.push("weather_now", [ROW] * (MOST_ROWS + 1))


def test_an_unknown_view_is_not_found(features: Features) -> None:
    with pytest.raises(NotFound, match="no registered feature view `nothing`"):
        features.push("nothing", [ROW])


def test_rows_of_a_table_become_json(features: Features) -> None:
    view = features.view("weather_now")
    (row,) = plain_rows(view, [{"origin": "EWR", "wind_mph": float("nan"), "temp_f": 1, "x": 7}])
    assert row == {"origin": "EWR", "wind_mph": None, "temp_f": 1.0, "x": 7}


def test_the_job_fills_every_view_and_says_how_much(features: Features) -> None:
    assert features.fill_all() == "2 rows of 1 views are new online"
    assert features.fill_all() == "0 rows of 1 views are new online"
    assert wind(features) == 12.5
    (state,) = features.states()
    assert state.view == "weather_now@1"
    assert state.behind_s is not None
    assert state.behind_s < 60


def test_the_job_says_how_much_is_gone(features: Features) -> None:
    features.fill_all()
    source = Path(features.sources["weather"].url)
    source.write_text(source.read_text(encoding="utf-8").rpartition("JFK")[0], encoding="utf-8")
    assert features.fill_all() == "0 rows of 1 views are new online, 1 are gone"


def test_the_job_names_the_view_that_fails(features: Features) -> None:
    features.fill(features.view("weather_now"))
    source = features.sources["weather"]
    Path(source.url).write_text("origin\nEWR\n", encoding="utf-8")
    with pytest.raises(StoreError, match="weather_now@1: source `weather`: expected the columns"):
        features.fill_all()
    assert wind(features) == 12.5


def test_whether_views_fit_a_service_is_seen_from_the_files_alone(
    make_project: MakeProject,
) -> None:
    project = make_project({}, files=FILES, project=SOURCES).declaration
    source = open_declared(project, ["weather_now@1"], ["origin"])
    assert source.names == ("wind_mph", "temp_f", "temp_c")
    assert source.vector({"origin": "EWR"}).missing == ("weather_now@1",)
    with pytest.raises(DeclarationError, match="expected view `weather_now@2`, got version 1"):
        open_declared(project, ["weather_now@2"])
    with pytest.raises(DeclarationError, match="expected view `planes@1`, got no file"):
        open_declared(project, ["planes@1"])
    with pytest.raises(DeclarationError, match="expected `origin`, which `weather_now@1` needs"):
        open_declared(project, ["weather_now@1"], ["dest"])
