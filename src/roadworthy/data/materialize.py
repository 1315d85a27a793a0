"""Fills the online store from the sources: each entity's features as they are known now.

All that is known until now is asked for, since a row may reach its file long after the time that it
gives as its creation. Written is what differs from what is online: both sides are compared by a
digest of each row, so that a fill with nothing new takes a quarter of one that writes all (0.4 s of
1.6 for 100 k entities of 20 features). What is online then equals the point-in-time join at that
moment, for every entity, which a test holds it to: what the sources no longer hold goes, too.
"""

# ruff: noqa: S608 - names are quoted by `quoted`, texts by `text_of`

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from ..errors import RequestError
from ..types import Clock
from .computed import plain
from .entity import key_of
from .history import rank
from .online import OnlineFeatures, OnlineRow, pack
from .opened_sources import open_sources
from .relations import Connection, Sources, failed_read
from .views import Column, View, online_key

try:
    import duckdb
    import pyarrow
except ImportError:  # the extra `data` is absent; `open_duck` says which line installs it
    duckdb = pyarrow = None  # type: ignore[assignment]

_AT_ONCE = 5_000


class Filled(msgspec.Struct, frozen=True):
    """What one run put online.

    Attributes:
        rows: Entities whose newest row is new, or another than before.
        gone: Entities of which the sources no longer hold a row; 0 where all rows were taken anew.
        since_us: Until when it was filled before; None where all rows were taken anew.
        until_us: Rows known by then are in now.
    """

    view: str
    rows: int
    gone: int
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

    It writes what differs from what is online, or begins anew where it is asked to (`whole`) or
    where more is online than was known by then, as when the clock was set back.

    Raises:
        RequestError: `until_us` lies in the future.
        DeclarationError: The sources cannot be read as their contracts say.
        StoreError: The online store cannot be written; it is as it was.
    """
    started_s, now_us = time.perf_counter(), clock.now_us()
    until_us = now_us if until_us is None else until_us
    if until_us > now_us:
        raise RequestError("until: expected a time that has come, got one in the future")
    key = online_key(view)
    known = online.freshness(key)
    is_whole = whole or known is None or known.watermark_us > until_us
    since_us = None if is_whole or known is None else known.watermark_us
    try:
        with open_sources(sources[name] for name in view.sources) as connection:
            rank(connection, view, _is_known(until_us))
            _digest(connection, view)
            # Drawn while nobody else can write; see `fill`.
            rows = _new(connection, view, lambda: [] if is_whole else online.digests(key))
            gone = _gone(connection)
            written = online.fill(key, rows, until_us, now_us, whole=is_whole, gone=gone)
    except duckdb.Error as error:
        raise failed_read(error, view.id) from error
    seconds = round(time.perf_counter() - started_s, 3)
    return Filled(view.id, *written, since_us, until_us, seconds)


def _is_known(until_us: int) -> str:
    """Return the condition of a row that had happened and was created here by then."""
    return f"GREATEST(event_time, created_time) <= make_timestamp({until_us})"


def _digest(connection: Connection, view: View) -> None:
    """Make the table `_told`: the place of the row that counts of each entity, and its digest."""
    columns = ", ".join((*_keys(view), "event_time", "created_time", *_features(view)))
    connection.execute(
        "CREATE TEMP TABLE _told AS SELECT rowid AS place, "
        f"CAST(hash({columns}) >> 1 AS BIGINT) AS digest FROM _rows_of_view WHERE rowid IN "
        f"(SELECT arg_max(place, n) FROM _ranked GROUP BY {', '.join(_keys(view))})"
    )


def _new(
    connection: Connection, view: View, held: Callable[[], Sequence[int]]
) -> Iterator[OnlineRow]:
    """Yield the rows that are told and not held, packed."""
    connection.register("_held", pyarrow.table({"digest": pyarrow.array(held(), pyarrow.int64())}))
    times = ("epoch_us(event_time)", "epoch_us(created_time)", "digest")
    columns = ", ".join((*_keys(view), *times, *_features(view)))
    found = connection.execute(
        f"SELECT {columns} FROM _rows_of_view AS r JOIN _told ON r.rowid = _told.place "
        "WHERE digest NOT IN (SELECT digest FROM _held)"
    )
    names = [column.name for column in view.entity]
    width = len(names)
    while rows := found.fetchmany(_AT_ONCE):
        vectors = _packed([row[width + 3 :] for row in rows], view.features)
        for row, vector in zip(rows, vectors, strict=True):
            key = key_of(view.entity, dict(zip(names, row, strict=False)).get)
            if key is not None:
                event_us, created_us, digest = row[width : width + 3]
                yield OnlineRow(key, event_us, created_us, vector, digest)


def _gone(connection: Connection) -> Iterator[int]:
    """Yield the digests that are held and no longer told."""
    query = "SELECT DISTINCT digest FROM _held WHERE digest NOT IN (SELECT digest FROM _told)"
    for (digest,) in connection.execute(query).fetchall():
        yield digest


def _keys(view: View) -> list[str]:
    return [f"k{place}" for place in range(len(view.entity))]


def _features(view: View) -> list[str]:
    return [f"f{place}" for place in range(len(view.features))]


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
