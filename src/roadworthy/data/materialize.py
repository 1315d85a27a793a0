"""Fills the online store from the sources: each entity's features as they are known now.

Only what became known since the last time is looked at: a row became known when its event had
happened and it was created here. What is online then equals the point-in-time join at that moment,
for every entity, which a test holds it to.
"""

# ruff: noqa: S608 - names are quoted by `quoted`, texts by `text_of`

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from ..errors import RequestError
from ..types import Clock
from .computed import plain
from .history import rank
from .online import OnlineFeatures, OnlineRow, pack
from .relations import Connection, Sources, attach_sources, failed_read, files_of, open_duck
from .views import Column, View, online_key

try:
    import duckdb
except ImportError:  # the extra `data` is absent; `open_duck` says which line installs it
    duckdb = None  # type: ignore[assignment]

_AT_ONCE = 5_000


class Filled(msgspec.Struct, frozen=True):
    """What one run put online.

    Attributes:
        rows: Entities whose newest row became known in this run.
        since_us: Rows known by then were in already; None where all were taken anew.
        until_us: Rows known by then are in now.
    """

    view: str
    rows: int
    since_us: int | None
    until_us: int
    seconds: float


def materialize(
    view: View,
    sources: Sources,
    online: OnlineFeatures,
    clock: Clock,
    *,
    until_us: int | None = None,
    whole: bool = False,
) -> Filled:
    """Put online what the sources know by `until_us`, the clock's now unless given.

    It goes on from where it was, or begins anew where it is asked to (`whole`) or where more is
    online than was known by then, as when the clock was set back.

    Raises:
        RequestError: `until_us` lies in the future.
        DeclarationError: The sources cannot be read as their contracts say.
        StoreError: The online store cannot be written; it is as it was.
    """
    started_s, now_us = time.perf_counter(), clock.now_us()
    until_us = now_us if until_us is None else until_us
    if until_us > now_us:
        raise RequestError("until: expected a time that has come, got one in the future")
    known = online.freshness(online_key(view))
    is_whole = whole or known is None or known.watermark_us > until_us
    since_us = None if is_whole or known is None else known.watermark_us
    connection = open_duck(files_of(sources[name] for name in view.sources))
    try:
        attach_sources(connection, [sources[name] for name in view.sources])
        rank(connection, view, _became_known(since_us, until_us))
        rows = _newest(connection, view)
        count = online.fill(online_key(view), rows, until_us, now_us, whole=is_whole)
    except duckdb.Error as error:
        raise failed_read(error, view.id) from error
    finally:
        connection.close()
    seconds = round(time.perf_counter() - started_s, 3)
    return Filled(view.id, count, since_us, until_us, seconds)


def _became_known(since_us: int | None, until_us: int) -> str:
    known_at = "GREATEST(event_time, created_time)"
    after = "" if since_us is None else f" AND {known_at} > make_timestamp({since_us})"
    return f"{known_at} <= make_timestamp({until_us}){after}"


def _newest(connection: Connection, view: View) -> Iterator[OnlineRow]:
    """Yield the row that counts of each entity, packed."""
    keys = [f"k{i}" for i in range(len(view.entity))]
    names = [f"f{i}" for i in range(len(view.features))]
    columns = [*keys, "epoch_us(event_time)", "epoch_us(created_time)", *names]
    found = connection.execute(
        f"SELECT {', '.join(columns)} FROM rows_of_view WHERE rowid IN "
        f"(SELECT arg_max(place, n) FROM ranked GROUP BY {', '.join(keys)})"
    )
    width = len(keys)
    while rows := found.fetchmany(_AT_ONCE):
        entities = _packed([row[:width] for row in rows], view.entity)
        vectors = _packed([row[width + 2 :] for row in rows], view.features)
        for row, entity, vector in zip(rows, entities, vectors, strict=True):
            yield OnlineRow(entity, row[width], row[width + 1], vector)


def _packed(rows: Sequence[tuple[Any, ...]], columns: Sequence[Column]) -> list[bytes]:
    """Pack rows; numbers, texts and booleans are from the database as they are sent."""
    timed = [(i, c.type) for i, c in enumerate(columns) if c.type in ("date", "timestamp")]
    if not timed:
        return [pack(row) for row in rows]
    packed = []
    for row in rows:
        values = list(row)
        for place, kind in timed:
            values[place] = plain(values[place], kind)
        packed.append(pack(values))
    return packed
