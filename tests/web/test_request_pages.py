"""The pages about requests, releases and keys, as a browser without script reads them."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from visitor import Shown, Visitor

from control_plane import Plane, served
from roadworthy.store.records import drop_before
from roadworthy.types import DAY_US, MICRO, Attempt, Outcome, Record, Usage, Verdict

HOSTILE = "<script>alert(1)</script>'\"&{{7*7}}</td>\u202eevil\u2066\x00\x1b[31m\x85 😀\U000e0041`"
HIDDEN = set("\u202e\u2066\x00\x1b\x85")


def add(plane: Plane, *entries: Record | Outcome) -> None:
    """Let the store take entries as the engine hands them over."""

    async def append() -> None:
        for entry in entries:
            plane.serving.spool.append(entry)

    plane.project.run(append()).result(20)
    plane.serving.writer.drain()


def hostile_record(id: str = "rq_0000000000010000aaaaaaaaaa", **more: Any) -> Record:
    fields: dict[str, Any] = {
        "id": id,
        "at_us": 1_700_000_000 * MICRO,
        "service": "risk",
        "kind": "predict",
        "disposition": "failed",
        "release": HOSTILE,
        "key": HOSTILE,
        "team": HOSTILE,
        "user": HOSTILE,
        "entity": HOSTILE,
        "conversation": HOSTILE,
        "role": HOSTILE,
        "parent": HOSTILE,
        "tags": (HOSTILE, *(f"tag {n}" for n in range(1000))),
        "reasons": (HOSTILE, f"all_models_failed: {HOSTILE}"),
        "error_code": "all_models_failed",
        "model": HOSTILE,
        "attempts": (Attempt(HOSTILE, HOSTILE, 5, Usage(1, 2), 3, HOSTILE, HOSTILE),),
        "verdicts": (Verdict(HOSTILE, "input", "deny", HOSTILE),),
        "price_source": HOSTILE,
        "scopes": (HOSTILE,),
        "features": {HOSTILE: HOSTILE},
        "cache": {"kind": HOSTILE},
        "timings": {"identify": 5, HOSTILE: 7, "call": 9},
        "latency_us": 30,
        "protocol": HOSTILE,
        "declaration_hash": HOSTILE,
        "environment_hash": HOSTILE,
        "input": json.dumps({HOSTILE: [HOSTILE, "x" * 1_000_000]}).encode(),
        "output": HOSTILE.encode(),
    }
    return Record(**{**fields, **more})


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """A project with ninety answers, two refusals, and a record that is hostile all over."""
    with served(tmp_path_factory.mktemp("stage")) as plane:
        for n in range(60):
            plane.answer("risk", {"wind": float(n)}, user=f"u_{n % 7}")
        for n in range(30):
            plane.answer("reply", {"text": f"hello {n}"}, user=f"p_{n % 7}")
        plane.ask("POST", "/api/services/risk/stop", {"reason": "trial"})
        plane.follow()
        plane.answer("risk", {"wind": 1.0})
        plane.ask("POST", "/api/services/risk/resume", {"reason": "trial"})
        plane.follow()
        add(plane, hostile_record())
        yield plane


@pytest.fixture(scope="module")
def visitor(stage: Plane) -> Visitor:
    return Visitor(stage, stage.secret)


def ids_on(shown: Shown) -> list[str]:
    return [
        link.removeprefix("/requests/") for link in shown.links if link.startswith("/requests/rq_")
    ]


def check_is_clean(shown: Shown) -> None:
    """A page whose words stay words: no markup of theirs, nothing hidden, nothing left open."""
    assert shown.unclosed == []
    assert [found.get("src", "") for found in shown.having("script")] == [
        found["src"] for found in shown.having("script") if (found["src"] or "").startswith("/st")
    ]
    assert not HIDDEN & set(shown.source)
    assert not any(name in found for _, found in shown.elements for name in ("style", "onclick"))
    assert "49" not in re.sub(r"[\d.]+ m?s\b", "", shown.headline)


def test_the_list_says_what_happened_and_shows_forty_rows(visitor: Visitor) -> None:
    shown = visitor.see("/requests")
    assert shown.status == 200
    assert shown.headline == "91 requests in the last 24 hours: 1 was refused."
    assert len(ids_on(shown)) == 40
    check_is_clean(shown)


def test_the_page_is_what_its_twin_says(stage: Plane, visitor: Visitor) -> None:
    shown = visitor.see("/requests?service=reply")
    (twin,) = [link for link in shown.links if link.startswith("/api/requests?")]
    value = stage.get(twin)
    assert shown.headline == value["sentence"]
    assert ids_on(shown) == [row["id"] for row in value["requests"]]


def test_paging_visits_every_record_once(stage: Plane, visitor: Visitor) -> None:
    seen: list[str] = []
    target = "/requests"
    while target:
        shown = visitor.see(target)
        seen += ids_on(shown)
        older = shown.having("a", rel="next")
        target = (older[0]["href"] or "") if older else ""
    everything = stage.get("/api/requests?limit=200")["requests"]
    assert seen == [row["id"] for row in everything]
    assert len(seen) == len(set(seen)) == 92


def test_a_filter_stays_while_one_pages(visitor: Visitor) -> None:
    first = visitor.see("/requests?service=risk&user=&tag=")
    (older,) = first.having("a", rel="next")
    second = visitor.see(older["href"] or "")
    assert "service=risk" in (older["href"] or "")
    assert ids_on(second)
    assert not set(ids_on(first)) & set(ids_on(second))
    assert second.having("a", href="/requests?service=risk")


@pytest.mark.parametrize(
    ("query", "said", "n"),
    [
        ("service=reply&user=p_1", "5 requests match.", 5),
        ("disposition=refused", "1 request matches.", 1),
        ("error_code=service_stopped", "1 request matches.", 1),
        ("error=IS%20STOPPED", "1 request matches.", 1),
        ("tag=tag%20999", "1 request matches.", 1),
        ("model=by-rule", "More than 40 requests match.", 40),
        ("user=nobody", "No request matches.", 0),
        ("until=2023-01-01T00:00:00Z", "0 requests in the 24 hours before 1 Jan 2023, 00:00.", 0),
    ],
)
def test_filters_find_what_they_name(visitor: Visitor, query: str, said: str, n: int) -> None:
    shown = visitor.see(f"/requests?{query}")
    assert len(ids_on(shown)) == n
    assert shown.headline.startswith(said.partition(" in the")[0]) or not n


def test_what_was_filtered_for_stands_in_the_form(visitor: Visitor) -> None:
    shown = visitor.see(f"/requests?user={quote(HOSTILE[:150].replace(chr(0), ''))}")
    (field,) = shown.having("input", name="q")
    assert (field["value"] or "").startswith("<script>alert(1)</script>")
    check_is_clean(shown)


@pytest.mark.parametrize("query", ["wrong=1", "limit=0", "before=a&before=b"])
def test_a_wrong_parameter_that_has_no_field_is_named(visitor: Visitor, query: str) -> None:
    shown = visitor.see(f"/requests?{query}")
    assert shown.status == 400
    assert query.partition("=")[0] in shown.words
    check_is_clean(shown)


def test_a_request_without_anything_answered_yet_teaches(plane: Plane) -> None:
    shown = Visitor(plane, plane.secret).see("/requests")
    assert "No request has been answered yet." in shown.words
    check_is_clean(shown)


def test_a_request_tells_its_story(stage: Plane, visitor: Visitor) -> None:
    (row,) = stage.get("/api/requests?service=reply&user=p_1&limit=1")["requests"]
    shown = visitor.see(f"/requests/{row['id']}")
    value = stage.get(f"/api/requests/{row['id']}")
    assert shown.headline == value["story"]["sentence"]
    assert all(step["title"] in shown.words for step in value["story"]["steps"])
    assert len(value["story"]["steps"]) == 15
    assert "steps had nothing to do" in shown.words
    assert '"text": "hello' in shown.words
    assert row["release"] in shown.words
    digest = stage.get(f"/api/requests/{row['id']}/lineage")["model"]["digest"]
    assert digest
    assert digest in shown.words
    assert f"/api/requests/{row['id']}" in shown.links
    check_is_clean(shown)


def test_a_refusal_says_where_and_why_it_ended(stage: Plane, visitor: Visitor) -> None:
    (row,) = stage.get("/api/requests?error_code=service_stopped")["requests"]
    shown = visitor.see(f"/requests/{row['id']}")
    assert shown.headline == "risk refused this request: the service is stopped."
    assert "ended here" in shown.words
    assert shown.words.count("not reached") >= 10


COMPLETION = {
    "id": "chatcmpl-000000000015",
    "object": "chat.completion",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "Bikes fly as baggage.",
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "fees", "arguments": '{"of": "bike"}'},
                    }
                ],
            },
            "finish_reason": "stop",
        }
    ],
}


def test_an_answered_chat_is_read_as_text_and_its_tools_as_calls(
    stage: Plane, visitor: Visitor
) -> None:
    chat = {"messages": [{"role": "user", "content": "May I bring my bike?"}]}
    id = "rq_0000000000030000aaaaaaaaaa"
    told = hostile_record(
        id, input=json.dumps(chat).encode(), output=json.dumps(COMPLETION).encode()
    )
    add(stage, told)
    shown = visitor.see(f"/requests/{id}")
    quotes = re.findall(r"<blockquote>(.*?)</blockquote>", shown.source, re.DOTALL)
    assert [html.unescape(quote) for quote in quotes] == [
        "May I bring my bike?",
        "Bikes fly as baggage.",
        '{"of": "bike"}',
    ]
    assert "calls the tool fees" in shown.words
    assert shown.source.index("chatcmpl-") > shown.source.index("Output as JSON")
    assert shown.source.index("Input and output") < shown.source.index("The walk through")
    check_is_clean(shown)


def test_a_value_below_zero_has_one_minus_sign_whatever_its_kind(
    stage: Plane, visitor: Visitor
) -> None:
    id = "rq_0000000000040000aaaaaaaaaa"
    values = {"temp": -11, "wind": -7 / 3}
    add(stage, hostile_record(id, features={"values": values, "views": {}}))
    shown = visitor.see(f"/requests/{id}")
    assert "\N{MINUS SIGN}11" in shown.words
    assert "\N{MINUS SIGN}2.33333" in shown.words


def test_limits_that_lie_beyond_the_clock_stand_at_its_end(stage: Plane, visitor: Visitor) -> None:
    (row,) = stage.get("/api/requests?service=risk&disposition=answered&limit=1")["requests"]
    shown = visitor.see(f"/requests/{row['id']}")
    assert "objective 500 ms, deadline 1,000 ms →" in shown.words


def test_a_child_and_what_became_known_stand_on_the_page(plane: Plane) -> None:
    parent = plane.answer("reply", {"text": "hello"}).request_id
    child = hostile_record("rq_0000000000020000aaaaaaaaaa", parent=parent, service="reply")
    truth = Outcome(
        id="oc_1",
        request_id=parent,
        kind="correct",
        value=HOSTILE,
        source="ops",
        at_us=1,
        known_at_us=2,
        by=HOSTILE,
    )
    add(plane, child, truth)
    shown = Visitor(plane, plane.secret).see(f"/requests/{parent}")
    assert child.id in ids_on(shown)
    assert "correct" in shown.words
    check_is_clean(shown)


def test_a_hostile_record_is_shown_as_words(visitor: Visitor) -> None:
    for target in ("/requests?limit=200", "/requests/rq_0000000000010000aaaaaaaaaa"):
        shown = visitor.see(target)
        assert shown.status == 200
        assert "<script>alert(1)</script>" in shown.words
        assert "{{7*7}}" in shown.words
        check_is_clean(shown)


def test_a_long_input_is_cut_with_a_way_to_the_rest(visitor: Visitor) -> None:
    shown = visitor.see("/requests/rq_0000000000010000aaaaaaaaaa")
    assert len(shown.source) < 80_000
    assert "more characters" in shown.words
    assert "/api/requests/rq_0000000000010000aaaaaaaaaa" in shown.links
    assert "and 981 more" in shown.words


def test_a_request_that_is_gone_says_so(plane: Plane) -> None:
    id = plane.answer("risk", {"wind": 1.0}).request_id
    visitor = Visitor(plane, plane.secret)
    assert visitor.see(f"/requests/{id}").status == 200
    drop_before(plane.project.state, "risk", plane.project.clock.now_us() + DAY_US)
    for target in (f"/requests/{id}", "/requests/rq_never", f"/requests/{quote(HOSTILE)}"):
        shown = visitor.see(target)
        assert shown.status == 404
        assert "keep_days" in shown.words or "no page" in shown.words
        check_is_clean(shown)


def test_a_limited_key_sees_only_its_service(stage: Plane) -> None:
    _, secret = stage.make_key("read", services=["reply"])
    visitor = Visitor(stage, secret)
    assert {row["service"] for row in stage.get("/api/requests", key=secret)["requests"]} == {
        "reply"
    }
    shown = visitor.see("/requests")
    assert shown.headline.startswith("30 requests")
    assert visitor.see("/requests?service=risk").status == 403
    assert visitor.see("/requests/rq_0000000000010000aaaaaaaaaa").status == 404
    assert "risk" not in visitor.see("/releases").words
    assert visitor.see("/keys").status == 403
    assert "/keys" not in shown.links


def test_who_is_not_logged_in_is_sent_to_the_log_in(stage: Plane) -> None:
    for target in ("/requests", "/requests/rq_1", "/releases", "/keys"):
        shown = Visitor(stage).see(target)
        assert shown.status == 303
        assert shown.headers["location"] == f"/login?next={target}"


def test_a_key_is_made_with_a_form_and_its_secret_is_shown_once(plane: Plane) -> None:
    visitor = Visitor(plane, plane.secret)
    visitor.see("/keys")
    fields = [("scopes", "answer"), ("scopes", "read"), ("services", "risk"), ("team", "")]
    made = visitor.send("/keys", fields, name=HOSTILE[:60], per_day_usd="2.5")
    assert made.status == 200, made.words
    check_is_clean(made)
    secret = made.having("input", id="secret")[0]["value"] or ""
    plane.follow()
    assert plane.ask("GET", "/api/requests", key=secret).status == 200
    (listed,) = [key for key in plane.get("/api/keys")["keys"] if key["per_day_usd"] == 2.5]
    assert (listed["scopes"], listed["services"]) == (["answer", "read"], ["risk"])
    again = visitor.see("/keys")
    assert secret not in again.source
    assert "$2.50" in again.words
    check_is_clean(again)


def test_a_key_that_is_revoked_on_its_page_is_refused(plane: Plane) -> None:
    key, secret = plane.make_key("read")
    other = Visitor(plane, secret)
    assert other.see("/requests").status == 200
    visitor = Visitor(plane, plane.secret)
    visitor.see("/keys")
    gone = visitor.send(f"/keys/{key.id}/revoke")
    assert (gone.status, gone.headers["location"]) == (303, "/keys")
    plane.follow()
    assert plane.ask("GET", "/api/requests", key=secret).status == 401
    assert other.see("/requests").headers["location"].startswith("/login")
    assert "revoked" in visitor.see("/keys").words


@pytest.mark.parametrize("target", ["/keys", "/keys/k_1/revoke", "/releases/x/promote"])
def test_a_form_without_its_token_does_nothing(stage: Plane, target: str) -> None:
    visitor = Visitor(stage, stage.secret)
    before = stage.get("/api/keys")["keys"]
    for fields in ({}, {"csrf": "wrong"}):
        assert visitor.post(target, name="x", scopes="admin", **fields).status == 403
    assert stage.get("/api/keys")["keys"] == before


def test_forms_need_their_scope(plane: Plane) -> None:
    _, secret = plane.make_key("read")
    visitor = Visitor(plane, secret)
    shown = visitor.see("/releases")
    release = plane.get("/api/releases")["releases"][0]["release"]
    assert "Promote" not in shown.words.replace("Promoting", "")
    for target in (f"/releases/{quote(release)}/promote", "/keys"):
        visitor.see("/releases")
        assert visitor.send(target, name="x", scopes="admin").status == 403


def test_an_older_release_is_promoted_again(plane: Plane) -> None:
    folder = Path(plane.project.folder)
    old = plane.serving.engine.releases["risk"].id
    file = folder / "services/risk/service.toml"
    file.write_text(file.read_text().replace("20.0", "30.0"))
    assert plane.ask("POST", "/api/services/risk/releases").status == 201
    visitor = Visitor(plane, plane.secret)
    shown = visitor.see("/releases")
    assert shown.headline == "risk serves an older release than its newest."
    check_is_clean(shown)
    newest = next(
        row["release"]
        for row in plane.get("/api/releases?service=risk")["releases"]
        if row["release"] != old
    )
    done = visitor.send(f"/releases/{quote(newest)}/promote")
    assert (done.status, done.headers["location"]) == (303, "/releases")
    plane.follow()
    assert plane.serving.engine.releases["risk"].id == newest
    assert visitor.see("/releases").headline == "Every service serves its newest release."
    one = visitor.see(f"/releases/{quote(old)}")
    assert one.headline == f"{old.partition('@')[2][:6]} does not serve risk."
    check_is_clean(one)


def test_an_unknown_release_is_not_found(visitor: Visitor) -> None:
    shown = visitor.see(f"/releases/{quote(HOSTILE)}")
    assert shown.status == 404
    check_is_clean(shown)


def test_pages_stay_small(visitor: Visitor) -> None:
    for target in ("/requests", "/requests/rq_0000000000010000aaaaaaaaaa", "/keys", "/releases"):
        assert len(visitor.see(target).source) < 80_000, target
