"""Providers that go away and come back: acts in the log, notices to webhooks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from roadworthy.app.outages import Outages
from roadworthy.declare.events import EVENTS
from roadworthy.declare.project import Provider
from roadworthy.serve.breaker import Health
from roadworthy.serve.upstreams import Upstreams
from roadworthy.store.actions import list_actions
from roadworthy.store.acts_told import tell_acts
from roadworthy.store.deliveries import list_deliveries
from roadworthy.store.state import open_state
from roadworthy.types import SystemClock

OPENAI = Provider(kind="openai", base_url="https://api.example.com/v1")
NOW = 1_000.0


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Engine]:
    engine = open_state(f"sqlite:///{tmp_path}/state.db")
    yield engine
    engine.dispose()


class Watched:
    """One model of one provider, and what is told of it at a time that a test sets."""

    def __init__(self, state: Engine) -> None:
        self.now = NOW
        upstreams = Upstreams()
        health = upstreams.health_of("openai", OPENAI, "gpt", "key")
        assert health is not None
        self.health: Health = health
        self.state = state
        self.outages = Outages(upstreams, state, SystemClock(), lambda: self.now)

    def acts(self) -> list[tuple[str, str]]:
        found = list_actions(self.state)
        return [(act.action, act.subject) for act in reversed(found)]


def test_an_outage_is_told_once_when_it_begins_and_once_when_it_ends(state: Engine) -> None:
    one = Watched(state)
    tell_acts(state, SystemClock(), "ops", EVENTS)
    one.health.failed("no_credit", NOW)
    one.now += 1
    for _ in range(3):
        one.outages.tell()
    down = ("provider.down", "openai/gpt")
    assert one.acts() == [down]
    (act,) = list_actions(state)
    assert act.by == "job:providers"
    assert act.detail["cause"] == "no_credit"
    assert "paid first" in act.detail["why"]
    assert act.detail["again_in_s"] == 3_599

    one.now = NOW + 3_600
    assert one.health.enter(one.now)
    one.health.answered(0.1, one.now, is_probe=True)
    one.outages.tell()
    one.outages.tell()
    assert one.acts() == [down, ("provider.up", "openai/gpt")]
    assert list_actions(state)[0].detail == {"down_for_s": 3_600}

    assert tell_acts(state, SystemClock(), "ops", EVENTS) == 2
    up, told = list_deliveries(state, "ops")
    assert (told.event, told.subject) == ("provider.down", "openai/gpt")
    assert '"link":"/providers"' in told.body
    assert '"provider":"openai","model":"gpt"' in told.body
    assert up.event == "provider.up"


def test_a_short_rate_limit_is_no_outage_and_one_that_goes_on_is(state: Engine) -> None:
    one = Watched(state)
    one.health.failed("rate_limit", one.now, advised_s=2)
    one.outages.tell()
    assert one.acts() == []
    for _ in range(5):
        one.now += one.health.for_s(one.now)
        assert one.health.enter(one.now)
        one.health.failed("rate_limit", one.now, advised_s=2, is_probe=True)
        one.outages.tell()
    assert one.acts() == [("provider.down", "openai/gpt")]


def test_another_key_is_another_upstream() -> None:
    upstreams = Upstreams()
    old = upstreams.health_of("openai", OPENAI, "gpt", "old key")
    assert old is not None
    old.failed("auth", NOW)
    new = upstreams.health_of("openai", OPENAI, "gpt", "new key")
    assert new is not None
    assert new.is_closed
    assert upstreams.health_of("openai", OPENAI, "gpt", "new key") is new
    assert [standing.state for standing in upstreams.standings(NOW)] == ["closed"]
    assert upstreams.health_of("local", Provider(kind="builtin"), "x", "") is None
