"""Forgetting a user: what is personal goes, wherever it lies, and the chain says that it went."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Engine

from ..errors import RequestError
from ..types import Clock
from .actions import append_action
from .records import Forgotten, delete_user
from .spool import Spool


def forget_user(
    engine: Engine, clock: Clock, spool: Spool, drain: Callable[[], object], user: str, *, by: str
) -> Forgotten:
    """Delete what is personal in a user's records; what was counted and spent stays.

    Only the process that holds the project may: `spool` is its own, and `drain` stores all that
    waits there, so that nothing of the user's is left behind in it.

    Raises:
        RequestError: No user is named.
    """
    if not user.strip():
        raise RequestError("user: expected a name, got an empty one", param="user")
    spool.rotate()
    drain()
    gone = delete_user(engine, user)
    detail = {"records": gone.records, "bodies": gone.bodies, "outcomes": gone.outcomes}
    append_action(engine, clock, by, "records.delete", gone.pseudonym, detail)
    return gone
