"""A project as files: a contract of the weather, a view of it, and a service that reads that."""

from __future__ import annotations

from pathlib import Path

WEATHER = """\
apiVersion: v3.1.0
kind: DataContract
id: weather
version: 1.0.0
status: active
schema:
  - name: hourly
    properties:
      - name: origin
        logicalType: string
        required: true
      - name: seen_at
        logicalType: timestamp
        required: true
      - name: temp
        logicalType: number
        businessName: air temperature
        description: Two metres above ground.
        customProperties:
          - property: unit
            value: degF
      - name: wind
        logicalType: number
        logicalTypeOptions:
          maximum: 120
"""

FLIGHT = """\
apiVersion: v3.1.0
kind: DataContract
id: flight-request
version: 1.0.0
status: active
schema:
  - name: flight
    properties:
      - name: origin
        logicalType: string
        required: true
      - name: distance
        logicalType: integer
        logicalTypeOptions:
          minimum: 1
"""

PROJECT = """\
[project]
name = "airline"
[sources.weather]
contract = "contracts/weather.odcs.yaml"
url = "data/weather.parquet"
"""

VIEW = """\
-- version = 1
-- entity = ["origin"]
-- event_time = "seen_at"
-- created_time = "seen_at"
-- owner = "ana"
-- sources = ["weather"]
SELECT origin, seen_at, temp FROM weather
"""

SERVICE = """\
name = "delay"
kind = "predict"
[owners]
product = "ana"
[contract]
input = "flight.odcs.yaml"
[features]
views = ["weather_now@1"]
[objectives]
deadline_ms = 500
[cost]
[[models]]
name = "rule"
provider = "rules"
model = "{'late': 0.5}"
"""


def write_airline(folder: Path, service: str = SERVICE) -> Path:
    """Write the project and return its folder."""
    files = {
        "roadworthy.toml": PROJECT + '[providers.rules]\nkind = "rule"\n',
        "contracts/weather.odcs.yaml": WEATHER,
        "features/weather_now.sql": VIEW,
        "services/delay/service.toml": service,
        "services/delay/flight.odcs.yaml": FLIGHT,
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder
