"""What a rehearsal upstream says: completions, streamed chunks and errors in OpenAI's words.

`faulty_dialects.py` has the words of other providers for the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from .faulty_orders import Fault, Order

Messages = list[dict[str, Any]]

_encode = msgspec.json.Encoder().encode


class ToolUse(msgspec.Struct, frozen=True):
    """What an `answer` function returns, once or in a list, where the model wants tools called."""

    name: str
    arguments: Mapping[str, Any]

    def text(self) -> str:
        """Return its arguments as JSON."""
        return _encode(self.arguments).decode()


Said = str | ToolUse | Sequence[ToolUse]
"""What an `answer` function may return."""


class ChatRequest(msgspec.Struct, frozen=True):
    """The part of a chat request that a rehearsal needs to read.

    Attributes:
        static: Text of its beginning that a provider would keep in its cache.
    """

    model: str
    messages: Messages
    stream: bool = False
    stream_options: dict[str, Any] | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    static: str = ""

    @property
    def most_words(self) -> int | None:
        """The most that may be written; here a word is a token."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with a chunk that counts tokens."""
        return bool((self.stream_options or {}).get("include_usage"))


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """One answer, before it is written whole or in chunks.

    Attributes:
        words: The text, cut so that it joins to itself again; each counts as one token.
        created: Unix seconds.
        usage: OpenAI's usage object; None leaves it out.
        tool_uses: What it wants to have called, beside the text.
        is_counted_twice: Whether a stream says its usage twice.
    """

    id: str
    model: str
    created: int
    words: Sequence[str]
    finish_reason: str
    usage: Mapping[str, Any] | None
    tool_uses: Sequence[ToolUse] = ()
    is_counted_twice: bool = False

    @property
    def text(self) -> str:
        """All of its words."""
        return "".join(self.words)

    def pieces(self, chunks: int | None) -> Iterator[str]:
        """Cut its text into so many pieces, or into its words."""
        count = len(self.words) if chunks is None else chunks
        for piece in range(count):
            start, end = (len(self.words) * place // count for place in (piece, piece + 1))
            yield "".join(self.words[start:end])

    def whole(self) -> bytes:
        """Return the body of a completion that is not streamed."""
        message: dict[str, Any] = {"role": "assistant", "content": self.text}
        if self.tool_uses:
            message["content"] = self.text or None
            message["tool_calls"] = [
                _tool_call(*numbered) for numbered in enumerate(self.tool_uses)
            ]
        choice = {"index": 0, "message": message, "finish_reason": self.finish_reason}
        body = {**self._head("chat.completion"), "choices": [choice]}
        if self.usage is not None:
            body["usage"] = self.usage
        return _encode(body)

    def events(self, *, chunks: int | None, with_usage: bool) -> Iterator[bytes]:
        """Yield the server-sent events of a streamed completion, `[DONE]` last.

        Args:
            chunks: Into exactly how many pieces the text is cut; None cuts one per word.
            with_usage: Whether the stream's last chunk counts tokens.
        """
        yield self._event([self._delta({"role": "assistant", "content": ""})])
        for piece in self.pieces(chunks):
            yield self._event([self._delta({"content": piece})])
        for place, use in enumerate(self.tool_uses):
            call = {"index": place, **_tool_call(place, use)}
            yield self._event([self._delta({"tool_calls": [call]})])
        yield self._event([self._delta({}, self.finish_reason)])
        if with_usage and self.usage is not None:
            for _ in range(2 if self.is_counted_twice else 1):
                yield self._event([], usage=self.usage)
        yield b"data: [DONE]\n\n"

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}

    def _event(self, choices: list[dict[str, Any]], **more: Any) -> bytes:
        chunk = {**self._head("chat.completion.chunk"), "choices": choices, **more}
        return b"data: " + _encode(chunk) + b"\n\n"

    @staticmethod
    def _delta(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        return {"index": 0, "delta": delta, "finish_reason": finish_reason}


def _tool_call(place: int, use: ToolUse) -> dict[str, Any]:
    function = {"name": use.name, "arguments": use.text()}
    return {"id": f"call_{place}", "type": "function", "function": function}


class Refusal(msgspec.Struct, frozen=True):
    """An error as OpenAI words it, and the status it comes with."""

    status: int
    kind: str
    code: str | None
    message: str

    def body(self) -> bytes:
        """Return it in OpenAI's envelope."""
        error = {"message": self.message, "type": self.kind, "param": None, "code": self.code}
        return _encode({"error": error})


_RATE_LIMIT = Refusal(429, "requests", "rate_limit_exceeded", "Rate limit reached.")
_DOWN = Refusal(503, "server_error", None, "The engine is currently overloaded.")
REFUSALS: Mapping[Fault, Refusal] = {
    Fault.RATE_LIMITED: _RATE_LIMIT,
    Fault.RATE_LIMITED_WITHOUT_ADVICE: _RATE_LIMIT,
    Fault.SERVER_ERROR: Refusal(500, "server_error", None, "The server had an error."),
    Fault.UNAVAILABLE: _DOWN,
    Fault.FLAPPING: _DOWN,
    Fault.AUTH_FAILED: Refusal(
        401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided."
    ),
    Fault.REJECTED: Refusal(
        400, "invalid_request_error", "unsupported_value", "This model does not take that."
    ),
    Fault.CONTEXT_TOO_LONG: Refusal(
        400,
        "invalid_request_error",
        "context_length_exceeded",
        "This model's maximum context length is exceeded.",
    ),
    Fault.CONTENT_REFUSED: Refusal(
        400, "invalid_request_error", "content_filter", "The prompt was filtered."
    ),
}


def usage_of(
    input_tokens: int, output_tokens: int, cached: int = 0, written: int = 0
) -> dict[str, Any]:
    """Return OpenAI's usage object."""
    usage: dict[str, Any] = {
        "prompt_tokens": input_tokens,
        "completion_tokens": output_tokens,
        "total_tokens": input_tokens + output_tokens,
    }
    if cached or written:
        details = {"cached_tokens": cached, "cache_write_tokens": written}
        usage["prompt_tokens_details"] = details
    return usage


def words_of(text: str) -> list[str]:
    """Cut `text` into words that keep their spaces.

    >>> words_of("Two words. ")
    ['Two', ' words.', ' ']
    """
    return re.findall(r"\s*\S+|\s+", text)


def count_words(messages: Messages) -> int:
    """Return the words of all that was said, at least 1."""
    return max(1, sum(len(text_of(message).split()) for message in messages))


def text_of(message: Mapping[str, Any]) -> str:
    """Return the text of a message, whether its content is a string or a list of parts."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))


def echo(messages: Messages) -> str:
    """Return the default answer: it repeats the question, and says that no model was asked."""
    asked = [text_of(message) for message in messages if message.get("role") == "user"]
    question = asked[-1].strip() if asked else "nothing"
    return (
        f"You asked: {question}\n"
        "This is a rehearsal: a local stand-in wrote this answer, no model was asked."
    )


def models_body(names: Sequence[str], created: int) -> bytes:
    """Return the body of `GET /v1/models`."""
    models = [
        {"id": name, "object": "model", "created": created, "owned_by": "rehearsal"}
        for name in names
    ]
    return _encode({"object": "list", "data": models})


def spoilt_events(
    events: Sequence[bytes], order: Order, middle: int, last: bytes
) -> Sequence[bytes]:
    """Return a stream's events as `order` wants them.

    Args:
        events: All of a good stream.
        order: What is to be wrong.
        middle: The place in it where its middle is.
        last: What its last event holds where it only says that it is the last.
    """
    if order.fault is Fault.NO_DONE:
        return events[:-1] if last and last in events[-1] else events
    if order.fault is Fault.NO_FINISH:
        return events[:middle]
    if order.fault is Fault.MALFORMED:
        return [*events[:middle], b'data: {"choices": [{"delta": {"cont\n\n', *events[middle:]]
    return events


def middle_of(events: Sequence[bytes], order: Order, finish: bytes) -> int:
    """Return the place in a stream where its middle is: before its finish, whatever was ordered."""
    place = next(i for i, event in enumerate(events) if finish in event)
    return min(order.after_chunks, place)
