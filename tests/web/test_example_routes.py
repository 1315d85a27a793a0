"""Examples over HTTP: listed to whom may see them, released and rejected by reviewers."""

from __future__ import annotations

from typing import Any

import pytest
from visitor import Visitor

from control_plane import Plane
from roadworthy.store.actions import list_actions
from roadworthy.store.examples import Detail, Example, example_id, put_examples
from roadworthy.store.tables import examples

DAY_US = 1_750_000_000_000_000


def put(plane: Plane, n: int, service: str = "risk", held: str = "") -> str:
    """Store one example and return its id."""
    id = example_id(service, str(n))
    detail = Detail(held={"conflict": held} if held else {}, severity="major", release="rl_1")
    made = Example(
        id=id,
        service=service,
        at_us=DAY_US + n,
        request_id=f"rq_{n}",
        input_digest=str(n),
        state="quarantined" if held else "accepted",
        why=f"conflict: {held}" if held else "",
        source="review",
        by="key:ada",
        weight=2.0,
        input=b'{"wind":1.5}',
        output=b'{"late":true}',
        detail=detail,
    )
    with plane.project.state.begin() as connection:
        put_examples(connection, [made])
    return id


@pytest.fixture
def reviewer(plane: Plane) -> str:
    with plane.project.state.begin() as connection:
        connection.execute(examples.delete())
    return plane.make_key("read", "review")[1]


def test_examples_are_listed_page_by_page(plane: Plane, reviewer: str) -> None:
    ids = [put(plane, n, held="ada and bob" if n == 2 else "") for n in range(5)]
    first: Any = plane.ask("GET", "/api/examples?limit=3", key=reviewer).json
    assert [one["id"] for one in first["examples"]] == ids[:1:-1]
    target = f"/api/examples?limit=3&before={first['before']}"
    second = plane.ask("GET", target, key=reviewer).json
    assert ([one["id"] for one in second["examples"]], second["before"]) == ([ids[1], ids[0]], None)
    assert first["counts"] == [
        {
            "service": "risk",
            "states": {"accepted": 4, "quarantined": 1},
            "checks": {"conflict": 1},
        }
    ]
    one = first["examples"][-1]
    assert (one["input"], one["output"], one["why"]) == (
        {"wind": 1.5},
        {"late": True},
        "conflict: ada and bob",
    )
    held = plane.ask("GET", "/api/examples?state=quarantined", key=reviewer).json
    assert [one["id"] for one in held["examples"]] == [ids[2]]


def test_a_reviewer_releases_and_rejects(plane: Plane, reviewer: str) -> None:
    id = put(plane, 1, held="ada and bob")
    done = plane.ask("POST", f"/api/examples/{id}/release", {"reason": "bob"}, key=reviewer)
    assert (done.status, done.json["state"]) == (200, "accepted")
    nothing = plane.ask("POST", f"/api/examples/{id}/reject", {}, key=reviewer)
    assert (nothing.status, nothing.error["param"]) == (400, "reason")
    done = plane.ask("POST", f"/api/examples/{id}/reject", {"reason": "a joke"}, key=reviewer)
    assert done.json["state"] == "rejected"
    assert done.json["held"] == {"conflict": "ada and bob"}
    acts = [act.action for act in list_actions(plane.project.state, subject=id)]
    assert acts == ["examples.reject", "examples.release"]


def test_a_key_of_other_services_sees_none(plane: Plane, reviewer: str) -> None:
    id = put(plane, 1)
    _, other = plane.make_key("read", "review", services=("reply",))
    assert plane.ask("GET", "/api/examples", key=other).json["examples"] == []
    assert plane.ask("GET", f"/api/examples/{id}", key=other).status == 404
    behind = plane.ask("GET", f"/api/examples?before={id}", key=other)
    assert (behind.status, behind.json["examples"]) == (200, [])
    refused = plane.ask("POST", f"/api/examples/{id}/release", {}, key=other)
    assert refused.status == 404
    assert plane.ask("GET", f"/api/examples/{id}", key=reviewer).json["state"] == "accepted"


def test_the_page_says_what_is_held_and_why(plane: Plane, reviewer: str) -> None:
    visitor = Visitor(plane, reviewer)
    empty = visitor.see("/examples")
    assert "Nothing has been learned from decisions yet." in empty.words
    for n in range(3):
        put(plane, n, held="<b>ada</b> and bob" if n else "")
    shown = visitor.see("/examples")
    assert "3 examples: 2 held back, 1 accepted." in shown.words
    assert "conflict: <b>ada</b> and bob" in shown.words
    assert shown.words.count("conflict:") == 2
    assert shown.unclosed == []
    assert shown.words.count("ex_") == 3
    accepted = visitor.see("/examples?state=accepted&service=risk")
    assert (accepted.words.count("ex_"), "What holds examples of risk" in accepted.words) == (
        1,
        True,
    )
    assert "No example matches." in visitor.see("/examples?state=rejected").words
