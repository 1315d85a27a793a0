"""Pointers that every process follows within 100 ms: champions, kill switches, changed keys.

Each change advances one number, the epoch, in its own transaction. A process asks for that number
every 50 ms and reads the table only when it moved, so a change needs no message to reach anyone.

* `champion:<service>` is the release that serves, `last_good:<service>` the one that did before it,
  and `candidate:<service>` the one that is being judged.
* `rollout:<service>` is how the candidate meets live traffic, as JSON: see `rollouts.Split`.
* `freeze:<service>` says who lets nothing else serve for now, as JSON.
* `stop:<service>` and `stop:<service>/<part>`, a model or a certificate, say who stopped it, since
  when and why, as JSON; they are empty while it runs.
* `ask:<service>` likewise says who wants people to decide every answer.
* `automation:<service>` is what is certified for its answers, as JSON: see `review/desk.py`.
* `route:<service>` and `reuse:<service>` are what is certified of its cheaper models and of answers
  given again, as JSON: see `bounds/in_force.py`. `learned:<service>` is what predicts of models.
* `corrections:<service>` is the review that corrected an answer last.
* `calibration:<service>` is what makes a confidence of its scores.
* `scorer:<service>` is the score model that was fitted on its outcomes.
* `ceiling:<day or month>:<scope>` is what somebody raised a ceiling to, as JSON: see `ceilings`.
* `keys` is the key that was created or revoked last.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import msgspec
from sqlalchemy import Connection, Engine, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from ..errors import StoreError
from ..types import Clock
from .actions import append_action
from .sequence import last_number, next_number
from .tables import switchboard

EPOCH = "epoch"


class Stop(msgspec.Struct, frozen=True):
    """Who stopped a service or a model, since when (Unix microseconds), and why."""

    by: str
    since_us: int
    reason: str = ""


def move_pointer(connection: Connection, name: str, value: str) -> str:
    """Let `name` point at `value` as part of the caller's transaction and return what it left.

    Call it before anything is read there that the change builds on (see `sequence`).
    """
    epoch = next_number(connection, EPOCH)
    here = switchboard.c.name == name
    left = connection.execute(select(switchboard.c.value).where(here)).scalar()
    if left is None:
        row = {"name": name, "value": value, "epoch": epoch}
        connection.execute(insert(switchboard).values(row))
        return ""
    connection.execute(update(switchboard).where(here).values(value=value, epoch=epoch))
    return str(left)


def hold_pointers(connection: Connection) -> None:
    """Let nobody else move a pointer before the caller's transaction ends.

    Call it before pointers are read that the change builds on. Every process reads the pointers
    once more for it, whether or not one moved.
    """
    next_number(connection, EPOCH)


def read_pointer(connection: Connection, name: str) -> str:
    """Return what `name` points at, as a transaction sees it, or an empty string."""
    here = switchboard.c.name == name
    return connection.execute(select(switchboard.c.value).where(here)).scalar() or ""


def is_serving(connection: Connection, service: str, release: str) -> bool:
    """Whether no other release than this serves, as a transaction sees it."""
    return read_pointer(connection, f"champion:{service}") in ("", release)


class Switchboard:
    """This process's view of the pointers, as fresh as its last `poll`.

    Reading a pointer is a look into a dictionary. What this process sets itself it also sees only
    at its next `poll`, so that one place learns of every change, whoever made it.

    Attributes:
        trouble: Why the last poll could not read the store; empty when it could. Until it can
            again, the pointers stay as they were.
    """

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self.trouble = ""
        self._engine = engine
        self._clock = clock
        self._epoch = -1
        self._values: dict[str, str] = {}
        self._epochs: dict[str, int] = {}
        self._stops: dict[str, Stop] = {}
        self._direct = _open_direct(engine)
        self._read_epoch = _epoch_reader(engine, self._direct)
        self.poll()
        if self.trouble:
            self.close()
            raise StoreError(f"the switchboard cannot be read: {self.trouble}")

    def poll(self) -> bool:
        """Say whether anything changed since the last poll, and read it if so.

        It costs about 5 us on SQLite when nothing changed; call it from one place, every 50 ms.
        """
        try:
            epoch = self._read_epoch()
            has_moved = epoch != self._epoch
            if has_moved:
                self._load()
        except (sqlite3.Error, SQLAlchemyError, StoreError) as error:
            self.trouble = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
            return False
        self.trouble = ""
        self._epoch = epoch
        return has_moved

    def get(self, name: str) -> str:
        """Return what `name` points at, or an empty string."""
        return self._values.get(name, "")

    def beginning_with(self, prefix: str) -> list[str]:
        """Return what all pointers point at whose names begin with `prefix`."""
        return [value for name, value in self._values.items() if name.startswith(prefix)]

    def epoch_of(self, name: str) -> int:
        """Return the epoch at which `name` changed last, or 0: has it moved since you looked?"""
        return self._epochs.get(name, 0)

    def stopped(self, service: str, model: str = "") -> Stop | None:
        """Return who stopped `service`, or this one model or certificate of it, if anyone did."""
        return self._stops.get(_stop_name(service, model))

    def set(self, name: str, value: str, *, by: str) -> None:
        """Let `name` point at `value` for every process, and write down who moved it."""
        self._move(name, value, by, "switchboard.set")

    def stop(self, service: str, model: str = "", *, by: str, reason: str = "") -> None:
        """Stop a service, or one model of it, in every process."""
        stop = Stop(by, self._clock.now_us(), reason)
        value = msgspec.json.encode(stop).decode()
        self._move(_stop_name(service, model), value, by, "service.stop", reason)

    def resume(self, service: str, model: str = "", *, by: str, reason: str = "") -> None:
        """Let a service or a model that was stopped answer again."""
        self._move(_stop_name(service, model), "", by, "service.resume", reason)

    def asked(self, service: str) -> Stop | None:
        """Return who wants people to decide every answer of `service`, if anyone does."""
        return self._stops.get(f"ask:{service}")

    def ask_people(self, service: str, *, by: str, reason: str = "") -> None:
        """Let people decide every answer of a service, in every process."""
        value = msgspec.json.encode(Stop(by, self._clock.now_us(), reason)).decode()
        self._move(f"ask:{service}", value, by, "review.ask_all", reason)

    def trust_again(self, service: str, *, by: str, reason: str = "") -> None:
        """Let a service answer alone again, as far as it is certified."""
        self._move(f"ask:{service}", "", by, "review.trust_again", reason)

    def close(self) -> None:
        """Close the connection it polls on."""
        if self._direct is not None:
            self._direct.close()

    def _move(self, name: str, value: str, by: str, action: str, reason: str = "") -> None:
        with self._engine.begin() as connection:
            left = move_pointer(connection, name, value)
            detail = {"from": left, "to": value, "reason": reason}
            append_action(connection, self._clock, by, action, name, detail)

    def _load(self) -> None:
        with self._engine.connect() as connection:
            rows = connection.execute(select(switchboard)).all()
        self._values = {row.name: row.value for row in rows}
        self._epochs = {row.name: row.epoch for row in rows}
        self._stops = {
            name: _read_stop(value)
            for name, value in self._values.items()
            if value and name.startswith(("stop:", "ask:"))
        }


def certificate_stop(service: str, certificate: str) -> str:
    """Return the name of the pointer by which a person stops one certificate."""
    return _stop_name(service, certificate)


def _stop_name(service: str, model: str) -> str:
    return f"stop:{service}/{model}" if model else f"stop:{service}"


def _read_stop(value: str) -> Stop:
    try:
        return msgspec.json.decode(value, type=Stop)
    except msgspec.MsgspecError:
        # Whatever was written there, somebody meant to stop it.
        return Stop("", 0, value)


def _open_direct(engine: Engine) -> sqlite3.Connection | None:
    """Return a driver connection of our own to the SQLite file, if the store is one.

    Through SQLAlchemy one read costs 28 us instead of 5. It never waits for a lock: it runs in the
    event loop, and the next poll is 50 ms away.
    """
    path = engine.url.database
    if engine.dialect.name != "sqlite" or not path or path == ":memory:":
        return None
    address = f"{Path(path).absolute().as_uri()}?mode=rw"
    try:
        return sqlite3.connect(
            address, uri=True, timeout=0, isolation_level=None, check_same_thread=False
        )
    except sqlite3.Error as error:
        raise StoreError(f"the switchboard cannot be read: {path}: {error}") from error


def _epoch_reader(engine: Engine, direct: sqlite3.Connection | None) -> Callable[[], int]:
    if direct is None:
        return lambda: last_number(engine, EPOCH)
    # A read by primary key costs as little as `PRAGMA data_version`, which every record would move.
    query = f"SELECT epoch FROM switchboard WHERE name = '{EPOCH}'"  # noqa: S608 - a constant

    def read() -> int:
        row = direct.execute(query).fetchone()
        return row[0] if row else 0

    return read
