"""Validation: a batch of 1 M rows beside a bare scan of the same Parquet, and one record.

The scan is DuckDB's `SELECT bit_xor(hash(column)), ...` over all 20 columns: it reads every value
and keeps none. Both open a connection of their own, run in one process and take turns; memory is
the peak of a process that validates and does nothing else. Beside them pandera, where
`make bench-peers` installed it. Prints one JSON line; ends with 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from peers import PANDERA
from pyarrow import parquet

from roadworthy.data.contract import Contract, Field, Table, rules_of
from roadworthy.data.live import compile_live
from roadworthy.data.validate import validate

WEATHER = {
    "temp_f": (55, 18, -40, 130),
    "dewpoint_f": (41, 19, -60, 90),
    "humidity": (62, 15, 0, 100),
    "wind_mph": (10, 5, 0, 254),
    "gust_mph": (25, 8, 0, 254),
    "precip_inch": (0.01, 0.02, 0, 15),
    "pressure_hpa": (1017, 6, 870, 1090),
    "visibility_miles": (9, 1, 0, 100),
}
COUNTS = ("flight", "distance_miles", "scheduled_minute", "departures_this_hour")
CODES = {"carrier": 16, "origin": 3, "dest": 105}
START = np.datetime64("2013-01-01", "s")
YEAR_S = 365 * 86_400
BROKEN_SHARE = 0.01
BARS = {"scan_ratio": 1.5, "peak_mb": 250.0, "record_us": 20.0}

PANDERA_CODE = """
import json, sys, time
import pandera.polars as pa, polars as pl
fields, file, times = json.loads(sys.argv[1]), sys.argv[2], int(sys.argv[3])
KINDS = {"integer": pl.Int64, "number": pl.Float64, "string": pl.String, "boolean": pl.Boolean}
columns = {}
for one in fields:
    checks = []
    if one["minimum"] is not None and one["type"] != "timestamp":
        checks.append(pa.Check.in_range(one["minimum"], one["maximum"]))
    if one["enum"]:
        checks.append(pa.Check.isin(one["enum"]))
    if one["pattern"]:
        checks.append(pa.Check.str_matches(one["pattern"]))
    if one["max_length"]:
        checks.append(pa.Check.str_length(max_value=one["max_length"]))
    kind = KINDS.get(one["type"], pl.Datetime("ms"))
    columns[one["name"]] = pa.Column(
        kind, checks, nullable=not one["required"], unique=one["unique"]
    )
schema = pa.DataFrameSchema(columns)
taken = []
for _ in range(times):
    started = time.perf_counter()
    schema.validate(pl.read_parquet(file), lazy=True)
    taken.append(time.perf_counter() - started)
status = open("/proc/self/status").read()
peak = int(status.partition("VmHWM:")[2].split()[0]) * 1.024 / 1000
print(json.dumps({"s": min(taken), "peak_mb": peak}))
"""


def contract() -> Contract:
    """Return the rules about 20 fields of flights."""
    fields = [
        Field(
            name="id",
            column="id",
            type="integer",
            required=True,
            unique=True,
            minimum=0,
            maximum=10**12,
        ),
        Field(
            name="seen_at",
            column="seen_at",
            type="timestamp",
            required=True,
            minimum="2013-01-01T00:00:00Z",
            maximum="2014-01-01T00:00:00Z",
        ),
        *(
            Field(name=n, column=n, type="number", minimum=low, maximum=high)
            for n, (_, _, low, high) in WEATHER.items()
        ),
        *(
            Field(name=n, column=n, type="integer", required=True, minimum=0, maximum=10_000)
            for n in COUNTS
        ),
        *(
            Field(name=n, column=n, required=True, enum=tuple(f"{n[0]}{k}" for k in range(count)))
            for n, count in CODES.items()
        ),
        Field(name="tailnum", column="tailnum", required=True, max_length=6, pattern="^N[0-9]{5}$"),
        Field(name="previous", column="previous", max_length=6, pattern="^N[0-9]{5}$"),
        Field(name="is_holiday", column="is_holiday", type="boolean", required=True),
    ]
    table = Table(name="flights", physical_name="flights", fields=tuple(fields))
    return Contract(id="flights", version="1", tables=(table,), digest="")


def write_rows(file: Path, rows: int, *, broken: bool = False) -> None:
    """Write rows that keep the contract, as pyarrow and pandas write them; or 1 % that do not."""
    rng = np.random.default_rng(7)
    columns: dict[str, Any] = {"id": np.arange(rows)}
    at = np.sort(rng.integers(0, YEAR_S, rows)).astype("timedelta64[s]")
    columns["seen_at"] = (START + at).astype("datetime64[ms]")
    for name, (mean, spread, low, high) in WEATHER.items():
        values = np.clip(rng.normal(mean, spread, rows).round(2), low, high)
        columns[name] = pa.array(values, mask=rng.random(rows) < 0.02)
    for name in COUNTS:
        columns[name] = rng.integers(0, 5_000, rows)
    for name, count in CODES.items():
        columns[name] = np.array([f"{name[0]}{k}" for k in range(count)])[
            rng.integers(0, count, rows)
        ]
    planes = np.array([f"N{number:05}" for number in rng.choice(99_999, 4_000, replace=False)])
    columns["tailnum"], columns["previous"] = (planes[rng.integers(0, 4_000, rows)] for _ in "ab")
    columns["is_holiday"] = rng.random(rows) < 0.03
    if broken:
        bad = rng.random(rows) < BROKEN_SHARE
        columns["distance_miles"] = np.where(bad, -1, columns["distance_miles"])
        columns["origin"] = np.where(bad, "?", columns["origin"])
        columns["tailnum"] = np.where(bad, "none", columns["tailnum"])
    parquet.write_table(pa.table(columns), file)


def scan(file: Path) -> None:
    """Read every value of every column, and keep none."""
    with duckdb.connect(":memory:") as connection:
        names = parquet.read_schema(file).names
        columns = ", ".join(f'bit_xor(hash("{name}"))' for name in names)
        connection.execute(f"SELECT {columns} FROM read_parquet('{file}')").fetchall()


def seconds(run: Callable[[], object]) -> float:
    """Return how long one run takes."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def batch(folder: Path, rows: int, times: int) -> dict[str, Any]:
    """Time validation and scan in turns; the best of each counts."""
    promised = contract()
    kept, broken = folder / "kept.parquet", folder / "broken.parquet"
    write_rows(kept, rows)
    write_rows(broken, rows, broken=True)
    taken: dict[str, list[float]] = {"scan": [], "kept": [], "broken": []}
    for _ in range(times + 1):
        taken["scan"].append(seconds(lambda: scan(kept)))
        taken["kept"].append(seconds(lambda: validate(promised, kept)))
        taken["broken"].append(seconds(lambda: validate(promised, broken)))
    # The first turn reads the files from disk.
    best = {name: min(values[1:]) for name, values in taken.items()}
    report = validate(promised, broken)
    assert validate(promised, kept).kept
    assert 0 < report.failed_rows < rows
    return {
        "rows": rows,
        "rules": len(rules_of(promised.tables[0])),
        "scan_s": best["scan"],
        "kept_s": best["kept"],
        "scan_ratio": best["kept"] / best["scan"],
        "broken_s": best["broken"],
        "broken_scan_ratio": best["broken"] / best["scan"],
        "peak_mb": json.loads(child("--peak", str(kept)))["peak_mb"],
        **pandera(kept, times),
    }


