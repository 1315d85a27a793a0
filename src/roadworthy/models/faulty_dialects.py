"""The dialects of a rehearsal upstream: the same answers and faults in each provider's words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import msgspec

from .faulty_orders import Fault, Order
from .faulty_replies import REFUSALS, ChatRequest, Completion, Messages, text_of

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_decode_chat = msgspec.json.Decoder(ChatRequest).decode
_GEMINI = re.compile(
    r"/v1(?:beta)?/(?P<model>(?:models|tunedModels)/[^/:]+):"
    r"(?P<how>generateContent|streamGenerateContent)"
)


class Refused(NamedTuple):
    """How an answer that is none is sent."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}


class Dialect(Protocol):
    """How one provider is answered for.

    Attributes:
        finish: What stands in the event of a stream that says why it ended, and in no other.
        last: What stands in an event that says that it is the last one; empty where none does.
    """

    finish: bytes
    last: bytes

    def key_of(self, headers: Mapping[str, str]) -> str:
        """Return the key that a request came with."""

    def read(self, path: str, body: bytes) -> ChatRequest:
        """Read a request.

        Raises:
            msgspec.DecodeError, LookupError, TypeError: It is none of this provider's.
        """

    def whole(self, completion: Completion) -> bytes:
        """Return the body of an answer that is not streamed."""

    def events(self, completion: Completion, chat: ChatRequest, chunks: int | None) -> list[bytes]:
        """Return the events of a stream."""

    def refuse(self, fault: Fault, order: Order) -> Refused:
        """Return how `fault` is said."""

    def malformed(self, why: str) -> Refused:
        """Return how a request is refused that cannot be read."""


def dialect_of(method: str, path: str) -> Dialect | None:
    """Return whose route this is; None where it is nobody's."""
    if method != "POST":
        return None
    if path == "/v1/chat/completions":
        return OPENAI
    if path == "/v1/messages":
        return ANTHROPIC
    return GEMINI if _GEMINI.fullmatch(path) else None


def _advice(fault: Fault, order: Order) -> dict[str, str]:
    is_advised = fault is Fault.RATE_LIMITED
    return {"retry-after": f"{order.retry_after_s:g}"} if is_advised else {}


class _OpenAI:
    finish = b'"finish_reason":"'
    last = b"[DONE]"

    def key_of(self, headers: Mapping[str, str]) -> str:
        return headers.get("authorization", "").removeprefix("Bearer ")

    def read(self, path: str, body: bytes) -> ChatRequest:
        chat = _decode_chat(body)
        first = chat.messages[0] if chat.messages else {}
        static = text_of(first) if first.get("role") == "system" else ""
        return msgspec.structs.replace(chat, static=static)

    def whole(self, completion: Completion) -> bytes:
        return completion.whole()

    def events(self, completion: Completion, chat: ChatRequest, chunks: int | None) -> list[bytes]:
        return list(completion.events(chunks=chunks, with_usage=chat.wants_usage))

    def refuse(self, fault: Fault, order: Order) -> Refused:
        refusal = REFUSALS[fault]
        return Refused(refusal.status, refusal.body(), _advice(fault, order))

    def malformed(self, why: str) -> Refused:
        error = {"message": why, "type": "invalid_request_error", "param": None, "code": None}
        return Refused(400, _encode({"error": error}))


class _AnthropicBody(msgspec.Struct):
    model: str
    max_tokens: int
    messages: list[dict[str, Any]]
    system: Any = None
    stream: bool = False


