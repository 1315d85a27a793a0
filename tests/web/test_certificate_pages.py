"""What is certified, and the evidence for and against it: in pages and their twins."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from review_stage import NOW_US, a_late, certify, served_reviews, store
from visitor import Visitor

from control_plane import Plane
from roadworthy.store.actions import list_actions
from roadworthy.store.certificates import certificate_in_force
from roadworthy.types import DAY_US
from roadworthy.web import numbers


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """A project of which one service is certified and one is not; tests put back what they move."""
    folder = tmp_path_factory.mktemp("certified")
    with served_reviews(folder, NOW_US - 34 * DAY_US) as plane:
        certify(plane)
        yield plane


@pytest.fixture
def visitor(stage: Plane) -> Visitor:
    return Visitor(stage, stage.secret)


def test_the_list_says_what_is_certified_and_what_is_missing(
    stage: Plane, visitor: Visitor
) -> None:
    shown, twin = visitor.see("/certificates"), stage.get("/api/certificates")
    assert shown.headline == "One automatic decision is certified and one still collects evidence."
    assert unescape(shown.headline) == twin["says"]
    for row in twin["rows"]:
        assert numbers.promised(row["max_error"]) in shown.words
        if row["needed"] is not None:
            assert f"{numbers.count(row['needed'])} outcomes missing" in shown.words
    states = {row["service"]: row["standing"] for row in twin["rows"]}
    assert states == {"chat": "collecting", "late": "certified"}
    assert "Without a bound: plain." in shown.words


def test_a_certificate_says_its_promise_and_stands_beside_its_evidence(
    stage: Plane, visitor: Visitor
) -> None:
    held = certificate_in_force(stage.project.state, "late")
    assert held is not None
    shown, twin = visitor.see(f"/certificates/{held.id}"), stage.get(f"/api/certificates/{held.id}")
    assert shown.headline == "Of the answers given alone, at most 10% are wrong."
    assert f"n {numbers.count(held.n)} users, {held.wrong} wrong" in shown.words
    assert f"Thresholds from {held.threshold:.2f} up keep the promise." in shown.words
    assert "10% allows" in shown.words
    assert "A doubled error shows after about" in shown.words
    assert held.release in shown.words
    assert held.id in shown.words
    assert "own" in shown.words
    assert len(re.findall(r'<figure class="chart">', shown.source)) == 3
    assert len(shown.source) < 60_000
    certified = next(p for p in twin["curve"] if p["threshold"] == held.threshold)
    assert (certified["n"], certified["wrong"]) == (held.n, held.wrong)
    assert twin["naive"] <= held.threshold <= twin["start"]
    assert [point["audits"] for point in twin["audit"]][-1] == twin["row"]["audits"]
    shares = [point["now"] for point in twin["power"] if point["now"] is not None]
    assert shares == sorted(shares)
    for point in twin["power"]:
        assert (point["more"] or 0) >= (point["now"] or 0)


def test_a_decision_is_found_by_its_service_too(visitor: Visitor) -> None:
    assert visitor.see("/certificates/late").headline.startswith("Of the answers given alone")
    collecting = visitor.see("/certificates/chat")
    assert "more labelled outcomes are needed, one of each user." in collecting.headline
    assert "There is no evidence yet." in collecting.words
    assert visitor.see("/certificates/plain").status == 404
    assert visitor.see("/certificates/ct_nothing").headline == "There is no such certificate."


@pytest.mark.parametrize(
    ("lever", "back", "says"),
    [("stop", "resume", "its certificate is stopped"), ("ask", "trust", "people are asked of")],
)
def test_a_lever_switches_off_with_a_reason_and_a_click_takes_it_back(
    stage: Plane, visitor: Visitor, lever: str, back: str, says: str
) -> None:
    visitor.see("/certificates/late")
    assert visitor.send(f"/certificates/late/{lever}", reason="odd answers").status == 303
    off = visitor.see("/certificates/late")
    assert off.headline.startswith("Off since 14:3")
    assert says in off.headline
    assert f"Switched off by key:{stage.admin.id}: odd answers." in off.words
    assert off.having("form", action=f"/certificates/late/{back}")
    row = next(r for r in stage.get("/api/certificates")["rows"] if r["service"] == "late")
    assert row["standing"] == "off"
    done = list_actions(stage.project.state, limit=1)[0]
    assert (done.by, done.detail["reason"]) == (f"key:{stage.admin.id}", "odd answers")
    assert "Find out why it is switched off." in visitor.see("/").words
    assert visitor.send(f"/certificates/late/{back}").status == 303
    assert visitor.see("/certificates/late").headline.startswith("Of the answers")


def test_a_lever_needs_a_scope_and_a_certificate(stage: Plane) -> None:
    _, secret = stage.make_key("read")
    looker = Visitor(stage, secret)
    shown = looker.see("/certificates/late")
    assert "needs a key with the scope admin" in shown.words
    assert looker.send("/certificates/late/stop").status == 403
    visitor = Visitor(stage, stage.secret)
    visitor.see("/certificates/chat")
    assert visitor.send("/certificates/chat/stop").status == 409
    assert visitor.send("/certificates/plain/ask").status == 404
    _, other = stage.make_key("read", "admin", services=["chat"])
    narrow = Visitor(stage, other)
    assert narrow.see("/certificates/late").status == 403
    assert "late" not in narrow.see("/certificates").words
    assert narrow.send("/certificates/late/stop").status == 403


def test_an_alarm_of_the_audit_switches_off_and_the_page_says_why(tmp_path: Path) -> None:
    with served_reviews(tmp_path, NOW_US - 34 * DAY_US) as plane:
        certify(plane, wrong_above=0.5)
        shown = Visitor(plane, plane.secret).see("/certificates/late")
        assert shown.headline.startswith("Switched off")
        assert "audits were wrong" in shown.headline
        assert "Evidence starts anew" in shown.words
        assert "audits were wrong" in shown.words.partition("History")[2]
        home = Visitor(plane, plane.secret).see("/")
        assert "Switched off what is given alone:" in home.words
        assert "Find out why it is switched off." in home.words


def test_a_service_says_what_is_given_alone_and_home_what_waits(
    stage: Plane, visitor: Visitor
) -> None:
    store(stage, a_late(stage))
    shown = visitor.see("/services/late")
    assert "Given alone, or by people" in shown.words
    assert "/certificates/" in " ".join(shown.links)
    assert "/services/late/calibration" in shown.links
    assert "/review?service=late" in shown.links
    assert "1 case waiting" in shown.words
    home = visitor.see("/")
    assert "Decide 1 case." in home.words
    assert "Label more answers, or allow more error." in home.words
    assert "Given alone" not in visitor.see("/services/plain").words


def test_calibration_says_how_well_confidences_do_and_what_unknown_means(
    stage: Plane, visitor: Visitor
) -> None:
    shown, twin = (
        visitor.see("/services/late/calibration"),
        stage.get("/api/services/late/calibration"),
    )
    assert unescape(shown.headline) == twin["says"]
    assert twin["n"] == sum(one["n"] for one in twin["bins"]) == 1700
    assert all(one["low"] <= one["right"] <= one["high"] for one in twin["bins"])
    assert "An unknown confidence counts as zero" in shown.words
    assert numbers.share(twin["error"]) in shown.words
    empty = visitor.see("/services/chat/calibration")
    assert empty.headline.startswith("No confidence is calibrated yet")
    assert "roadworthy jobs run calibrate" in empty.words


def test_without_a_bound_a_page_teaches_and_no_word_leads_there(plane: Plane) -> None:
    visitor = Visitor(plane, plane.secret)
    assert "/certificates" not in visitor.see("/").links
    shown = visitor.see("/certificates")
    assert shown.headline == "No service declares a bound yet."
    assert "max_error = 0.05" in shown.source
