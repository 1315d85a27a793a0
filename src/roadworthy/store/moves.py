"""Each change of what serves, with what was in force for the release that was left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, Engine, Row, insert, select

from .release_tables import moves

Kind = Literal["promote", "rollback"]


class Carried(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was in force for a release when it was left: it comes back together with it.

    Attributes:
        automation: What was certified for its answers, as the pointer had it.
        calibration, scorer, scope: Likewise.
        epochs: Ids of the epochs that gathered its evidence.
    """

    automation: str = ""
    calibration: str = ""
    scorer: str = ""
    scope: str = ""
    epochs: tuple[str, ...] = ()


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """One change of what serves a service.

    Attributes:
        id: `mv_` and a time-ordered id.
        from_release: What served before; empty where nothing did.
        rollout: The rollout that brought it about; empty where a person did.
    """

    id: str
    service: str
    at_us: int
    kind: Kind
    from_release: str
    to_release: str
    by: str
    why: str = ""
    rollout: str = ""
    carried: Carried = Carried()


def add_move(connection: Connection, move: Move) -> None:
    """Write a change down in the transaction that makes it."""
    carried = msgspec.json.encode(move.carried).decode()
    row = {name: getattr(move, name) for name in move.__struct_fields__}
    connection.execute(insert(moves).values({**row, "carried": carried}))


def list_moves(engine: Engine, service: str, limit: int = 1_000) -> tuple[Move, ...]:
    """Return how what serves changed, newest first."""
    with engine.connect() as connection:
        return tuple(moves_of(connection, service, limit))


def moves_of(connection: Connection, service: str, limit: int = 1_000) -> Sequence[Move]:
    """Return how what serves changed, newest first, as a transaction sees it."""
    query = select(moves).where(moves.c.service == service).order_by(*_NEWEST).limit(limit)
    return [_move(row) for row in connection.execute(query)]


def last_left(connection: Connection, service: str, release: str) -> Move | None:
    """Return when a release was left last; None where it never was."""
    is_it = (moves.c.service == service, moves.c.from_release == release)
    row = connection.execute(select(moves).where(*is_it).order_by(*_NEWEST).limit(1)).first()
    return None if row is None else _move(row)


def way_back(found: Sequence[Move]) -> tuple[str, ...]:
    """Return the releases that one can go back to, the last good one first.

    A release that was rolled back is none of them: whoever goes back twice goes further back.

    Args:
        found: All moves of a service, newest first.
    """
    served: list[str] = []
    for move in reversed(found):
        if move.from_release and served[-1:] != [move.from_release]:
            served.append(move.from_release)
        if move.kind == "rollback" and move.to_release in served:
            last = len(served) - served[::-1].index(move.to_release)
            served = [release for release in served[:last] if release != move.from_release]
        else:
            served.append(move.to_release)
    back = dict.fromkeys(reversed(served[:-1]))
    return tuple(release for release in back if release != served[-1])


_NEWEST = (moves.c.at_us.desc(), moves.c.id.desc())


def _move(row: Row[Any]) -> Move:
    fields = dict(row._mapping)
    return Move(**{**fields, "carried": msgspec.json.decode(row.carried, type=Carried)})
