"""What a Responses call is answered with: the response, and the typed events of its stream."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Self

import msgspec

from ..types import MICRO
from .request import Reply

Item = dict[str, Any]

_EVENT_END = re.compile(rb"\r?\n\r?\n")
_DONE = b"[DONE]"
_ECHOED: Mapping[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "reasoning": None,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}
"""What a response repeats of its call, with what it says where the call was silent."""
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class _Function(msgspec.Struct):
    name: str = ""
    arguments: str = ""


class _ToolCall(msgspec.Struct):
    index: int = 0
    id: str = ""
    function: _Function = msgspec.field(default_factory=_Function)


class _Message(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Choice(msgspec.Struct):
    delta: _Message | None = None
    message: _Message | None = None
    finish_reason: str | None = None


class _Details(msgspec.Struct):
    cached_tokens: int | None = 0
    cache_write_tokens: int | None = 0
    reasoning_tokens: int | None = 0


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None


class _Failed(msgspec.Struct):
    code: str = "internal_error"
    message: str = ""
    param: str | None = None


class _Chunk(msgspec.Struct):
    """A chat completion, one of its chunks, or the error that ends a stream."""

    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: _Failed | None = None
    roadworthy: dict[str, Any] | None = None


_chunk = msgspec.json.Decoder(_Chunk).decode


class Told(msgspec.Struct):
    """What a model said, as far as a response tells it."""

    text: str = ""
    refusal: str = ""
    calls: list[_ToolCall] = []
    finish_reason: str = ""
    usage: _Usage | None = None
    error: _Failed | None = None

    @classmethod
    def of(cls, completion: bytes) -> Self:
        """Read a whole chat completion."""
        seen = _chunk(completion)
        choice = seen.choices[0] if seen.choices else _Choice()
        message = choice.message or _Message()
        return cls(
            text=message.content or "",
            refusal=message.refusal or "",
            calls=message.tool_calls or [],
            finish_reason=choice.finish_reason or "stop",
            usage=seen.usage,
        )

    @property
    def status(self) -> str:
        """How it ended, as a response says it."""
        if self.error is not None:
            return "failed"
        return "incomplete" if self.finish_reason in _INCOMPLETE else "completed"


_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


def response_of(reply: Reply, asked: Mapping[str, msgspec.Raw], told: Told) -> dict[str, Any]:
    """Return the response of a call that has ended."""
    status = told.status
    return {
        **_head(reply, asked, status),
        "completed_at": reply.at_us // MICRO if status == "completed" else None,
        "error": _error(told),
        "incomplete_details": (
            {"reason": _INCOMPLETE[told.finish_reason]} if status == "incomplete" else None
        ),
        "output": list(_items(reply, told, status)),
        "usage": _usage(told.usage),
    }


def _head(reply: Reply, asked: Mapping[str, msgspec.Raw], status: str) -> dict[str, Any]:
    echoed = {
        name: _decode(asked[name]) if name in asked and bytes(asked[name]) != b"null" else usual
        for name, usual in _ECHOED.items()
    }
    return {
        "id": _id("resp", reply),
        "object": "response",
        "created_at": reply.at_us // MICRO,
        "status": status,
        "background": False,
        "model": reply.service,
        "previous_response_id": None,
        "store": False,
        "error": None,
        "incomplete_details": None,
        "output": [],
        "usage": None,
        **echoed,
    }


def _id(kind: str, reply: Reply, place: int | None = None) -> str:
    own = reply.request_id.removeprefix("rq_")
    return f"{kind}_{own}" if place is None else f"{kind}_{own}{place:02}"


def _error(told: Told) -> dict[str, str] | None:
    if told.error is None:
        return None
    return {"code": "server_error", "message": f"{told.error.code}: {told.error.message}"}


def _items(reply: Reply, told: Told, status: str) -> Iterator[Item]:
    state = "completed" if status == "completed" else "incomplete"
    place = 0
    if told.text or told.refusal or not told.calls:
        yield _message_item(_id("msg", reply, place), told, state)
        place += 1
    for call in told.calls:
        yield _call_item(_id("fc", reply, place), call, state)
        place += 1


def _message_item(item_id: str, told: Told, state: str) -> Item:
    content: list[Item] = []
    if told.text or not told.refusal:
        content.append(_text_part(told.text))
    if told.refusal:
        content.append({"type": "refusal", "refusal": told.refusal})
    return {
        "id": item_id,
        "type": "message",
        "role": "assistant",
        "status": state,
        "content": content,
    }


def _text_part(text: str) -> Item:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _call_item(item_id: str, call: _ToolCall, state: str) -> Item:
    return {
        "id": item_id,
        "type": "function_call",
        "call_id": call.id,
        "name": call.function.name,
        "arguments": call.function.arguments,
        "status": state,
    }


def _usage(usage: _Usage | None) -> dict[str, Any] | None:
    if usage is None:
        return None
    sent = usage.prompt_tokens_details or _Details()
    written = usage.completion_tokens_details or _Details()
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": sent.cached_tokens or 0,
            "cache_write_tokens": sent.cache_write_tokens or 0,
        },
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": written.reasoning_tokens or 0},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }


class Writer:
    """Turns the chunks of a streamed chat into the typed events of a response.

    Args:
        reply: The reply whose stream it is.
        asked: The parameters of the call.
    """

    def __init__(self, reply: Reply, asked: Mapping[str, msgspec.Raw]) -> None:
        self._reply = reply
        self._asked = asked
        self._told = Told()
        self._rest = b""
        self._number = 0
        self._open: Item | None = None
        self._place = 0
        self._output: list[Item] = []
        self._is_text_open = False

    def begin(self) -> bytes:
        """Return the events that a stream begins with."""
        response = _head(self._reply, self._asked, "in_progress")
        return b"".join(
            self._event(kind, response=response)
            for kind in ("response.created", "response.in_progress")
        )

    def feed(self, data: bytes) -> bytes:
        """Take what came of the chat's stream; return the events that it is."""
        data = self._rest + data
        written: list[bytes] = []
        start = 0
        for end in _EVENT_END.finditer(data):
            event = data[start : end.start()]
            start = end.end()
            payload = event[5:].strip() if event.startswith(b"data:") else b""
            if payload and payload != _DONE:
                written += self._take(_chunk(payload))
        self._rest = data[start:]
        return b"".join(written)

    def _take(self, chunk: _Chunk) -> Iterator[bytes]:
        told = self._told
        told.usage = chunk.usage or told.usage
        told.error = chunk.error or told.error
        if chunk.roadworthy is not None and chunk.roadworthy.get("restart"):
            yield from self._restart()
        for choice in chunk.choices[:1]:
            told.finish_reason = choice.finish_reason or told.finish_reason
            delta = choice.delta or _Message()
            if delta.content:
                yield from self._text(delta.content)
            told.refusal += delta.refusal or ""
            for call in delta.tool_calls or ():
                yield from self._call(call)

    def _restart(self) -> Iterator[bytes]:
        """End what another model had begun, as incomplete: the answer begins anew behind it.

        What had come of it is no part of the response in the end.
        """
        yield from self._close("incomplete")
        self._output.clear()
        self._told.text, self._told.calls = "", []

    def _text(self, text: str) -> Iterator[bytes]:
        if not self._is_text_open:
            yield from self._close("completed")
            self._is_text_open = True
            yield from self._add(_id("msg", self._reply, self._place), "message")
            place = self._where(content_index=0)
            yield self._event("response.content_part.added", **place, part=_text_part(""))
        self._told.text += text
        yield self._event(
            "response.output_text.delta", **self._where(content_index=0), delta=text, logprobs=[]
        )

    def _call(self, piece: _ToolCall) -> Iterator[bytes]:
        calls = self._told.calls
        if piece.index >= len(calls) or (piece.id and piece.id != calls[-1].id):
            yield from self._close("completed")
            calls.append(_ToolCall(len(calls), piece.id, _Function(piece.function.name)))
            yield from self._add(_id("fc", self._reply, self._place), "function_call")
        call = calls[-1]
        if piece.function.arguments:
            call.function.arguments += piece.function.arguments
            yield self._event(
                "response.function_call_arguments.delta",
                **self._where(),
                delta=piece.function.arguments,
            )

    def _add(self, item_id: str, kind: str) -> Iterator[bytes]:
        if kind == "message":
            item = {**_message_item(item_id, Told(), "in_progress"), "content": []}
        else:
            item = _call_item(item_id, self._told.calls[-1], "in_progress")
        self._open = item
        yield self._event("response.output_item.added", output_index=self._place, item=item)

    def _where(self, **more: int) -> dict[str, Any]:
        assert self._open is not None
        return {"item_id": self._open["id"], "output_index": self._place, **more}

    def _close(self, state: str) -> Iterator[bytes]:
        """End the item that is open, if one is."""
        item = self._open
        if item is None:
            return
        if item["type"] == "message":
            part, place = _text_part(self._told.text), self._where(content_index=0)
            text = {"text": self._told.text, "logprobs": []}
            yield self._event("response.output_text.done", **place, **text)
            yield self._event("response.content_part.done", **place, part=part)
            done = {**item, "status": state, "content": [part]}
        else:
            call = self._told.calls[-1]
            arguments = call.function.arguments
            name = call.function.name
            yield self._event(
                "response.function_call_arguments.done",
                **self._where(),
                name=name,
                arguments=arguments,
            )
            done = _call_item(item["id"], call, state)
        yield self._event("response.output_item.done", output_index=self._place, item=done)
        self._output.append(done)
        self._open, self._is_text_open = None, False
        self._place += 1

    def end(self) -> bytes:
        """Return the events that a stream ends with."""
        told = self._told
        written: list[bytes] = []
        if self._open is None and not self._output and told.error is None:
            written += self._text("")
        status = told.status
        written += self._close("completed" if status == "completed" else "incomplete")
        if told.error is not None:
            failed = told.error
            written.append(
                self._event("error", code=failed.code, message=failed.message, param=failed.param)
            )
        response = {**response_of(self._reply, self._asked, told), "output": self._output}
        written.append(self._event(f"response.{status}", response=response))
        return b"".join(written)

    def _event(self, kind: str, **fields: Any) -> bytes:
        event = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), _encode(event))
