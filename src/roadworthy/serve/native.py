"""The native protocol: `POST /v1/services/{service}/answer` and what comes back."""

from __future__ import annotations

from typing import Any

import msgspec

from ..types import MICRO
from .engine import Engine
from .http import (
    Incoming,
    Outgoing,
    error_response,
    json_response,
    reply_headers,
    unreadable,
)
from .request import Reply, Request


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    input: dict[str, Any]
    user: str = ""
    role: str = ""
    tags: list[str] = []


_decoder = msgspec.json.Decoder(_Body)


async def answer(engine: Engine, incoming: Incoming, service: str) -> Outgoing:
    """Answer one native request."""
    try:
        body = _decoder.decode(incoming.body)
    except msgspec.DecodeError as error:
        raise unreadable(incoming.body, error) from error
    fields = incoming.common()
    if body.user:
        fields["user"] = body.user
    if body.role:
        fields["role"] = body.role
    if body.tags:
        fields["tags"] = (*fields.get("tags", ()), *body.tags)
    reply = await engine.answer(Request(service=service, input=body.input, **fields))
    if reply.error is not None:
        return error_response(reply.error, reply.request_id)
    status = 202 if reply.review_id else 200
    return json_response(native_reply(reply), status, headers=reply_headers(reply))


def native_reply(reply: Reply) -> dict[str, Any]:
    """Return the fields of a reply as they go over the wire."""
    return {
        "request_id": reply.request_id,
        "output": reply.output,
        "disposition": reply.disposition,
        "confidence": reply.confidence,
        "release": reply.release,
        "model": reply.model,
        "cost_usd": reply.cost_micro / MICRO,
        "latency_ms": reply.latency_us / 1000,
        "reasons": reply.reasons,
        **({"is_cut_off": True} if reply.is_cut_off else {}),
        **({"review_id": reply.review_id} if reply.review_id else {}),
    }
