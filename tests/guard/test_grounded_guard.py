from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from test_guards import call_of, declare

from roadworthy.errors import ModelUnavailable
from roadworthy.guard.slot import Guard, open_guard, run_guards
from roadworthy.testing import check_guard
from roadworthy.types import Call, Passage, Sentence, Verdict

PASSAGES = (Passage("pets.md", "Pets", "A dog costs $110."),)
SCORES = {"known": 1.0, "near": 0.72, "far": 0.4}


def supported(text: str, passages: object) -> tuple[Sentence, ...]:
    """Support words by what they say themselves."""
    assert passages == PASSAGES
    return tuple(Sentence(word, SCORES[word]) for word in text.split())


def call(passages: tuple[Passage, ...] = PASSAGES) -> Call:
    return msgspec.structs.replace(call_of(), passages=passages, support=supported)


def grounded(**keys: object) -> Guard:
    return open_guard(declare(use="grounded", **keys), Path())


def verdict(output: object, asked: Call | None = None, **keys: object) -> Verdict:
    return run_guards([grounded(**keys)], asked or call(), output, "output")[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("known", "allow"), ("known near", "allow"), ("known far", "deny"), ("", "deny")],
)
def test_every_sentence_needs_support(text: str, expected: str) -> None:
    assert verdict({"text": text}).verdict == expected


def test_the_declaration_says_how_much() -> None:
    assert verdict({"text": "near"}, at_least=0.8).verdict == "deny"
    assert verdict({"text": "far"}, at_least=0.3).verdict == "allow"


def test_the_reason_counts_sentences_and_quotes_none() -> None:
    assert verdict({"text": "known far far"}).reason == (
        "2 of 3 sentences not supported by the passages: expected at least 0.7, got 0.40"
    )
    check_guard(grounded(), call(), {"text": "known far"})


def test_an_answer_that_is_allowed_says_how_well_it_is_supported() -> None:
    assert verdict({"text": "known near"}).reason == (
        "2 sentences are supported by the passages: expected at least 0.7, the least has 0.72"
    )


def test_every_text_of_an_output_is_looked_at() -> None:
    assert verdict({"answer": {"parts": ["known", "far"]}}).verdict == "deny"
    assert verdict({"answer": {"parts": ["known"], "sure": True}}).verdict == "allow"
    assert verdict({"refund_usd": 500}).verdict == "deny"
    assert verdict(None).verdict == "deny"


def test_without_a_passage_nothing_is_supported() -> None:
    assert verdict({"text": "known"}, call(())).verdict == "deny"


def test_where_nothing_is_looked_up_it_does_not_run() -> None:
    said = verdict({"text": "known"}, call_of())
    assert said.verdict == "not_run"
    assert not said.is_acceptable
    assert verdict({"text": "known"}, call_of(), fail="open").is_acceptable


def test_an_embedder_that_fails_leaves_it_not_run() -> None:
    def fails(text: str, passages: object) -> tuple[Sentence, ...]:
        raise ModelUnavailable("the embedding model failed inside")

    broken = msgspec.structs.replace(call(), support=fails)
    said = verdict({"text": "known"}, broken)
    assert (said.verdict, said.reason) == ("not_run", "it raised ModelUnavailable")