class _Anthropic:
    finish = b'"stop_reason":"'
    last = b"message_stop"

    _ENDS: Mapping[str, str] = {
        "stop": "end_turn",
        "length": "max_tokens",
        "tool_calls": "tool_use",
        "content_filter": "refusal",
    }
    _REFUSALS: Mapping[Fault, tuple[int, str, str]] = {
        Fault.RATE_LIMITED: (429, "rate_limit_error", "Too many requests."),
        Fault.RATE_LIMITED_WITHOUT_ADVICE: (429, "rate_limit_error", "Too many requests."),
        Fault.SERVER_ERROR: (500, "api_error", "Internal server error"),
        Fault.UNAVAILABLE: (529, "overloaded_error", "Overloaded"),
        Fault.FLAPPING: (529, "overloaded_error", "Overloaded"),
        Fault.AUTH_FAILED: (401, "authentication_error", "invalid x-api-key"),
        Fault.REJECTED: (400, "invalid_request_error", "temperature: unexpected value"),
        Fault.CONTEXT_TOO_LONG: (
            400,
            "invalid_request_error",
            "prompt is too long: 210000 tokens > 200000 maximum",
        ),
        Fault.CONTENT_REFUSED: (
            400,
            "invalid_request_error",
            "Output blocked by content filtering policy",
        ),
    }

    def key_of(self, headers: Mapping[str, str]) -> str:
        return headers.get("x-api-key", "")

    def read(self, path: str, body: bytes) -> ChatRequest:
        asked = msgspec.json.decode(body, type=_AnthropicBody)
        system = asked.system or []
        blocks = [{"type": "text", "text": system}] if isinstance(system, str) else system
        messages: Messages = [{"role": "system", "content": blocks}] if blocks else []
        messages += [_as_chat(message) for message in asked.messages]
        return ChatRequest(
            model=asked.model,
            messages=messages,
            stream=asked.stream,
            max_tokens=asked.max_tokens,
            static=_marked([*blocks, *_blocks_of(asked.messages)]),
        )

    def whole(self, completion: Completion) -> bytes:
        text = [{"type": "text", "text": completion.text}] if completion.words else []
        message = {
            **self._head(completion),
            "content": [*text, *self._uses(completion)],
            "stop_reason": self._ENDS[completion.finish_reason],
        }
        if completion.usage is not None:
            message["usage"] = _anthropic_usage(completion.usage)
        return _encode(message)

    def events(self, completion: Completion, chat: ChatRequest, chunks: int | None) -> list[bytes]:
        counts = None if completion.usage is None else _anthropic_usage(completion.usage)
        begun = {**self._head(completion), "content": [], "stop_reason": None}
        if counts is not None:
            begun["usage"] = {**counts, "output_tokens": min(counts["output_tokens"], 1)}
        events = [_event("message_start", message=begun)]
        text: dict[str, Any] = {"type": "text", "text": ""}
        blocks = [(text, list(self._text_deltas(completion, chunks)))]
        for use, block in zip(completion.tool_uses, self._uses(completion), strict=True):
            json = {"type": "input_json_delta", "partial_json": use.text()}
            blocks.append(({**block, "input": {}}, [json]))
        for index, (block, deltas) in enumerate(blocks):
            events.append(_event("content_block_start", index=index, content_block=block))
            events += [_event("content_block_delta", index=index, delta=d) for d in deltas]
            events.append(_event("content_block_stop", index=index))
        ended: dict[str, Any] = {"delta": {"stop_reason": self._ENDS[completion.finish_reason]}}
        if counts is not None:
            ended["usage"] = counts
        events += [_event("message_delta", **ended)] * (2 if completion.is_counted_twice else 1)
        return [*events, _event("message_stop")]

    @staticmethod
    def _text_deltas(completion: Completion, chunks: int | None) -> Iterator[dict[str, str]]:
        for piece in completion.pieces(chunks):
            yield {"type": "text_delta", "text": piece}

    @staticmethod
    def _head(completion: Completion) -> dict[str, Any]:
        model = completion.model
        return {"id": completion.id, "type": "message", "role": "assistant", "model": model}

    @staticmethod
    def _uses(completion: Completion) -> list[dict[str, Any]]:
        return [
            {"type": "tool_use", "id": f"toolu_{place}", "name": use.name, "input": use.arguments}
            for place, use in enumerate(completion.tool_uses)
        ]

    def refuse(self, fault: Fault, order: Order) -> Refused:
        return self._refused(*self._REFUSALS[fault], _advice(fault, order))

    def malformed(self, why: str) -> Refused:
        return self._refused(400, "invalid_request_error", why)

    @staticmethod
    def _refused(
        status: int, kind: str, message: str, headers: Mapping[str, str] | None = None
    ) -> Refused:
        body = {"type": "error", "error": {"type": kind, "message": message}}
        return Refused(status, _encode(body), headers or {})


