"""Which counts of tokens are believed, and how OpenAI-compatible upstreams say theirs."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from roadworthy.models.counts import MOST_TOKENS, believed, chat_usage
from roadworthy.models.openai import usage_of
from roadworthy.types import Usage

WHOLE = Usage(100, 50, 30, 20, 40, 10, 5)


def read(**usage: Any) -> Usage | None:
    return usage_of(msgspec.Raw(msgspec.json.encode(usage)))


def test_a_count_that_can_be_true_is_believed_as_it_is() -> None:
    assert believed(WHOLE) is WHOLE
    assert believed(Usage(0, 1)) == Usage(0, 1)
    assert believed(Usage(MOST_TOKENS, MOST_TOKENS)) is not None


@pytest.mark.parametrize(
    "usage",
    [
        Usage(0, 0),
        Usage(-1, 5),
        Usage(5, -1),
        Usage(5, 5, -1),
        Usage(5, 5, 6),
        Usage(5, 5, 3, 0, 3),
        Usage(5, 5, cache_write_tokens=6),
        Usage(5, 5, reasoning_tokens=6),
        Usage(5, 5, audio_input_tokens=6),
        Usage(5, 5, audio_output_tokens=6),
        Usage(5, 5, audio_output_tokens=-1),
        Usage(MOST_TOKENS + 1, 5),
    ],
)
def test_one_that_cannot_is_unknown(usage: Usage) -> None:
    assert believed(usage) is None


def test_a_chat_is_told_every_kind_that_was_counted() -> None:
    assert chat_usage(Usage(3, 4)) == {
        "prompt_tokens": 3,
        "completion_tokens": 4,
        "total_tokens": 7,
    }
    told = chat_usage(WHOLE)
    assert told["prompt_tokens_details"] == {
        "cached_tokens": 30,
        "cache_write_tokens": 40,
        "audio_tokens": 10,
    }
    assert told["completion_tokens_details"] == {"reasoning_tokens": 20, "audio_tokens": 5}
    assert read(**told) == WHOLE


def test_thought_that_stands_beside_the_output_is_counted_with_it() -> None:
    details = {"reasoning_tokens": 300}
    beside = read(
        prompt_tokens=10,
        completion_tokens=20,
        total_tokens=330,
        completion_tokens_details=details,
    )
    assert beside == Usage(10, 320, 0, 300)
    within = read(
        prompt_tokens=10,
        completion_tokens=320,
        total_tokens=330,
        completion_tokens_details=details,
    )
    assert within == Usage(10, 320, 0, 300)


def test_what_is_no_count_is_unknown() -> None:
    assert usage_of(msgspec.Raw(b'"many"')) is None
    assert usage_of(msgspec.Raw(b"null")) is None
    assert read(prompt_tokens="many") is None
