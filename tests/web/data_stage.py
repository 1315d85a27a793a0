"""A served project whose service reads feature views, with everything that its data page shows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from conftest import write_project
from control_plane import Plane
from feature_project import AT_US, FILES, SERVICE, SOURCES
from roadworthy.app import open_project
from roadworthy.cli import cli
from roadworthy.data.features import Features
from roadworthy.data.registered import load_sources
from roadworthy.data.validate import validate_sources
from roadworthy.types import HOUR_US, MICRO, SettableClock

WIND = (
    'purpose = "Say how hard it blows where a flight begins."'
    + SERVICE.replace("input.json", "request.odcs.yaml").replace("@1", '@1", "fleet@1')
    + '[records]\nbodies = "full"\n[volume]\nrequests_per_second = 0.02\n'
)
PLAIN = """
name = "plain"
kind = "predict"
[owners]
product = "nobody"
[objectives]
deadline_ms = 1000
[cost]
[[models]]
name = "rule"
provider = "rule"
model = '{"late": true}'
"""
REQUEST = """\
apiVersion: v3.2.0
kind: DataContract
id: request
version: 1.0.0
status: active
schema:
  - name: request
    properties:
      - name: origin
        logicalType: string
        required: true
        logicalTypeOptions: {pattern: '^[A-Z]{3}$'}
"""
FLEET_CONTRACT = """\
apiVersion: v3.2.0
kind: DataContract
id: fleet
version: 1.0.0
status: active
schema:
  - name: fleet
    properties:
      - {name: origin, logicalType: string, required: true}
      - {name: counted_at, logicalType: timestamp, required: true}
      - {name: planes, logicalType: integer}
      - {name: chief, logicalType: string, classification: personal}
"""
FLEET = """\
-- version = 1
-- entity = ["origin"]
-- event_time = "counted_at"
-- created_time = "counted_at"
-- owner = "fleet team"
-- sources = ["fleet"]

SELECT origin, counted_at, planes, chief FROM fleet
"""
FLEET_ROWS = """\
origin,counted_at,planes,chief
EWR,2012-12-31T00:00:00Z,40,Ada Smith
JFK,2012-12-31T00:00:00Z,55,Grace Jones
LGA,2012-12-31T00:00:00Z,20,Ada Smith
"""
ALL_FILES = {
    **FILES,
    "contracts/fleet.odcs.yaml": FLEET_CONTRACT,
    "data/fleet.csv": FLEET_ROWS,
    "features/fleet.sql": FLEET,
    "services/wind/request.odcs.yaml": REQUEST,
}
ALL_SOURCES = (
    SOURCES
    + """
[sources.weather.volume]
rows = 3
rows_per_day = [0, 3]
time = "known_at"
rows_per_second = 4
distinct = { origin = 2 }

[sources.fleet]
contract = "contracts/fleet.odcs.yaml"
url = "data/fleet.csv"
"""
)
ASKED, REFUSED = 60, 7


@contextmanager
def served_data(folder: Path) -> Iterator[Plane]:
    """Serve a project with data: trained, validated three times, asked, and not measured yet."""
    services = {"wind": WIND, "plain": PLAIN}
    write_project(folder, services, ALL_FILES, ALL_SOURCES)
    _train(folder)
    with open_project(folder) as project:
        clock = project.clock
        assert isinstance(clock, SettableClock)
        plane = Plane(project)
        validate(plane, AT_US - 2 * HOUR_US)
        good = (folder / "data/weather.csv").read_text()
        bad = good.replace(",10.5,50", ",999,50").replace("JFK,", "Kennedy,")
        (folder / "data/weather.csv").write_text(bad)
        validate(plane, AT_US - HOUR_US)
        (folder / "data/weather.csv").write_text(good.replace(",10.5,50", ",999,50"))
        validate(plane, AT_US - 60 * MICRO)
        (folder / "data/weather.csv").write_text(good)
        clock.set(AT_US)
        plane.serving.jobs.run_now("features")
        plane.serving.jobs.run_now("skew")  # of nothing, and not again within the hour
        for n in range(ASKED):
            plane.answer("wind", {"origin": ("EWR", "JFK", "EWR")[n % 3]})
        for n in range(REFUSED):
            plane.answer("wind", {"origin": "Newark" if n else 7})
        yield plane


def change_contract(folder: Path) -> None:
    """Write the next version of the weather's contract: looser here, tighter there."""
    path = folder / "contracts/weather.odcs.yaml"
    text = path.read_text().replace("version: 1.0.0", "version: 2.0.0")
    text = text.replace("maximum: 254", "maximum: 400")
    text = text.replace(
        "{name: temp_f, logicalType: number}",
        "{name: temp_f, logicalType: number, required: true}",
    )
    path.write_text(text)


def _train(folder: Path) -> None:
    """Register the views and save a training set: of all airports, the calm one most often."""
    with open_project(folder) as project:
        project.clock.set(AT_US)  # type: ignore[attr-defined]
        features = Features(project.declaration, project.state, project.clock)
        features.apply(by="test")
        features.close()
    save_training_set(folder, 200)


def save_training_set(folder: Path, rows: int) -> dict[str, Any]:
    """Save a training set of so many rows, and return what the command says of it."""
    asked = [("JFK", "JFK", "JFK", "EWR")[n % 4] for n in range(rows)]
    lines = (f"{origin},2013-01-01T06:00:00Z,false\n" for origin in asked)
    spine, out = folder / "spine.csv", folder / "joined.parquet"
    spine.write_text("origin,at,late\n" + "".join(lines))
    words = ["--spine", str(spine), "--out", str(out), "--save", "--project", str(folder), "--json"]
    saved = CliRunner().invoke(cli, ["features", "history", "wind", *words])
    assert saved.exit_code == 0, saved.output
    said: dict[str, Any] = json.loads(saved.stdout)
    return said


def validate(plane: Plane, at_us: int | None = None) -> None:
    """Hold the weather as it is now against its contract."""
    clock = plane.project.clock
    assert isinstance(clock, SettableClock)
    if at_us is not None:
        clock.set(at_us)
    sources = load_sources(plane.project.declaration)
    validate_sources(sources, plane.project.state, clock, ["weather"])
