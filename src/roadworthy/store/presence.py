"""Whether what this process writes to still lies where the next process will look for it.

Whoever has a file open goes on writing to it when somebody deletes it, and no write fails: what was
written is gone with the process. So only a look tells.
"""

from __future__ import annotations

import logging
from pathlib import Path

from sqlalchemy import Engine

from .spool import Spool

_ADVICE = {
    "database": "what is recorded now is lost when this process ends: move the file back if it was"
    " moved, else stop the server, put a backup there and start it again",
    "spool": "records of new answers are not stored, and lost when this process ends: move the"
    " folder back if it was moved, else restart the server, which makes a new one",
}
_log = logging.getLogger("roadworthy.store")


class Presence:
    """Compares the database (of SQLite) and the segment that are open with what is at their paths.

    Attributes:
        trouble: What is missing or was replaced, where, and what to do, by part (`database`,
            `spool`); empty while all is in its place.
    """

    def __init__(self, engine: Engine, spool: Spool) -> None:
        self.trouble: dict[str, str] = {}
        path = engine.url.database if engine.dialect.name == "sqlite" else None
        self._database = Path(path) if path else None
        self._spool = spool
        self._inodes: dict[Path, tuple[int, int]] = {}
        self.look()

    def look(self) -> None:
        """Look again: two calls of `stat`, some microseconds."""
        segment = self._spool.path
        parts = {"spool": segment}
        if self._database is not None:
            parts["database"] = self._database
        found = {part: self._find(path) for part, path in parts.items()}
        if self._spool.path != segment:
            return  # it was ended, and may have been drained and dropped, while we looked
        trouble = {
            part: f"expected the file that is open, got {got} - {parts[part]}; {_ADVICE[part]}"
            for part, got in found.items()
            if got
        }
        for part in trouble.keys() - self.trouble.keys():
            _log.error("%s: %s", part, trouble[part])
        self.trouble = trouble
        self._inodes = {path: self._inodes[path] for path in parts.values() if path in self._inodes}

    def _find(self, path: Path) -> str:
        """Say what is at `path` instead of what was there at first; empty if it is that."""
        try:
            status = path.stat()
        except OSError as error:
            return f"`{error.strerror}`"
        inode = (status.st_dev, status.st_ino)
        return "" if self._inodes.setdefault(path, inode) == inode else "another one"
