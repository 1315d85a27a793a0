"""How much waits for people: the number that every page shows, read from one index."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Engine, func, literal, select

from .tables import reviews

MOST_COUNTED = 999
"""Up to here what waits is counted for the navigation; beyond it, it says `999+`."""


def count_open(engine: Engine, services: Collection[str] = ()) -> int:
    """Return how many reviews wait, counted up to one more than `MOST_COUNTED`.

    Args:
        engine: The database.
        services: Of which services; empty means all.
    """
    found = select(literal(1)).where(reviews.c.state == "open")
    if services:
        found = found.where(reviews.c.service.in_(sorted(services)))
    counted = found.limit(MOST_COUNTED + 1).subquery()
    with engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(counted)).scalar_one()
