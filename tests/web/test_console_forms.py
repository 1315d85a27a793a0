"""What is wrong with a form is said beside its field, and nothing that was typed is lost."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from visitor import Shown, Visitor

from control_plane import Plane, served
from roadworthy.web.moments import moment

NOW = datetime(2026, 11, 23, 14, 32, 10, tzinfo=UTC)
HOSTILE = '<b onclick="x()">`&amp;\'\u202e\x07\U0001f600'


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    with served(tmp_path_factory.mktemp("forms")) as plane:
        for n in range(5):
            plane.answer("risk", {"wind": float(n)}, user="u_1")
        yield plane


@pytest.fixture
def visitor(stage: Plane) -> Visitor:
    return Visitor(stage, stage.secret)


def marked(shown: Shown) -> dict[str, str | None]:
    """Return the one field that something is wrong with, which has the focus and the words."""
    (field,) = [found for _, found in shown.elements if found.get("aria-invalid") == "true"]
    assert "autofocus" in field
    assert field["aria-describedby"] == "wrong"
    return field


def said(shown: Shown) -> str:
    """Return the words beside the field."""
    assert len(shown.having("p", id="wrong")) == 1
    found = re.search(r'<p id="wrong"[^>]*>(.*?)</p>', shown.source)
    assert found
    return re.sub(r"<[^>]+>", "", found[1])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1h", "2026-11-23T13:32:10"),
        ("90 m", "2026-11-23T13:02:10"),
        ("2w", "2026-11-09T14:32:10"),
        ("999999w", "1970-01-01T00:00:00"),
        ("now", "2026-11-23T14:32:10"),
        (" Today ", "2026-11-23T00:00:00"),
        ("yesterday", "2026-11-22T00:00:00"),
        ("2026-11-01", "2026-11-01T00:00:00"),
        ("2026-11-01 09:30", "2026-11-01T09:30:00"),
        ("2026-11-01T09:30Z", "2026-11-01T09:30:00"),
        ("2026-11-01T09:30+02:00", "2026-11-01T07:30:00"),
    ],
)
def test_a_time_is_typed_in_words_or_figures(text: str, expected: str) -> None:
    assert moment(text, NOW, -1).astimezone(UTC).isoformat() == f"{expected}+00:00"


@pytest.mark.parametrize(
    "text", ["", "1", "h", "-1h", "1.5h", "1y", "lost", "2026-13-01", "1h " * 99, "\u0661h"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        moment(text, NOW, -1)


def test_a_span_to_come_ends_with_the_calendar() -> None:
    assert moment("30d", NOW, 1) == datetime(2026, 12, 23, 14, 32, 10, tzinfo=UTC)
    with pytest.raises(ValueError, match="10000"):
        moment("999999w", NOW, 1)


@pytest.mark.parametrize("words", ["1h", "today", "2000-01-01", "2000-01-01 10:00", "52w"])
def test_the_list_takes_times_in_words_and_its_twin_the_same(
    stage: Plane, visitor: Visitor, words: str
) -> None:
    shown = visitor.see(f"/requests?since={words.replace(' ', '%20')}&user=u_1")
    assert shown.status == 200
    assert shown.headline == "5 requests match."
    chosen = [found["value"] for found in shown.having("option") if "selected" in found]
    typed = shown.having("input", name="since")[0]["value"]
    assert (chosen[-1], typed) == (("1h", "") if words == "1h" else ("other", words))
    (twin,) = [link for link in shown.links if link.startswith("/api/requests?")]
    assert stage.get(twin)["sentence"] == shown.headline


@pytest.mark.parametrize(
    ("query", "field", "expected"),
    [
        ("since=lost", "since", "1h or 7d, today, or a UTC time such as 20"),
        ("until=2026-13-01", "until", "got 2026-13-01"),
        ("since=9999-12-31", "since", "a UTC time such as"),
        ("disposition=lost", "disposition", "one of answered, cached"),
        ("tag=a&tag=b", "tag", "Expected tag once, got a, b."),
        ("user=" + "x" * 201, "user", "at most 200 characters, got 201 characters"),
        ("tag=" + "%F0%9F%98%80" * 201, "tag", "at most 200 characters"),
    ],
)
def test_a_wrong_filter_is_said_beside_its_field(
    visitor: Visitor, query: str, field: str, expected: str
) -> None:
    shown = visitor.see(f"/requests?service=risk&model=kept&{query}")
    assert shown.status == 400
    assert shown.headline == "A filter is not understood."
    assert marked(shown)["name"] == field
    assert expected in said(shown)
    assert "selected" in shown.having("option", value="kept")[0]
    assert [option for option in shown.having("option") if "selected" in option]
    assert not [link for link in shown.links if link.startswith("/requests/")]
    assert shown.unclosed == []


def test_every_filter_that_is_wrong_is_marked(visitor: Visitor) -> None:
    shown = visitor.see("/requests?since=lost&slower_than_ms=fast&disposition=gone&tag=kept")
    assert shown.status == 400
    wrong = [found for _, found in shown.elements if found.get("aria-invalid") == "true"]
    assert {found["name"] for found in wrong} == {"since", "slower_than_ms", "disposition"}
    words = {found["aria-describedby"]: found for found in wrong}
    assert len(words) == len([f for f in shown.having("p") if f.get("id") in words]) == 3
    assert len([found for found in wrong if "autofocus" in found]) == 1
    assert "Expected a number of milliseconds such as 250 , got fast ." in shown.words
    assert shown.having("input", name="tag")[0]["value"] == "kept"
    assert shown.unclosed == []


@pytest.mark.parametrize(
    ("given", "got"), [("slower_than_ms=-1", "got -1"), ("slower_than_ms=9e99", "got 9e99")]
)
def test_a_span_that_no_request_can_take_is_said_beside_its_field(
    visitor: Visitor, given: str, got: str
) -> None:
    shown = visitor.see(f"/requests?{given}")
    assert (shown.status, marked(shown)["name"]) == (400, "slower_than_ms")
    assert got in said(shown)


def test_a_beginning_after_the_end_is_said_beside_it(stage: Plane, visitor: Visitor) -> None:
    query = "since=2026-11-02&until=2026-11-01"
    shown = visitor.see(f"/requests?{query}")
    assert (shown.status, marked(shown)["name"]) == (400, "since")
    assert said(shown) == "Expected a time before that of until, got 2026-11-02."
    refused = stage.ask(
        "GET", "/api/requests?since=2026-11-02T00:00:00Z&until=2026-11-01T00:00:00Z"
    )
    assert (refused.status, refused.error["param"]) == (400, "since")


def test_a_bound_of_a_number_is_said_in_words(stage: Plane, visitor: Visitor) -> None:
    assert "limit: expected a whole number >= 1, got 0" in visitor.see("/requests?limit=0").words
    refused = stage.ask("GET", "/api/requests?limit=201")
    assert "limit: expected a whole number <= 200, got `201`" in refused.error["message"]


def test_a_time_that_is_typed_counts_before_one_that_is_chosen(visitor: Visitor) -> None:
    shown = visitor.see("/requests?since=24h&since=2000-01-01&user=u_1")
    assert shown.headline == "5 requests match."
    assert shown.having("input", name="since")[0]["value"] == "2000-01-01"
    assert visitor.see("/requests?since=other&user=u_1").headline == "5 requests match."


def test_a_filter_that_is_no_field_of_the_form_gets_an_error_page(visitor: Visitor) -> None:
    for query in ("colour=red", "limit=0"):
        shown = visitor.see(f"/requests?{query}")
        assert shown.status == 400
        assert shown.headline == "This cannot be read."


GOOD = {"name": "dashboard", "team": "ops", "per_day_usd": "2.5", "expires": "2098-01-31T14:00"}


@pytest.mark.parametrize(
    ("change", "field", "expected"),
    [
        ({"name": ""}, "name", "Expected 1 to 200 characters, got nothing."),
        ({"name": "   "}, "name", "Expected 1 to 200 characters"),
        ({"name": "x" * 201}, "name", "got 201 characters"),
        ({"per_day_usd": "2,5"}, "per_day_usd", "an amount such as 2.50"),
        ({"per_day_usd": "-1"}, "per_day_usd", "got -1."),
        ({"per_day_usd": "0.0000001"}, "per_day_usd", "at most 6 decimals, got 0.0000001"),
        ({"per_day_usd": "nan"}, "per_day_usd", "got nan"),
        ({"expires": "2001-01-01T00:00"}, "expires", "a UTC time to come such as"),
        ({"expires": "never"}, "expires", "got never"),
        ({"team": "t" * 201}, "team", "at most 200 characters"),
    ],
)
def test_a_key_that_makes_no_sense_is_said_beside_its_field(
    stage: Plane, visitor: Visitor, change: dict[str, str], field: str, expected: str
) -> None:
    before = stage.get("/api/keys")["keys"]
    visitor.see("/keys")
    typed = {**GOOD, **change}
    picked = [("scopes", "read"), ("scopes", "answer"), ("services", "risk")]
    shown = visitor.send("/keys", picked, **typed)
    assert shown.status == 400
    assert marked(shown)["name"] == field
    assert expected in said(shown)
    for name, text in GOOD.items():
        if name != field:
            assert shown.having("input", name=name)[0]["value"] == text
    checked = {found["value"] for found in shown.having("input") if "checked" in found}
    assert checked == {"read", "answer", "risk"}
    assert stage.get("/api/keys")["keys"] == before
    assert shown.source.count("rw_") == 0
    fixed = visitor.send("/keys", picked, **GOOD)  # the token of the page with the error is good
    assert fixed.status == 200


@pytest.mark.parametrize(
    ("picked", "expected"),
    [([], "at least one, got nothing"), ([("scopes", "all")], "at least one, got all")],
)
def test_a_key_without_a_scope_is_said_beside_the_scopes(
    visitor: Visitor, picked: list[tuple[str, str]], expected: str
) -> None:
    visitor.see("/keys")
    shown = visitor.send("/keys", picked, **GOOD)
    assert shown.status == 400
    assert expected in said(shown)
    assert shown.having("fieldset", **{"aria-describedby": "wrong"})
    assert shown.having("input", name="name")[0]["value"] == "dashboard"


def test_a_key_for_an_unknown_service_is_said_beside_the_services(visitor: Visitor) -> None:
    visitor.see("/keys")
    shown = visitor.send("/keys", [("scopes", "read"), ("services", "gone")], **GOOD)
    assert shown.status == 400
    assert "got gone" in said(shown)


def test_a_reason_that_is_too_long_stays_in_its_field(visitor: Visitor) -> None:
    visitor.see("/services/risk")
    shown = visitor.send("/services/risk/stop", reason="r" * 1001)
    assert shown.status == 400
    assert marked(shown)["name"] == "reason"
    assert said(shown) == "Expected at most 1,000 characters, got 1,001 characters."
    assert "data-live" not in shown.having("main")[0]
    assert shown.having("a", href="/api/services/risk/page")


def test_what_was_typed_comes_back_as_words(visitor: Visitor) -> None:
    visitor.see("/keys")
    shown = visitor.send("/keys", [("scopes", "read")], name=HOSTILE, per_day_usd=HOSTILE)
    assert shown.status == 400
    assert "<b onclick" not in shown.source
    assert not {"\u202e", "\x07"} & set(shown.source)
    assert (shown.having("input", name="name")[0]["value"] or "").startswith('<b onclick="x()">')
    assert shown.unclosed == []


def test_a_form_with_an_error_still_needs_its_scope(stage: Plane) -> None:
    _, secret = stage.make_key("read")
    visitor = Visitor(stage, secret)
    visitor.see("/requests")
    assert visitor.send("/keys", name="").status == 403
    assert visitor.send("/services/risk/stop", reason="r" * 1001).status == 403
