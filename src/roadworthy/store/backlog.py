"""What waits in a spool, told from outside: while a server runs, the spool is its own."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine, select

from .spool import used_bytes
from .tables import spool_positions


def find_backlog(folder: Path, engine: Engine) -> int:
    """Return how many bytes the spool in `folder` holds that the database does not have yet."""
    name = folder / "id"
    if not name.exists():
        return 0
    table = spool_positions.c
    query = select(table.segment, table.offset).where(table.spool == name.read_text())
    with engine.connect() as connection:
        row = connection.execute(query).first()
    segment, offset = (row.segment, row.offset) if row else (0, 0)
    sizes = {int(path.stem): used_bytes(path) for path in folder.glob("*.spool")}
    ahead = sum(size for number, size in sizes.items() if number >= segment)
    return ahead - (offset if segment in sizes else 0)
