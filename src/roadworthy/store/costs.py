"""What was spent and what came of it, by whatever dimension somebody asks for."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Literal, NamedTuple

from sqlalchemy import ColumnElement, Engine, and_, case, distinct, func, or_, select

from ..types import DAY_US, SHOWN, Record
from .gateway_tables import attempt_hours
from .records import record_of
from .tables import outcomes, records, reviews, rollups

Dimension = Literal[
    "service", "release", "arm", "model", "provider", "user", "team", "tag", "key", "day"
]
OWNERS: tuple[Dimension, ...] = ("user", "team", "tag", "key")
"""Dimensions of whom a request was for: a sum knows of one of them at a time."""
OF_TRIES: tuple[Dimension, ...] = ("service", "provider", "model", "day")
"""Dimensions that the tries of models know: there each try counts where it was made."""


class Spent(NamedTuple):
    """What one cell of a report holds.

    Attributes:
        values: Of its dimensions, in their order; a day is Unix microseconds.
        requests: Those whose answers were given to somebody; of tries, all tries.
        accepted: Those of them that were answered, from the cache too.
        unseen_micro: What answers cost that nobody was shown: those of shadows and audits.
    """

    values: tuple[Any, ...]
    requests: int
    accepted: int
    input_tokens: int
    output_tokens: int
    cost_micro: int
    unseen_micro: int = 0


def read_spent(
    engine: Engine,
    dimensions: Sequence[Dimension],
    since_us: int,
    until_us: int,
    services: Collection[str] = (),
) -> list[Spent]:
    """Return what was spent in the hours that begin in a span, the dearest cell first.

    Args:
        engine: The state.
        dimensions: By which; at most one of `OWNERS`. Where all are among `OF_TRIES` and one is
            `provider` or `model`, each try of a model counts where it was made; else all of a
            request counts where it was answered.
        since_us: The first hour begins no earlier.
        until_us: Only hours that begin before this.
        services: Only these services; all if empty.
    """
    wants_tries = {"provider", "model"} & set(dimensions) and set(dimensions) <= set(OF_TRIES)
    read = _of_tries if wants_tries else _of_requests
    with engine.connect() as connection:
        rows = connection.execute(read(dimensions, since_us, until_us, services)).all()
    size = len(dimensions)
    found = [Spent(tuple(row[:size]), *map(int, row[size:])) for row in rows]
    return sorted(found, key=lambda cell: (-cell.cost_micro, str(cell.values)))


def _of_requests(
    dimensions: Sequence[Dimension], since_us: int, until_us: int, services: Collection[str]
) -> Any:
    here = rollups.c
    owner = next((name for name in dimensions if name in OWNERS), None)
    columns = [_column(rollups, name, owner) for name in dimensions]
    is_shown = here.arm.in_(SHOWN)

    def shown(*names: str) -> ColumnElement[int]:
        total = sum((here[name] for name in names[1:]), here[names[0]])
        return func.coalesce(func.sum(case((is_shown, total), else_=0)), 0)

    sums = (
        shown("requests"),
        shown("answered", "cached"),
        func.coalesce(func.sum(here.input_tokens), 0),
        func.coalesce(func.sum(here.output_tokens), 0),
        func.coalesce(func.sum(here.cost_micro), 0),
        func.coalesce(func.sum(case((is_shown, 0), else_=here.cost_micro)), 0),
    )
    where = [here.by == (owner or "all"), here.hour_us >= since_us, here.hour_us < until_us]
    if services:
        where.append(here.service.in_(sorted(services)))
    return select(*columns, *sums).where(and_(*where)).group_by(*columns)


def _of_tries(
    dimensions: Sequence[Dimension], since_us: int, until_us: int, services: Collection[str]
) -> Any:
    here = attempt_hours.c
    columns = [_column(attempt_hours, name, None) for name in dimensions]
    is_ok = here.status == "ok"
    sums = (
        func.coalesce(func.sum(here.attempts), 0),
        func.coalesce(func.sum(case((is_ok, here.attempts), else_=0)), 0),
        func.coalesce(func.sum(here.input_tokens), 0),
        func.coalesce(func.sum(here.output_tokens), 0),
        func.coalesce(func.sum(here.cost_micro), 0),
    )
    where = [here.hour_us >= since_us, here.hour_us < until_us]
    if services:
        where.append(here.service.in_(sorted(services)))
    return select(*columns, *sums).where(and_(*where)).group_by(*columns)


def _column(table: Any, name: Dimension, owner: str | None) -> Any:
    if name == "day":
        return (table.c.hour_us - table.c.hour_us % DAY_US).label("day")
    return table.c.value.label(name) if name == owner else table.c[name]


def read_days(
    engine: Engine, service: str, since_us: int, until_us: int
) -> list[tuple[int, int, int]]:
    """Return of each day of a span its beginning, its shown requests, and all it cost."""
    cells = read_spent(engine, ("day",), since_us, until_us, (service,))
    return sorted((cell.values[0], cell.requests, cell.cost_micro) for cell in cells)


def count_wrong(engine: Engine, service: str, since_us: int, until_us: int) -> int:
    """Return how many answers of a span were given and are known to be wrong.

    Known is what somebody said outright: that it was not correct, or what it should have been.
    """
    said = or_(
        and_(outcomes.c.kind == "correct", outcomes.c.value == "false"),
        outcomes.c.kind == "correction",
    )
    query = (
        select(func.count(distinct(records.c.id)))
        .join(outcomes, outcomes.c.request_id == records.c.id)
        .where(
            said,
            records.c.service == service,
            records.c.at_us >= since_us,
            records.c.at_us < until_us,
            records.c.arm.in_(SHOWN),
            records.c.disposition.in_(("answered", "cached")),
        )
    )
    with engine.connect() as connection:
        return int(connection.execute(query).scalar_one())


def count_decided(engine: Engine, since_us: int, until_us: int) -> dict[str, int]:
    """Return how many cases people decided in a span, by service."""
    query = (
        select(reviews.c.service, func.count())
        .where(
            reviews.c.decided_at_us >= since_us,
            reviews.c.decided_at_us < until_us,
            reviews.c.decision != "",
        )
        .group_by(reviews.c.service)
    )
    with engine.connect() as connection:
        return {service: int(count) for service, count in connection.execute(query)}


def read_bytes_per_token(engine: Engine, service: str, since_us: int) -> float | None:
    """Return how many bytes of input a token of a service was lately; None where unknown."""
    here = attempt_hours.c
    query = select(func.sum(here.input_bytes), func.sum(here.input_tokens)).where(
        here.service == service, here.hour_us >= since_us, here.input_bytes > 0
    )
    with engine.connect() as connection:
        size, tokens = connection.execute(query).one()
    return float(size) / float(tokens) if size and tokens else None


def sample_records(
    engine: Engine, service: str, since_us: int, until_us: int, limit: int
) -> Iterator[Record]:
    """Yield the newest records of a service in a span, without their bodies; all arms."""
    query = (
        select(records)
        .where(
            records.c.service == service,
            records.c.at_us >= since_us,
            records.c.at_us < until_us,
        )
        .order_by(records.c.id.desc())
        .limit(limit)
    )
    with engine.connect() as connection:
        rows = connection.execute(query).all()
    yield from map(record_of, rows)
