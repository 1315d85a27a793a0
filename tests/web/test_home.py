"""What Home and the page of a service say of promises, money, data and causes."""

from __future__ import annotations

from typing import Any

import pytest
from past import remember

from browser import Browser
from control_plane import Plane
from roadworthy.types import DAY_US, HOUR_US, MICRO, SettableClock

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


def promise_of(plane: Plane, key: str) -> Any:
    return next(p for p in row(plane)["promises"] if p["key"] == f"objectives.{key}")


def test_availability_is_of_thirty_days_and_latency_of_one(plane: Plane, browser: Browser) -> None:
    for days in (29, 13, 1):
        remember(plane, 150, at_us=NOON_US - days * DAY_US)
    remember(plane, 30)
    late, kept = promise_of(plane, "latency_p95_ms"), promise_of(plane, "availability")
    assert (late["n"], late["window"]) == (180, "24 h")
    assert (kept["n"], kept["n_24h"], kept["window"]) == (480, 180, "30 days")
    assert kept["since"].startswith("2013-03-03")
    assert (kept["state"], kept["is_proven"]) == ("healthy", True)
    browser.get("/")
    assert "n 180 in 24 h" in browser.text
    assert "n 480 in 30 days" in browser.text
    browser.get("/services/risk")
    assert "share not failed, last 30 days" in browser.text


def test_what_nothing_speaks_against_is_healthy_so_far_and_says_what_proves_it(
    plane: Plane, browser: Browser
) -> None:
    remember(plane, 100, at_us=NOON_US - 13 * DAY_US + HOUR_US)
    remember(plane, 150)
    home = row(plane)
    assert (home["state"], home["is_proven"]) == ("healthy", False)
    assert home["says"] == [
        "None of 250 requests in 13 days failed; 99% is proven from 381 on.",
    ]
    browser.get("/")
    assert browser.heading.startswith("Every promise is kept so far.")
    assert "Healthy so far None of 250 requests" in browser.text
    browser.get("/services/risk")
    assert browser.heading == "risk keeps every promise so far."
    remember(plane, 131)
    assert row(plane)["says"] == ["Every promise is kept."]
    browser.get("/")
    assert browser.heading.startswith("Every promise is kept. ")


def test_a_promise_collects_below_twenty_requests_only(plane: Plane) -> None:
    remember(plane, 19)
    assert [(p["state"], p["missing"]) for p in row(plane)["promises"]] == [("collecting", 1)] * 2
    assert row(plane)["says"] == ["Nothing is wrong so far; 1 more request is needed to say."]
    remember(plane, 1)
    assert [(p["state"], p["missing"]) for p in row(plane)["promises"]] == [("healthy", 0)] * 2
    assert row(plane)["says"] == [
        "None of 20 requests in 24 h was slower than 500 ms; the promise is proven from 73 on.",
        "None of 20 requests in 24 h failed; 99% is proven from 381 on.",
    ]


def test_a_failure_that_the_promise_allows_proves_nothing_yet(plane: Plane) -> None:
    remember(plane, 199)
    remember(plane, 1, disposition="failed")
    assert row(plane)["says"] == [
        "1 of 200 requests in 24 h failed; the promise allows that, and it is not proven yet.",
    ]


def test_a_bad_day_of_a_good_month_puts_availability_at_risk(plane: Plane) -> None:
    remember(plane, 5000, at_us=NOON_US - 9 * DAY_US)
    remember(plane, 180, at_us=NOON_US - HOUR_US)
    remember(plane, 20, at_us=NOON_US - HOUR_US, disposition="failed")
    kept = promise_of(plane, "availability")
    assert (kept["state"], kept["is_proven"]) == ("at_risk", True)
    assert row(plane)["says"] == [
        "Failing too often since 11:00: 20 of 200 requests in 24 h failed."
    ]


def test_changes_that_a_candidate_holds_need_no_release(plane: Plane, browser: Browser) -> None:
    clock = plane.project.clock
    assert isinstance(clock, SettableClock)
    clock.set(4_102_488_000 * MICRO)  # 2100: what is built now is newer than what serves
    first = plane.serving.engine.releases["risk"].id
    rewrite(plane, "risk", ("20.0", "21.0"))
    plane.project.promote(first, by="ada")
    plane.follow()
    home = row(plane)
    assert home["ship"]["candidate"]["release"] != first
    assert (home["ship"]["is_folder"], home["todos"]) == (True, [])
    browser.get("/services/risk")
    assert "The candidate is what its folder holds now: service.toml changed." in browser.text
    assert "roadworthy release build" not in browser.text
    file = plane.project.folder / "services" / "risk" / "service.toml"
    file.write_text(file.read_text().replace("21.0", "22.0"))
    assert row(plane)["ship"]["is_folder"] is False
    assert row(plane)["todos"][0]["says"] == "Release the changes in its folder, or undo them."
