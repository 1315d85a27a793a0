"""The JSON that models write: what is read, what is mended, and what is never guessed."""

from __future__ import annotations

import json
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadworthy.serve.mending import MOST_MENDED, NotJson, RefusedJson, mend_json, read_json

CASES = Path(__file__).parents[1] / "cases/structured"


def cases(name: str) -> list[Any]:
    lines = (CASES / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [pytest.param(case, id=case["id"]) for case in map(json.loads, lines)]


def value_of(text: str) -> Any:
    """Return what becomes of a text, as the judge reads it."""
    try:
        return read_json(text)
    except RefusedJson:
        raise
    except NotJson:
        return mend_json(text)


@pytest.mark.parametrize("case", cases("clean"))
def test_what_is_json_is_read_as_it_stands(case: dict[str, Any]) -> None:
    assert read_json(case["text"]) == case["value"]


@pytest.mark.parametrize("case", cases("mended"))
def test_what_is_nearly_json_is_mended(case: dict[str, Any]) -> None:
    with pytest.raises(NotJson):
        read_json(case["text"])
    value = value_of(case["text"])
    assert value == case["value"]
    assert json.dumps(value) == json.dumps(case["value"]), "of the same types too"


@pytest.mark.parametrize("case", cases("refused"))
def test_what_could_mean_something_else_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(NotJson) as caught:
        value_of(case["text"])
    assert case["says"] in str(caught.value)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=6), children, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(JSON, st.booleans(), st.sampled_from([None, 2]))
def test_no_valid_json_is_ever_changed(value: Any, is_ascii: bool, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=is_ascii, indent=indent)
    assert json.dumps(read_json(text)) == json.dumps(value)


@settings(max_examples=200, deadline=None)
@given(
    JSON, st.sampled_from(["```json\n{}\n```", "Sure:\n{}", "<think>{{}}</think>{}", "{} // ok"])
)
def test_what_stands_around_json_changes_nothing_in_it(value: Any, around: str) -> None:
    value = {"answer": value}
    text = around.replace("{{}}", "(…)").replace("{}", json.dumps(value))
    try:
        assert json.dumps(value_of(text)) == json.dumps(value)
    except NotJson:
        assert "```" in json.dumps(value), "a fence within the JSON: refused, not changed"


WORDS = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=4),
    st.text("abcdef 123", max_size=9)
    | st.integers(-999, 999)
    | st.booleans()
    | st.lists(st.integers(0, 99), max_size=3),
    min_size=1,
    max_size=4,
)


@settings(max_examples=400, deadline=None)
@given(WORDS, st.integers(0, 200), st.sampled_from(["", ",", "}", '"', "'", "]", ":", "{"]))
def test_what_was_damaged_is_the_same_or_refused(value: Any, place: int, instead: str) -> None:
    """Damage one character: numbers and words that come out are those that came in, in order."""
    whole = json.dumps({"answer": value}, ensure_ascii=False)
    at = len('{"answer": {') + place % (len(whole) - len('{"answer": {}'))
    text = whole[:at] + instead + whole[at + 1 :]
    try:
        found = value_of(text)
    except NotJson:
        return
    assert re.findall(r"-?\w+", json.dumps(found)) == re.findall(r"-?\w+", text)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="{}[]\",':\\ \n0123456789eE.-+truefalsn/*#`<>k", max_size=60))
def test_any_text_is_a_value_or_a_refusal(text: str) -> None:
    with suppress(NotJson):
        json.dumps(value_of(text), allow_nan=False)


@pytest.mark.parametrize(
    "piece",
    ["{", "[", '{"a":', "{ , ]", "/*", "//", '"', "'", "<think>", "```", "{} ", '"k": ', "\\"],
)
def test_no_text_keeps_a_process_busy(piece: str) -> None:
    text = ("{" + piece * MOST_MENDED)[:MOST_MENDED]
    started = time.process_time()
    with suppress(NotJson):
        value_of(text)
    assert time.process_time() - started < 2.5
