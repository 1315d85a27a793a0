"""Write what feature views read, from the real flights of 2013: `python prepare_history.py`.

Two sources, each row with the moment at which it was known. A departure is known when the plane has
left. The weather of an hour is known when that hour is over: it was observed 51 minutes into it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
from flights import DATA
from prepare import HIGHEST_GUST_MPH, WEATHER_COLUMNS, add_schedule, read_sources

DEPARTURES, WEATHER = "departures.parquet", "weather.parquet"


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
    rows.insert(2, "known_at", observed + pd.Timedelta(hours=1))
    return rows.sort_values(["known_at", "origin"], kind="stable", ignore_index=True)


def write(rows: pd.DataFrame, path: Path) -> None:
    """Write rows as Parquet with times to the microsecond; half a file is never seen."""
    times = rows.select_dtypes("datetimetz").columns
    part = path.with_suffix(".part")
    rows.astype(dict.fromkeys(times, "datetime64[us, UTC]")).to_parquet(part, index=False)
    part.replace(path)
    print(f"{len(rows):,} rows are in {path}")


def main() -> None:
    """Write both sources."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--data", type=Path, default=DATA, help="folder to write to")
    folder: Path = parser.parse_args().data
    folder.mkdir(parents=True, exist_ok=True)
    sources = read_sources()
    write(departures(sources.flights), folder / DEPARTURES)
    write(weather(sources.weather), folder / WEATHER)


if __name__ == "__main__":
    main()
