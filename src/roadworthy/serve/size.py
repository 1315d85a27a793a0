"""Measure a chat call as far as its price depends on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ..errors import ContractViolation
from ..types import CallSize


class _Message(msgspec.Struct):
    content: str | list[dict[str, Any]] | None = None


HIDDEN_TOKENS = 1_000
"""Tokens that providers add of their own where tools or a schema go up, and charge for: the most
that one documents is 804."""
_HIDDEN = frozenset({"tools", "response_format"})
_LIMITS = frozenset({"max_completion_tokens", "max_tokens", "n"})
_messages = msgspec.json.Decoder(list[_Message])
_whole_number = msgspec.json.Decoder(int | None)


def size_of(body: Mapping[str, msgspec.Raw], schema_bytes: int = 0) -> CallSize:
    """Return the size of an OpenAI chat body, and of the schema that goes up beside it.

    Raises:
        ContractViolation: A limit in it is not a whole number of at least 1.
    """
    total, said = schema_bytes, {}
    for name, value in body.items():
        total += len(memoryview(value))
        if name in _LIMITS:
            said[name] = _whole(name, value)
    if schema_bytes or not _HIDDEN.isdisjoint(body):
        total += HIDDEN_TOKENS
    limit = said.get("max_completion_tokens") or said.get("max_tokens")
    return CallSize(total, _attached(body.get("messages")), limit, said.get("n") or 1)


def _attached(messages: msgspec.Raw | None) -> int:
    """Count the parts of messages that are not text: images, files, sound.

    Only messages that may hold parts are decoded: a part names its `type`, in letters or escaped.
    """
    if messages is None:
        return 0
    raw = bytes(messages)
    if b'"type"' not in raw and b"\\u" not in raw:
        return 0
    try:
        parts = [m.content for m in _messages.decode(raw) if isinstance(m.content, list)]
    except msgspec.DecodeError as error:
        raise ContractViolation(
            "`messages`: expected a list of messages", param="messages"
        ) from error
    return sum(part.get("type") != "text" for content in parts for part in content)


def _whole(name: str, raw: msgspec.Raw) -> int | None:
    try:
        value: int | None = _whole_number.decode(raw)
    except msgspec.DecodeError as error:
        raise ContractViolation(f"`{name}`: expected a whole number", param=name) from error
    if value is not None and value < 1:
        raise ContractViolation(f"`{name}`: expected at least 1, got {value}", param=name)
    return value
