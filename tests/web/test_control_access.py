"""Whom each route lets in, and what a key that is limited to some services sees."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from control_plane import Plane
from roadworthy.types import Ids, Record, Scope
from roadworthy.web.api import route_table
from roadworthy.web.route import Route

ROUTES = route_table()
BODIES = {
    "/api/keys": {"name": "x", "scopes": ["read"]},
    "/api/clock": {"now": "2013-04-01T05:00:00Z"},
    "/api/review/{id}/decide": {"decision": "reject"},
    "/api/releases/{id}/approve": {"owner": "product"},
    "/api/releases/{id}/waive": {
        "gate": "drills",
        "reason": "later",
        "expires": "2113-04-01T05:00:00Z",
    },
    "/api/budgets/raise": {"scope": "service:reply", "usd": 7},
}


def target_of(route: Route) -> str:
    path = route.path.replace("{name}", "risk").replace("{id}", "nothing")
    return path.replace("{user:path}", "nobody")


def named(route: Route) -> str:
    return f"{route.method} {route.path}"


@pytest.mark.parametrize("route", ROUTES, ids=named)
def test_every_route_needs_a_key_and_its_scope(shared: Plane, route: Route) -> None:
    target, body = target_of(route), BODIES.get(route.path)
    nobody = shared.ask(route.method, target, body, key="")
    assert (nobody.status, nobody.error["code"]) == (401, "unauthenticated")
    unknown = shared.ask(route.method, target, body, key="rw_unknown")
    assert (unknown.status, unknown.error["code"]) == (401, "unauthenticated")

    all_scopes: set[Scope] = {"answer", "read", "review", "release", "budget", "admin", "act_as"}
    _, without = shared.make_key(*(all_scopes - {route.scope}))
    refused = shared.ask(route.method, target, body, key=without)
    assert (refused.status, refused.error["code"]) == (403, "forbidden")
    assert f"`{route.scope}`" in refused.error["message"]


def test_no_route_asks_for_more_than_its_scope(plane: Plane) -> None:
    for route in ROUTES:
        _, key = plane.make_key(route.scope)
        answer = plane.ask(route.method, target_of(route), BODIES.get(route.path), key=key)
        let_in = {200, 201, 404, 409}
        if route.path.endswith("/evaluations") and route.method == "POST":
            let_in = {400}  # the services of this plane have no suites
        assert answer.status in let_in, named(route)


def test_reading_needs_read_and_acting_needs_more() -> None:
    for route in ROUTES:
        if route.path.startswith("/api/review"):
            assert route.scope == "review", named(route)
        elif route.method != "GET":
            assert route.scope in {"admin", "budget", "release", "review"}, named(route)
        elif not route.path.startswith("/api/keys"):
            assert route.scope == "read", named(route)


def test_a_limited_key_lists_only_its_services(plane: Plane) -> None:
    plane.answer("reply", {"text": "hello"})
    mine = plane.answer("risk", {"wind": 10.0}).request_id
    _, key = plane.make_key("read", services=["risk"])
    services = plane.get("/api/services", key=key)["services"]
    assert [service["name"] for service in services] == ["risk"]
    requests = plane.get("/api/requests", key=key)["requests"]
    assert [row["id"] for row in requests] == [mine]
    releases = plane.get("/api/releases", key=key)["releases"]
    assert {row["service"] for row in releases} == {"risk"}
    rollups = plane.get("/api/rollups?by=service", key=key)["rollups"]
    assert [row["value"] for row in rollups] == ["risk"]


def test_a_key_of_several_services_lists_them_all_and_no_other(plane: Plane) -> None:
    risk = plane.answer("risk", {"wind": 10.0}).request_id
    reply = plane.answer("reply", {"text": "hello"}).request_id
    now_us = plane.project.clock.now_us()
    for number in range(3):
        plane.serving.spool.append(
            Record(
                id=Ids(plane.project.clock).new("rq"),
                at_us=now_us,
                service="hidden",
                kind="predict",
                disposition="failed",
                release=f"hidden@{number}",
                user="ann",
                tags=("web",),
                reasons=("hidden: no answer",),
            )
        )
    plane.serving.writer.drain()
    _, key = plane.make_key("read", services=["risk", "reply"])
    found = plane.get("/api/requests", key=key)
    assert [row["id"] for row in found["requests"]] == [reply, risk]
    assert found["sentence"].startswith("2 requests in the last 24 hours")
    assert (found["service"], found["services"]) == ("", ["reply", "risk"])
    for query in ("disposition=failed", "user=ann", "tag=web", "error=no%20answer", "limit=1"):
        for side in ("", f"&before={reply}", f"&after={risk}"):
            rows = plane.get(f"/api/requests?{query}{side}", key=key)["requests"]
            assert {row["service"] for row in rows} <= {"risk", "reply"}, (query, side)
            assert not rows or query == "limit=1"
    one = plane.get("/api/requests?service=risk", key=key)["requests"]
    assert [row["id"] for row in one] == [risk]
    assert plane.ask("GET", "/api/requests?service=hidden", key=key).status == 403
    by_service = plane.get("/api/rollups?by=service", key=key)["rollups"]
    assert [row["value"] for row in by_service] == ["reply", "risk"]
    assert plane.get("/api/rollups?by=user&service=", key=key)["rollups"] == []
    releases = plane.get("/api/releases", key=key)["releases"]
    assert {row["service"] for row in releases} == {"reply", "risk"}
    assert {row["service"] for row in plane.get("/api/requests")["requests"]} > {"hidden"}


def test_a_key_of_one_of_two_services_lists_no_release_of_the_other(plane: Plane) -> None:
    _, key = plane.make_key("read", services=["risk", "gone"])
    releases = plane.get("/api/releases", key=key)["releases"]
    assert {row["service"] for row in releases} == {"risk"}


def test_a_limited_key_cannot_see_or_touch_what_is_not_its_own(plane: Plane) -> None:
    theirs = plane.answer("reply", {"text": "hello"}).request_id
    release = plane.serving.engine.releases["reply"].id
    _, key = plane.make_key("read", "admin", "release", "budget", services=["risk"])
    hidden = {
        ("GET", "/api/services/reply"): 403,
        ("POST", "/api/services/reply/stop"): 403,
        ("POST", "/api/services/reply/resume"): 403,
        ("POST", "/api/services/reply/releases"): 403,
        ("GET", "/api/requests?service=reply"): 403,
        ("GET", f"/api/requests/{theirs}"): 404,
        ("GET", f"/api/requests/{theirs}/lineage"): 404,
        ("GET", "/api/releases?service=reply"): 403,
        ("GET", f"/api/releases/{release}"): 404,
        ("POST", f"/api/releases/{release}/promote"): 404,
        ("GET", "/api/rollups?service=reply"): 403,
    }
    for (method, target), status in hidden.items():
        assert plane.ask(method, target, key=key).status == status, target
    assert plane.ask("POST", "/api/services/risk/stop", key=key).status == 200


def test_a_hidden_service_answers_like_one_that_is_not_there(plane: Plane) -> None:
    _, key = plane.make_key("read", services=["risk"])
    hidden = plane.ask("GET", "/api/services/reply", key=key)
    absent = plane.ask("GET", "/api/services/rep1y", key=key)
    assert hidden.error["message"].replace("reply", "rep1y") == absent.error["message"]


def test_what_concerns_the_whole_project_is_closed_to_limited_keys(plane: Plane) -> None:
    _, key = plane.make_key("read", "admin", "release", "budget", services=["risk"])
    for route in ROUTES:
        if route.whole:
            refused = plane.ask(route.method, target_of(route), BODIES.get(route.path), key=key)
            assert refused.status == 403, named(route)
            assert "limited to some services" in refused.error["message"]
    closed = {route.path.split("/")[2] for route in ROUTES if route.whole}
    assert {"keys", "jobs", "webhooks", "actions", "clock", "users"} <= closed


def test_children_of_other_services_stay_hidden(plane: Plane) -> None:
    id = plane.answer("risk", {"wind": 10.0}).request_id
    parent = {b"x-roadworthy-parent": id.encode()}
    body = {"input": {"text": "hello"}}
    plane.ask("POST", "/v1/services/reply/answer", body, headers=parent)
    plane.serving.writer.drain()
    _, limited = plane.make_key("read", services=["risk"])
    assert plane.get(f"/api/requests/{id}", key=limited)["children"] == []
    assert len(plane.get(f"/api/requests/{id}")["children"]) == 1


def test_an_expired_key_is_refused(plane: Plane) -> None:
    expires_us = plane.project.clock.now_us() + 60_000_000
    _, key = plane.make_key("read", expires_us=expires_us)
    assert plane.ask("GET", "/api/clock", key=key).status == 200
    plane.ask("PUT", "/api/clock", {"now": "2100-01-01T00:00:00Z"})
    refused = plane.ask("GET", "/api/clock", key=key)
    assert refused.status == 401
    assert "expired" in refused.error["message"]


def test_no_answer_holds_what_a_key_could_be_made_of(plane: Plane) -> None:
    with plane.project.state.connect() as connection:
        digests = connection.execute(text("SELECT lower(hex(hash)) FROM keys")).scalars().all()
    for target in ("/api/keys", "/api/actions"):
        body = plane.ask("GET", target).body.decode()
        assert "rw_" not in body
        assert not any(digest in body for digest in digests)