def child(*words: str) -> str:
    """Return what this file prints in a process of its own."""
    command = [sys.executable, __file__, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def peak(file: Path) -> None:
    """Validate a file, and print the most memory that this process had."""
    assert validate(contract(), file).kept
    # Not `ru_maxrss`: a process starts with that of the one that forked it.
    status = Path("/proc/self/status").read_text()
    print(json.dumps({"peak_mb": int(status.partition("VmHWM:")[2].split()[0]) * 1.024 / 1000}))


def pandera(file: Path, times: int) -> dict[str, Any]:
    """Time pandera with the same rules on polars, where it is installed."""
    if not PANDERA.is_installed:
        said = f"pandera {PANDERA.version} is not installed and not measured"
        print(f"{said}: run `make bench-peers`", file=sys.stderr)
        return {}
    names = ("name", "type", "required", "unique", "minimum", "maximum", "max_length", "pattern")
    fields = [
        {**{name: getattr(field, name) for name in names}, "enum": list(field.enum)}
        for field in contract().tables[0].fields
    ]
    python = PANDERA.folder / "bin" / "python"
    command = [str(python), "-c", PANDERA_CODE, json.dumps(fields), str(file), str(times)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    return {"pandera_s": found["s"], "pandera_peak_mb": found["peak_mb"]}


def record(times: int) -> dict[str, float]:
    """Time one record of 20 fields that keeps the contract."""
    check = compile_live(contract().tables[0])
    one: dict[str, Any] = {"id": 7, "seen_at": "2013-06-01T12:00:00Z", "is_holiday": False}
    one |= {name: float(mean) for name, (mean, *_) in WEATHER.items()}
    one |= dict.fromkeys(COUNTS, 100) | {name: f"{name[0]}1" for name in CODES}
    one |= {"tailnum": "N00001", "previous": None}
    assert check.first_problem(one) == ""
    runs = 20_000

    def many() -> None:
        for _ in range(runs):
            check.is_valid(one)

    return {"record_us": min(seconds(many) for _ in range(times)) / runs * 1e6}


def main() -> None:
    """Measure, print one line, and fail where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the batch")
    parser.add_argument("--times", type=int, default=7, help="runs of each; the best counts")
    parser.add_argument("--peak", type=Path, help="only print the peak memory for this file")
    options = parser.parse_args()
    if options.peak:
        peak(options.peak)
        return
    with tempfile.TemporaryDirectory() as name:
        found = batch(Path(name), options.rows, options.times)
    found |= record(options.times)
    missed = [bar for bar, most in BARS.items() if found[bar] > most]
    rounded = {k: round(v, 3) if isinstance(v, float) else v for k, v in found.items()}
    print(json.dumps({"bench": "data", **rounded, "bars": BARS, "missed": missed}))
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
