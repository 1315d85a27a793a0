"""A request with two keys has none: else a proxy and the server might take different ones."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import write_project
from live import Live, serve

pytestmark = pytest.mark.slow

SERVICE = """
name = "risk"
kind = "predict"
owners = { product = "test" }
objectives = { deadline_ms = 1000 }
cost = {}
[[models]]
name = "by-rule"
provider = "rule"
model = "{'late': true}"
"""


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder: Path = write_project(tmp_path_factory.mktemp("project"), {"risk": SERVICE})
    with serve(folder) as running:
        yield running


def status_of(live: Live, line: str, *headers: str) -> int:
    """Send one request with just these headers, and return the status of its answer."""
    body = '{"input":{}}'
    lines = [f"{line} HTTP/1.1", "host: x", f"content-length: {len(body)}", *headers, "", body]
    with socket.create_connection(("127.0.0.1", live.port), timeout=5) as sock:
        sock.sendall("\r\n".join(lines).encode())
        return int(sock.recv(4096).split()[1])


PLACES = ["POST /v1/services/risk/answer", "GET /v1/models", "GET /api/services"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("other", ["rw_wrong", "", "same"])
def test_two_keys_are_none(live: Live, place: str, other: str) -> None:
    right = f"authorization: Bearer {live.key}"
    second = right if other == "same" else f"authorization: Bearer {other}"
    assert status_of(live, place, right) == 200
    assert status_of(live, place, right, second) == 401
    assert status_of(live, place, second, right) == 401


@pytest.mark.parametrize("place", PLACES)
def test_another_header_may_come_twice(live: Live, place: str) -> None:
    tags = ("x-roadworthy-tags: a", "x-roadworthy-tags: b")
    assert status_of(live, place, f"authorization: Bearer {live.key}", *tags) == 200


def test_tags_that_come_in_two_headers_all_count(live: Live) -> None:
    tags = ("x-roadworthy-tags: a", "x-roadworthy-tags: b, c")
    assert status_of(live, PLACES[0], f"authorization: Bearer {live.key}", *tags) == 200
    assert live.records()[0].tags == ("a", "b", "c")
