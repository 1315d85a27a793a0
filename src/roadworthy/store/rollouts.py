"""Rollouts: candidates on their way to serving, as the state database remembers them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal, NamedTuple

import msgspec
from sqlalchemy import Connection, Engine, Row, delete, insert, select, update

from ..errors import Conflict, NotFound
from ..types import Clock
from .actions import append_action
from .release_tables import rollout_looks, rollout_units, rollouts
from .switchboard import move_pointer

MOST_LOOKS = 500
"""Looks at one rollout that are kept; of more, every second one goes."""
Judge = Literal["shadow", "canary"]
RolloutState = Literal["running", "frozen", "promoted", "rolled_back", "stopped"]
Word = Literal["wait", "advance", "promote", "roll_back"]
OPEN: tuple[RolloutState, ...] = ("running", "frozen")
"""States of a rollout that has not ended."""

_encode = msgspec.json.Encoder().encode


class Split(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the pointer `rollout:<service>` says, as JSON; empty while there is none.

    Attributes:
        id: Of the rollout, which also salts the coin that splits users.
        share: Share (0-1) of users that meet the candidate, or of requests that it shadows.
    """

    id: str
    release: str
    judge: Judge
    share: float


class Figure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One metric of a rollout as it stands: candidate's less champion's, above 0 is worse.

    Attributes:
        name: `errors`, `late`, `cost`, `denials`, `doubt` (1 - confidence), `wrong`, `brier`.
        units: How many closed users of the candidate, or compared users, it stands on.
        low, high: A band that holds at every look; None before there is one.
        worse: Evidence that the candidate is worse, and what is enough of it; it rolls back.
        better: Evidence that it is not worse than allowed, and what is enough; it promotes.
        needed: How many more units would decide it at the present difference; None where unknown.
    """

    name: str
    units: int = 0
    champion: float | None = None
    candidate: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    worse: float = 1.0
    worse_needed: float = 0.0
    better: float = 1.0
    better_needed: float = 0.0
    needed: int | None = None


class RolloutVerdict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the evidence says by now, in a word, a sentence, and numbers.

    Attributes:
        expected_us: When it is expected to be decided, at the present traffic; None where unknown.
    """

    word: Word = "wait"
    why: str = ""
    figures: tuple[Figure, ...] = ()
    expected_us: int | None = None


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """One candidate on its way.

    Attributes:
        step: Which of the steps it is at, from 0.
        step_at_us: When that began; units of the step are those that began after it.
        why: What ended it.
        seen: Id of the last record that was counted.
        version: Grows with every write: who would write over another's is refused.
        progress: The evidence so far, as JSON values; only `release.canary` reads it.
    """

    id: str
    service: str
    champion: str
    candidate: str
    judge: Judge
    state: RolloutState
    step: int
    share: float
    started_at_us: int
    step_at_us: int
    ended_at_us: int | None
    by: str
    why: str
    seen: str
    version: int
    progress: dict[str, Any]
    verdict: RolloutVerdict


class Look(NamedTuple):
    """What one look at a rollout saw."""

    number: int
    at_us: int
    verdict: RolloutVerdict


def split_of(rollout: Rollout) -> Split:
    """Return how a rollout meets live traffic."""
    return Split(rollout.id, rollout.candidate, rollout.judge, rollout.share)


def read_split(value: str) -> Split | None:
    """Return what the pointer `rollout:<service>` says; None of what says nothing."""
    if not value:
        return None
    try:
        return msgspec.json.decode(value, type=Split)
    except msgspec.MsgspecError:
        return None


def add_rollout(connection: Connection, rollout: Rollout) -> None:
    """Begin a rollout, as part of the caller's transaction, which must hold the pointers.

    Raises:
        Conflict: Another one of the service has not ended.
    """
    other = _open_of(connection, rollout.service)
    if other is not None:
        raise Conflict(
            f"expected no rollout of `{rollout.service}`, got `{other.candidate}`, which is "
            f"{other.state} since step {other.step + 1}; wait for its end, or "
            f"`roadworthy release stop {rollout.service}` ends it"
        )
    connection.execute(insert(rollouts).values(_values(rollout)))
    point(connection, rollout)


def point(connection: Connection, rollout: Rollout) -> None:
    """Let every process split traffic as a rollout says, as part of the caller's transaction."""
    split = msgspec.json.encode(split_of(rollout)).decode()
    move_pointer(connection, f"rollout:{rollout.service}", split)
    move_pointer(connection, f"candidate:{rollout.service}", rollout.candidate)


