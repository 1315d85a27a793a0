"""Measure a chat call as far as its price depends on it, without decoding its messages."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from ..errors import ContractViolation
from ..types import CallSize

_whole_number = msgspec.json.Decoder(int | None)


def size_of(body: Mapping[str, msgspec.Raw]) -> CallSize:
    """Return the size of an OpenAI chat body.

    Raises:
        ContractViolation: A limit in it is not a whole number of at least 1.
    """
    messages = body.get("messages")
    images = bytes(messages).count(b'"image_url"') if messages is not None else 0
    limit = _whole(body, "max_completion_tokens") or _whole(body, "max_tokens")
    total = 0
    for value in body.values():
        total += len(memoryview(value))
    # An image part names `image_url` twice: once as its type, once as its field.
    return CallSize(total, -(-images // 2), limit, _whole(body, "n") or 1)


def _whole(body: Mapping[str, msgspec.Raw], name: str) -> int | None:
    raw = body.get(name)
    if raw is None:
        return None
    try:
        value: int | None = _whole_number.decode(raw)
    except msgspec.DecodeError as error:
        raise ContractViolation(f"`{name}`: expected a whole number", param=name) from error
    if value is not None and value < 1:
        raise ContractViolation(f"`{name}`: expected at least 1, got {value}", param=name)
    return value
