"""A pattern means the same to every engine, or is refused."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date

import duckdb
import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadworthy.data.patterns import DATE, FORMATS, TIMESTAMP, PatternError, common_pattern

TEXTS = (
    "",
    "a",
    "A1",
    "é",
    "\u00a0",
    " ",
    "\n",
    "a\nb",
    "a-b",
    "[x]",
    "a&b",
    "{",
    "\u0661",
    "a\\b",
)


@pytest.mark.parametrize(
    "pattern",
    [
        r"\d", r"^\w+$", r"\s", r"[\w-]", r"a.b", r"[^\s]", r"^[a&&b]+$", r"[]x]", r"a{1,2}?b",
        r"\x41|\u00e9", r"^(?:a|A)\d?$", r"[{}~#]", r"\-", r"\D\W?", "é", r"[a-]", r"\\", r"^$",
        *FORMATS.values(),
    ],
)  # fmt: skip
def test_engines_agree_about_a_common_pattern(pattern: str) -> None:
    common = common_pattern(pattern)
    in_rust = jsonschema_rs.Draft202012Validator({"pattern": common}).is_valid
    rows = duckdb.execute(
        "SELECT t, regexp_matches(t, ?) FROM UNNEST(?) AS u(t)", [common, list(TEXTS)]
    ).fetchall()
    for text, matched in rows:
        assert matched == in_rust(text), text


@pytest.mark.parametrize(
    "pattern",
    [
        r"(?=a)", r"(?i)a", r"(?<n>a)", r"\bword", r"\1(a)", r"a++", r"a**", r"\p{L}",
        r"[[:alpha:]]",
        r"[\D]", r"a{1001}", r"a{", "[", "(", "a)", "\\", r"\u0000", "\0", r"\ud800", r"\A", "*a",
    ],
)  # fmt: skip
def test_what_engines_read_differently_is_refused(pattern: str) -> None:
    with pytest.raises(PatternError):
        common_pattern(pattern)


ATOMS = ("a", "é", ".", r"\d", r"\W", "[^a]", "[a-zä-ÿ\u4e00-\u9fff]", "[^\U0001f600]")
TIMES = ("*", "+", "?", "{2}", "{31}", "{1000}", "{0,5}", "{0,999}", "{3,}", "{0}")


def larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    repeated = st.tuples(st.sampled_from(("(", "(?:")), inner, st.sampled_from(TIMES))
    return st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]}|{pair[1]})"),
        repeated.map(lambda parts: f"{parts[0]}{parts[1]}){parts[2]}"),
    )


@settings(max_examples=150, deadline=None)
@given(st.recursive(st.sampled_from(ATOMS), larger, max_leaves=12))
def test_engines_have_room_for_what_is_not_refused(pattern: str) -> None:
    try:
        common = common_pattern(pattern)
    except PatternError:
        return
    jsonschema_rs.Draft202012Validator({"pattern": common})
    duckdb.execute("SELECT regexp_matches('a', ?)", [common]).fetchall()


FITS: dict[str, tuple[Iterable[str], Iterable[str]]] = {
    "email": (["a@b.de", "a.b+c@d-e.example"], ["a@b", "a b@c.de", "@c.de", "a@-c.de"]),
    "uuid": (["123e4567-e89b-12d3-a456-426614174000"], ["123e4567e89b12d3a456426614174000"]),
    "uri": (["https://a.de/x?y#z", "urn:isbn:1"], ["a.de", "https://a b", "1:x"]),
    "hostname": (["a", "a-b.example"], ["-a", "a..b", "a_b", ""]),
    "ipv4": (["0.0.0.0", "255.1.2.3"], ["256.0.0.1", "1.2.3", "01.2.3.4"]),
    "ipv6": (["::", "::1", "1::8", "1:2:3:4:5:6:7:8", "fe80::1:2"], [":::", "1::2::3", "1:2"]),
    "byte": (["", "YQ==", "YWI="], ["Y", "YQ=", "Y Q="]),
}


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_format_takes_what_is_one_and_nothing_else(name: str) -> None:
    good, bad = FITS[name]
    assert [text for text in good if not re.search(FORMATS[name], text)] == []
    assert [text for text in bad if re.search(FORMATS[name], text)] == []


def test_a_date_is_one_that_the_calendar_has() -> None:
    def has(year: int, month: int, day: int) -> bool:
        try:
            return bool(date(year, month, day))
        except ValueError:
            return False

    for year in (0, 1, 4, 100, 400, 1900, 2000, 2012, 2013, 9999):
        for month in range(14):
            for day in range(33):
                text = f"{year:04}-{month:02}-{day:02}"
                assert bool(re.search(DATE, text)) == has(year, month, day), text


def test_a_timestamp_has_seconds_and_an_hour_of_the_day() -> None:
    for text in (
        "2013-01-01T00:00:00",
        "2013-01-01 23:59:59.123456789+05:30",
        "2013-01-01T00:00:00Z",
    ):
        assert re.search(TIMESTAMP, text)
    for text in ("2013-01-01", "2013-01-01T24:00:00", "2013-01-01T00:00:60Z", "2013-01-01T00:00Z"):
        assert not re.search(TIMESTAMP, text)
