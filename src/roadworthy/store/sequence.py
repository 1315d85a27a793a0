"""Numbers that only grow, one row each in the switchboard's table.

Taking the next number also puts the transactions that take it in an order: until the commit, the
update holds the database's write lock on SQLite, and the row's on Postgres. So take it before you
read what the rest of the transaction builds on, and nothing can have changed in between.
"""

from __future__ import annotations

from sqlalchemy import Connection, Engine, insert, select, update

from .tables import switchboard


def next_number(connection: Connection, name: str) -> int:
    """Return the number after the last one of `name`; the first is 1."""
    advance = (
        update(switchboard)
        .where(switchboard.c.name == name)
        .values(epoch=switchboard.c.epoch + 1)
        .returning(switchboard.c.epoch)
    )
    number: int | None = connection.execute(advance).scalar()
    if number is None:
        connection.execute(insert(switchboard).values(name=name, value="", epoch=1))
        return 1
    return number


def last_number(engine: Engine, name: str) -> int:
    """Return the last number of `name` that was taken, or 0."""
    with engine.connect() as connection:
        query = select(switchboard.c.epoch).where(switchboard.c.name == name)
        return connection.execute(query).scalar() or 0
