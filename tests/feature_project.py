"""A project with a source, its contract and a view, as a person would write them."""

from __future__ import annotations

from pathlib import Path

HEAD = """\
-- version = 1
-- entity = ["origin"]
-- event_time = "observed_at"
-- created_time = "known_at"
-- ttl = "3h"
-- owner = "weather team"
-- sources = ["weather"]
"""

SQL = """\
SELECT origin, observed_at, known_at, wind_mph, temp_f, (temp_f - 32) * 5 / 9 AS temp_c FROM weather
"""

CONTRACT = """\
apiVersion: v3.2.0
kind: DataContract
id: weather
name: Weather
version: 1.0.0
status: active
schema:
  - name: weather
    properties:
      - name: origin
        logicalType: string
        required: true
        logicalTypeOptions: {pattern: '^[A-Z]{3}$'}
      - {name: observed_at, logicalType: timestamp, required: true}
      - {name: known_at, logicalType: timestamp, required: true}
      - name: wind_mph
        logicalType: number
        logicalTypeOptions: {minimum: 0, maximum: 254}
      - {name: temp_f, logicalType: number}
"""

ROWS = """\
origin,observed_at,known_at,wind_mph,temp_f
EWR,2013-01-01T04:00:00Z,2013-01-01T05:00:00Z,10.5,50
EWR,2013-01-01T05:00:00Z,2013-01-01T06:00:00Z,12.5,41
JFK,2013-01-01T05:00:00Z,2013-01-01T06:00:00Z,,32
"""

SOURCES = """
[sources.weather]
contract = "contracts/weather.odcs.yaml"
url = "data/weather.csv"
"""

FILES = {
    "contracts/weather.odcs.yaml": CONTRACT,
    "data/weather.csv": ROWS,
    "features/weather_now.sql": f"{HEAD}\n{SQL}\n",
}

SERVICE = """
name = "wind"
kind = "predict"
[owners]
product = "weather team"
[contract]
input = "input.json"
[features]
views = ["weather_now@1"]
[objectives]
deadline_ms = 1000
[cost]
[[models]]
name = "rule"
provider = "rule"
model = '{"wind": input.wind_mph}'
"""
"""A service that is given the view's features: `{"origin": "EWR"}` asks it."""

SERVICE_FILES = FILES | {
    "services/wind/input.json": """\
{"type": "object", "properties": {"origin": {"type": "string"}},
"required": ["origin"], "additionalProperties": false}
"""
}

AT_US = 1_357_020_000_000_000
"""2013-01-01T06:00:00Z: the last row has just become known."""


def write_files(folder: Path, files: dict[str, str] | None = None) -> None:
    """Write the files of the source and its view below `folder`."""
    for name, text in (FILES if files is None else files).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
