"""Counts of tokens as providers report them: which can be true, and how a chat tells them."""

from __future__ import annotations

from typing import Any

from ..types import Usage

MOST_TOKENS = 100_000_000
"""A request that counts more was counted wrong."""


def believed(usage: Usage) -> Usage | None:
    """Return a count that can be true; one that cannot, or that counts nothing, is unknown.

    >>> believed(Usage(10, 2, cached_tokens=12)) is None
    True
    """
    parts_in = usage.cached_tokens + usage.cache_write_tokens
    counts = usage.__struct_fields__
    if not all(0 <= getattr(usage, name) <= MOST_TOKENS for name in counts):
        return None
    if not usage.input_tokens and not usage.output_tokens:
        return None
    if parts_in > usage.input_tokens or usage.audio_input_tokens > usage.input_tokens:
        return None
    written = usage.output_tokens
    return None if max(usage.reasoning_tokens, usage.audio_output_tokens) > written else usage


def chat_usage(usage: Usage | None) -> dict[str, Any]:
    """Return a count as a chat completion says it; details only where there are some."""
    usage = usage or Usage()
    told: dict[str, Any] = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
    read = {
        "cached_tokens": usage.cached_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "audio_tokens": usage.audio_input_tokens,
    }
    written = {
        "reasoning_tokens": usage.reasoning_tokens,
        "audio_tokens": usage.audio_output_tokens,
    }
    if any(read.values()):
        told["prompt_tokens_details"] = read
    if any(written.values()):
        told["completion_tokens_details"] = written
    return told
