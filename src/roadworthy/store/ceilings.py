"""What happened to ceilings of money: they were reached, or a person raised them for now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, Engine, select

from ..errors import RequestError
from ..types import Clock
from .actions import append_action
from .periods import day_of, month_of
from .sequence import next_number
from .switchboard import Switchboard, move_pointer
from .tables import actions

Period = Literal["day", "month"]

SOFT = "budget.soft"
SPENT = "budget.spent"
RAISE = "budget.raise"
BY = "job:budgets"
MOST_MICRO = 10**15
_POINTER = "ceiling:"
_MOST_SCOPE = 300


class Raised(msgspec.Struct, frozen=True):
    """A ceiling that somebody raised until its day or month ends.

    Attributes:
        micro: What it is until then, in micro-dollars.
    """

    scope: str
    period: Period
    micro: int
    until_us: int
    by: str = ""
    reason: str = ""


def raise_ceiling(
    engine: Engine,
    clock: Clock,
    scope: str,
    period: Period,
    micro: int,
    *,
    by: str,
    reason: str = "",
) -> Raised:
    """Raise a ceiling until the present day or month (UTC) ends; every process follows.

    One that is not above what is declared changes nothing.

    Raises:
        RequestError: It is no scope or no amount.
    """
    if not scope or len(scope) > _MOST_SCOPE:
        raise RequestError(
            f"`scope`: expected one such as `service:reply`, got {len(scope)} characters",
            param="scope",
        )
    if not 0 < micro <= MOST_MICRO:
        raise RequestError(
            f"`usd`: expected above 0 and at most {MOST_MICRO // 10**6}", param="usd"
        )
    _, until_us = (day_of if period == "day" else month_of)(clock.now_us())
    raised = Raised(scope, period, micro, until_us, by, reason)
    with engine.begin() as connection:
        value = msgspec.json.encode(raised).decode()
        move_pointer(connection, f"{_POINTER}{period}:{scope}", value)
        detail = {"period": period, "micro": micro, "until_us": until_us, "reason": reason}
        append_action(connection, clock, by, RAISE, scope, detail)
    return raised


def raised_by(switchboard: Switchboard, now_us: int) -> Mapping[tuple[str, Period], Raised]:
    """Return the ceilings that are raised at a time."""
    values = switchboard.beginning_with(_POINTER)
    found = [msgspec.json.decode(value, type=Raised) for value in values if value]
    return {(each.scope, each.period): each for each in found if each.until_us > now_us}


def note_reached(
    engine: Engine,
    clock: Clock,
    scope: str,
    period: Period,
    starts_us: int,
    *,
    is_spent: bool,
    detail: Mapping[str, Any],
) -> bool:
    """Write into the audit chain that a ceiling was reached, once in its day or month.

    Returns:
        Whether it was not there yet: a process that starts again meets the ceiling again.
    """
    action = SPENT if is_spent else SOFT
    with engine.begin() as connection:
        next_number(connection, "ceilings")  # nobody else writes it in between
        if _is_noted(connection, action, scope, period, starts_us):
            return False
        facts = {**detail, "period": period, "starts_us": starts_us}
        append_action(connection, clock, BY, action, scope, facts)
    return True


def _is_noted(
    connection: Connection, action: str, scope: str, period: Period, starts_us: int
) -> bool:
    query = select(actions.c.detail).where(actions.c.action == action, actions.c.subject == scope)
    known = (msgspec.json.decode(text) for text in connection.execute(query).scalars())
    return any((each["period"], each["starts_us"]) == (period, starts_us) for each in known)
