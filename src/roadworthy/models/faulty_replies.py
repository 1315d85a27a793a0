"""What a rehearsal upstream says: completions, streamed chunks and errors in OpenAI's words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from .faulty_orders import Fault, Order

Messages = list[dict[str, Any]]

_encode = msgspec.json.Encoder().encode


class ChatRequest(msgspec.Struct, frozen=True):
    """The part of a chat request that a rehearsal needs to read."""

    model: str
    messages: Messages
    stream: bool = False
    stream_options: dict[str, Any] | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None

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
    """

    id: str
    model: str
    created: int
    words: Sequence[str]
    finish_reason: str
    usage: Mapping[str, int] | None

    def whole(self) -> bytes:
        """Return the body of a completion that is not streamed."""
        message = {"role": "assistant", "content": "".join(self.words)}
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
        for piece in _cut(self.words, chunks):
            yield self._event([self._delta({"content": piece})])
        yield self._event([self._delta({}, self.finish_reason)])
        if with_usage and self.usage is not None:
            yield self._event([], usage=self.usage)
        yield b"data: [DONE]\n\n"

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}

    def _event(self, choices: list[dict[str, Any]], **more: Any) -> bytes:
        chunk = {**self._head("chat.completion.chunk"), "choices": choices, **more}
        return b"data: " + _encode(chunk) + b"\n\n"

    @staticmethod
    def _delta(delta: dict[str, str], finish_reason: str | None = None) -> dict[str, Any]:
        return {"index": 0, "delta": delta, "finish_reason": finish_reason}


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


def usage_of(input_tokens: int, output_tokens: int) -> dict[str, int]:
    """Return OpenAI's usage object."""
    return {
        "prompt_tokens": input_tokens,
        "completion_tokens": output_tokens,
        "total_tokens": input_tokens + output_tokens,
    }


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


def _cut(words: Sequence[str], chunks: int | None) -> Iterator[str]:
    count = len(words) if chunks is None else chunks
    for piece in range(count):
        yield "".join(words[len(words) * piece // count : len(words) * (piece + 1) // count])


def spoilt_events(events: Sequence[bytes], order: Order) -> Sequence[bytes]:
    """Return a stream's events as `order` wants them."""
    middle = middle_of(events, order)
    if order.fault is Fault.NO_DONE:
        return events[:-1]
    if order.fault is Fault.NO_FINISH:
        return events[:middle]
    if order.fault is Fault.MALFORMED:
        return [*events[:middle], b'data: {"choices": [{"delta": {"cont\n\n', *events[middle:]]
    return events


def middle_of(events: Sequence[bytes], order: Order) -> int:
    """Return the place in a stream where its middle is: before its finish, whatever was ordered."""
    finish = next(i for i, event in enumerate(events) if b'"finish_reason":"' in event)
    return min(order.after_chunks, finish)
