"""The page of budgets and its twin, as a browser without script and a program read them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from visitor import Visitor

from control_plane import Plane, served
from live import until
from roadworthy.store.actions import list_actions

ASKED = 5


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    with served(tmp_path, clock="system") as plane:
        for _ in range(ASKED):
            assert plane.answer("reply", {"text": "when?"}).output
        yield plane


@pytest.fixture
def visitor(plane: Plane) -> Visitor:
    return Visitor(plane, plane.secret)


def test_the_page_shows_each_ceiling_with_what_is_left(visitor: Visitor) -> None:
    shown = visitor.see("/budgets")
    assert shown.unclosed == []
    assert shown.headline.startswith("Of 1 ceiling, none is spent")
    assert "service:reply" in shown.words
    assert "cost.per_day_usd" in shown.words


def test_the_twin_says_the_same_in_numbers(plane: Plane) -> None:
    (row,) = plane.get("/api/budgets")["budgets"]
    assert (row["scope"], row["period"], row["key"]) == ("service:reply", "day", "cost.per_day_usd")
    assert row["spent_usd"] + row["held_usd"] + row["left_usd"] == pytest.approx(row["top_usd"])
    assert row["spent_usd"] > 0
    assert row["resets"].endswith("T00:00:00Z")
    assert (row["is_soft"], row["is_raised"]) == (False, False)


def test_a_ceiling_is_raised_over_http_and_shown_so(plane: Plane) -> None:
    body = {"scope": "service:reply", "usd": 1000.5, "reason": "launch"}
    _, key = plane.make_key("budget")
    raised = plane.ask("POST", "/api/budgets/raise", body, key=key)
    assert raised.status == 200
    assert raised.json["usd"] == 1000.5
    until(lambda: plane.get("/api/budgets")["budgets"][0]["is_raised"])
    (row,) = plane.get("/api/budgets")["budgets"]
    assert row["top_usd"] == 1000.5
    (act,) = list_actions(plane.project.state, action="budget.raise")
    assert act.detail["reason"] == "launch"


def test_a_ceiling_that_nobody_declared_cannot_be_raised(plane: Plane) -> None:
    _, key = plane.make_key("budget")
    body = {"scope": "service:replay", "usd": 1}
    got = plane.ask("POST", "/api/budgets/raise", body, key=key)
    assert got.status == 404
    assert "`service:reply`" in got.json["error"]["message"]


def test_only_a_key_for_budgets_raises_one(plane: Plane) -> None:
    body = {"scope": "service:reply", "usd": 1}
    assert plane.ask("POST", "/api/budgets/raise", body).status == 403
    _, narrow = plane.make_key("budget", services=("reply",))
    assert plane.ask("POST", "/api/budgets/raise", body, key=narrow).status == 403


def test_a_key_of_other_services_sees_no_ceiling(plane: Plane) -> None:
    _, key = plane.make_key("read", services=("delay",))
    assert plane.get("/api/budgets", key=key)["budgets"] == []


def test_costs_lead_to_budgets(visitor: Visitor) -> None:
    assert "/budgets" in visitor.see("/costs").links