class _Gemini:
    finish = b'"finishReason":'
    last = b""

    _ENDS: Mapping[str, str] = {
        "stop": "STOP",
        "length": "MAX_TOKENS",
        "tool_calls": "STOP",
        "content_filter": "SAFETY",
    }
    _REFUSALS: Mapping[Fault, tuple[int, str, str]] = {
        Fault.RATE_LIMITED: (429, "RESOURCE_EXHAUSTED", "Quota exceeded."),
        Fault.RATE_LIMITED_WITHOUT_ADVICE: (429, "RESOURCE_EXHAUSTED", "Quota exceeded."),
        Fault.SERVER_ERROR: (500, "INTERNAL", "An internal error has occurred."),
        Fault.UNAVAILABLE: (503, "UNAVAILABLE", "The model is overloaded."),
        Fault.FLAPPING: (503, "UNAVAILABLE", "The model is overloaded."),
        Fault.AUTH_FAILED: (400, "INVALID_ARGUMENT", "API key not valid."),
        Fault.REJECTED: (400, "INVALID_ARGUMENT", "Request contains an invalid argument."),
        Fault.CONTEXT_TOO_LONG: (
            400,
            "INVALID_ARGUMENT",
            "The input token count (1200000) exceeds the maximum number of tokens allowed.",
        ),
    }

    def key_of(self, headers: Mapping[str, str]) -> str:
        return headers.get("x-goog-api-key", "")

    def read(self, path: str, body: bytes) -> ChatRequest:
        found = _GEMINI.fullmatch(path)
        assert found is not None
        asked = _decode(body)
        system = asked.get("systemInstruction", {}).get("parts", [])
        messages: Messages = [{"role": "system", "content": system}] if system else []
        for turn in asked["contents"]:
            role = "assistant" if turn.get("role") == "model" else "user"
            messages.append({"role": role, "content": turn["parts"]})
        return ChatRequest(
            model=found["model"].partition("/")[2],
            messages=messages,
            stream=found["how"] == "streamGenerateContent",
            max_tokens=asked.get("generationConfig", {}).get("maxOutputTokens"),
            static="".join(part.get("text", "") for part in system),
        )

    def whole(self, completion: Completion) -> bytes:
        text = [{"text": completion.text}] if completion.words else []
        return _encode(self._answer(completion, [*text, *self._calls(completion)], is_last=True))

    def events(self, completion: Completion, chat: ChatRequest, chunks: int | None) -> list[bytes]:
        parts = [[{"text": piece}] for piece in completion.pieces(chunks)]
        answers = [self._answer(completion, part) for part in (*parts, self._calls(completion))]
        last = self._answer(completion, [], is_last=True)
        answers += [last] * (2 if completion.is_counted_twice else 1)
        return [b"data: " + _encode(answer) + b"\r\n\r\n" for answer in answers]

    @staticmethod
    def _calls(completion: Completion) -> list[dict[str, Any]]:
        return [
            {"functionCall": {"name": use.name, "args": use.arguments}}
            for use in completion.tool_uses
        ]

    def _answer(
        self, completion: Completion, parts: list[dict[str, Any]], *, is_last: bool = False
    ) -> dict[str, Any]:
        candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
        if is_last:
            candidate["finishReason"] = self._ENDS[completion.finish_reason]
        answer: dict[str, Any] = {
            "candidates": [candidate],
            "modelVersion": completion.model,
            "responseId": completion.id,
        }
        if completion.usage is not None:
            answer["usageMetadata"] = _gemini_usage(completion.usage)
        return answer

    def refuse(self, fault: Fault, order: Order) -> Refused:
        if fault is Fault.CONTENT_REFUSED:
            feedback = {"blockReason": "SAFETY"}
            counts = {"promptTokenCount": 4, "totalTokenCount": 4}
            answer = _encode({"promptFeedback": feedback, "usageMetadata": counts})
            return Refused(200, answer)
        status, kind, message = self._REFUSALS[fault]
        details: list[dict[str, str]] = []
        if fault is Fault.RATE_LIMITED:
            delay = f"{order.retry_after_s:g}s"
            details.append(
                {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}
            )
        elif fault is Fault.AUTH_FAILED:
            details.append({"@type": _ERROR_INFO, "reason": "API_KEY_INVALID"})
        return self._refused(status, kind, message, details)

    def malformed(self, why: str) -> Refused:
        return self._refused(400, "INVALID_ARGUMENT", why, [])

    @staticmethod
    def _refused(status: int, kind: str, message: str, details: list[dict[str, str]]) -> Refused:
        error = {"code": status, "message": message, "status": kind, "details": details}
        return Refused(status, _encode({"error": error}))


_ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"
OPENAI, ANTHROPIC, GEMINI = _OpenAI(), _Anthropic(), _Gemini()


def _event(kind: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), _encode({"type": kind, **fields}))


def _as_chat(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message whose content is read as a chat's: text in parts, and results of tools."""
    content = message["content"]
    if isinstance(content, list):
        results = [block for block in content if block.get("type") == "tool_result"]
        content = [*content, *(part for r in results for part in r.get("content") or ())]
    return {"role": message["role"], "content": content}


def _blocks_of(messages: Messages) -> list[dict[str, Any]]:
    contents = [message["content"] for message in messages]
    return [block for content in contents if isinstance(content, list) for block in content]


def _marked(blocks: list[dict[str, Any]]) -> str:
    """Return the text up to the last mark, which is what would be kept."""
    marks = [place for place, block in enumerate(blocks) if block.get("cache_control")]
    kept = blocks[: marks[-1] + 1] if marks else []
    return "".join(str(block.get("text", "")) for block in kept)


def _anthropic_usage(usage: Mapping[str, Any]) -> dict[str, int]:
    details = usage.get("prompt_tokens_details") or {}
    cached, written = details.get("cached_tokens", 0), details.get("cache_write_tokens", 0)
    return {
        "input_tokens": usage["prompt_tokens"] - cached - written,
        "cache_read_input_tokens": cached,
        "cache_creation_input_tokens": written,
        "output_tokens": usage["completion_tokens"],
    }


def _gemini_usage(usage: Mapping[str, Any]) -> dict[str, int]:
    details = usage.get("prompt_tokens_details") or {}
    counts = {
        "promptTokenCount": usage["prompt_tokens"],
        "candidatesTokenCount": usage["completion_tokens"],
        "totalTokenCount": usage["total_tokens"],
    }
    if details.get("cached_tokens"):
        counts["cachedContentTokenCount"] = details["cached_tokens"]
    return counts
