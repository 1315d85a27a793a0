"""Lists of requests as pages: back and forth, and of the services that a key may see."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from visitor import Shown, Visitor

from control_plane import Plane, served
from roadworthy.types import MICRO, Ids, Record


def remember(plane: Plane, count: int, service: str) -> None:
    """Let a service have answered so often, a moment ago."""
    ids, at_us = Ids(plane.project.clock), plane.project.clock.now_us() - MICRO
    for _ in range(count):
        plane.serving.spool.append(
            Record(
                id=ids.new("rq", at_us),
                at_us=at_us,
                service=service,
                kind="predict",
                disposition="answered",
                latency_us=800,
            )
        )
    plane.serving.writer.drain()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """A project with 70 requests to `risk`, 30 to `reply` and 20 to a service that is retired."""
    with served(tmp_path_factory.mktemp("stage")) as plane:
        for service, count in (("risk", 70), ("reply", 30), ("retired", 20)):
            remember(plane, count, service)
        yield plane


@pytest.fixture(scope="module")
def visitor(stage: Plane) -> Visitor:
    return Visitor(stage, stage.secret)


def ids_on(shown: Shown) -> list[str]:
    return [
        link.removeprefix("/requests/") for link in shown.links if link.startswith("/requests/rq_")
    ]


def link(shown: Shown, rel: str) -> str:
    """Return where a page leads to; empty where it does not."""
    found = shown.having("a", rel=rel)
    return (found[0]["href"] or "") if found else ""


def test_one_pages_to_the_oldest_and_back_over_the_same_pages(visitor: Visitor) -> None:
    there, target = [], "/requests?service=risk&limit=20"
    while target:
        shown = visitor.see(target)
        there.append(ids_on(shown))
        target = link(shown, "next")
    assert [len(page) for page in there] == [20, 20, 20, 10]
    back, target = [ids_on(shown)], link(shown, "prev")
    while target:
        assert "service=risk" in target
        assert "before=" not in target
        shown = visitor.see(target)
        back.append(ids_on(shown))
        target = link(shown, "prev")
    assert back == there[::-1]


def test_the_newest_page_leads_nowhere_newer_and_refreshes_itself(visitor: Visitor) -> None:
    newest = visitor.see("/requests?service=risk")
    assert link(newest, "prev") == ""
    assert "data-live" in newest.having("main")[0]
    older = visitor.see(link(newest, "next"))
    assert older.having("a", href="/requests?service=risk")
    again = visitor.see(link(older, "prev"))
    assert "data-live" not in again.having("main")[0]
    assert again.having("a", href="/requests?service=risk")
    assert ids_on(again) == ids_on(newest)
    assert again.headline == "40 newer requests match."


def test_a_page_is_of_all_services_that_a_key_may_see_and_so_is_its_twin(stage: Plane) -> None:
    _, secret = stage.make_key("read", services=["reply", "risk"])
    visitor = Visitor(stage, secret)
    shown = visitor.see("/requests?limit=200")
    assert shown.status == 200
    assert shown.headline.startswith("100 requests")
    assert len(ids_on(shown)) == 100
    assert "retired" not in shown.words
    (twin,) = [link for link in shown.links if link.startswith("/api/requests")]
    value = stage.get(twin, key=secret)
    assert value["sentence"] == shown.headline
    assert [row["id"] for row in value["requests"]] == ids_on(shown)
    seen: list[str] = []
    target = "/requests"
    while target:
        shown = visitor.see(target)
        seen += ids_on(shown)
        target = link(shown, "next")
    assert len(seen) == 100
    (twin,) = [link for link in visitor.see("/releases").links if link.startswith("/api/releases")]
    assert {row["service"] for row in stage.get(twin, key=secret)["releases"]} == {"reply", "risk"}


def test_a_page_is_not_asked_for_from_two_sides(visitor: Visitor, stage: Plane) -> None:
    assert visitor.see("/requests?before=rq_1&after=rq_0").status == 400
    refused = stage.ask("GET", "/api/requests?before=rq_1&after=rq_0")
    assert (refused.status, refused.error["param"]) == (400, "after")
