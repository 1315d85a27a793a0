"""The state database, SQLite beside the project or Postgres, at the schema this version knows.

SQLite runs in WAL with `synchronous = NORMAL`: readers never wait for the writer, and a commit does
not wait for the disk. A killed process loses nothing; a power cut may lose the last commits, never
the order or the wholeness of those before.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, inspect, make_url, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from ..declare.project import SQLITE
from ..errors import NotFound, StoreError

SCHEMA = "0010"
"""The newest migration. Revisions are numbers of four digits, so that later ones are greater."""

_PRAGMAS = (
    "busy_timeout = 5000",
    "page_size = 8192",  # a record is about 1 kB; draining takes 6 % less CPU than with 4096
    "journal_mode = WAL",
    "synchronous = NORMAL",
    "cache_size = -16000",
    "wal_autocheckpoint = 4000",
)


def open_state(url: str) -> Engine:
    """Return an engine on the state at `url`, which is created or brought to this version's schema.

    Args:
        url: `sqlite:////absolute/path.db` or `postgresql+psycopg://…`.

    Raises:
        StoreError: It cannot be opened or written, is no state, or a later version made it.
    """
    engine = _engine(url)
    with _opening(engine) as shown:
        _bring_to_schema(engine, shown)
    return engine


def open_state_to_read(url: str) -> Engine:
    """Return an engine on the state at `url`, which is there; one that can be written is migrated.

    What cannot be written, like a backup on a read-only disk, is read as it is.

    Raises:
        NotFound: There is no state.
        StoreError: It cannot be opened, or not be brought to this version's schema.
    """
    found = find_schema(url)
    path = database_of(url)
    if not found:
        raise NotFound(f"expected a state, got none - {path or 'store.url'}")
    if path is None or _can_be_written(path):
        return open_state(url)
    engine = _engine_to_read(path)
    if found != SCHEMA:
        engine.dispose()
        raise StoreError(
            f"store.url: expected schema {SCHEMA}, got {found} where nothing can be written - "
            f"{path}; copy the state to a place that can, it is migrated there"
        )
    return engine


def find_schema(url: str) -> str:
    """Return the schema of the state at `url`, and change nothing; empty where there is none yet.

    Raises:
        StoreError: It is there and cannot be opened.
    """
    path = database_of(url)
    if path is not None and not path.exists():
        return ""
    engine = _engine(url) if path is None or _can_be_written(path) else _engine_to_read(path)
    with _opening(engine):
        found = _schema_of(engine)
    engine.dispose()
    return found


def database_of(url: str) -> Path | None:
    """Return the file of a SQLite database; None for another one, which has none here."""
    path = url.removeprefix(SQLITE)
    return Path(path) if path != url else None


@contextmanager
def _opening(engine: Engine) -> Iterator[str]:
    """Give the URL as it may be shown; turn what the database refuses into our error."""
    shown = engine.url.render_as_string(hide_password=True)
    try:
        yield shown
    except SQLAlchemyError as error:
        engine.dispose()
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise StoreError(
            f"store.url: expected a state that can be opened and written, got `{reason}` - {shown};"
            " check the path, the permissions and the free space"
        ) from error
    except StoreError:
        engine.dispose()
        raise


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Give a connection whose statements all see the same moment."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN")
        else:
            connection.execution_options(isolation_level="REPEATABLE READ")
        yield connection


Conflict = Literal["raise", "ignore", "add"]


def insert_rows(
    connection: Connection, table: Table, rows: list[tuple[Any, ...]], conflict: Conflict = "raise"
) -> None:
    """Insert rows, each with a value for every column in the table's order.

    A row whose primary key exists raises, or is ignored, or its other columns, all of them numbers,
    are added to those that are there.
    """
    if rows:
        sql = _insert_sql(connection.dialect.name, table, conflict)
        connection.exec_driver_sql(sql, rows)


@cache
def _insert_sql(dialect: str, table: Table, conflict: Conflict) -> str:
    """Compile once what the writer runs for ever, with places for plain tuples."""
    compiler = sqlite.dialect() if dialect == "sqlite" else postgresql.dialect(paramstyle="format")  # type: ignore[no-untyped-call]
    statement = sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)
    keys = list(table.primary_key)
    if conflict == "ignore":
        statement = statement.on_conflict_do_nothing(index_elements=keys)
    elif conflict == "add":
        new = statement.excluded
        sums = {c.name: c + new[c.name] for c in table.c if not c.primary_key}
        statement = statement.on_conflict_do_update(index_elements=keys, set_=sums)
    return str(statement.compile(dialect=compiler))


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            _prepare_folder(parsed)
        engine = create_engine(parsed)
    except (ArgumentError, ModuleNotFoundError) as error:
        raise StoreError(
            "store.url: expected `sqlite:///…` or `postgresql+psycopg://…` with its driver"
            f" installed, got one that cannot be used ({type(error).__name__}) - roadworthy.toml"
        ) from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _configure)
        event.listen(engine, "do_connect", _OpenOnce(Path(parsed.database or "")))
    return engine


class _OpenOnce:
    """Lets only the first connection make the database.

    A later one that finds none is an error: else it would make an empty database in the place of
    one that was moved away, and go on reading that when the other is back.

    Args:
        path: Of the database.
    """

    def __init__(self, path: Path) -> None:
        self._address = f"file:{quote(path.absolute().as_posix())}?mode=rw"
        self._is_made = False

    def __call__(
        self, dialect: Any, record: Any, arguments: list[Any], options: dict[str, Any]
    ) -> None:
        """Change how the driver is about to open a connection."""
        if self._is_made:
            arguments[:] = [self._address]
            options["uri"] = True
        self._is_made = True


def _can_be_written(path: Path) -> bool:
    """Whether a database and the files that SQLite keeps beside it can be written."""
    return os.access(path.parent, os.W_OK) and os.access(path, os.W_OK)


def _engine_to_read(path: Path) -> Engine:
    """Return an engine that writes nothing, not even the files beside a database.

    `immutable` leaves out all locks, and what is in the log beside the database: only for a disk
    that nobody can write, with no such log.
    """
    log = path.with_name(f"{path.name}-wal")
    is_read_only = bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    is_whole = not log.exists() or log.stat().st_size == 0
    options = "mode=ro&immutable=1" if is_read_only and is_whole else "mode=ro"
    return create_engine(f"{SQLITE}file:{quote(path.as_posix())}?{options}&uri=true")


def _prepare_folder(url: URL) -> None:
    """Make the folder of the database, and say early what SQLite would say late or never."""
    if not url.database or url.database == ":memory:":
        raise StoreError(
            "store.url: expected the path of a file, got SQLite in memory - roadworthy.toml;"
            " several threads and commands share the state"
        )
    path = Path(url.database)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"store.url: expected a folder that can be made, got `{error.strerror}` - {path.parent}"
        ) from error
    for place in (path.parent, path):
        if place.exists() and not os.access(place, os.W_OK):
            raise StoreError(
                f"store.url: expected a place that can be written, got a read-only one - {place};"
                " remount it or change its permissions"
            )


def _configure(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        _set(cursor, pragma)
    cursor.close()


def _set(cursor: Any, pragma: str) -> None:
    """Set a pragma; of two that switch a new file to WAL at once, one is not even let wait."""
    until = time.monotonic() + 5
    while True:
        try:
            cursor.execute(f"PRAGMA {pragma}")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return


def _bring_to_schema(engine: Engine, shown: str) -> None:
    found = _schema_of(engine)
    if found > SCHEMA:
        raise StoreError(
            f"store.url: expected schema {SCHEMA} or older, got {found} - {shown};"
            " a later version of roadworthy made it: upgrade this one"
        )
    if found < SCHEMA:
        with engine.connect() as connection:
            if engine.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")  # else each CREATE commits by itself
            _upgrade(connection)
            connection.commit()


def _schema_of(engine: Engine) -> str:
    """Read what Alembic wrote, with plain SQL: importing Alembic costs half a second."""
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return ""
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar() or ""


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "roadworthy.store:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
