"""Which release serves: promoted, rolled back, frozen, each in one transaction with who did it.

`champion` serves, `last_good` is where one goes back to, `candidate` is being judged. They move
together, or none does: who looks in between, or is killed in between, finds the old or the new.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

import msgspec
from sqlalchemy import Connection, Engine, select, update

from ..errors import Conflict, NotFound
from ..store.actions import append_action, list_actions
from ..store.certificates import hold_epochs
from ..store.moves import Kind, Move, add_move, list_moves, moves_of, way_back
from ..store.release_tables import rollouts
from ..store.rollouts import Rollout, Split, forget_units
from ..store.switchboard import Stop, hold_pointers, move_pointer, read_pointer
from ..types import MICRO, Clock, Ids
from .carried import leave, restore
from .registry import Release, champion_id_of, read_release

_ACTS: dict[Kind, str] = {"promote": "release.promote", "rollback": "release.rollback"}
_OPEN = ("running", "frozen")

_stop = msgspec.json.Decoder(Stop).decode


class _Change(msgspec.Struct, frozen=True, kw_only=True):
    """What is to change, and what it stands on."""

    service: str
    to: str
    kind: Kind
    by: str
    expected: str
    why: str = ""
    rollout: str = ""


def promote(
    engine: Engine,
    clock: Clock,
    release_id: str,
    *,
    by: str,
    expected: str | None = None,
    why: str = "",
    rollout: str = "",
) -> Release:
    """Let this release serve its service, in every process, from the next request on.

    Whether its files are whole, `bundle.check_whole` says beforehand; whether it may, the gates.

    Args:
        engine: The state database.
        clock: The project's time.
        release_id: What is to serve.
        by: Who decides it.
        expected: What served when they decided; by default what serves now.
        why: What for, in a sentence.
        rollout: The rollout that showed that it may.

    Raises:
        NotFound: There is no such release.
        Conflict: Somebody else changed meanwhile what serves, or the service is frozen.
    """
    release = read_release(engine, release_id)
    service = release.service
    serves = champion_id_of(engine, service)
    if serves == release.id and expected in (None, serves):
        return release
    change = _Change(
        service=service,
        to=release.id,
        kind="promote",
        by=by,
        expected=serves if expected is None else expected,
        why=why,
        rollout=rollout,
    )
    with engine.begin() as connection:
        _move(connection, clock, change)
    return release


def roll_back(
    engine: Engine, clock: Clock, service: str, *, to: str = "", by: str, why: str
) -> Release:
    """Let an earlier champion serve again with all that was in force for it.

    It needs no gate and no thaw: whoever sees harm must be able to end it.

    Args:
        engine: The state database.
        clock: The project's time.
        service: What goes back.
        to: An earlier champion; by default the last good one.
        by: Who decides it.
        why: What for, in a sentence.

    Raises:
        NotFound: It never served, or nothing served before.
        Conflict: Somebody else changed meanwhile what serves.
    """
    serves = champion_id_of(engine, service)
    release = read_release(engine, to or before(engine, service))
    if release.service != service or not has_served(engine, release.id):
        raise NotFound(
            f"expected an earlier champion of `{service}`, got `{release.id}`, which never served; "
            f"`roadworthy release history {service}` lists them"
        )
    if release.id == serves:
        return release
    change = _Change(
        service=service, to=release.id, kind="rollback", by=by, expected=serves, why=why
    )
    with engine.begin() as connection:
        _move(connection, clock, change)
    return release


def finish_rollout(
    connection: Connection,
    clock: Clock,
    rollout: Rollout,
    word: Literal["promote", "roll_back"],
    why: str,
    by: str,
) -> Move | None:
    """End a rollout in the caller's transaction; return the change of what serves, if it is one.

    Raises:
        Conflict: It has ended, another release serves, or the service is frozen: nothing may be
            written then, so let the transaction roll back.
    """
    hold_epochs(connection, rollout.service)
    hold_pointers(connection)
    values = {
        "state": "promoted" if word == "promote" else "rolled_back",
        "ended_at_us": clock.now_us(),
        "why": why,
        "version": rollouts.c.version + 1,
    }
    is_it = (rollouts.c.id == rollout.id, rollouts.c.state.in_(_OPEN))
    if connection.execute(update(rollouts).where(*is_it).values(**values)).rowcount != 1:
        raise Conflict(
            f"expected rollout `{rollout.id}` to run, got one that has ended; "
            f"`roadworthy release status {rollout.service}` says how"
        )
    _clear(connection, rollout.service)
    if word == "promote":
        change = _Change(
            service=rollout.service,
            to=rollout.candidate,
            kind="promote",
            by=by,
            expected=rollout.champion,
            why=why,
            rollout=rollout.id,
        )
        return _move(connection, clock, change)
    detail = {"service": rollout.service, "champion": rollout.champion, "why": why}
    append_action(connection, clock, by, "release.reject", rollout.candidate, detail)
    return None


def freeze(engine: Engine, clock: Clock, service: str, *, by: str, reason: str) -> None:
    """Let nothing else serve until it is thawed; a rollout stands still meanwhile.

    Going back stays possible.
    """
    said = Stop(by, clock.now_us(), reason)
    with engine.begin() as connection:
        move_pointer(connection, f"freeze:{service}", msgspec.json.encode(said).decode())
        _set_rollouts(connection, service, "running", "frozen")
        move_pointer(connection, f"rollout:{service}", "")
        append_action(connection, clock, by, "release.freeze", service, {"reason": reason})


def unfreeze(engine: Engine, clock: Clock, service: str, *, by: str, reason: str = "") -> None:
    """Let releases be promoted again; a rollout that stood still goes on where it was.

    Raises:
        Conflict: The service is not frozen.
    """
    with engine.begin() as connection:
        if not move_pointer(connection, f"freeze:{service}", ""):
            raise Conflict(f"expected `{service}` to be frozen, got one that is not")
        _set_rollouts(connection, service, "frozen", "running")
        split = _split_of(connection, service)
        if split:
            move_pointer(connection, f"rollout:{service}", split)
        append_action(connection, clock, by, "release.unfreeze", service, {"reason": reason})


def frozen(engine: Engine, service: str) -> Stop | None:
    """Return who froze a service, since when and why, if anyone did."""
    with engine.connect() as connection:
        said = read_pointer(connection, f"freeze:{service}")
    return _stop(said) if said else None


def aliases(engine: Engine, service: str) -> dict[str, str]:
    """Return what `champion`, `candidate` and `last_good` of a service mean; empty for none."""
    with engine.connect() as connection:
        return {
            name: read_pointer(connection, f"{name}:{service}")
            for name in ("champion", "candidate", "last_good")
        }


def history(engine: Engine, service: str) -> tuple[Move, ...]:
    """Return how what serves a service changed, newest first."""
    return list_moves(engine, service)


def has_served(engine: Engine, release_id: str) -> bool:
    """Whether a release ever was the champion of its service."""
    return bool(list_actions(engine, action="release.promote", subject=release_id, limit=1))


def before(engine: Engine, service: str) -> str:
    """Return the release that a service goes back to.

    Raises:
        NotFound: Nothing served before.
    """
    found, serves = (aliases(engine, service)[name] for name in ("last_good", "champion"))
    if not found and serves and not list_moves(engine, service, 1):
        # It was promoted when moves were not written down yet: the chain of acts knows.
        acts = list_actions(engine, action="release.promote", subject=serves, limit=1)
        found = str(acts[0].detail.get("from", "")) if acts else ""
    if not found:
        raise NotFound(
            f"expected a release that served `{service}` before, got none that was not given up; "
            f"`roadworthy release history {service}` lists what served: one that is named is gone "
            "back to all the same"
        )
    return found


def _move(connection: Connection, clock: Clock, change: _Change) -> Move:
    """Move all pointers that a change of what serves moves, and write it down."""
    service = change.service
    hold_epochs(connection, service)
    hold_pointers(connection)
    earlier = moves_of(connection, service)
    left = read_pointer(connection, f"champion:{service}")
    if left != change.expected:
        raise _overtaken(change, left, earlier)
    if change.kind == "promote":
        _check_thawed(connection, service)
    stopped = _stop_rollouts(connection, clock, change)
    move_pointer(connection, f"champion:{service}", change.to)
    carried = leave(connection, clock, service, left, change.to, change.by)
    restore(connection, clock, service, change.to, change.by)
    move = Move(
        id=Ids(clock).new("mv"),
        service=service,
        at_us=clock.now_us(),
        kind=change.kind,
        from_release=left,
        to_release=change.to,
        by=change.by,
        why=change.why,
        rollout=change.rollout,
        carried=carried,
    )
    back = way_back([move, *earlier])
    move_pointer(connection, f"last_good:{service}", back[0] if back else "")
    add_move(connection, move)
    detail = {"service": service, "from": left, "why": change.why, "rollout": change.rollout}
    facts = {key: value for key, value in detail.items() if value or key == "from"}
    facts |= {"stopped": stopped} if stopped else {}
    append_action(connection, clock, change.by, _ACTS[change.kind], change.to, facts)
    return move


def _overtaken(change: _Change, left: str, earlier: Sequence[Move]) -> Conflict:
    """Return what to say to the second of two who change the same."""
    last = earlier[0] if earlier and earlier[0].to_release == left else None
    who = ""
    if last is not None:
        at = datetime.fromtimestamp(last.at_us // MICRO, UTC)
        did = "promoted" if last.kind == "promote" else "went back to"
        who = f": `{last.by}` {did} it at {at:%Y-%m-%d %H:%M:%SZ}"
    expected = f"`{change.expected}`" if change.expected else "nothing"
    return Conflict(
        f"expected {expected} to serve `{change.service}`, got `{left}`{who}; nothing was changed: "
        "look at what serves now and decide again"
    )


def _check_thawed(connection: Connection, service: str) -> None:
    said = read_pointer(connection, f"freeze:{service}")
    if said:
        stop = _stop(said)
        because = f": {stop.reason}" if stop.reason else ""
        raise Conflict(
            f"`{service}` was frozen by `{stop.by}`{because}; "
            f"`roadworthy release unfreeze {service}` lets others serve, "
            "`roadworthy release rollback` goes back all the same"
        )


def _stop_rollouts(connection: Connection, clock: Clock, change: _Change) -> str:
    """End a rollout that this change overtakes, and return its id."""
    is_open = (rollouts.c.service == change.service, rollouts.c.state.in_(_OPEN))
    is_other = (*is_open, rollouts.c.id != change.rollout)
    id: str = connection.execute(select(rollouts.c.id).where(*is_other)).scalar() or ""
    if id:
        done = "promoted" if change.kind == "promote" else "went back to"
        values = {
            "state": "stopped",
            "ended_at_us": clock.now_us(),
            "why": f"`{change.by}` {done} `{change.to}`",
            "version": rollouts.c.version + 1,
        }
        connection.execute(update(rollouts).where(*is_other).values(**values))
        forget_units(connection, id)
    _clear(connection, change.service)
    return id


def _clear(connection: Connection, service: str) -> None:
    """Let nobody meet a candidate any more."""
    for name in (f"rollout:{service}", f"candidate:{service}"):
        if read_pointer(connection, name):
            move_pointer(connection, name, "")


def _set_rollouts(connection: Connection, service: str, of: str, to: str) -> None:
    is_it = (rollouts.c.service == service, rollouts.c.state == of)
    values = {"state": to, "version": rollouts.c.version + 1}
    connection.execute(update(rollouts).where(*is_it).values(**values))


def _split_of(connection: Connection, service: str) -> str:
    """Return how a rollout that runs splits traffic; empty where none does."""
    is_it = (rollouts.c.service == service, rollouts.c.state == "running")
    row = connection.execute(select(rollouts).where(*is_it)).first()
    if row is None:
        return ""
    split = Split(id=row.id, release=row.candidate, judge=row.judge, share=row.share)
    return msgspec.json.encode(split).decode()
