"""The steps of a load test: the code that works in production, run on invented rows and timed."""

# ruff: noqa: S608 - names are quoted by `quoted`

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from ..types import MICRO, SystemClock
from .batch import ROW
from .computed import SAMPLES, plain
from .files import parquet_of
from .history import TIME, history
from .live import compile_live
from .load_figures import Measured
from .materialize import materialize
from .online import OnlineFeatures
from .opened_sources import open_sources
from .peak import Peak
from .push import Pusher, plain_rows
from .relations import (
    Sources,
    SourceTable,
    as_arrow,
    files_of,
    open_duck,
    quoted,
)
from .served import FeatureSource
from .skew import Served, measure_skew
from .validate import references_of, validate
from .values import EPOCH
from .views import View
from .volume import held_to

try:
    import pyarrow
except ImportError:  # the extra `data` is absent; views cannot be loaded without it either
    pyarrow = None

MOST_CHECKED = 20_000
"""Rows that are checked one by one, at most."""
MOST_PUSHED = 2_000
MOST_JOINED = 100_000
"""Rows of the training set that is joined, at most."""
MOST_READ = 5_000
MOST_REPLAYED = 2_000
"""Requests whose skew is measured: as many as the job `skew` looks at."""

Row = dict[str, Any]


class FixedClock(SystemClock):
    """A clock that stands: what is read and what is replayed are of the same moment."""

    def __init__(self, now_us: int) -> None:
        self._now_us = now_us

    def now_us(self) -> int:
        """Return the moment at which it stands."""
        return self._now_us


class _Timed:
    """How long a block took, and the most memory meanwhile."""

    seconds = 0.0
    peak_mb = 0.0


@contextmanager
def _timed() -> Iterator[_Timed]:
    found, peak = _Timed(), Peak()
    with peak:
        started = time.perf_counter()
        yield found
        found.seconds = time.perf_counter() - started
    found.peak_mb = peak.mb


def fill(
    view: View, sources: Sources, online: OnlineFeatures, now_us: int, rows: Mapping[str, int]
) -> Measured:
    """Put online what the sources know, as the job `features` does."""
    with _timed() as took:
        filled = materialize(view, sources, online, FixedClock(now_us))
    read = sum(rows[name] for name in view.sources)
    note = f"{filled.rows:,} {'entity was' if filled.rows == 1 else 'entities were'} written"
    return Measured(read, took.seconds, took.peak_mb, note)


def validate_batch(source: SourceTable, sources: Sources, now_us: int) -> Measured:
    """Hold all rows to the contract and to the declared volume."""
    contract = held_to(source.contract, source.table, source.volume)
    references = references_of(sources)
    with _timed() as took:
        report = validate(
            contract,
            source.url,
            table=source.table.name,
            references=references,
            clock=FixedClock(now_us),
        )
    unmade = [f"`{rule.rule}`" for rule in report.failed]
    note = f"invented rows do not keep {', '.join(unmade)}" if unmade else ""
    return Measured(report.rows, took.seconds, took.peak_mb, note)


def check_each(source: SourceTable) -> Measured:
    """Check rows one by one, as live requests and pushes are."""
    rows = _first_rows(source, MOST_CHECKED)
    kinds = {field.name: field.type for field in source.table.fields}
    records = [{name: _json(value, kinds[name]) for name, value in row.items()} for row in rows]
    check = compile_live(source.table)
    with _timed() as took:
        problems = [problem for row in records if (problem := check.first_problem(row))]
    note = f"{len(problems):,} of them broke a rule, such as `{problems[0]}`" if problems else ""
    return Measured(len(records), took.seconds, took.peak_mb, note)


def _first_rows(source: SourceTable, most: int) -> list[Row]:
    fields = source.table.fields
    columns = ", ".join(f"{quoted(field.column)} AS {quoted(field.name)}" for field in fields)
    files = files_of([source])
    connection = open_duck(files)
    try:
        read = parquet_of([Path(file) for file in files])
        rows = as_arrow(connection, f"SELECT {columns} FROM {read} LIMIT {most}")
        found: list[Row] = rows.to_pylist()
    finally:
        connection.close()
    return found


def _json(value: Any, kind: str) -> Any:
    if kind == "time":
        return None if value is None else value.isoformat()
    if kind in ("object", "array"):
        return value
    return plain(value, kind)  # type: ignore[arg-type]


def newest_rows(view: View, sources: Sources, most: int) -> list[Row]:
    """Return rows that a view gives, one of as many entities as there are, up to `most`."""
    keys = ", ".join(quoted(column.name) for column in view.entity)
    columns = [*view.entity, *view.features]
    names = [*(c.name for c in columns), *dict.fromkeys((view.event_time, view.created_time))]
    shown = ", ".join(map(quoted, names))
    ranked = f"ROW_NUMBER() OVER (PARTITION BY {keys} ORDER BY {quoted(view.event_time)} DESC)"
    with open_sources(sources[name] for name in view.sources) as connection:
        rows: list[Row] = as_arrow(
            connection,
            f"SELECT {shown} FROM (SELECT *, {ranked} AS {ROW} FROM ({view.sql}\n) AS v) AS r "
            f"ORDER BY {ROW} LIMIT {most}",
        ).to_pylist()
    return rows


