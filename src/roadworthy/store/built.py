"""Who built releases and when, of several services at once."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import ColumnElement, Engine, func, select

from .tables import releases


class Built(NamedTuple):
    """A release, when it was built (Unix microseconds), and by whom."""

    release: str
    service: str
    at_us: int
    by: str


def read_latest(engine: Engine, services: Collection[str]) -> dict[str, Built]:
    """Return the release of each service that was built last."""
    r = releases.c
    latest = (
        select(r.service, func.max(r.created_at_us).label("at_us"))
        .where(r.service.in_(services))
        .group_by(r.service)
        .subquery()
    )
    is_latest = (r.service == latest.c.service) & (r.created_at_us == latest.c.at_us)
    return {built.service: built for built in _read(engine, is_latest)}


def read_built(engine: Engine, ids: Collection[str]) -> dict[str, Built]:
    """Return who built these releases and when, by id."""
    return {built.release: built for built in _read(engine, releases.c.id.in_(ids))}


def _read(engine: Engine, where: ColumnElement[bool]) -> list[Built]:
    r = releases.c
    query = select(r.id, r.service, r.created_at_us, r.by).where(where).order_by(r.id)
    with engine.connect() as connection:
        return [Built(*row) for row in connection.execute(query)]
