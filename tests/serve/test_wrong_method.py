"""A path that is known is not denied to whoever uses the wrong method: 405, and which would do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from control_plane import Plane, served


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    with served(tmp_path_factory.mktemp("here")) as plane:
        yield plane


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/chat/completions", "POST"),
        ("DELETE", "/v1/models", "GET"),
        ("PUT", "/v1/services/risk/answer", "POST"),
        ("GET", "/v1/requests/rq_1/outcome", "POST"),
        ("GET", "/v2/models/risk/infer", "POST"),
        ("POST", "/v2/models/risk", "GET"),
        ("POST", "/v2/models/risk/ready", "GET"),
        ("POST", "/v2", "GET"),
        ("PATCH", "/v2/health/live", "GET"),
        ("POST", "/metrics", "GET"),
        ("POST", "/healthz", "GET, HEAD"),
        ("POST", "/api/clock", "GET, PUT"),
    ],
)
def test_a_wrong_method_is_told_the_right_one(
    here: Plane, method: str, path: str, allowed: str
) -> None:
    got = here.ask(method, path, {})
    assert got.status == 405
    assert got.headers["allow"] == allowed
    told = got.error if path.startswith("/v2") else got.error["message"]
    assert told == f"method: expected {allowed}, got {method}"


@pytest.mark.parametrize(
    "path", ["/v1", "/v1/elsewhere", "/v2/models/risk/other", "/v1/services/risk/other", "/other"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_an_unknown_path_is_unknown_by_every_method(here: Plane, method: str, path: str) -> None:
    assert here.ask(method, path, {}).status == 404


def test_nobody_without_a_key_learns_which_methods_there_are(here: Plane) -> None:
    assert here.ask("GET", "/v1/chat/completions", key="").status == 401
