from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine

from roadworthy.errors import Forbidden, RequestError
from roadworthy.store.actions import list_actions
from roadworthy.store.clock import micros_of, open_clock, set_clock, time_of
from roadworthy.store.state import open_state
from roadworthy.types import DAY_US

THEN = 15_800 * DAY_US


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_state(f"sqlite:///{tmp_path}/state.db")
    yield engine
    engine.dispose()


def test_a_clock_that_was_set_runs_on_and_is_opened_there_again(
    engine: Engine, tmp_path: Path
) -> None:
    clock = open_clock("settable", tmp_path)
    set_clock(engine, clock, THEN, by="ada")
    for opened in (clock, open_clock("settable", tmp_path)):
        assert THEN <= opened.now_us() < THEN + DAY_US


def test_who_set_the_clock_is_kept(engine: Engine, tmp_path: Path) -> None:
    set_clock(engine, open_clock("settable", tmp_path), THEN, by="ada")
    (act,) = list_actions(engine)
    assert (act.by, act.action, act.subject) == ("ada", "clock.set", "project.clock")
    assert act.detail == {"to": "2013-04-05T00:00:00Z"}


def test_the_machines_clock_cannot_be_set(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(Forbidden, match=r"`project\.clock`"):
        set_clock(engine, open_clock("system", tmp_path), THEN, by="ada")
    assert list_actions(engine) == []


@pytest.mark.parametrize(
    "text",
    ["1970-01-01T00:00:00+00:00", "2013-04-05T02:30:00.000001+02:00", "9998-12-31T23:59:59+00:00"],
)
def test_a_time_survives_the_way_in_and_out(text: str) -> None:
    time = datetime.fromisoformat(text)
    assert time_of(micros_of(time, "at")) == time


@pytest.mark.parametrize(
    "text",
    [
        "1969-12-31T23:59:59+00:00",
        "1970-01-01T00:00:00+00:01",
        "0001-01-01T00:00:00+14:00",
        "9999-01-01T00:00:00+00:00",
        "9999-12-31T23:59:59-14:00",
    ],
)
def test_a_time_far_from_now_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="at: expected a time in 1970-9998") as caught:
        micros_of(datetime.fromisoformat(text), "at")
    assert caught.value.param == "at"


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(RequestError, match="at: expected a time with its zone"):
        micros_of(datetime.fromisoformat("2013-04-05T00:00:00"), "at")
