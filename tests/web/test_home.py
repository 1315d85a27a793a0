"""What Home and the page of a service say of promises, money, data and causes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from past import remember

from browser import Browser
from control_plane import Plane, served
from roadworthy.types import DAY_US, HOUR_US, MICRO, Attempt, Verdict
from roadworthy.web.causes import MOST_LOOKED_AT

NOON_US = 1_364_817_600 * MICRO  # 1 April 2013


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    """A project that was opened at noon of a day of 2013.

    Its clock is set before: a job that began in another year would drop what is remembered of this.
    """
    clock = tmp_path / ".roadworthy" / "clock"
    clock.parent.mkdir()
    clock.write_text(str(NOON_US - time.time_ns() // 1000))
    with served(tmp_path) as plane:
        yield plane


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
    assert "Over 500 ms 24 h" in browser.text
    assert "Availability 30 days" in browser.text
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


GENERATED: dict[str, Any] = {"service": "reply", "kind": "generate"}
NO_PAGE: dict[str, Any] = {
    **GENERATED,
    "disposition": "fallback",
    "model": "static:1",
    "reasons": ("no_passages: no passage is near enough to the question",),
    "attempts": (Attempt("static:1", "ok", 1),),
}
KEPT_BACK: dict[str, Any] = {
    **GENERATED,
    "disposition": "fallback",
    "model": "static:1",
    "reasons": ("all_models_failed: no model gave an answer",),
    "attempts": (
        Attempt("script", "rejected", 500_000, None, 925, "rates"),
        Attempt("static:1", "ok", 40),
    ),
    "verdicts": (Verdict("grounded", "output", "deny", "not supported"),),
    "latency_us": 501_000,
    "cost_micro": 925,
}


def remember_fallbacks(plane: Plane) -> None:
    shown = (Attempt("script", "ok", 300_000, None, 400, "rates"),)
    remember(plane, 21, **GENERATED, model="script", attempts=shown, latency_us=301_000)
    remember(plane, 12, **NO_PAGE)
    remember(plane, 9, **KEPT_BACK)


def test_home_says_why_requests_got_the_fallback(plane: Plane, browser: Browser) -> None:
    remember_fallbacks(plane)
    found = row(plane, "reply")["fallen_back"]
    assert found["says"] == (
        "21 of 42 requests got the fallback: 12 found no page and 9 were kept back by `grounded`."
    )
    assert found["link"] == "/requests?service=reply&disposition=fallback"
    assert row(plane)["fallen_back"] is None
    browser.get("/")
    assert "Fallback 21 of 42 requests got the fallback" in browser.text
    assert browser.get(found["link"]).status == 200


def test_causes_are_of_the_newest_requests_where_there_are_many(plane: Plane) -> None:
    remember(plane, 8, **KEPT_BACK)
    remember(plane, MOST_LOOKED_AT - 1, **NO_PAGE)
    found = row(plane, "reply")["fallen_back"]
    assert sum(cause["requests"] for cause in found["causes"]) == MOST_LOOKED_AT
    assert f"207 requests got the fallback: of the newest {MOST_LOOKED_AT}, 199" in found["says"]


def test_what_became_of_requests_says_why(plane: Plane, browser: Browser) -> None:
    remember_fallbacks(plane)
    turned = (Verdict("scope", "input", "deny", "not ours"),)
    remember(
        plane,
        1,
        **GENERATED,
        disposition="refused",
        error_code="guard_denied",
        model="",
        verdicts=turned,
    )
    why = {
        end["disposition"]: end["why"] for end in plane.get("/api/services/reply/page")["endings"]
    }
    assert why == {
        "answered": "A model answered.",
        "fallback": "12 found no page and 9 were kept back by `grounded`.",
        "refused": "1 was turned away by `scope`.",
    }
    browser.get("/services/reply")
    assert "12 found no page and 9 were kept back by grounded." in browser.text


def test_time_and_money_of_a_try_are_its_models_own(plane: Plane, browser: Browser) -> None:
    remember_fallbacks(plane)
    page = plane.get("/api/services/reply/page")
    models = {model["name"]: model for model in page["models"]}
    script, rung = models["script"], models["static:1"]
    assert page["looked_at"] == 42
    assert (script["asked"], script["shown"], script["kept_back"]) == (30, 21, 9)
    assert (script["p95_ms"], script["mean_usd"]) == (500.0, pytest.approx(557.5e-6))
    assert (rung["asked"], rung["shown"], rung["kept_back"]) == (21, 21, 0)
    assert (rung["p95_ms"], rung["mean_usd"]) == (0.04, 0.0)
    assert (script["place"], script["prices"]) == ("in this process", "declared")
    browser.get("/services/reply")
    assert "in the newest 42 requests of the last 24 h" in browser.text
    assert "at prices of roadworthy.toml" in browser.text


def test_a_model_that_was_not_asked_has_no_tries(plane: Plane) -> None:
    skipped = (Attempt("script", "stopped", 0), Attempt("static:1", "ok", 40))
    remember(plane, 3, **(NO_PAGE | {"attempts": skipped}))
    script = plane.get("/api/services/reply/page")["models"][0]
    assert (script["asked"], script["p95_ms"], script["mean_usd"]) == (0, None, None)


def test_home_leads_to_the_newest_request_of_each_kind(plane: Plane, browser: Browser) -> None:
    assert plane.get("/api/home")["examples"] == []
    remember_fallbacks(plane)
    examples = plane.get("/api/home")["examples"]
    assert [(example["kind"], example["says"]) for example in examples] == [
        ("answered", "reply answered in 301 ms with script."),
        ("fallback", "reply fell back to static:1: no passage is near enough to the question."),
        (
            "kept_back",
            "reply asked script, whose answer was kept back by `grounded`; static:1 answered.",
        ),
    ]
    browser.get("/")
    assert "Look at one" in browser.text
    for example in examples:
        assert browser.get(example["link"]).status == 200


def test_a_key_is_shown_requests_of_its_services_alone(plane: Plane) -> None:
    remember_fallbacks(plane)
    _, secret = plane.make_key("read", services=["risk"])
    assert plane.get("/api/home", key=secret)["examples"] == []


def test_fallback_is_no_neighbour_in_blue(plane: Plane, browser: Browser) -> None:
    remember_fallbacks(plane)
    browser.get("/services/reply")
    shares = browser.page.partition('class="shares"')[2].partition("</svg>")[0]
    assert shares.count('class="s1"') == shares.count('class="s4"') == 1
