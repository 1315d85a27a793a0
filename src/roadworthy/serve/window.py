"""Whether a call fits the context window of a model, asked before the call."""

from __future__ import annotations

from typing import Any

import msgspec

from ..signals.tokens import IMAGE_TOKENS, Counter
from ..types import Call

_messages = msgspec.json.Decoder(list[dict[str, Any]])
_anything = msgspec.json.Decoder()


class Window:
    """The context window of one model.

    Nothing is counted while the bytes of a call are fewer than the tokens that fit: no tokenizer
    makes more tokens than bytes, and the JSON around a message is longer than what the format of
    any chat adds to it. That takes 1 us (bench/tokens.py).

    Args:
        tokens: How many fit, in and out together.
        counter: Counts as the model does.
    """

    def __init__(self, tokens: int, counter: Counter) -> None:
        self.tokens = tokens
        self.counter = counter

    def refuses(self, call: Call, output_tokens: int) -> str:
        """Return why a call does not fit with so many tokens of output, or an empty string."""
        messages = call.body.get("messages")
        if messages is None:
            return ""
        tools = call.body.get("tools")
        size = len(memoryview(messages)) + (0 if tools is None else len(memoryview(tools)))
        size += self.counter.answer_format()
        if call.size is not None:
            size += call.size.images * IMAGE_TOKENS
        room = self.tokens - output_tokens
        if size <= room:
            return ""
        counter = self._ready_counter()
        tokens = _count(counter, messages, tools)
        if tokens <= room:
            return ""
        about = "" if counter.is_exact else "about "
        return (
            f"its window is {self.tokens} tokens, and {about}{tokens} go in with room for "
            f"{output_tokens} out"
        )

    def _ready_counter(self) -> Counter:
        vocabulary = self.counter.vocabulary
        if vocabulary is None or vocabulary.is_ready:
            return self.counter
        vocabulary.read_soon()  # it takes 0.4 s, for which no request of this process waits
        return Counter()


def _count(counter: Counter, messages: msgspec.Raw, tools: msgspec.Raw | None) -> int:
    try:
        return counter.chat(
            _messages.decode(messages), None if tools is None else _anything.decode(tools)
        )
    except msgspec.DecodeError:  # no list of messages: the model refuses it in its own words
        return 0
