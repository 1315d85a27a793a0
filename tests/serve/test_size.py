from __future__ import annotations

from typing import Any

import msgspec
import pytest

from roadworthy.serve.size import HIDDEN_TOKENS, size_of

MESSAGES = [{"role": "user", "content": "hi"}]


def size(**body: Any) -> int:
    raw = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in body.items()}
    return size_of(raw).input_bytes


def test_a_plain_chat_is_as_large_as_its_values() -> None:
    assert size(messages=MESSAGES) == len(msgspec.json.encode(MESSAGES))


@pytest.mark.parametrize("name", ["tools", "response_format"])
def test_what_providers_add_of_their_own_is_set_aside_too(name: str) -> None:
    value = {"type": "json_object"}
    plain = size(messages=MESSAGES) + len(msgspec.json.encode(value))
    assert size(messages=MESSAGES, **{name: value}) == plain + HIDDEN_TOKENS