def save_rollout(connection: Connection, rollout: Rollout) -> None:
    """Keep how far a rollout has come, as part of the caller's transaction.

    Args:
        connection: Of the transaction.
        rollout: As it is now, with the version that it was read with.

    Raises:
        Conflict: Somebody else wrote it since: nothing may be written then.
    """
    is_it = (rollouts.c.id == rollout.id, rollouts.c.version == rollout.version)
    values = _values(rollout) | {"version": rollout.version + 1}
    if connection.execute(update(rollouts).where(*is_it).values(values)).rowcount != 1:
        raise Conflict(f"expected version {rollout.version} of `{rollout.id}`, got a later one")


def stop_rollout(engine: Engine, clock: Clock, service: str, *, by: str, why: str = "") -> Rollout:
    """End a rollout without a verdict: what serves goes on serving everybody.

    Raises:
        NotFound: None runs.
    """
    with engine.begin() as connection:
        move_pointer(connection, f"rollout:{service}", "")
        found = _open_of(connection, service)
        if found is None:
            raise NotFound(f"expected a rollout of `{service}`, got none that runs")
        move_pointer(connection, f"candidate:{service}", "")
        ended = msgspec.structs.replace(
            found, state="stopped", ended_at_us=clock.now_us(), why=why or f"stopped by {by}"
        )
        save_rollout(connection, ended)
        forget_units(connection, found.id)
        detail = {"service": service, "rollout": found.id, "why": why}
        append_action(connection, clock, by, "release.stop", found.candidate, detail)
    return ended


def read_rollout(engine: Engine, id: str) -> Rollout:
    """Return one rollout.

    Raises:
        NotFound: There is none of this id.
    """
    with engine.connect() as connection:
        row = connection.execute(select(rollouts).where(rollouts.c.id == id)).first()
    if row is None:
        raise NotFound(f"no rollout `{id:.60}`; `roadworthy release status` shows those there are")
    return _rollout(row)


def open_rollouts(engine: Engine) -> list[Rollout]:
    """Return the rollouts that have not ended."""
    query = select(rollouts).where(rollouts.c.state.in_(OPEN)).order_by(rollouts.c.id)
    with engine.connect() as connection:
        return [_rollout(row) for row in connection.execute(query)]


def list_rollouts(
    engine: Engine, services: Collection[str] = (), limit: int = 100
) -> list[Rollout]:
    """Return the latest rollouts, newest first, of some services or of all."""
    query = select(rollouts).order_by(rollouts.c.started_at_us.desc(), rollouts.c.id.desc())
    if services:
        query = query.where(rollouts.c.service.in_(sorted(services)))
    with engine.connect() as connection:
        return [_rollout(row) for row in connection.execute(query.limit(limit))]


def add_look(connection: Connection, id: str, at_us: int, verdict: RolloutVerdict) -> None:
    """Keep what a look saw; of too many, every second goes, so that they span the whole time."""
    here = rollout_looks.c.rollout == id
    number = rollout_looks.c.number
    numbers = list(connection.execute(select(number).where(here).order_by(number)).scalars())
    if len(numbers) >= MOST_LOOKS:
        gone = (here, number.in_(numbers[1::2]))
        connection.execute(delete(rollout_looks).where(*gone))
    row = {"rollout": id, "number": numbers[-1] + 1 if numbers else 1, "at_us": at_us}
    connection.execute(insert(rollout_looks).values(row | {"detail": _encode(verdict).decode()}))


def read_looks(engine: Engine, id: str) -> list[Look]:
    """Return what the looks at a rollout saw, oldest first."""
    table = rollout_looks.c
    query = select(table.number, table.at_us, table.detail).where(table.rollout == id)
    with engine.connect() as connection:
        rows = connection.execute(query.order_by(table.number)).all()
    return [Look(row.number, row.at_us, _verdict(row.detail)) for row in rows]


def forget_units(connection: Connection, id: str) -> None:
    """Delete what is kept of the users of a rollout, as part of the caller's transaction."""
    connection.execute(delete(rollout_units).where(rollout_units.c.rollout == id))


def _open_of(connection: Connection, service: str) -> Rollout | None:
    is_open = (rollouts.c.service == service, rollouts.c.state.in_(OPEN))
    row = connection.execute(select(rollouts).where(*is_open)).first()
    return None if row is None else _rollout(row)


def _values(rollout: Rollout) -> dict[str, Any]:
    texts = {"progress": _encode(rollout.progress), "verdict": _encode(rollout.verdict).decode()}
    return msgspec.structs.asdict(rollout) | texts


def _rollout(row: Row[Any]) -> Rollout:
    read = {
        "progress": msgspec.json.decode(row.progress or b"{}"),
        "verdict": _verdict(row.verdict),
    }
    return Rollout(**{**row._mapping, **read})


def _verdict(text: str) -> RolloutVerdict:
    return msgspec.json.decode(text or "{}", type=RolloutVerdict)
