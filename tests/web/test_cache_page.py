"""What is given again, what that saves, and how often it is wrong: in the page and its twin."""

from __future__ import annotations

from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest
from cache_stage import ask, certify, served_caches
from visitor import Visitor

from control_plane import Plane

EACH_USD = 0.0002
"""What one answer of the stage's model costs."""


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """A project whose services have caches; tests put back what they move."""
    with served_caches(tmp_path_factory.mktemp("caches")) as plane:
        yield plane


@pytest.fixture
def visitor(stage: Plane) -> Visitor:
    return Visitor(stage, stage.secret)


def twin_of(stage: Plane, name: str) -> dict[str, Any]:
    found: dict[str, Any] = stage.get(f"/api/services/{name}/cache")
    return found


def test_hits_are_counted_by_kind_with_what_they_save(stage: Plane, visitor: Visitor) -> None:
    shown, twin = visitor.see("/services/exact/cache"), twin_of(stage, "exact")
    assert unescape(shown.headline) == twin["says"]
    assert twin["says"] == "37.5% of the requests were given an answer again."
    kinds = {row["kind"]: row["hits"] for row in twin["kinds"]}
    assert kinds == {"exact": 15, "semantic": 0, "stale": 0, "correction": 0}
    assert twin["saved_usd"] == pytest.approx(15 * EACH_USD)
    assert sum(day["requests"] for day in twin["days"]) == 40
    assert (twin["standing"], twin["thresholds"]) == ("none", [])
    assert (twin["kept"]["entries"], twin["kept"]["max_entries"]) == (25, 100_000)
    assert not shown.unclosed
    assert len(shown.source) < 60_000


def test_wrong_rates_are_of_hits_and_of_all_with_an_interval(
    stage: Plane, visitor: Visitor
) -> None:
    twin = twin_of(stage, "alike")
    assert twin["audited"] == 40
    assert twin["wrong_of_hits"] == pytest.approx(1 / 40)
    assert twin["wrong_low"] < 1 / 40 < twin["wrong_high"]
    assert (
        "40 hits were answered anew, unseen: 2.5% were wrong"
        in visitor.see("/services/alike/cache").words
    )


def test_the_certified_threshold_is_shown_on_its_curve(stage: Plane, visitor: Visitor) -> None:
    shown, twin = visitor.see("/services/alike/cache"), twin_of(stage, "alike")
    assert (twin["standing"], twin["threshold"], twin["certificate"]) == ("certified", 0.9, "ct_1")
    assert {row["kind"]: row["hits"] for row in twin["kinds"]}["semantic"] == 1
    last = twin["thresholds"][-1]
    assert (last["reused"], last["n"]) == (1, 240)
    assert last["low"] < last["wrong_of_hits"] < last["high"]
    assert "Certified: " in shown.words
    assert "promise: at most 5%" in shown.words
    assert not shown.unclosed


def test_a_bound_beyond_reach_is_said_with_what_is(stage: Plane, visitor: Visitor) -> None:
    shown, twin = visitor.see("/services/wrong/cache"), twin_of(stage, "wrong")
    assert (twin["standing"], twin["threshold"]) == ("not reachable", None)
    assert twin["reachable"] == pytest.approx(0.2)
    assert "5% is not reachable with what was seen: of the surest, 20.0% are wrong." in shown.words


def test_a_person_s_stop_is_said(stage: Plane) -> None:
    certify(stage, "alike", 0.9, is_stopped=True)
    try:
        twin = twin_of(stage, "alike")
    finally:
        certify(stage, "alike", 0.9)
    assert (twin["standing"], twin["state"]) == ("off", "off")
    assert "A person stopped it." in " ".join(twin["why"])


def test_what_went_is_told_with_why(stage: Plane, visitor: Visitor) -> None:
    reply = ask(stage, "exact", "what will be wrong?")
    said = stage.ask(
        "POST", f"/v1/requests/{reply.request_id}/outcome", {"source": "desk", "correct": False}
    )
    assert said.status == 201
    last = twin_of(stage, "exact")["kept"]["last"]
    assert [(one["request"], one["why"]) for one in last] == [
        (reply.request_id, "a person said otherwise")
    ]
    assert "a person said otherwise" in visitor.see("/services/exact/cache").words


def test_without_a_cache_it_says_so(stage: Plane, visitor: Visitor) -> None:
    shown = visitor.see("/services/plain/cache")
    assert shown.headline == "Nothing is given again: no cache is declared."
    assert twin_of(stage, "plain")["kept"] is None
    assert not shown.unclosed


def test_the_page_of_the_service_leads_to_it(visitor: Visitor) -> None:
    assert "/services/exact/cache" in visitor.see("/services/exact").links


def test_the_client_is_told_by_a_header(stage: Plane) -> None:
    body = {"model": "exact", "messages": [{"role": "user", "content": "by header?"}]}
    first = stage.ask("POST", "/v1/chat/completions", body)
    again = stage.ask("POST", "/v1/chat/completions", body)
    assert "x-roadworthy-cache" not in first.headers
    assert again.headers["x-roadworthy-cache"] == "exact"
    assert again.json["choices"] == first.json["choices"]


@pytest.mark.parametrize(
    ("headers", "disposition"),
    [
        ({b"cache-control": b"no-cache"}, "answered"),
        ({b"cache-control": b"max-age=0, private"}, "answered"),
        ({b"x-roadworthy-cache": b"no-store"}, "answered"),
        ({b"x-roadworthy-cache": b"No-Cache, no-store"}, "answered"),
        ({b"cache-control": b"max-age=600"}, "cached"),
        ({b"x-roadworthy-cache": b""}, "cached"),
    ],
)
def test_headers_say_what_a_client_wants(
    stage: Plane, headers: dict[bytes, bytes], disposition: str
) -> None:
    body = {"model": "exact", "messages": [{"role": "user", "content": "with headers?"}]}
    stage.ask("POST", "/v1/chat/completions", body)
    told = stage.ask("POST", "/v1/chat/completions", body, headers=headers)
    assert told.headers["x-roadworthy-disposition"] == disposition


def test_a_wish_that_is_none_is_refused(stage: Plane) -> None:
    body = {"model": "exact", "messages": [{"role": "user", "content": "x"}]}
    told = stage.ask(
        "POST", "/v1/chat/completions", body, headers={b"x-roadworthy-cache": b"only-mine"}
    )
    assert (told.status, told.error["code"]) == (400, "invalid_request")
    assert "`no-cache`" in told.error["message"]


def test_the_metrics_tell_it_too(stage: Plane) -> None:
    page = stage.ask("GET", "/metrics").body.decode()
    assert 'roadworthy_cache_hits_total{service="exact",kind="exact"}' in page
    assert 'roadworthy_cache_entries{service="exact"}' in page
    assert 'roadworthy_cache_bytes{service="exact"}' in page


def test_a_user_who_is_forgotten_leaves_the_cache_at_once(stage: Plane) -> None:
    ask(stage, "exact", "who am I?", user="leaver")
    assert ask(stage, "exact", "who am I?", user="leaver").disposition == "cached"
    assert stage.ask("DELETE", "/api/users/leaver/records").status == 200
    assert ask(stage, "exact", "who am I?", user="leaver").disposition == "answered"
    gone = twin_of(stage, "exact")["kept"]["gone"]
    assert gone["its user was forgotten"] == 1
