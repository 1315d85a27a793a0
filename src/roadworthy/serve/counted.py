"""Counts the tokens of an answer whose provider counted none, or none that can be true."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from ..cost.prices import Meter
from ..signals.tokens import Counter
from ..types import Answer, Call, Usage

COUNTED = "counted"
"""Where a cost is from that was counted here."""

_THINKS = re.compile(r"^(o\d|gpt-5|gpt-oss|chatgpt-5)")
"""Models that are paid for tokens nobody sees: what they think can not be counted here."""
_messages = msgspec.json.Decoder(list[dict[str, Any]])
_anything = msgspec.json.Decoder()


def counter_for(upstream: str, counter: Counter) -> Counter | None:
    """Return what counts the answers of a model; None where a count would not be exact."""
    return counter if counter.is_exact and not _THINKS.match(upstream) else None


def counted_cost(
    counter: Counter | None, meter: Meter, call: Call, answer: Answer
) -> tuple[Usage, int] | None:
    """Return the tokens and the cost of an answer; None where they cannot be counted exactly.

    The vocabulary is read in the background, once it is needed; until then the worst case counts.
    Images, calls of tools and answers with several choices are left to the worst case.
    """
    if counter is None or counter.vocabulary is None or meter.price is None:
        return None
    size = call.size
    if size is None or size.images or size.choices > 1 or answer.finish_reason == "tool_calls":
        return None
    if not counter.vocabulary.is_ready:
        counter.vocabulary.read_soon()
        return None
    text = answer.output.get("text") if isinstance(answer.output, dict) else None
    text = answer.content or text
    messages, tools = call.body.get("messages"), call.body.get("tools")
    if not isinstance(text, str) or messages is None:
        return None
    try:
        asked = _messages.decode(messages)
        given = None if tools is None else _anything.decode(tools)
    except msgspec.DecodeError:
        return None
    usage = Usage(counter.chat(asked, given), counter.count(text))
    return usage, meter.price.cost_micro(usage)
