"""Records: how fast they are appended, drained and found again, each beside the bare thing.

Prints one JSON line. `plain` are records as a service without named users leaves them; `named` have
5,000 users, a team, a tag and a hold that was placed before. The limit is the same rows by
`sqlite3.executemany` alone, with the same schema, in the same run: no rollups, no spool, no holds.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from roadworthy.store.records import find_records, read_record, record_row
from roadworthy.store.spool import Spool
from roadworthy.store.state import open_state
from roadworthy.store.tables import records
from roadworthy.store.writer import Writer
from roadworthy.types import Attempt, Hold, Ids, Record, SpoolEntry, SystemClock, Usage, Verdict

START_US = 1_700_000_000_000_000
STEPS = (
    "identify release contract features guard_input cache reserve route call schema guard_output"
    " decide settle"
).split()
CLOCK = SystemClock()
BATCH = 1000


def plain_records(count: int, seed: int = 7) -> Iterator[Record]:
    """Yield what `flight-delay` leaves, 100 a second."""
    rng, ids = random.Random(seed), Ids(CLOCK)
    for k in range(count):
        at_us = START_US + k * 10_000
        latency_us = int(rng.lognormvariate(6.5, 0.8))
        is_fallback = rng.random() < 0.02
        yield Record(
            id=ids.new("rq", at_us),
            at_us=at_us,
            service=rng.choice(("flight-delay", "flight-cancel", "crew-rest")),
            kind="predict",
            disposition="fallback" if is_fallback else "answered",
            release="rl_3f9c0a7d1b2e4c55",
            key=f"k{rng.randrange(8)}",
            team="operations",
            user=f"key:k{rng.randrange(8)}",
            error_code="model_timeout" if is_fallback else "",
            model="rule" if is_fallback else "onnx",
            attempts=(Attempt("onnx", "ok", latency_us - 40),),
            verdicts=(Verdict("limits", "output", "allow", "", 12),),
            timings={step: rng.randrange(60) for step in STEPS},
            latency_us=latency_us,
            protocol="oip",
            declaration_hash="d" * 64,
            environment_hash="e" * 64,
        )


def named_entries(count: int) -> Iterator[SpoolEntry]:
    """Yield a hold and a record of a generate for one of 5,000 users each."""
    rng = random.Random(11)
    for record in plain_records(count):
        user = f"user-{rng.randrange(5000)}"
        scopes = (f"service:{record.service}", f"user:{record.service}/{user}")
        yield Hold(record.id, record.at_us, scopes, 500, record.at_us + 60_000_000, record.service)
        yield msgspec.structs.replace(
            record,
            kind="generate",
            user=user,
            tags=(rng.choice(("web", "app")),),
            attempts=(Attempt("gpt", "ok", 900, Usage(200, 30), 120, "rates:2026-11-01"),),
            input_tokens=200,
            output_tokens=30,
            cost_micro=120,
            reserved_micro=500,
            price_source="rates:2026-11-01",
            scopes=scopes,
        )


def us_per_append(folder: Path, count: int) -> tuple[float, float]:
    """Return microseconds of `Spool.append`, and of a bare write of as many bytes."""
    entries = list(plain_records(count))
    size = len(msgspec.msgpack.encode(entries[0])) + 8
    spool = Spool(folder / "append", CLOCK)
    appended = _best(lambda: [spool.append(entry) for entry in entries]) / count
    spool.close()
    fd = os.open(folder / "raw", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    frame = b"x" * size
    written = _best(lambda: [os.write(fd, frame) for _ in entries]) / count
    os.close(fd)
    return appended * 1e6, written * 1e6


def _best(run: Callable[[], object], times: int = 3) -> float:
    best = float("inf")
    for _ in range(times):
        begun = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - begun)
    return best


def drain(folder: Path, entries: Iterator[SpoolEntry]) -> tuple[float, float, Writer]:
    """Spool all, then drain: return seconds of wall time and of CPU."""
    spool = Spool(folder / "spool", CLOCK)
    for entry in entries:
        spool.append(entry)
    engine = open_state(f"sqlite:///{folder / 'state.db'}")
    writer = Writer(spool, engine, [len], CLOCK)
    begun, cpu = time.perf_counter(), time.process_time()
    writer.drain()
    return time.perf_counter() - begun, time.process_time() - cpu, writer


def limit(folder: Path, found: Iterator[SpoolEntry]) -> float:
    """Return seconds that `executemany` takes for the rows of the same records."""
    rows = [record_row(entry) for entry in found if isinstance(entry, Record)]
    engine = open_state(f"sqlite:///{folder / 'limit.db'}")
    raw = engine.raw_connection()
    sql = f"INSERT INTO records VALUES ({', '.join('?' * len(records.c))})"
    begun = time.perf_counter()
    for k in range(0, len(rows), BATCH):
        raw.executemany(sql, rows[k : k + BATCH])
        raw.commit()
    return time.perf_counter() - begun


def main() -> None:
    folder = Path(tempfile.mkdtemp(dir=os.environ.get("TMPDIR", "/tmp")))
    result: dict[str, object] = {"bench": "records"}
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    append_us, write_us = us_per_append(folder, 20_000)
    result |= {"append_us": round(append_us, 2), "raw_write_us": round(write_us, 2)}
    for name, make in (("plain", plain_records), ("named", named_entries)):
        place = folder / name
        wall, cpu, _ = drain(place, make(count))
        bare = limit(place, make(count))
        result[name] = {
            "rows_per_s": round(count / wall),
            "bare_rows_per_s": round(count / bare),
            "ratio": round(bare / wall, 2),
            "cpu_us_per_row": round(cpu / count * 1e6, 1),
        }
    print(json.dumps(result))
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
