"""What is refused, and in which shape."""

from __future__ import annotations

import logging
import socket
import sqlite3
import time
from typing import Any

import pytest
from sqlalchemy import text

from control_plane import Answer, Plane, listening
from roadworthy.web.route import MAX_BODY_BYTES, MOST_AT_WORK, MOST_WAITING

BEGINS_S = 0.5
"""After so long a request that was sent has begun."""

ENVELOPE = {"code", "message", "type", "param", "request_id", "retryable"}


def check(answer: Answer, status: int, code: str, *words: str, param: str | None = None) -> None:
    assert answer.status == status, answer.body
    assert answer.json.keys() == {"error"}
    assert answer.error.keys() == ENVELOPE
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.error["code"] == code
    assert answer.error["param"] == param
    for word in words:
        assert word in answer.error["message"]


@pytest.mark.parametrize("path", ["/api", "/api/", "/api/nothing", "/api/services/", "/x/y"])
def test_a_path_that_is_no_route_is_not_found(shared: Plane, path: str) -> None:
    check(shared.ask("GET", path), 404, "not_found", f"GET {path}", "/api/openapi.json")


def test_a_method_that_a_path_does_not_take_is_refused_with_those_it_does(shared: Plane) -> None:
    refused = shared.ask("PATCH", "/api/keys")
    check(refused, 405, "invalid_request", "GET, POST", "PATCH")
    assert refused.headers["allow"] == "GET, POST"
    assert shared.ask("DELETE", "/api/clock").headers["allow"] == "GET, PUT"


@pytest.mark.parametrize(
    ("query", "param", "word"),
    [
        ("colour=red", "colour", "expected `service`, `disposition`"),
        ("limit=201", "limit", "<= 200"),
        ("limit=0", "limit", ">= 1"),
        ("limit=ten", "limit", "`int`"),
        ("limit=1e1", "limit", "`int`"),
        ("limit=" + "9" * 5000, "limit", "`int`"),
        ("limit=1&limit=2", "limit", "twice"),
        ("disposition=lost", "disposition", "Invalid enum value"),
        ("since=yesterday", "since", "RFC3339"),
        ("since=2013-04-01T05:00:00", "since", "timezone"),
        ("since=1969-12-31T23:59:59Z", "since", "1970"),
        ("until=9999-12-31T23:59:59-14:00", "until", "1970-9998"),
        ("since=0001-01-01T00:00:00%2B14:00", "since", "1970-9998"),
        ("user=" + "u" * 201, "user", "200"),
    ],
)
def test_a_query_that_says_nothing_sensible_is_refused_by_name(
    shared: Plane, query: str, param: str, word: str
) -> None:
    check(shared.ask("GET", f"/api/requests?{query}"), 400, "invalid_request", word, param=param)


def test_a_route_without_parameters_takes_none(shared: Plane) -> None:
    refused = shared.ask("GET", "/api/clock?now=2013")
    check(refused, 400, "invalid_request", "expected none", param="now")


@pytest.mark.parametrize(
    ("body", "param", "word"),
    [
        (b"{", None, "truncated"),
        (b"\xff", None, "malformed"),
        (b"[]", None, "Expected `object`"),
        (b"", "name", "missing required field `name`"),
        ({"name": "x", "scopes": ["read"], "colour": 1}, "colour", "unknown field `colour`"),
        ({"name": "", "scopes": ["read"]}, "name", "length >= 1"),
        ({"name": " ", "scopes": ["read"]}, "name", "matching regex"),
        ({"name": 1, "scopes": ["read"]}, "name", "Expected `str`"),
        ({"name": "x", "scopes": []}, "scopes", "length >= 1"),
        ({"name": "x", "scopes": ["root"]}, "scopes[0]", "enum"),
        ({"name": "x", "scopes": ["read"], "services": ["nope"]}, "services", "`risk`"),
        ({"name": "x", "scopes": ["read"], "per_day_usd": -1}, "per_day_usd", ">= 0"),
        ({"name": "x", "scopes": ["read"], "per_day_usd": 0.0000001}, "per_day_usd", "6 decimals"),
        (b'{"name": "x", "scopes": ["read"], "per_day_usd": NaN}', None, "malformed"),
        ({"name": "x", "scopes": ["read"], "expires": "2001-01-01T00:00:00Z"}, "expires", "past"),
        ({"name": "x", "scopes": ["read"], "expires": 1}, "expires", "Expected"),
    ],
)
def test_a_body_that_is_wrong_is_refused_by_name(
    shared: Plane, body: Any, param: str | None, word: str
) -> None:
    before = shared.get("/api/keys")
    check(shared.ask("POST", "/api/keys", body), 400, "invalid_request", word, param=param)
    assert shared.get("/api/keys") == before


