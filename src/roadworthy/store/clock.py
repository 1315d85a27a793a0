"""The project's clock: opened, set by a person; and how people write the times it gives.

Inside, times are Unix microseconds; people and programs outside write ISO 8601 with a zone.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import msgspec
from sqlalchemy import Engine

from ..errors import Forbidden, RequestError
from ..types import Clock, SettableClock, SystemClock
from .actions import append_action

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_END = datetime(9999, 1, 1, tzinfo=UTC)  # later times cannot be written in every zone


def time_of(us: int) -> datetime:
    """Return Unix microseconds as a time in UTC."""
    return EPOCH + timedelta(microseconds=us)


def micros_of(time: datetime, param: str) -> int:
    """Return a time in Unix microseconds.

    Raises:
        RequestError: It has no zone or lies outside 1970-9998; `param` says where it was given.
    """
    if time.tzinfo is None:
        raise RequestError(f"{param}: expected a time with its zone, got one without", param=param)
    if not EPOCH <= time < _END:
        raise RequestError(f"{param}: expected a time in 1970-9998, got another", param=param)
    return (time - EPOCH) // timedelta(microseconds=1)


def open_clock(kind: Literal["system", "settable"], folder: Path) -> Clock:
    """Open the clock of the project in `folder`; one that was set goes on from there.

    Else a replay of 2013 would be over ten years old after a restart, and retention would drop it.
    """
    if kind == "system":
        return SystemClock()
    path = folder / ".roadworthy" / "clock"

    def remember(offset_us: int) -> None:
        path.parent.mkdir(exist_ok=True)
        draft = path.with_suffix(".draft")
        draft.write_text(str(offset_us))
        draft.replace(path)

    return SettableClock(int(path.read_text()) if path.exists() else 0, remember)


def set_clock(engine: Engine, clock: Clock, now_us: int, *, by: str) -> None:
    """Set the project's time, which then runs on.

    Raises:
        Forbidden: The project goes by the machine's clock.
    """
    if not isinstance(clock, SettableClock):
        raise Forbidden(
            "the clock of this project is the machine's; set `project.clock` to `settable` in "
            "roadworthy.toml and start again"
        )
    detail = {"to": msgspec.to_builtins(time_of(now_us))}
    append_action(engine, clock, by, "clock.set", "project.clock", detail)
    clock.set(now_us)
