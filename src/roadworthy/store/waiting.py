"""How much waits for people and how much they decide, as numbers that pages show."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Engine, func, literal, select

from ..types import DAY_US
from .tables import drafts, reviews

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


def count_decided(engine: Engine, since_us: int, services: Collection[str] = ()) -> dict[int, int]:
    """Return how many cases were decided on each UTC day since a time, by the day's number."""
    day = reviews.c.decided_at_us // DAY_US
    query = select(day, func.count()).where(reviews.c.decided_at_us >= since_us).group_by(day)
    if services:
        query = query.where(reviews.c.service.in_(sorted(services)))
    with engine.connect() as connection:
        return {int(number): n for number, n in connection.execute(query)}


def count_unknown(engine: Engine, service: str, most: int) -> tuple[int, int]:
    """Return how many of a service's newest drafts have no confidence, and of how many."""
    newest = (
        select(drafts.c.confidence)
        .where(drafts.c.service == service)
        .order_by(drafts.c.at_us.desc())
        .limit(most)
        .subquery()
    )
    query = select(func.count(), func.count(newest.c.confidence))
    with engine.connect() as connection:
        n, known = connection.execute(query).one()
    return n - known, n


def count_paths(engine: Engine, service: str, since_us: int, most: int) -> dict[str, int]:
    """Return how the newest drafts of a service were decided, by path, at most so many of them.

    Args:
        engine: The database.
        service: Its name.
        since_us: From this time on.
        most: How many are looked at: 2,000 take about 2 ms.
    """
    newest = (
        select(drafts.c.path)
        .where(drafts.c.service == service, drafts.c.at_us >= since_us)
        .order_by(drafts.c.at_us.desc())
        .limit(most)
        .subquery()
    )
    query = select(newest.c.path, func.count()).group_by(newest.c.path)
    with engine.connect() as connection:
        return {row[0]: row[1] for row in connection.execute(query)}
