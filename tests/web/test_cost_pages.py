"""The page of costs, as a browser without script reads it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from visitor import Visitor

from control_plane import Plane, served

ASKED = 25


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    with served(tmp_path_factory.mktemp("costs"), clock="system") as plane:
        for k in range(ASKED):
            assert plane.answer("reply", {"text": "when?"}, user=f"<b>u{k % 3}</b>").output
        yield plane


@pytest.fixture
def visitor(plane: Plane) -> Visitor:
    return Visitor(plane, plane.secret)


def test_the_page_answers_what_is_spent_and_what_it_returns(visitor: Visitor) -> None:
    shown = visitor.see("/costs")
    assert shown.headline.startswith("$0.005")
    assert shown.unclosed == []
    assert "All of it is of reply." in shown.words
    assert "25 of 25" in shown.words
    assert "not declared" in shown.words


def test_names_of_users_stay_words(visitor: Visitor) -> None:
    shown = visitor.see("/costs?by=user")
    assert shown.unclosed == []
    assert "<b>u0</b>" in shown.words
    assert "These are no total" in shown.words


def test_the_navigation_leads_there(visitor: Visitor) -> None:
    assert "/costs" in visitor.see("/").links


def test_an_unknown_dimension_is_refused(visitor: Visitor) -> None:
    assert visitor.get("/costs?by=colour").status == 400


def test_a_month_without_requests_says_so(visitor: Visitor) -> None:
    assert "Nothing was spent in February 2020." in visitor.see("/costs?month=2020-02").words