def join_history(view: View, sources: Sources, rows: Sequence[Row], now_us: int) -> Measured:
    """Join a training set as large as the rows: each entity as it was known a day apart."""
    names = [column.name for column in view.entity]
    now = EPOCH + timedelta(microseconds=now_us)
    spine = pyarrow.table(
        {name: [row[name] for row in rows] for name in names}
        | {TIME: [now - timedelta(hours=at % 240) for at in range(len(rows))]}
        | _of_request(view, len(rows))
    )
    with _timed() as took:
        joined = history([view], spine, sources)
    lost = spine.num_rows - joined.num_rows
    note = f"{lost:,} rows are lost" if lost else ""
    return Measured(spine.num_rows, took.seconds, took.peak_mb, note)


def _of_request(view: View, count: int) -> dict[str, list[Any]]:
    """Return fields of requests that computed features read, with samples of their types."""
    return {c.name: list(islice(cycle(SAMPLES[c.type]), count)) for c in view.request}


def requests_of(views: Sequence[View], rows: Mapping[str, Sequence[Row]], most: int) -> list[Row]:
    """Return requests that ask for the entities of these views."""
    asked: list[Row] = [{} for _ in range(most)]
    for view in views:
        sampled = _of_request(view, most)
        for place, row in enumerate(islice(cycle(rows[view.id]), most)):
            for column in view.entity:
                asked[place].setdefault(column.name, plain(row[column.name], column.type))
            for column in view.request:
                value = plain(sampled[column.name][place], column.type)
                asked[place].setdefault(column.name, value)
    return asked


def read_online(
    views: Sequence[View], online: OnlineFeatures, asked: Sequence[Row], now_us: int
) -> Measured:
    """Read the features of requests, one after the other, as a server does."""
    source = FeatureSource(views, online, FixedClock(now_us))
    source.vector(asked[0])
    spent = []
    with _timed() as took:
        for request in asked:
            started = time.perf_counter()
            source.vector(request)
            spent.append(time.perf_counter() - started)
    slowest = sorted(spent)[len(spent) * 99 // 100] * MICRO
    note = f"99 of 100 within {slowest:,.0f} us"
    return Measured(len(asked), took.seconds, took.peak_mb, note)


def replay_skew(
    views: Sequence[View],
    sources: Sources,
    online: OnlineFeatures,
    asked: Sequence[Row],
    now_us: int,
) -> Measured:
    """Hold what was served against the views at the same moment, and against training."""
    source = FeatureSource(views, online, FixedClock(now_us))
    names = [name for view in views for name in view.names]
    kinds = {c.name: c.type for view in views for c in view.features}
    served = [source.vector(request).values for request in asked]
    now = EPOCH + timedelta(microseconds=now_us)
    spine = pyarrow.Table.from_pylist([request | {TIME: now} for request in asked])
    with _timed() as took:
        rows = history(views, spine, sources).to_pylist()
        said = [
            {n: plain(row[n], kinds[n]) if n in kinds else row[n] for n in names} for row in rows
        ]
        live = {name: [row[name] for row in served] for name in names}
        trained = {name: [row[name] for row in said] for name in names}
        pairs = (Served(str(n), a, b) for n, (a, b) in enumerate(zip(served, said, strict=True)))
        found = measure_skew(trained, live, pairs)
    unequal = sum(row.unequal for row in found)
    compared = sum(row.compared for row in found)
    note = f"{compared - unequal:,} of {compared:,} served values are what the views say"
    return Measured(len(asked), took.seconds, took.peak_mb, note)


def push_each(
    view: View, sources: Sources, online: OnlineFeatures, rows: Sequence[Row], now_us: int
) -> Measured:
    """Push rows one by one, each newer than what is online of its entity."""
    clock, pusher = FixedClock(now_us), Pusher(view, sources)
    start = EPOCH + timedelta(microseconds=now_us - len(rows))
    times = (start + timedelta(microseconds=place) for place in range(len(rows)))
    fresh = [
        row | {view.event_time: at, view.created_time: at}
        for row, at in zip(rows, times, strict=True)
    ]
    sent = plain_rows(view, fresh)
    with _timed() as took:
        taken = sum(pusher.push([row], online, clock).taken for row in sent)
    note = "" if taken == len(sent) else f"{taken:,} of them were newer than what was online"
    return Measured(len(sent), took.seconds, took.peak_mb, note)
