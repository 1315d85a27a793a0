"""Lists of requests as pages: back and forth, and of the services that a key may see."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from visitor import Shown, Visitor

from control_plane import Plane, served
from roadworthy.types import MICRO, Ids, Record
from roadworthy.web.lists import releases
from roadworthy.web.shapes import ReleaseRow


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
    assert again.headline == older.headline == newest.headline
    assert newest.headline == "70 requests in the last 24 hours: all answered in time."


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


def test_a_list_of_nothing_claims_nothing_of_it(visitor: Visitor, stage: Plane) -> None:
    for page in ("requests", "releases"):
        shown = visitor.see(f"/{page}?service=nope")
        assert shown.headline == "No service is called nope."
        assert "Services: reply and risk." in shown.words
        assert stage.get(f"/api/{page}?service=nope")["sentence"] == shown.headline
    none = visitor.see("/requests?since=2001-01-01&until=2001-01-02")
    assert none.headline == "No request from 1 Jan 2001, 00:00 to 2 Jan 2001, 00:00."
    assert visitor.see("/requests?service=retired").headline.startswith("20 requests in the last")


def test_a_span_that_is_chosen_is_counted_as_home_counts_it(visitor: Visitor) -> None:
    for query in ("since=24h", "since=24h&service=risk", "since=7d"):
        shown = visitor.see(f"/requests?{query}")
        n = 70 if "risk" in query else 120
        assert shown.headline.startswith(f"{n} requests "), shown.headline
        assert shown.headline.endswith(": all answered in time.")
    assert " in the last 24 hours: " in visitor.see("/requests?since=24h").headline


def test_a_list_says_how_many_of_all_match(visitor: Visitor) -> None:
    said = {
        "since=24h&model=": "120 requests in the last 24 hours: all answered in time.",
        "since=24h&service=risk&disposition=failed": "None of 70 requests in the last 24 hours "
        "matches.",
        "since=24h&service=risk&disposition=answered": "70 requests match.",
        "since=24h&service=reply&slower_than_ms=0.5": "30 requests match.",
        "since=24h&slower_than_ms=0.5": "More than 40 requests match.",
        "since=24h&service=reply&slower_than_ms=0.9": "None of 30 requests in the last 24 hours "
        "matches.",
        "slower_than_ms=0.9": "No request matches.",
    }
    for query, sentence in said.items():
        assert visitor.see(f"/requests?{query}").headline == sentence, query


def test_the_last_page_of_what_is_not_counted_says_that_it_is_the_oldest(visitor: Visitor) -> None:
    shown = visitor.see("/requests?service=risk&slower_than_ms=0.5")
    assert shown.headline == "More than 40 requests match."
    assert visitor.see(link(shown, "next")).headline == "The oldest 30 requests that match."


def test_requests_that_took_longer_are_found_alike_everywhere(plane: Plane) -> None:
    remember(plane, 3, "risk")
    ids, at_us = Ids(plane.project.clock), plane.project.clock.now_us() - 2 * MICRO
    slow = Record(
        id=ids.new("rq", at_us),
        at_us=at_us,
        service="slow",
        kind="predict",
        disposition="fallback",
        latency_us=250_500,
        error_code="",
        reasons=("no_passages: no passage is near enough to the question",),
        release="slow@92be6b0c1d2e",
    )
    plane.serving.spool.append(slow)
    plane.serving.writer.drain()
    for most, found in ((250, [slow.id]), (250.5, []), (250.4, [slow.id])):
        rows = plane.get(f"/api/requests?slower_than_ms={most}")["requests"]
        assert [row["id"] for row in rows] == found
    (row,) = plane.get("/api/requests?error=no_passages")["requests"]
    assert row["id"] == slow.id


def test_a_request_is_found_by_its_id_and_by_what_lists_show_of_it(
    stage: Plane, visitor: Visitor
) -> None:
    id = stage.get("/api/requests?service=risk")["requests"][7]["id"]
    for asked in (id, id[11:20]):
        there = visitor.see(f"/requests?q={asked}")
        assert (there.status, there.headers["location"]) == (303, f"/requests/{id}")
        assert [row["id"] for row in stage.get(f"/api/requests?q={asked}")["requests"]] == [id]
    _, secret = stage.make_key("read", services=["reply"])
    other = Visitor(stage, secret).see(f"/requests?q={id}")
    assert (other.status, other.headline) == (200, "No request matches.")
    assert visitor.see("/requests?q=rq_never").headline == "No request matches."
    assert visitor.see("/requests?q=nobody").headline == "No request matches."
    assert stage.ask("GET", "/api/requests?q=a&user=b").error["param"] == "q"


def test_a_request_of_a_moment_ago_is_found_by_its_id(plane: Plane) -> None:
    visitor = Visitor(plane, plane.secret)
    id = plane.project.service("risk").answer({"wind": 1.0}, user="ada").request_id
    assert visitor.see(f"/requests?q={id}").headers["location"] == f"/requests/{id}"
    assert visitor.see("/requests?q=ada").headline == "1 request matches."


def test_a_release_is_found_by_what_lists_show_of_its_id(plane: Plane) -> None:
    plane.answer("risk", {"wind": 1.0})
    plane.answer("reply", {"text": "hello"})
    release = plane.serving.engine.releases["risk"].id
    for asked in (release, release.partition("@")[2][:6]):
        (row,) = plane.get(f"/api/requests?release={asked}")["requests"]
        assert row["release"] == release
    assert plane.get("/api/requests?release=zzzzzz")["requests"] == []
    assert plane.get("/api/requests?release=%25")["requests"] == []


def test_releases_and_models_are_chosen_from_those_there_are(plane: Plane) -> None:
    shown = Visitor(plane, plane.secret).see("/requests")
    values = {found.get("value") for found in shown.having("option")}
    assert {release.id for release in plane.serving.engine.releases.values()} <= values
    assert set(plane.get("/api/requests")["models"]) == {"by-rule", "script"}
    assert plane.get("/api/requests?service=risk")["models"] == ["by-rule"]
    assert "by-rule" in shown.words


def release_row(service: str, champion: str, *, is_champion: bool) -> ReleaseRow:
    return ReleaseRow(
        release=f"{service}@1",
        service=service,
        built_at=datetime(2026, 11, 23, tzinfo=UTC),
        by="ada",
        commit="",
        declaration_hash="",
        models=(),
        champion=champion,
        is_champion=is_champion,
    )


def test_a_service_that_nothing_serves_is_not_said_to_serve_an_older_release() -> None:
    waits = release_row("vital", "", is_champion=False)
    older = release_row("risk", "risk@0", is_champion=False)
    assert releases([waits]) == "Nothing serves vital yet."
    says = releases([older, waits])
    assert says == "risk serves an older release than its newest. Nothing serves vital yet."
