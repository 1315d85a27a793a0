"""How models are chosen, what each got, and what that saves: in the page and its twin."""

from __future__ import annotations

from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest
from routing_stage import LARGE, SMALL, served_routes
from visitor import Visitor

from control_plane import Plane
from routed import certify, cheaper, put_in_force


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """A project whose services route; tests put back what they move."""
    with served_routes(tmp_path_factory.mktemp("routes")) as plane:
        yield plane


@pytest.fixture
def visitor(stage: Plane) -> Visitor:
    return Visitor(stage, stage.secret)


def twin_of(stage: Plane, name: str) -> dict[str, Any]:
    found: dict[str, Any] = stage.get(f"/api/services/{name}/routing")
    return found


def test_a_bet_shows_its_curve_with_the_certified_point(stage: Plane, visitor: Visitor) -> None:
    shown, twin = visitor.see("/services/cascade/routing"), twin_of(stage, "cascade")
    assert unescape(shown.headline) == twin["says"]
    assert twin["says"] == "Cheaper models answer 20.0% of the requests, within their bound."
    assert (twin["standing"], twin["threshold"], twin["certificate"]) == ("certified", 0.8, "ct_1")
    assert not shown.unclosed
    assert "Certified: " in shown.words
    assert "promise: at most 10%" in shown.words
    assert shown.source.count('<figure class="chart">') == 2
    assert len(shown.source) < 60_000


def test_the_curve_says_quality_share_and_cost_of_each_threshold(stage: Plane) -> None:
    curve = twin_of(stage, "cascade")["curve"]
    assert curve[0]["cheaper"] == 0
    assert curve[0]["quality"] == 1
    assert curve[0]["usd"] == pytest.approx(2.0, abs=0.01), "the strongest answers all"
    assert [p["threshold"] for p in curve] == sorted((p["threshold"] for p in curve), reverse=True)
    half = min(curve, key=lambda p: abs(p["cheaper"] - 0.5))
    assert half["quality"] == pytest.approx(1, abs=0.02)
    last = curve[-1]
    assert last["cheaper"] == 1
    assert last["quality"] == pytest.approx(1 - 25 / 200, abs=0.02)
    assert last["low"] < last["quality"] < last["high"]
    assert last["usd"] == pytest.approx(0.1, abs=0.01)


def test_what_is_saved_is_against_the_strongest_for_all(stage: Plane) -> None:
    twin = twin_of(stage, "cascade")
    counts = {row["model"]: row["requests"] for row in twin["models"]}
    assert sum(counts.values()) == 50
    escalated = 20 - counts["small"]
    spent = 30 * LARGE + 20 * SMALL + escalated * LARGE
    assert twin["spent_usd"] == pytest.approx(spent / 1e6)
    assert twin["strongest_usd"] == pytest.approx(50 * LARGE / 1e6)
    assert twin["saved_usd"] == pytest.approx((50 * LARGE - spent) / 1e6)
    assert sum(sum(day["requests"]) for day in twin["days"]) == 50


def test_why_each_was_asked_first_is_counted(stage: Plane) -> None:
    rows = {row["route"]: row for row in twin_of(stage, "cascade")["routes"]}
    assert rows["nothing is certified yet"]["requests"] == 30
    assert rows["score is certified"]["answered"] == 10
    rows = {row["route"]: row for row in twin_of(stage, "rules")["routes"]}
    assert {(row["choice"], row["requests"]) for row in rows.values()} == {
        ("large", 2),
        ("small", 1),
    }


def test_before_there_is_evidence_it_says_what_will_be_shown(
    stage: Plane, visitor: Visitor
) -> None:
    shown, twin = visitor.see("/services/new/routing"), twin_of(stage, "new")
    assert twin["standing"] == "collecting"
    assert shown.headline.endswith("answers everything until cheaper models are certified.")
    assert "No question was answered by both sides yet; 1% of the requests are asked" in shown.words
    assert "No curve yet." in shown.words
    assert "has answered nothing in the last 30 days." in shown.words
    assert not shown.unclosed


def test_a_person_s_stop_is_said_first(stage: Plane) -> None:
    router = cheaper(stage.project, "cascade")
    before = router.within
    certify(stage.project, 0.8, "cascade", is_stopped=True)
    try:
        twin = twin_of(stage, "cascade")
    finally:
        put_in_force(stage.project, before, "cascade")
    assert (twin["standing"], twin["state"]) == ("off", "off")
    assert twin["says"] == "Cheaper models are off: `large` answers everything."


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("rules", "Rules choose the model that is asked first."),
        ("plain", "Models are asked in the order of the file."),
    ],
)
def test_what_bets_nothing_promises_nothing(
    stage: Plane, visitor: Visitor, name: str, says: str
) -> None:
    shown, twin = visitor.see(f"/services/{name}/routing"), twin_of(stage, name)
    assert (shown.headline, twin["standing"], twin["curve"]) == (says, "none", [])
    assert "certified" not in shown.words
    assert not shown.unclosed


def test_the_page_of_the_service_leads_to_it(visitor: Visitor) -> None:
    assert "/services/cascade/routing" in visitor.see("/services/cascade").links
