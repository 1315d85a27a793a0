"""What Home needs of all services at once, each from one statement over the hourly sums."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import Engine, func, select
from sqlalchemy.sql.elements import ColumnElement

from ..store.tables import releases, rollups


class Hour(NamedTuple):
    """What one service did in one hour (Unix microseconds of its beginning)."""

    hour_us: int
    requests: int
    failed: int
    late: int
    fallback: int
    cost_micro: int


class Built(NamedTuple):
    """A release, when it was built (Unix microseconds), and by whom."""

    release: str
    service: str
    at_us: int
    by: str


_SUMS = ("requests", "failed", "late", "fallback", "cost_micro")


def read_hours(
    state: Engine, services: Collection[str], since_us: int
) -> dict[str, tuple[Hour, ...]]:
    """Return the hours from `since_us` on that had requests, oldest first, by service."""
    hours: defaultdict[str, list[Hour]] = defaultdict(list)
    columns = (rollups.c.service, rollups.c.hour_us)
    query = (
        select(*columns, *(_sum(name) for name in _SUMS))
        .where(*_of(services, since_us))
        .group_by(*columns)
        .order_by(*columns)
    )
    with state.connect() as connection:
        for service, *numbers in connection.execute(query):
            hours[service].append(Hour(*map(int, numbers)))
    return {service: tuple(hours[service]) for service in services}


def read_failures(
    state: Engine, services: Collection[str], since_us: int
) -> dict[str, tuple[int, int]]:
    """Return how many requests there were from `since_us` on and how many failed, by service."""
    query = (
        select(rollups.c.service, _sum("requests"), _sum("failed"))
        .where(*_of(services, since_us))
        .group_by(rollups.c.service)
    )
    found = dict.fromkeys(services, (0, 0))
    with state.connect() as connection:
        for service, requests, failed in connection.execute(query):
            found[service] = (int(requests), int(failed))
    return found


def read_latest(state: Engine, services: Collection[str]) -> dict[str, Built]:
    """Return the release of each service that was built last."""
    latest = (
        select(releases.c.service, func.max(releases.c.created_at_us).label("at_us"))
        .where(releases.c.service.in_(services))
        .group_by(releases.c.service)
        .subquery()
    )
    is_latest = (releases.c.service == latest.c.service) & (
        releases.c.created_at_us == latest.c.at_us
    )
    return {built.service: built for built in _built(state, is_latest)}


def read_built(state: Engine, ids: Collection[str]) -> dict[str, Built]:
    """Return who built these releases and when, by id."""
    return {built.release: built for built in _built(state, releases.c.id.in_(ids))}


def _built(state: Engine, where: ColumnElement[bool]) -> list[Built]:
    r = releases.c
    query = select(r.id, r.service, r.created_at_us, r.by).where(where).order_by(r.id)
    with state.connect() as connection:
        return [Built(*row) for row in connection.execute(query)]


def _of(services: Collection[str], since_us: int) -> tuple[ColumnElement[bool], ...]:
    # By service and then hour, as the table is sorted: each service is one range of it.
    return (
        rollups.c.by == "all",
        rollups.c.service.in_(services),
        rollups.c.hour_us >= since_us,
    )


def _sum(name: str) -> ColumnElement[int]:
    return func.sum(rollups.c[name])
