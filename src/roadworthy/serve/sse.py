"""Chat completions in OpenAI's form, whole or as events, for answers that are not yet in it."""

from __future__ import annotations

from typing import Any

import msgspec

from ..errors import RoadworthyError
from ..models.counts import chat_usage
from ..types import MICRO
from .envelope import envelope_of
from .request import Reply

DONE = b"data: [DONE]\n\n"
_encode = msgspec.json.Encoder().encode


def text_of(output: Any) -> str:
    """Return what a chat shows of an output: its text, or the JSON it is."""
    if isinstance(output, dict) and isinstance(output.get("text"), str) and len(output) == 1:
        text: str = output["text"]
        return text
    return _encode(output).decode()


def _content_of(reply: Reply) -> str:
    return reply.content or text_of(reply.output)


def completion_of(reply: Reply) -> bytes:
    """Return the chat completion of `reply`: the upstream's own bytes, or one of its output."""
    if reply.completion is not None:
        return reply.completion
    message = {"role": "assistant", "content": _content_of(reply)}
    choice = {"index": 0, "message": message, "finish_reason": reply.finish_reason}
    return _encode(
        {**_head(reply, "chat.completion"), "choices": [choice], "usage": chat_usage(reply.usage)}
    )


def completion_events(reply: Reply, *, wants_usage: bool = False) -> bytes:
    """Return `reply` as the events of a stream: one with all its text, one that ends it.

    Whoever asked for usage (`stream_options.include_usage`) gets it in one more.
    """
    head = _head(reply, "chat.completion.chunk")
    delta = _message_of(reply)
    first = {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    last = {
        **head,
        "choices": [{"index": 0, "delta": {}, "finish_reason": reply.finish_reason}],
    }
    events = [first, last]
    if wants_usage:
        events.append({**head, "choices": [], "usage": chat_usage(reply.usage)})
    return b"".join(b"data: " + _encode(event) + b"\n\n" for event in events)


def _message_of(reply: Reply) -> Any:
    if reply.completion is not None:
        choices = msgspec.json.decode(reply.completion)["choices"]
        return choices[0]["message"]
    return {"role": "assistant", "content": _content_of(reply)}


def restart_event(request_id: str, model: str, why: str) -> bytes:
    """Return the event that says that a stream begins anew: what came before no longer counts.

    It is a chunk whose choice adds nothing, so that clients which know nothing of it go on reading;
    what it says is in `roadworthy`.
    """
    chunk = {
        "id": request_id,
        "object": "chat.completion.chunk",
        "created": 0,
        "model": model,
        "choices": [{"index": 0, "delta": {}, "finish_reason": None}],
        "roadworthy": {"restart": True, "model": model, "why": why},
    }
    return b"data: " + _encode(chunk) + b"\n\n"


def error_event(error: RoadworthyError, request_id: str) -> bytes:
    """Return the event that says a stream has broken off, and why."""
    return b"data: " + _encode(envelope_of(error, request_id)) + b"\n\n"


def _head(reply: Reply, kind: str) -> dict[str, Any]:
    return {
        "id": reply.request_id,
        "object": kind,
        "created": reply.at_us // MICRO,
        "model": reply.service,
    }
