"""The online store: the newest features of each entity, one packed row a view and entity.

Reading is one prepared statement on a read-only connection of the thread, however many views it
reads: 6 us at the median for one view, where SQLAlchemy alone takes 28; for five views half of what
a statement for each takes. All are read as of one moment: no fill comes between them. Whatever is
written is written in one transaction: a reader sees a view before or after it, also when the writer
is killed in the middle.
"""

from __future__ import annotations

import sqlite3
import threading
from array import array
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from ..errors import StoreError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS views (
  number INTEGER PRIMARY KEY, view TEXT NOT NULL UNIQUE, watermark_us INTEGER NOT NULL,
  filled_at_us INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS features (
  view INTEGER NOT NULL, entity BLOB NOT NULL, event_us INTEGER NOT NULL,
  created_us INTEGER NOT NULL, is_pushed INTEGER NOT NULL, packed BLOB NOT NULL,
  digest INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (view, entity)
) WITHOUT ROWID;
CREATE TEMP TABLE gone (digest INTEGER PRIMARY KEY);
"""
_ADD_DIGEST = "ALTER TABLE features ADD COLUMN digest INTEGER NOT NULL DEFAULT 0"
_FILL = """
INSERT INTO features VALUES (?, ?, ?, ?, 0, ?, ?)
ON CONFLICT (view, entity) DO UPDATE SET event_us = excluded.event_us,
  created_us = excluded.created_us, is_pushed = 0, packed = excluded.packed,
  digest = excluded.digest
WHERE NOT features.is_pushed OR excluded.event_us >= features.event_us
"""
_FORGET = """
DELETE FROM features WHERE view = ? AND (NOT is_pushed OR event_us > ? OR created_us > ?)
"""
_TAKE = """
DELETE FROM features WHERE view = ? AND NOT is_pushed AND digest IN (SELECT digest FROM gone)
"""
_PUSH = """
INSERT INTO features VALUES (?, ?, ?, ?, 1, ?, 0)
ON CONFLICT (view, entity) DO UPDATE SET event_us = excluded.event_us,
  created_us = excluded.created_us, is_pushed = 1, packed = excluded.packed, digest = 0
WHERE excluded.event_us > features.event_us
"""

pack = msgspec.msgpack.Encoder().encode
unpack = msgspec.msgpack.Decoder(list[Any]).decode


class OnlineRow(msgspec.Struct, frozen=True, gc=False):
    """The features of one entity.

    Attributes:
        entity: Its values in the view's order, packed by `pack`.
        event_us, created_us: When it happened, and when it was known, in Unix microseconds.
        packed: The stored features in the view's order, packed by `pack`.
        digest: Tells a row of the sources from every other one; 0 where nobody compares it.
    """

    entity: bytes
    event_us: int
    created_us: int
    packed: bytes
    digest: int = 0


class Written(NamedTuple):
    """How many entities a fill gave a new or another row, and how many have none any more."""

    put: int
    gone: int


Found = tuple[int, int, bytes]
"""When it happened, when it was known, and the packed features."""


class Freshness(msgspec.Struct, frozen=True):
    """How new what is online of a view is.

    Attributes:
        watermark_us: Everything known by then is in, but nothing known later unless it was pushed.
        filled_at_us: When it was filled last.
        newest_event_us: The newest event of any entity; None where there is no row.
        pushed: Rows that were pushed and that no later event of the sources has replaced.
    """

    view: str
    watermark_us: int
    filled_at_us: int
    rows: int
    newest_event_us: int | None
    pushed: int


class OnlineReader(Protocol):
    """Where the newest features of each entity are read from, in microseconds."""

    def read(self, views: tuple[str, ...], entities: Sequence[bytes | None]) -> list[Found | None]:
        """Return what each view knows of the entity beside it; None where that is nothing."""


class OnlineFeatures(OnlineReader, Protocol):
    """Where they are put, too."""

    def digests(self, view: str) -> array[int]:
        """Return the digests of the rows that are from the sources."""

    def fill(
        self,
        view: str,
        rows: Iterable[OnlineRow],
        until_us: int,
        at_us: int,
        *,
        whole: bool,
        gone: Iterable[int] = (),
    ) -> Written:
        """Take over what the sources knew by `until_us`, all or nothing.

        `rows` and then `gone`, the digests of rows that the sources no longer hold, are drawn once
        nobody else can write: what `digests` says meanwhile is true until they are in. A row that
        was pushed gives way to one whose event is not older. `whole` begins anew: what was there
        goes, but for rows that were pushed and known by then.
        """

    def push(self, view: str, rows: Iterable[OnlineRow], at_us: int) -> int:
        """Put single rows in where their event is newer; return how many were."""

    def freshness(self, view: str) -> Freshness | None:
        """Return how new a view is; None where it was never filled."""

    def close(self) -> None:
        """Close every connection."""


class SqliteFeatures:
    """Online features in one SQLite file.

    Args:
        path: The file; it and its folder are made.

    Raises:
        StoreError: It cannot be opened or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._statements: dict[tuple[str, ...], str] = {}
        self._mine = threading.local()
        self._readers: list[sqlite3.Connection] = []
        self._writing = threading.Lock()
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._writer = sqlite3.connect(
                path, timeout=30, isolation_level=None, check_same_thread=False
            )
            self._writer.execute("PRAGMA journal_mode = WAL")
            self._writer.execute("PRAGMA synchronous = NORMAL")
            self._writer.executescript(_SCHEMA)
            self._upgrade()
        except (OSError, sqlite3.Error) as error:
            raise _failed(path, error) from error

    def read(self, views: tuple[str, ...], entities: Sequence[bytes | None]) -> list[Found | None]:
        """Return what each view knows of the entity beside it; None where that is nothing.

        Raises:
            StoreError: The file cannot be read.
        """
        execute = self._reader()
        found: list[Found | None] = [None] * len(views)
        try:
            sql = self._statements.get(views) or self._statement(execute, views)
            for row in execute(sql, entities).fetchall():
                found[row[0]] = row[1:]
        except sqlite3.Error as error:
            raise _failed(self._path, error) from error
        return found

    def _reader(self) -> Any:
        """Return what runs a statement on this thread's connection."""
        return getattr(self._mine, "execute", None) or self._open_reader()

    def _open_reader(self) -> Any:
        """Open this thread's connection; its statement is prepared once and kept by the driver."""
        uri = f"{self._path.absolute().as_uri()}?mode=ro"
        try:
            reader = sqlite3.connect(
                uri, uri=True, timeout=5, isolation_level=None, check_same_thread=False
            )
            reader.execute("PRAGMA mmap_size = 268435456")
        except sqlite3.Error as error:
            raise _failed(self._path, error) from error
        self._readers.append(reader)
        self._mine.execute = reader.cursor().execute
        return self._mine.execute

    def _statement(self, execute: Any, views: tuple[str, ...]) -> str:
        """Return what reads a row of each view, and keep it once all were filled.

        The number of a view never changes; 0 is that of none.
        """
        numbers = [_find(execute, view) for view in views]
        sql = " UNION ALL ".join(
            f"SELECT {place}, event_us, created_us, packed FROM features "  # noqa: S608 - integers
            f"WHERE view = {number} AND entity = ?"
            for place, number in enumerate(numbers)
        )
        if all(numbers):
            self._statements[views] = sql
        return sql

    def _upgrade(self) -> None:
        """Add what files of earlier versions lack; their rows differ from any digest."""
        if self._has_digests():
            return
        self._writer.execute("BEGIN IMMEDIATE")
        if not self._has_digests():  # another process may have been first
            self._writer.execute(_ADD_DIGEST)
        self._writer.execute("COMMIT")

    def _has_digests(self) -> bool:
        columns = self._writer.execute("PRAGMA table_info(features)").fetchall()
        return "digest" in {column[1] for column in columns}

    def digests(self, view: str) -> array[int]:
        """Return the digests of the rows that are from the sources.

        Raises:
            StoreError: The file cannot be read.
        """
        execute = self._reader()
        query = "SELECT digest FROM features WHERE view = ? AND NOT is_pushed"
        try:
            number = _find(execute, view)
            return array("q", (row[0] for row in execute(query, (number,))))
        except sqlite3.Error as error:
            raise _failed(self._path, error) from error

    def fill(
        self,
        view: str,
        rows: Iterable[OnlineRow],
        until_us: int,
        at_us: int,
        *,
        whole: bool,
        gone: Iterable[int] = (),
    ) -> Written:
        """Take over what the sources knew by `until_us`, all or nothing.

        Raises:
            StoreError: The file cannot be written; it is as it was.
        """
        with self._transaction() as cursor:
            number = _number(cursor, view, at_us)
            if whole:
                cursor.execute(_FORGET, (number, until_us, until_us))
            packed = (
                (number, r.entity, r.event_us, r.created_us, r.packed, r.digest) for r in rows
            )
            put = cursor.executemany(_FILL, packed).rowcount
            cursor.execute("DELETE FROM gone")
            cursor.executemany("INSERT INTO gone VALUES (?)", ((digest,) for digest in gone))
            taken = cursor.execute(_TAKE, (number,)).rowcount
            cursor.execute(
                "UPDATE views SET watermark_us = ?, filled_at_us = ? WHERE number = ?",
                (until_us, at_us, number),
            )
        # Readers may hold the log; a later fill shortens it. Within another's transaction it would
        # keep that one from committing, as would a row of the answer that is not fetched.
        with self._writing, suppress(sqlite3.Error):
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return Written(put, taken)

    def push(self, view: str, rows: Iterable[OnlineRow], at_us: int) -> int:
        """Put single rows in where their event is newer; return how many were.

        Raises:
            StoreError: The file cannot be written; it is as it was.
        """
        with self._transaction() as cursor:
            number = _number(cursor, view, at_us)
            before = self._writer.total_changes
            packed = [(number, r.entity, r.event_us, r.created_us, r.packed) for r in rows]
            cursor.executemany(_PUSH, packed)
            return self._writer.total_changes - before

    def freshness(self, view: str) -> Freshness | None:
        """Return how new a view is; None where it was never filled.

        Raises:
            StoreError: The file cannot be read.
        """
        execute = self._reader()
        query = """
            SELECT v.watermark_us, v.filled_at_us, count(f.entity), max(f.event_us),
                   coalesce(sum(f.is_pushed), 0)
            FROM views AS v LEFT JOIN features AS f ON f.view = v.number
            WHERE v.view = ? GROUP BY v.number
        """
        try:
            row = execute(query, (view,)).fetchone()
        except sqlite3.Error as error:
            raise _failed(self._path, error) from error
        return None if row is None else Freshness(view, *row)

    def close(self) -> None:
        """Close every connection; the log goes back into the file with the last."""
        for reader in self._readers:
            reader.close()
        self._readers.clear()
        self._mine = threading.local()
        self._writer.close()

    def _transaction(self) -> _Transaction:
        return _Transaction(self._writer, self._writing, self._path)


class _Transaction:
    """Writes all or nothing, one writer at a time, whichever thread or process it is."""

    def __init__(self, connection: sqlite3.Connection, lock: threading.Lock, path: Path) -> None:
        self._connection, self._lock, self._path = connection, lock, path

    def __enter__(self) -> sqlite3.Cursor:
        self._lock.acquire()
        try:
            return self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            self._lock.release()
            raise _failed(self._path, error) from error

    def __exit__(self, kind: type[BaseException] | None, error: object, _: object) -> None:
        try:
            self._connection.execute("COMMIT" if kind is None else "ROLLBACK")
        except sqlite3.Error as failure:
            with suppress(sqlite3.Error):  # left open, it would hold up every later write
                self._connection.execute("ROLLBACK")
            raise _failed(self._path, failure) from failure
        finally:
            self._lock.release()
        if isinstance(error, sqlite3.Error):
            raise _failed(self._path, error) from error


def _find(execute: Any, view: str) -> int:
    """Return the number of a view, 0 where it was never filled."""
    row = execute("SELECT number FROM views WHERE view = ?", (view,)).fetchone()
    return 0 if row is None else int(row[0])


def _number(cursor: sqlite3.Cursor, view: str, at_us: int) -> int:
    cursor.execute(
        "INSERT INTO views (view, watermark_us, filled_at_us) VALUES (?, 0, ?) "
        "ON CONFLICT (view) DO NOTHING",
        (view, at_us),
    )
    return _find(cursor.execute, view)


def _failed(path: Path, error: Exception) -> StoreError:
    return StoreError(
        f"expected an online store that can be read and written, got `{error}` - {path}; "
        "check the path, the permissions and the free space; `roadworthy features materialize` "
        "fills a new one"
    )