def test_a_body_that_is_too_large_is_refused(shared: Plane) -> None:
    body = b" " * (MAX_BODY_BYTES + 1)
    check(shared.ask("POST", "/api/keys", body), 413, "payload_too_large", str(MAX_BODY_BYTES))


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/api/services/nope"),
        ("POST", "/api/services/nope/stop"),
        ("POST", "/api/services/nope/releases"),
        ("GET", "/api/requests/rq_nope"),
        ("GET", "/api/requests/rq_nope/lineage"),
        ("GET", "/api/releases/nope"),
        ("POST", "/api/releases/nope/promote"),
        ("DELETE", "/api/keys/nope"),
        ("POST", "/api/jobs/nope/run"),
    ],
)
def test_what_is_not_there_is_not_found_by_its_name(
    shared: Plane, method: str, target: str
) -> None:
    check(shared.ask(method, target), 404, "not_found", "nope")


def test_nobody_is_no_user(shared: Plane) -> None:
    refused = shared.ask("DELETE", "/api/users//records")
    check(refused, 400, "invalid_request", "expected a name", param="user")


def test_a_store_that_fails_is_unavailable_and_not_quoted(plane: Plane) -> None:
    id = plane.answer("risk", {"wind": 1.0}).request_id
    with plane.project.state.begin() as connection:
        connection.execute(text("DROP TABLE bodies"))
    refused = plane.ask("GET", f"/api/requests/{id}")
    check(refused, 503, "store_unavailable")
    assert refused.error["retryable"] is True
    assert "SELECT" not in refused.error["message"]


def test_a_fault_of_our_own_is_logged_and_shows_no_traceback(
    plane: Plane, caplog: pytest.LogCaptureFixture
) -> None:
    id = plane.answer("risk", {"wind": 1.0}).request_id
    with plane.project.state.begin() as connection:
        connection.execute(text("UPDATE records SET detail = x'7b'"))
    with caplog.at_level(logging.ERROR, "roadworthy.web"):
        check(plane.ask("GET", f"/api/requests/{id}"), 500, "internal_error", "DecodeError")
    assert caplog.records[0].exc_info is not None


def test_a_control_plane_that_waits_holds_up_nobody_who_wants_an_answer(plane: Plane) -> None:
    wanted = {"name": "late", "scopes": ["read"]}
    lock = sqlite3.connect(plane.project.folder / ".roadworthy" / "state.db")
    lock.execute("BEGIN IMMEDIATE")  # whoever writes now waits
    begun = [plane.begin("POST", "/api/keys", wanted) for _ in range(MOST_AT_WORK + MOST_WAITING)]
    for _ in range(20):
        reply = plane.project.service("risk").answer({"wind": 10.0})
        assert reply.disposition == "answered"
        assert reply.latency_us < 1_000_000
    overloaded = plane.ask("GET", "/api/clock")
    check(overloaded, 429, "overloaded")
    assert overloaded.headers["retry-after"] == "1"
    assert not any(future.done() for future in begun)
    lock.rollback()
    lock.close()
    assert {future.result(20).status for future in begun} == {201}
    assert plane.ask("GET", "/api/clock").status == 200


@pytest.mark.slow
def test_a_client_that_leaves_is_no_fault_and_what_it_began_is_finished(
    plane: Plane, caplog: pytest.LogCaptureFixture
) -> None:
    body = b'{"name": "begun", "scopes": ["read"]}'
    head = (
        f"POST /api/keys HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {plane.secret}\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    lock = sqlite3.connect(plane.project.folder / ".roadworthy" / "state.db")
    with listening(plane) as port:
        lock.execute("BEGIN IMMEDIATE")
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(head.encode() + body)
            time.sleep(BEGINS_S)
        for _ in range(20):
            plane.get("/api/clock")
        lock.rollback()
        lock.close()
        end = time.monotonic() + 20
        while "begun" not in {key["name"] for key in plane.get("/api/keys")["keys"]}:
            assert time.monotonic() < end, "what was begun was not finished"
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
