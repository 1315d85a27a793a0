"""The airline's views on the real flights: served values are those of training, row by row."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from conftest import write_project
from roadworthy.app import Project, open_project
from roadworthy.data.features import Features
from roadworthy.data.history import history
from roadworthy.data.odcs import load_contract
from roadworthy.data.served import FeatureSource
from roadworthy.data.validate import validate
from roadworthy.data.view_leaks import declared_leaks
from roadworthy.store.clock import micros_of
from roadworthy.types import SystemClock

pa = pytest.importorskip("pyarrow")
pytest.importorskip("pandas")
pytest.importorskip("duckdb")

EXAMPLE = Path(__file__).parents[2] / "examples" / "airline"
MOMENTS = ["2013-02-09T00:30", "2013-03-10T07:00", "2013-07-22T21:17", "2013-03-01T12:00"]
"""A blizzard, the hour that the clocks skipped, a summer evening, and back in time."""
SOURCES = """
[sources.weather]
contract = "contracts/weather.odcs.yaml"
url = "data/weather.parquet"

[sources.departures]
contract = "contracts/departures.odcs.yaml"
url = "data/departures.parquet"
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("airline") / "project"
    names = [*EXAMPLE.glob("contracts/*.yaml"), *EXAMPLE.glob("features/*.sql")]
    files = {path.relative_to(EXAMPLE).as_posix(): path.read_text("utf-8") for path in names}
    write_project(folder, {}, files, SOURCES)
    (folder / "data").mkdir()
    sys.path.insert(0, str(EXAMPLE))
    try:
        prepare: Any = import_module("prepare")
        sources = prepare.read_sources()
        departures = prepare.departures(sources.flights)
        prepare.write_source(departures, folder / "data" / prepare.DEPARTURES)
        prepare.write_source(prepare.weather(sources.weather), folder / "data" / prepare.WEATHER)
    finally:
        sys.path.remove(str(EXAMPLE))
    with open_project(folder) as opened:
        yield opened


@pytest.fixture(scope="module")
def features(project: Project) -> Iterator[Features]:
    found = Features(project.declaration, project.state, project.clock)
    assert len(found.apply(by="test")) == 5
    yield found
    found.close()


class Standing(SystemClock):
    """A clock that stands still."""

    def __init__(self, us: int) -> None:
        self._us = us

    def now_us(self) -> int:
        return self._us


@pytest.mark.parametrize("moment", MOMENTS)
def test_what_is_served_is_what_training_saw(
    project: Project, features: Features, moment: str
) -> None:
    at = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    at_us, compared = micros_of(at, "at"), 0
    for view in features.views():
        project.clock.set(at_us)  # type: ignore[attr-defined]
        features.fill(view, until_us=at_us)
        spine = entities(project, view.entity, at)
        offline = history([view], spine, features.sources).to_pylist()
        source = FeatureSource([view], features.online, Standing(at_us))
        for row in offline:
            served = source.vector(row).values
            assert served == {name: row[name] for name in view.names}
            compared += any(value is not None for value in served.values())
    assert compared > 1000


def entities(project: Project, columns: Any, at: datetime) -> Any:
    """Return every entity that there is, and one that there is not, as of one moment."""
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = parquet.read_table(project.folder / "data" / "departures.parquet")
    names = [column.name for column in columns]
    known = rows.select(names).group_by(names).aggregate([]).drop_null()
    strange = pa.table({name: ["??"] for name in names})
    asked = pa.concat_tables([known.select(names), strange], promote_options="permissive")
    return asked.append_column("at", pa.array([at] * asked.num_rows, pa.timestamp("us", "UTC")))


def test_no_view_knows_what_is_known_later(features: Features) -> None:
    found = declared_leaks(features.views(), features.sources)
    assert (found.leaks, found.untraced) == ([], [])


def test_what_views_read_keeps_its_contract_and_celsius_does_not(project: Project) -> None:
    pandas = pytest.importorskip("pandas")
    contract = load_contract(EXAMPLE / "contracts" / "weather.odcs.yaml")
    weather = pandas.read_parquet(project.folder / "data" / "weather.parquet")
    assert validate(contract, weather).kept
    celsius = weather.assign(
        temp_f=(weather["temp_f"] - 32) / 1.8, dewpoint_f=(weather["dewpoint_f"] - 32) / 1.8
    )
    report = validate(contract, celsius)
    assert [rule.rule for rule in report.failed] == ["temp_is_fahrenheit"]
    departures = load_contract(EXAMPLE / "contracts" / "departures.odcs.yaml")
    assert validate(departures, project.folder / "data" / "departures.parquet").kept
