"""What Home and the page of a service say of promises, money, data and causes."""

from __future__ import annotations

from typing import Any

import pytest
from past import remember

from browser import Browser
from control_plane import Plane
from roadworthy.types import MICRO, SettableClock

NOON_US = 1_364_817_600 * MICRO  # 1 April 2013


@pytest.fixture
def plane(plane: Plane) -> Plane:
    """A project whose clock stands at noon of a day of 2013."""
    clock = plane.project.clock
    assert isinstance(clock, SettableClock)
    clock.set(NOON_US)
    return plane


@pytest.fixture
def browser(plane: Plane) -> Browser:
    """Somebody with an admin key, logged in."""
    browser = Browser(plane)
    browser.log_in(plane.secret)
    return browser


def row(plane: Plane, name: str = "risk") -> Any:
    return next(r for r in plane.get("/api/home")["services"] if r["name"] == name)


def rewrite(plane: Plane, name: str, *changes: tuple[str, str]) -> None:
    """Change a service's file, and let the release that is built of it serve."""
    file = plane.project.folder / "services" / name / "service.toml"
    text = file.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    file.write_text(text)
    plane.project.promote(plane.project.build_release(name, by="test").id, by="test")
    plane.follow()


def test_a_small_ceiling_is_written_as_it_is_declared(plane: Plane, browser: Browser) -> None:
    ceilings = ("per_request_usd = 0.01", "per_request_usd = 0.0025")
    rewrite(plane, "reply", ceilings, ("per_day_usd = 5", "per_day_usd = 0.005"))
    spent: dict[str, Any] = {"service": "reply", "scopes": ("service:reply",)}
    remember(plane, 20, cost_micro=25, **spent)
    plane.serving.ledger._turn_to(NOON_US)
    browser.get("/")
    assert "$0.0005 of $0.005." in browser.text
    assert "ceiling $0.0025" in browser.text
    browser.get("/services/reply")
    assert "ceiling $0.005" in browser.text
    assert "<$0.01" not in browser.text
