"""Ceilings that were reached are told once, and those that a person raised are known to all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Engine

from roadworthy.errors import RequestError
from roadworthy.store.acts_told import tell_acts
from roadworthy.store.ceilings import Period, note_reached, raise_ceiling, raised_by
from roadworthy.store.deliveries import list_deliveries
from roadworthy.store.state import open_state
from roadworthy.store.switchboard import Switchboard
from roadworthy.types import DAY_US

NOON_US = 20_000 * DAY_US + DAY_US // 2


class FixedClock:
    us = NOON_US

    def now_us(self) -> int:
        return self.us

    def monotonic(self) -> float:
        return 0.0


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_state(f"sqlite:///{tmp_path / 'state.db'}")
    yield engine
    engine.dispose()


def note(engine: Engine, scope: str = "service:reply", period: Period = "day", **more: int) -> bool:
    starts_us = more.get("starts_us", NOON_US - DAY_US // 2)
    detail = {
        "service": scope.removeprefix("service:") if scope.startswith("service:") else "",
        "spent_micro": 80,
        "ceiling_micro": 100,
        "key": "cost.per_day_usd",
    }
    is_spent = bool(more.get("is_spent", 0))
    return note_reached(
        engine, FixedClock(), scope, period, starts_us, is_spent=is_spent, detail=detail
    )


def test_a_ceiling_is_noted_once_in_its_period(engine: Engine) -> None:
    assert note(engine)
    assert not note(engine)
    assert note(engine, is_spent=1)
    assert note(engine, period="month")
    assert note(engine, starts_us=NOON_US + DAY_US // 2)
    assert note(engine, "service:chat")


def test_webhooks_hear_whose_ceiling_it_is_and_how_far_it_is_spent(engine: Engine) -> None:
    clock = FixedClock()
    tell_acts(engine, clock, "ops", ("budget.soft",))
    note(engine)
    note(engine, "team:care")
    assert tell_acts(engine, clock, "ops", ("budget.soft",)) == 2
    told = {one.subject: msgspec.json.decode(one.body) for one in list_deliveries(engine, "ops")}
    assert set(told) == {"reply", "team:care"}
    assert told["team:care"] == {
        "service": "",
        "period": "day",
        "spent_micro": 80,
        "ceiling_micro": 100,
        "key": "cost.per_day_usd",
        "scope": "team:care",
        "link": "/budgets",
        "by": "job:budgets",
    }


def test_what_was_raised_is_known_until_its_period_ends(engine: Engine) -> None:
    clock = FixedClock()
    raised = raise_ceiling(engine, clock, "service:reply", "month", 500, by="cli:ana")
    board = Switchboard(engine, clock)
    assert raised_by(board, NOON_US) == {("service:reply", "month"): raised}
    assert raised_by(board, raised.until_us) == {}
    again = raise_ceiling(engine, clock, "service:reply", "month", 700, by="cli:ana")
    board.poll()
    assert raised_by(board, NOON_US) == {("service:reply", "month"): again}
    board.close()


@pytest.mark.parametrize(("scope", "micro"), [("", 5), ("x" * 301, 5), ("a", 0), ("a", 10**16)])
def test_what_is_no_scope_or_amount_raises_nothing(engine: Engine, scope: str, micro: int) -> None:
    with pytest.raises(RequestError):
        raise_ceiling(engine, FixedClock(), scope, "day", micro, by="cli:ana")
