"""Feature views: the point-in-time join, the online store and what fills it, beside their limits.

The join is timed beside the plain equi-join of the same rows, to Arrow both: what nobody can do
without; and all of it beside Feast, where `make bench-peers` installed that. Prints one JSON line;
ends with 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from peers import FEAST
from pyarrow import parquet

from roadworthy.data.contract import Contract, Field, Table
from roadworthy.data.history import history
from roadworthy.data.materialize import materialize
from roadworthy.data.online import SqliteFeatures
from roadworthy.data.relations import SourceTable
from roadworthy.data.served import FeatureSource
from roadworthy.data.views import View, online_key, read_view
from roadworthy.types import SystemClock

FEATURES = 20
ENTITIES = 10_000
READS = 20_000
VIEWS = 5
BARS = {
    "join_ratio": 2.5,
    "rows_lost": 0,
    "values_from_the_future": 0,
    "read_p50_us": 12.0,
    "read_p99_us": 40.0,
    "read_five_views_p50_us": 60.0,
    "materialize_s": 3.0,
    "refill_s": 1.0,
    "refill_rows": 0,
    "online_mb": 40.0,
}
HEAD = """\
-- version = 1
-- entity = ["e"]
-- event_time = "happened_at"
-- created_time = "known_at"
-- owner = "bench"
-- sources = ["events"]
"""


def source_of(data: Path | pa.Table) -> SourceTable:
    """Return a source of events with twenty numbers."""
    kinds = {"e": "integer", "happened_at": "timestamp", "known_at": "timestamp"}
    kinds |= {f"f{k}": "number" for k in range(FEATURES)}
    fields = tuple(Field(name=n, column=n, type=t) for n, t in kinds.items())  # type: ignore[arg-type]
    table = Table(name="events", physical_name="events", fields=fields)
    contract = Contract(id="events", version="1.0.0", tables=(table,), digest="")
    is_file = isinstance(data, Path)
    where: dict[str, Any] = {"url": str(data)} if is_file else {"data": data}
    return SourceTable(name="events", contract=contract, table=table, **where)


def events(count: int, entities: int, folder: Path) -> Path:
    """Write events of a year, each known within a day; the first feature says when it was."""
    path = folder / f"events-{entities}.parquet"
    numbers = ", ".join(
        f"(hash(i * 31 + {k}) % 1000003)::DOUBLE / 7 AS f{k}" for k in range(1, FEATURES)
    )
    duckdb.execute(
        f"""
        COPY (
          SELECT e, happened_at, known_at, epoch(greatest(happened_at, known_at)) AS f0, {numbers}
          FROM (
            SELECT i, (hash(i + 3) % {entities})::BIGINT AS e,
              TIMESTAMP '2013-01-01' + to_seconds((hash(i + 11) % 31536000)::BIGINT) AS happened_at,
              happened_at + to_seconds((hash(i + 13) % 86400)::BIGINT) AS known_at
            FROM range({count}) AS t(i)
          )
        ) TO '{path}'
        """
    )
    return path


def spine(count: int) -> pa.Table:
    """Return moments of a year, some of entities that have no events."""
    return duckdb.sql(
        f"""
        SELECT i AS number, (hash(i) % {ENTITIES + 100})::BIGINT AS e,
          TIMESTAMP '2013-01-01' + to_seconds((hash(i + 7) % 31536000)::BIGINT) AS at
        FROM range({count}) AS t(i) ORDER BY i
        """
    ).to_arrow_table()


def seconds(work: Callable[[], Any], times: int) -> tuple[float, Any]:
    """Return the least seconds of several runs, and what the last gave."""
    spent, found = [], None
    for _ in range(times):
        started = time.perf_counter()
        found = work()
        spent.append(time.perf_counter() - started)
    return min(spent), found


def equi_join(moments: pa.Table, path: Path, count: int) -> pa.Table:
    """Return each moment with one event by its number: the least that such a join can do."""
    connection = duckdb.connect()
    connection.register("moments", moments)
    names = ", ".join(f"f{k}" for k in range(FEATURES))
    query = f"""
        SELECT m.*, {names} FROM moments AS m
        LEFT JOIN (SELECT row_number() OVER () AS n, * FROM '{path}') AS x
        ON x.n = 1 + hash(m.number) % {count}
    """
    return connection.sql(query).to_arrow_table()


def view_of(name: str, suffix: str, sources: dict[str, SourceTable]) -> View:
    """Return a view of all numbers, named with a suffix so that views can serve together."""
    names = ", ".join(f"f{k} AS f{k}{suffix}" for k in range(FEATURES))
    sql = f"SELECT e, happened_at, known_at, {names} FROM events"
    return read_view(name, f"{HEAD}\n{sql}\n", sources)


def join(view: View, path: Path, count: int, rows: int, times: int) -> dict[str, float]:
    """Time the join beside the plain one, and count what it lost or took from the future."""
    moments, sources = spine(rows), {"events": source_of(path)}
    plain_s, _ = seconds(lambda: equi_join(moments, path, count), times)
    join_s, found = seconds(lambda: history([view], moments, sources), times)
    known_at, at = found["f0"], pc.cast(found["at"].cast(pa.int64()), pa.float64())
    future = pc.sum(pc.fill_null(pc.greater(known_at, pc.divide(at, 1e6)), False)).as_py()
    is_kept = found["number"].equals(moments["number"])
    return {
        "equi_join_s": plain_s,
        "join_s": join_s,
        "join_ratio": join_s / plain_s,
        "rows_lost": 0 if is_kept else abs(rows - found.num_rows) or 1,
        "values_from_the_future": int(future or 0),
        "rows_with_values": found.num_rows - found["f0"].null_count,
    }


def online(view: View, path: Path, count: int, folder: Path) -> dict[str, float]:
    """Time filling the online store anew and with nothing new, and reading from it."""
    store, clock = SqliteFeatures(folder / "online.db"), SystemClock()
    sources = {"events": source_of(path)}
    fill_s, _ = seconds(lambda: materialize(view, sources, store, clock, whole=True), 3)
    refill_s, again = seconds(lambda: materialize(view, sources, store, clock), 3)
    size = sum(file.stat().st_size for file in folder.glob("online.db*"))
    fresh = store.freshness(online_key(view))
    views = [view, *(view_of(f"bench_{n}", f"_{n}", sources) for n in range(1, VIEWS))]
    for one in views[1:]:
        materialize(one, sources, store, clock)
    alone, together = (reads(FeatureSource(v, store, clock), count) for v in ([view], views))
    store.close()
    return {
        "materialize_s": fill_s,
        "refill_s": refill_s,
        "refill_rows": again.rows + again.gone,
        "online_rows": fresh.rows if fresh else 0,
        "online_mb": size / 1e6,
        "read_p50_us": statistics.median(alone),
        "read_p99_us": alone[len(alone) * 99 // 100],
        "read_five_views_p50_us": statistics.median(together),
    }


def reads(features: FeatureSource, count: int) -> list[float]:
    """Return how long each vector took, in microseconds, rising."""
    spent = []
    random_of = random.Random(7)
    for number in range(READS + 2000):
        asked = {"e": random_of.randrange(count)}
        started = time.perf_counter_ns()
        features.vector(asked)
        if number >= 2000:
            spent.append((time.perf_counter_ns() - started) / 1000)
    return sorted(spent)


def feast(joined: Path, each: Path, count: int, rows: int, folder: Path) -> dict[str, float]:
    """Time Feast with the same rows, where it is installed."""
    if not FEAST.is_installed:
        said = f"Feast {FEAST.version} is not installed and not measured"
        print(f"{said}: run `make bench-peers`", file=sys.stderr)
        return {}
    asked = folder / "spine.parquet"
    parquet.write_table(spine(rows), asked)
    script = Path(__file__).with_name("feast_peer.py")
    words = [FEAST.folder / "bin" / "python", script, joined, each, str(count), asked, folder]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return {f"feast_{name}": value for name, value in found.items()}


def main() -> None:
    """Measure, print one line, and fail where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the spine")
    parser.add_argument("--events", type=int, default=100_000, help="rows of the view")
    parser.add_argument("--times", type=int, default=5, help="runs of each; the best counts")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        joined = events(options.events, ENTITIES, folder)
        view = view_of("bench", "", {"events": source_of(joined)})
        found = join(view, joined, options.events, options.rows, options.times)
        each = events(options.events * 5, options.events, folder)
        found |= online(view, each, options.events, folder)
        found |= feast(joined, each, options.events, options.rows, folder)
    missed = [bar for bar, most in BARS.items() if found[bar] > most]
    rounded = {key: round(value, 3) for key, value in found.items()}
    print(json.dumps({"bench": "features", **rounded, "bars": BARS, "missed": missed}))
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
