"""Copies of the state that can be taken while it is in use."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from sqlalchemy import Engine

from ..errors import RequestError, StoreError


def back_up(engine: Engine, target: Path) -> int:
    """Copy a SQLite state to the new file `target` as it is at this moment; return its bytes.

    It is SQLite's own online backup, in one step: neither readers nor the writer wait for it. The
    copy is checked before it gets its name. What is still in the spool, and the artifacts, are not
    in it.

    Raises:
        RequestError: There is such a file.
        StoreError: The state is no SQLite file, or the copy cannot be written or is not whole.
    """
    if engine.dialect.name != "sqlite":
        raise StoreError("expected a SQLite state, got another; use its own tools, like `pg_dump`")
    if target.exists():
        raise RequestError(
            f"expected the name of a new file, got one that exists - {target}; choose another, or"
            " move that away"
        )
    unfinished = target.with_name(f".{target.name}.unfinished")
    try:
        unfinished.unlink(missing_ok=True)
        _copy(engine, unfinished)
        unfinished.rename(target)
    except (OSError, sqlite3.Error) as error:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise StoreError(
            f"expected a place for the backup that can be written, got `{reason}` - {target}; "
            "check the folder, its permissions and the free space"
        ) from error
    return target.stat().st_size


def _copy(engine: Engine, target: Path) -> None:
    source = engine.raw_connection()
    try:
        with closing(sqlite3.connect(target)) as copy:
            source.driver_connection.backup(copy)  # type: ignore[union-attr]
            # One file instead of three: a backup is carried elsewhere.
            copy.execute("PRAGMA journal_mode = DELETE")
            (found,) = copy.execute("PRAGMA quick_check").fetchone()
    finally:
        source.close()
    if found != "ok":
        raise sqlite3.DatabaseError(f"the copy is not whole: {found}")
    with target.open("rb") as file:
        os.fsync(file.fileno())
