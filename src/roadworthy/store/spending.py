"""What every ceiling's scope has settled per day, and the holds that are still open."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, delete, func, or_, select

from ..types import DAY_US, Arm, Attempt, Hold, Record
from .state import insert_rows
from .tables import holds, spendings

SHADOW = "shadow:"
"""What the scopes begin with that the answers of shadows count against."""
PROVIDER = "provider:"
"""What the scopes of providers begin with: only what a provider charges counts there."""
USER = "user:"
"""What the scopes of users begin with: `user:<service>/<user>`."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Hold).decode


def read_spending(engine: Engine, day_us: int) -> dict[str, int]:
    """Return the micro-dollars each scope has settled on the day that begins at `day_us`."""
    query = select(spendings.c.scope, spendings.c.micro).where(spendings.c.day_us == day_us)
    with engine.connect() as connection:
        return {row.scope: row.micro for row in connection.execute(query)}


def read_spending_between(
    engine: Engine, from_us: int, until_us: int, *, has_users: bool = True
) -> dict[str, int]:
    """Return the micro-dollars each scope has settled on the days that begin in this time.

    Args:
        engine: The state database.
        from_us: Midnight of the first day.
        until_us: Midnight after the last day.
        has_users: Whether the scopes of users are among them: of a month there may be millions.
    """
    query = (
        select(spendings.c.scope, func.sum(spendings.c.micro).label("micro"))
        .where(spendings.c.day_us >= from_us, spendings.c.day_us < until_us)
        .group_by(spendings.c.scope)
    )
    if not has_users:
        query = query.where(or_(spendings.c.scope < USER, spendings.c.scope >= "user;"))
    with engine.connect() as connection:
        return {row.scope: int(row.micro) for row in connection.execute(query)}


def provider_costs(scopes: Iterable[str], attempts: Sequence[Attempt]) -> dict[str, int]:
    """Return each provider's scope of `scopes` with what its tries cost, in micro-dollars."""
    costs = {scope: 0 for scope in scopes if scope.startswith(PROVIDER)}
    if costs:
        for attempt in attempts:
            scope = PROVIDER + attempt.provider
            if scope in costs:
                costs[scope] += attempt.cost_micro
    return costs


def read_holds(engine: Engine) -> list[Hold]:
    """Return the holds that no record has settled yet, in the order of their requests."""
    with engine.connect() as connection:
        entries = connection.execute(select(holds.c.entry).order_by(holds.c.id)).scalars()
        return [_decode(entry) for entry in entries]


def expire_holds(left: list[Hold], now_us: int, append: Callable[[Record], None]) -> int:
    """Give every hold whose lease has ended a record, which settles it at no cost.

    The record says `failed` with code `lost`: a process ended before it could write the true one.
    If that one still comes, it takes its place. Returns how many there were.

    Args:
        left: Holds that an earlier process left unsettled; those that got their record are taken
            out. A request of this process must not be among them: it settles its hold itself.
        now_us: The project's time.
        append: Writes a record to the spool.
    """
    ended = [hold for hold in left if hold.lease_us <= now_us]
    for hold in ended:
        append(_lost(hold))
        left.remove(hold)
    return len(ended)


def prune_spending(engine: Engine, before_us: int) -> int:
    """Delete the spendings of days that began before `before_us`; returns how many rows."""
    with engine.begin() as connection:
        return connection.execute(delete(spendings).where(spendings.c.day_us < before_us)).rowcount


def add_spending(connection: Connection, records: Iterable[Record]) -> None:
    """Add what `records` cost to each of their scopes, on the day of the request.

    To the scope of a provider only what its tries cost is added.
    """
    spent: dict[tuple[int, str], int] = {}
    for record in records:
        if cost := record.cost_micro:
            day_us = record.at_us - record.at_us % DAY_US
            parts = provider_costs(record.scopes, record.attempts)
            for scope in record.scopes:
                if part := parts.get(scope, cost):
                    spent[day_us, scope] = spent.get((day_us, scope), 0) + part
    insert_rows(
        connection, spendings, [(*cell, micro) for cell, micro in sorted(spent.items())], "add"
    )


def open_holds(connection: Connection, opened: Iterable[Hold]) -> None:
    """Remember holds, so that they count after a restart too."""
    rows: list[tuple[Any, ...]] = [(hold.id, _encode(hold), hold.lease_us) for hold in opened]
    insert_rows(connection, holds, rows, "ignore")


def close_holds(connection: Connection, ids: list[str]) -> None:
    """Forget the holds of settled requests."""
    if ids:
        connection.execute(delete(holds).where(holds.c.id.in_(ids)))


def _lost(hold: Hold) -> Record:
    is_shadow = any(scope.startswith(SHADOW) for scope in hold.scopes)
    arm: Arm = "shadow" if is_shadow else "champion"
    return Record(
        id=hold.id,
        at_us=hold.at_us,
        service=hold.service,
        kind=hold.kind,
        disposition="failed",
        arm=arm,
        key=hold.key,
        reasons=("lost: the process ended before the request did",),
        error_code="lost",
        reserved_micro=hold.micro,
        scopes=hold.scopes,
    )
