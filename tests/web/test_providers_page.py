"""The page of providers, its twin, and what metrics say of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from visitor import Visitor

from conftest import write_project
from control_plane import Plane
from roadworthy.app import open_project
from roadworthy.models.faulty import Fault, FaultyUpstream
from roadworthy.serve.breaker import FAILURES
from roadworthy.web import numbers

SERVICE = """
name = "{name}"
kind = "generate"
owners = {{ product = "ada" }}
objectives = {{ deadline_ms = 2000 }}
cost = {{ per_day_usd = 5 }}
[failover]
retries = 0
[[models]]
name = "main"
provider = "first"
model = "gpt"
[[models]]
name = "spare"
provider = "second"
model = "spare"
"""
PROVIDERS = """
[providers.first]
kind = "openai"
base_url = "{url}"
tokens_per_minute = 100000
[providers.first.prices."gpt"]
input_usd_per_million = 1
output_usd_per_million = 2
[providers.second]
kind = "openai"
base_url = "{url}"
[providers.second.prices."spare"]
input_usd_per_million = 1
output_usd_per_million = 2
"""


@pytest.fixture(scope="module")
def upstream() -> Iterator[FaultyUpstream]:
    with FaultyUpstream(answer="a b c") as upstream:
        yield upstream


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory, upstream: FaultyUpstream) -> Iterator[Plane]:
    """A project whose first model fails so often that it is left alone."""
    services = {name: SERVICE.format(name=name) for name in ("reply", "other")}
    folder = tmp_path_factory.mktemp("providers")
    write_project(folder, services, None, PROVIDERS.format(url=upstream.base_url))
    with open_project(folder) as project:
        plane = Plane(project)
        ask(plane, "reply")
        upstream.always(Fault.UNAVAILABLE, model="gpt")
        for _ in range(FAILURES + 2):
            ask(plane, "reply")
        yield plane


def ask(plane: Plane, service: str) -> None:
    assert plane.answer(service, {"text": "hello"}).disposition == "answered"


def test_the_twin_tells_who_is_left_alone_why_and_how_tries_went(plane: Plane) -> None:
    page = plane.get("/api/providers")
    assert page["says"] == "1 of 2 models is left alone: first/main."
    main, spare = page["models"]
    assert (main["provider"], main["model"], main["upstream"]) == ("first", "main", "gpt")
    assert main["services"] == ["other", "reply"]
    assert (main["asked"], main["cause"], main["state"]) == ("left_alone", "server", "breached")
    assert re.fullmatch(r"it fails inside; asked again in \d+ s", main["says"])
    assert main["again"] > page["as_of"]
    for span in (main["hour"], main["day"]):
        assert (span["tries"], span["answered"], span["skipped"]) == (FAILURES + 1, 1, 2)
        assert span["success"] == pytest.approx(1 / (FAILURES + 1))
        assert span["low"] < span["success"] < span["high"]
        assert [(one["how"], one["tries"]) for one in span["failed"]] == [("server", FAILURES)]
    assert spare["asked"] == "asked"
    assert spare["day"]["answered"] == FAILURES + 2
    assert spare["day"]["p50_ms"] <= spare["day"]["p95_ms"]
    assert spare["day"]["cost_usd"] == pytest.approx((FAILURES + 2) * 7e-6)
    (pace,) = page["paces"]
    assert (pace["provider"], pace["tokens_per_minute"]) == ("first", 100_000)
    assert pace["tokens"] >= 4
    (hour,) = page["hours"]
    assert {one["how"]: one["tries"] for one in hour["ended"]} == {
        "ok": FAILURES + 3,
        "server": FAILURES,
        "cooling": 2,
    }


def test_the_page_says_what_its_twin_says(plane: Plane) -> None:
    visitor = Visitor(plane)
    visitor.log_in(plane.secret)
    twin = plane.get("/api/providers")
    text = visitor.see("/providers").words
    assert twin["says"] in text
    for one in twin["models"]:
        for said in (
            f"{one['provider']}/{one['model']}",
            one["word"],
            numbers.share(one["day"]["success"]),
            f"{one['day']['answered']} of {one['day']['tries']}",
            numbers.ms(one["day"]["p95_ms"]),
            *(ended["says"] for ended in one["day"]["failed"]),
        ):
            assert said in text
    assert "of 100,000" in text
    assert "asked again in" in text


def test_a_key_of_one_service_sees_what_that_service_asked(plane: Plane) -> None:
    _, secret = plane.make_key("read", services=frozenset({"other"}))
    page: Any = plane.get("/api/providers", key=secret)
    assert [one["services"] for one in page["models"]] == [["other"], ["other"]]
    assert all(one["day"]["tries"] == 0 for one in page["models"])
    assert all(one["day"]["success"] is None for one in page["models"])
    assert page["hours"] == []
    assert page["models"][0]["asked"] == "left_alone", "that concerns it all the same"


def test_metrics_tell_of_upstreams(plane: Plane) -> None:
    plane.serving.writer.drain()
    text = plane.serving.metrics.render().decode()
    assert 'roadworthy_upstream_left_alone{upstream="first/gpt"} 1.0' in text
    assert 'roadworthy_upstream_left_alone{upstream="second/spare"} 0.0' in text
    failures = 'roadworthy_upstream_failures_total{provider="first",model="main",cause='
    assert f'{failures}"server"}} {FAILURES}' in text
    assert f'{failures}"skipped"}} 2' in text
    assert 'roadworthy_provider_waiting{provider="first"} 0' in text


def test_without_a_provider_its_page_says_so(shared: Plane) -> None:
    visitor = Visitor(shared)
    visitor.log_in(shared.secret)
    shown = visitor.see("/providers")
    assert "No service asks a provider." in shown.words


def test_the_page_of_a_request_tells_what_was_wrong_and_what_was_asked_again(
    plane: Plane, upstream: FaultyUpstream
) -> None:
    (row, *_) = plane.get("/api/requests?service=reply")["requests"]
    record = plane.get(f"/api/requests/{row['id']}")
    first = record["attempts"][0]
    assert (first["status"], first["cause"], first["retry"]) == ("cooling", "server", 0)
    assert (first["provider"], first["ms"]) == ("first", 0)
    words = Visitor(plane, plane.secret).see(f"/requests/{row['id']}").words
    assert "not asked: left alone for" in words


def test_a_model_without_its_key_is_said_to_lack_it(tmp_path: Path) -> None:
    text = PROVIDERS.format(url="http://127.0.0.1:9/v1")
    text = text.replace(
        "[providers.second]\n", '[providers.second]\napi_key_env = "NOT_SET_HERE"\n'
    )
    write_project(tmp_path, {"reply": SERVICE.format(name="reply")}, None, text)
    with open_project(tmp_path) as project:
        page: Any = Plane(project).get("/api/providers")
    stands = {one["model"]: (one["asked"], one["word"]) for one in page["models"]}
    assert stands == {"main": ("asked", "Asked"), "spare": ("no_key", "No key")}
    assert page["says"] == "2 models of providers; without a key: second/spare."
