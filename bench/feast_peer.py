"""Feast with the rows that bench/features.py wrote: run by the Python that has Feast, not by ours.

`feast_peer.py EVENTS ONLINE_EVENTS ENTITIES SPINE FOLDER`: point-in-time join of the spine with
EVENTS on DuckDB, its fastest embedded engine; then materialisation of ONLINE_EVENTS into SQLite and
reads of one entity's twenty features. Prints one JSON line.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Float64

FEATURES = 20
READS = 2_000
END = datetime(2014, 1, 2, tzinfo=UTC)


def opened(path: Path, folder: Path) -> FeatureStore:
    """Return a store of one view over this file."""
    folder.mkdir()
    config: dict[str, Any] = {
        "project": "bench",
        "provider": "local",
        "registry": str(folder / "registry.db"),
        "offline_store": {"type": "duckdb"},
        "online_store": {"type": "sqlite", "path": str(folder / "online.db")},
        "entity_key_serialization_version": 3,
    }
    store = FeatureStore(config=RepoConfig(**config))
    entity = Entity(name="e", join_keys=["e"], value_type=ValueType.INT64)
    source = FileSource(
        path=str(path), timestamp_field="happened_at", created_timestamp_column="known_at"
    )
    schema = [Field(name=f"f{k}", dtype=Float64) for k in range(FEATURES)]
    store.apply([entity, FeatureView(name="v", entities=[entity], schema=schema, source=source)])
    return store


def main() -> None:
    """Measure and print."""
    events, online_events, count, spine, home = sys.argv[1:]
    names = [f"v:f{k}" for k in range(FEATURES)]
    moments = pd.read_parquet(spine).rename(columns={"at": "event_timestamp"})
    store = opened(Path(events), Path(home) / "join")
    started = time.perf_counter()
    joined = store.get_historical_features(entity_df=moments, features=names).to_arrow()
    join_s = time.perf_counter() - started
    store = opened(Path(online_events), Path(home) / "online")
    started = time.perf_counter()
    store.materialize(datetime(2012, 12, 31, tzinfo=UTC), END)
    materialize_s = time.perf_counter() - started
    size = sum(file.stat().st_size for file in (Path(home) / "online").glob("online.db*"))
    picks = [random.Random(7).randrange(int(count)) for _ in range(READS)]
    spent = []
    for pick in picks:
        started = time.perf_counter()
        store.get_online_features(features=names, entity_rows=[{"e": pick}]).to_dict()
        spent.append((time.perf_counter() - started) * 1e6)
    known = joined.column("f0").to_pandas()
    asked = pd.to_datetime(joined.column("event_timestamp").to_pandas(), utc=True)
    future = known > asked.astype("datetime64[us, UTC]").astype("int64") / 1e6
    found = {
        "join_s": join_s,
        "rows_lost": len(moments) - joined.num_rows,
        "values_from_the_future": int(future.sum()),
        "materialize_s": materialize_s,
        "online_mb": size / 1e6,
        "read_p50_us": statistics.median(spent),
        "read_p99_us": sorted(spent)[READS * 99 // 100],
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
