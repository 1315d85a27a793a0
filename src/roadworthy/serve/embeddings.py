"""The OpenAI protocol's `POST /v1/embeddings`, answered by the local embedding model."""

from __future__ import annotations

import asyncio
import base64
from typing import Any, Literal

import msgspec

from ..errors import ContractViolation, Forbidden
from ..types import Embedder, Key, OpenSignals
from .engine import Engine
from .http import Incoming, Outgoing, json_response, unreadable

MODEL = "minilm"
"""What clients name as their `model`; no service can have this route's meaning by its name."""
MOST_TEXTS = 256
"""Texts of one request: a second of one core."""


class _Body(msgspec.Struct):
    input: str | list[str]
    model: str
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None


_decode = msgspec.json.Decoder(_Body).decode


async def embeddings(engine: Engine, open_signals: OpenSignals, incoming: Incoming) -> Outgoing:
    """Answer with one vector of length 1 per text, in their order.

    It belongs to no service, costs nothing and leaves no record: it is for whoever may call every
    service.

    Raises:
        Unauthenticated, Forbidden: The key may not ask.
        RequestError: The body is not one of this protocol.
        ContractViolation: It names another model, or more than this one takes.
        MissingExtra: `[embed]` is not installed.
        ModelUnavailable: The embedder failed inside.
    """
    _check_may(engine.keyring.find(incoming.headers.get(b"authorization", b"")))
    body = _read(incoming.body)
    texts = [body.input] if isinstance(body.input, str) else body.input
    embedder = await asyncio.to_thread(lambda: open_signals().embedder())
    _check(body, texts, embedder)
    vectors, tokens = await asyncio.to_thread(_embed, embedder, texts)
    shown = _as_base64 if body.encoding_format == "base64" else _as_floats
    data = [
        {"object": "embedding", "index": index, "embedding": shown(vector)}
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return json_response({"object": "list", "data": data, "model": MODEL, "usage": usage})


def _check_may(key: Key) -> None:
    if "answer" not in key.scopes:
        raise Forbidden(f"key `{key.id}` lacks the scope `answer`")
    if key.services:
        raise Forbidden(f"key `{key.id}` may call some services only; embeddings belong to none")


def _read(raw: bytes) -> _Body:
    try:
        return _decode(raw)
    except msgspec.DecodeError as error:
        raise unreadable(raw, error) from error


def _check(body: _Body, texts: list[str], embedder: Embedder) -> None:
    if body.model != MODEL:
        raise ContractViolation(f"`model`: expected `{MODEL}`, got another one", param="model")
    if not 1 <= len(texts) <= MOST_TEXTS or not all(texts):
        raise ContractViolation(
            f"`input`: expected 1 to {MOST_TEXTS} texts that are not empty", param="input"
        )
    if body.dimensions not in (None, embedder.dimensions):
        raise ContractViolation(
            f"`dimensions`: expected {embedder.dimensions}, got {body.dimensions}",
            param="dimensions",
        )


def _embed(embedder: Embedder, texts: list[str]) -> tuple[Any, int]:
    return embedder.embed(texts), sum(map(embedder.count, texts))


def _as_floats(vector: Any) -> list[float]:
    numbers: list[float] = vector.tolist()
    return numbers


def _as_base64(vector: Any) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()
