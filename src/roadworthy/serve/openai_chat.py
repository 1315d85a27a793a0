"""The OpenAI protocol: a service is the `model` of `POST /v1/chat/completions`."""

from __future__ import annotations

import msgspec

from ..errors import ContractViolation, RequestError
from ..types import MICRO, Key
from .chat import in_chat_words
from .engine import Engine
from .http import JSON, Incoming, Outgoing, error_response, json_response, reply_headers, unreadable
from .request import Request
from .sse import completion_of

_body = msgspec.json.Decoder(dict[str, msgspec.Raw])
_text = msgspec.json.Decoder(str)
_flag = msgspec.json.Decoder(bool | None)
_NULL = msgspec.Raw(b"null")
_STREAM = (b"content-type", b"text/event-stream; charset=utf-8")
_NO_CACHE = (b"cache-control", b"no-cache")


async def chat_completions(engine: Engine, incoming: Incoming) -> Outgoing:
    """Answer one chat, whole or as a stream.

    Raises:
        RequestError: The body is not a JSON object with a `model`, or its `stream` is no bool.
        ContractViolation: The service is a `predict`, which chats cannot ask.
    """
    body = _read(incoming.body)
    service = _service_of(body)
    release = engine.releases.get(service)
    if release is not None and release.kind == "predict":
        engine.keyring.find(incoming.headers.get(b"authorization", b""))
        raise ContractViolation(
            f"`{service}` is a predict service: expected POST /v2/models/{service}/infer",
            param="model",
        )
    is_stream = _is_stream(body)
    body.setdefault("messages", _NULL)  # an empty body would be one that was never sent
    request = Request(
        service=service, protocol="openai", body=body, is_stream=is_stream, **incoming.common()
    )
    reply = await (engine.stream(request) if is_stream else engine.answer(request))
    if reply.error is not None and reply.events is None:
        chat = release.chat if release is not None else None
        return error_response(in_chat_words(reply.error, chat), reply.request_id)
    headers = reply_headers(reply)
    if reply.events is not None:
        return Outgoing(200, [_STREAM, _NO_CACHE, *headers], reply.first, reply.events)
    return Outgoing(200, [JSON, *headers], completion_of(reply))


def _read(raw: bytes) -> dict[str, msgspec.Raw]:
    try:
        return _body.decode(raw)
    except msgspec.DecodeError as error:
        raise unreadable(raw, error) from error


def _service_of(body: dict[str, msgspec.Raw]) -> str:
    raw = body.pop("model", None)
    try:
        return _text.decode(raw) if raw is not None else _missing()
    except msgspec.DecodeError as error:
        raise RequestError("`model`: expected the name of a service", param="model") from error


def _missing() -> str:
    raise RequestError("`model`: expected the name of a service, got nothing", param="model")


def _is_stream(body: dict[str, msgspec.Raw]) -> bool:
    raw = body.get("stream")
    try:
        return raw is not None and _flag.decode(raw) is True
    except msgspec.DecodeError as error:
        raise RequestError(f"`stream`: expected true or false; {error}", param="stream") from error


def models(engine: Engine, key: Key, now_us: int) -> Outgoing:
    """List the services that a chat with this key can name as its `model`."""
    data = [
        {"id": name, "object": "model", "created": now_us // MICRO, "owned_by": "roadworthy"}
        for name, release in sorted(engine.releases.items())
        if release.kind == "generate" and (not key.services or name in key.services)
    ]
    return json_response({"object": "list", "data": data})
