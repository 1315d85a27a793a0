from __future__ import annotations

import json
from math import log
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.signals.generated import (
    LEAST_LOGPROB,
    AnswerSignals,
    Generated,
    agreement,
    signals_of,
)
from roadworthy.types import Passage, Sentence

PAGES = (
    Passage("bags.md", "Bags", "Two bags are free on United. Pets do not fly in the hold.", 0.8),
    Passage("refunds.md", "Refunds", "A refund takes 7 days.", 0.5),
)


def completion(*tokens: tuple[float, list[float] | None], **message: Any) -> bytes:
    """Return a chat completion whose tokens have these log-probabilities, and those of others."""
    content = [
        {"token": "a", "logprob": own, "top_logprobs": [{"logprob": each} for each in top or []]}
        for own, top in tokens
    ]
    return json.dumps(
        {"choices": [{"logprobs": {"content": content}, "message": message}]}
    ).encode()


def test_nothing_but_a_text_leaves_all_else_unknown() -> None:
    found = signals_of(Generated("Yes, they are."))
    known = {name for name, value in msgspec.structs.asdict(found).items() if value is not None}
    assert known == {"words", "is_cut", "refuses"}


def test_probabilities_of_tokens_are_read_from_the_completion() -> None:
    half = log(0.5)
    found = signals_of(Generated("a b", completion=completion((half, [half, half]), (0.0, [0.0]))))
    assert found.mean_logprob == pytest.approx(half / 2)
    assert found.least_logprob == pytest.approx(half)
    assert found.mean_entropy == pytest.approx(log(2) / 2)


def test_tokens_that_are_not_told_of_count_as_one_in_the_entropy() -> None:
    found = signals_of(Generated("a", completion=completion((log(0.5), [log(0.5)]))))
    assert found.mean_entropy == pytest.approx(log(2))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"junk",
        b"[]",
        b"{}",
        b'{"choices": []}',
        b'{"choices": [{}]}',
        b'{"choices": [{"logprobs": null}]}',
        b'{"choices": [{"logprobs": {"content": null}}]}',
        b'{"choices": [{"logprobs": {"content": []}}]}',
        b'{"choices": [{"logprobs": {"content": [{"logprob": "low"}]}}]}',
    ],
)
def test_a_completion_without_them_leaves_them_unknown(body: bytes) -> None:
    found = signals_of(Generated("a", completion=body))
    assert (found.mean_logprob, found.least_logprob, found.mean_entropy) == (None, None, None)


def test_what_upstreams_give_for_the_impossible_is_bounded() -> None:
    found = signals_of(Generated("a", completion=completion((-9999.0, [-9999.0, 1e-9]), (0.1, []))))
    assert found.least_logprob == LEAST_LOGPROB
    assert found.mean_logprob == LEAST_LOGPROB / 2
    assert found.mean_entropy == pytest.approx(0, abs=1e-6)


def test_support_and_nearness_are_summed_up() -> None:
    sentences = [Sentence("a", 0.9), Sentence("b", 0.4)]
    limits = [(0.9, 0.7), (0.72, 0.7)]
    found = signals_of(Generated("a b", passages=PAGES, sentences=sentences, limits=limits))
    assert found.least_support == 0.4
    assert found.mean_support == pytest.approx(0.65)
    assert found.top_score == 0.8
    assert found.score_margin == pytest.approx(0.3)
    assert found.margin == pytest.approx(0.02)


def test_one_passage_has_no_margin_and_none_leaves_everything_foreign() -> None:
    assert signals_of(Generated("a", passages=PAGES[:1])).score_margin is None
    found = signals_of(Generated("It costs 40 on Delta.", passages=()))
    assert (found.top_score, found.foreign_numbers, found.foreign_names) == (None, 1, 1)


@pytest.mark.parametrize(
    ("text", "numbers", "names", "turned"),
    [
        ("Two bags are free on United.", 0, 0, 0),
        ("Two bags are free on Delta.", 0, 1, 0),
        ("Two bags are not free on United.", 0, 0, 1),
        ("Pets do fly in the hold.", 0, 0, 1),
        ("A refund takes 14 days, and 3 for JFK.", 2, 1, 0),
        ("You asked for 99 miles to Boston.", 0, 0, 0),
        ("A refund takes 7 days. [other.md: Rules of 2020]", 0, 0, 0),
        ("Nobody knows.", 0, 0, 0),
        ("", 0, 0, 0),
    ],
)
def test_what_the_passages_do_not_bear_out_is_counted(
    text: str, numbers: int, names: int, turned: int
) -> None:
    found = signals_of(Generated(text, question="Boston, 99 miles?", passages=PAGES))
    assert (found.foreign_numbers, found.foreign_names, found.turned) == (numbers, names, turned)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I'm sorry, but that is not in my pages.", 1),
        ("I cannot help with that.", 1),
        ("I don\u2019t know.", 1),
        ("As an AI, I have no bags.", 1),
        ("Das kann ich dir sagen.", 0),
        ("Das weiß ich leider nicht.", 1),
        ("You cannot bring a pet.", 0),
        ("Bags are free.", 0),
    ],
)
def test_a_refusal_is_seen_by_its_words(text: str, expected: int) -> None:
    assert signals_of(Generated(text)).refuses == expected


def test_a_refusal_may_be_told_by_the_completion() -> None:
    assert signals_of(Generated("", completion=completion(refusal="No."))).refuses == 1


@pytest.mark.parametrize(
    ("reason", "expected"),
    [("stop", 0), ("tool_calls", 0), ("length", 1), ("content_filter", 1)],
)
def test_an_answer_that_was_cut_is_marked(reason: str, expected: int) -> None:
    assert signals_of(Generated("a", finish_reason=reason)).is_cut == expected


def test_answers_agree_as_far_as_they_say_the_same() -> None:
    assert agreement(["A refund takes 7 days.", "a refund takes 7 days"]) == 1
    assert agreement(["It takes 7 days.", "It takes 14 days."]) == 0
    assert agreement(["Pets can fly.", "Pets cannot fly."]) == 0
    assert agreement(["Pets can fly.", "Pets fly."]) == pytest.approx(0.8)
    assert agreement(["Yes."]) is agreement([]) is None
    found = signals_of(Generated("Yes.", samples=["Yes!", "Yes", "No."]))
    assert found.agreement == pytest.approx(2 / 3)


@given(st.lists(st.text(max_size=30), min_size=2, max_size=4))
def test_agreement_is_a_share_whatever_the_order(texts: list[str]) -> None:
    found = agreement(texts)
    assert found is not None
    assert 0 <= found <= 1
    assert agreement(texts[::-1]) == pytest.approx(found)


@given(st.text(max_size=200), st.text(max_size=50))
def test_any_text_has_signals(text: str, question: str) -> None:
    found = signals_of(Generated(text, question=question, passages=PAGES, samples=[question]))
    assert all(value is None or value >= 0 for value in msgspec.structs.astuple(found))


def test_the_names_of_signals_stay() -> None:
    assert AnswerSignals.__struct_fields__ == (
        "mean_logprob",
        "least_logprob",
        "mean_entropy",
        "least_support",
        "mean_support",
        "foreign_numbers",
        "foreign_names",
        "turned",
        "top_score",
        "score_margin",
        "margin",
        "words",
        "is_cut",
        "refuses",
        "agreement",
    )
