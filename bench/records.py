"""Records: how fast they are appended, drained and found again, each beside the bare thing.

`plain` are records as a service without named users leaves them; `named` are of 5,000 users, with a
tag, a cost and a hold that was placed before. The limit beside each is what SQLite takes for the
same rows alone, by `sqlite3.executemany` in batches of as many: no spool, no rollups, no spending.
Pages are asked for at 1,000,000 named records.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from harness import folder, report
from sqlalchemy import Engine

from roadworthy.store.records import children_of, find_records, read_record, record_row
from roadworthy.store.rollups import summarise
from roadworthy.store.spool import Spool
from roadworthy.store.state import insert_rows, open_state
from roadworthy.store.tables import record_errors, record_tags, records
from roadworthy.store.writer import BATCH, Writer
from roadworthy.types import Attempt, Hold, Ids, Record, SpoolEntry, SystemClock, Usage, Verdict

DRAINED = 60_000
STORED = 1_000_000
START_US = 1_700_000_000_000_000
STEPS = (
    *("identify", "release", "contract", "guard_input", "reserve", "route"),
    *("call", "schema", "guard_output", "decide", "settle"),
)
CLOCK = SystemClock()


def plain_records(count: int) -> Iterator[Record]:
    """Yield what `flight-delay` leaves, 100 a second."""
    rng, ids = random.Random(7), Ids(CLOCK)
    for k in range(count):
        at_us = START_US + k * 10_000
        key = f"k{rng.randrange(8)}"
        latency_us = int(rng.lognormvariate(6.5, 0.8))
        is_fallback = rng.random() < 0.02
        yield Record(
            id=ids.new("rq", at_us),
            at_us=at_us,
            service=rng.choice(("flight-delay", "flight-cancel", "crew-rest")),
            kind="predict",
            disposition="fallback" if is_fallback else "answered",
            release="rl_3f9c0a7d1b2e4c55",
            key=key,
            team="operations",
            user=f"key:{key}",
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
    """Yield a hold and a record of a generate, for one of 5,000 users each."""
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


def seconds(run: Callable[[], object], times: int = 1) -> float:
    """Return the shortest of `times` runs."""
    found = []
    for _ in range(times):
        begun = time.perf_counter()
        run()
        found.append(time.perf_counter() - begun)
    return min(found)


def us_per_append(place: Path, count: int = 20_000) -> dict[str, float]:
    """Return microseconds of `Spool.append`, and of a bare write of as many bytes."""
    entries = list(plain_records(count))
    frame = b"x" * (len(msgspec.msgpack.encode(entries[0])) + 8)
    spool = Spool(place / "append", CLOCK)
    appended = seconds(lambda: [spool.append(entry) for entry in entries], 3)
    spool.close()
    fd = os.open(place / "raw", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    written = seconds(lambda: [os.write(fd, frame) for _ in entries], 3)
    os.close(fd)
    return {"append_us": appended / count * 1e6, "bare_write_us": written / count * 1e6}


def drain(place: Path, name: str, entries: list[SpoolEntry]) -> dict[str, object]:
    """Return how fast a full spool is drained, beside `executemany` of the same rows."""
    found = [entry for entry in entries if isinstance(entry, Record)]
    spool = Spool(place / name, CLOCK)
    for entry in entries:
        spool.append(entry)
    engine = open_state(f"sqlite:///{place / name}.db")
    writer = Writer(spool, engine, [len], CLOCK)
    cpu = time.process_time()
    wall = seconds(writer.drain)
    cpu = time.process_time() - cpu
    assert summarise(engine).requests == len(found)
    bare = insert_bare(open_state(f"sqlite:///{place / name}-bare.db"), map(record_row, found))
    return {
        f"{name}_rows_per_s": round(len(found) / wall),
        f"{name}_bare_rows_per_s": round(len(found) / bare),
        f"{name}_ratio": bare / wall,
        f"{name}_cpu_us": cpu / len(found) * 1e6,
    }


def insert_bare(engine: Engine, rows: Iterable[tuple[Any, ...]]) -> float:
    """Insert rows of `records` by the driver alone and return the seconds it took."""
    raw: Any = engine.raw_connection().driver_connection
    sql = f"INSERT INTO records VALUES ({', '.join('?' * len(records.c))})"
    rows = list(rows)
    begun = time.perf_counter()
    for k in range(0, len(rows), BATCH):
        raw.executemany(sql, rows[k : k + BATCH])
        raw.commit()
    return time.perf_counter() - begun


def find(place: Path) -> dict[str, float]:
    """Return milliseconds of the ways to find records among a million."""
    engine = open_state(f"sqlite:///{place / 'million.db'}")
    rows = [record_row(r) for r in named_entries(20_000) if isinstance(r, Record)]
    for k in range(STORED // len(rows)):
        later_us = k * len(rows) * 10_000
        moved = [_moved(row, later_us) for row in rows]
        insert_bare(engine, moved)
        with engine.begin() as connection:
            tags = [(("web", "app")[n % 2], row[0]) for n, row in enumerate(moved)]
            errors = [(row[0], "model_timeout: no answer") for row in moved if row[11]]
            insert_rows(connection, record_tags, tags)
            insert_rows(connection, record_errors, errors)
    middle = find_records(engine, limit=1, until_us=START_US + STORED * 5_000)[0]
    asked: dict[str, Callable[[], object]] = {
        "trace": lambda: (read_record(engine, middle.id), children_of(engine, middle.id)),
        "page": lambda: find_records(engine),
        "page_in_the_middle": lambda: find_records(engine, before_id=middle.id),
        "page_of_a_service": lambda: find_records(engine, service="crew-rest"),
        "page_of_errors": lambda: find_records(engine, error_code="model_timeout"),
        "page_of_a_user": lambda: find_records(engine, user=middle.user),
        "page_of_a_user_and_model": lambda: find_records(engine, user=middle.user, model="rule"),
        "page_of_a_tag": lambda: find_records(engine, tag="web"),
        "page_of_a_tag_and_user": lambda: find_records(engine, tag="web", user=middle.user),
        "page_of_a_tag_and_key_without_any": lambda: find_records(engine, tag="web", key="k9"),
        "page_of_an_error_text": lambda: find_records(engine, error="no answer"),
        "page_of_an_error_text_without_any": lambda: find_records(engine, error="no such"),
        "page_of_a_key_without_any": lambda: find_records(engine, key="k9"),
        "page_of_the_slow_without_any": lambda: find_records(engine, slower_than_us=10**12),
        "page_of_a_part_of_an_id": lambda: find_records(engine, id_part=middle.id[11:20]),
        "page_of_a_pair_without_any": lambda: find_records(engine, service="crew-rest", model="x"),
    }
    return {f"{name}_ms": seconds(run, 5) * 1000 for name, run in asked.items()}


def _moved(row: tuple[Any, ...], by_us: int) -> tuple[Any, ...]:
    ms = (row[1] + by_us) // 1000
    return (f"rq_{ms:012x}{row[0][15:]}", row[1] + by_us, *row[2:])


def main() -> None:
    with folder() as place:
        figures: dict[str, object] = dict(us_per_append(place))
        figures |= drain(place, "plain", list(plain_records(DRAINED)))
        figures |= drain(place, "named", list(named_entries(DRAINED)))
        figures |= find(place)
    report("records", **figures)


if __name__ == "__main__":
    main()
