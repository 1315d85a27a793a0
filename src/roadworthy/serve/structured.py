"""JSON from models: what a provider is told of the schema, and what a model is when it broke it."""

from __future__ import annotations

from typing import Any

import msgspec

from ..declare.moments import KEYWORDS
from ..declare.schemas import SchemaCheck
from ..types import Answer, CallSize

QUOTED_BYTES = 4_096
"""Of its own text that a model is shown when it is asked again, as JSON."""
TOLD_BYTES = 1_500
"""Of what is wrong with it."""
REASK_BYTES = 8_192
"""By how much a call grows at most when a model is asked again: it is set aside for that."""
MOST_PROBLEMS = 8

_ASKED_AGAIN = (
    "Your answer cannot be used. What is wrong with it:\n{}\n"
    "Answer again with the corrected JSON alone: no text before or after it, no code block."
)
_OURS = frozenset(KEYWORDS)
_encode = msgspec.json.Encoder().encode
_raw_messages = msgspec.json.Decoder(list[msgspec.Raw])
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_choices = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])


def told_schema(check: SchemaCheck | None) -> bytes:
    """Return a schema as providers are told it, as JSON; empty where there is none.

    Keywords of our own and notes to readers are left out: they would refuse the whole schema.
    """
    return b"" if check is None else _encode(_plain(check.schema))


def _plain(schema: Any, *, is_named: bool = False) -> Any:
    """Return a schema without what only we know; below `properties` the names are the author's."""
    if isinstance(schema, list):
        return [_plain(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: _plain(value, is_named=name in ("properties", "$defs", "patternProperties"))
        if name not in ("enum", "const", "default", "examples")
        else value
        for name, value in schema.items()
        if is_named or not (name.startswith("x-") or name in _OURS or name == "$schema")
    }


def told_problems(check: SchemaCheck, value: Any) -> str:
    """Return what breaks a schema, one line each, for the model that wrote it."""
    lines = (f"- {problem}" for problem in check.problems(value, MOST_PROBLEMS))
    return "\n".join(lines)[:TOLD_BYTES]


def larger_by_reask(size: CallSize) -> CallSize:
    """Return how large a call may be when a model is asked again."""
    return msgspec.structs.replace(size, input_bytes=size.input_bytes + REASK_BYTES)


def asked_again(
    body: dict[str, msgspec.Raw], answer: Answer, problems: str
) -> dict[str, msgspec.Raw]:
    """Return the body that asks a model for its JSON again, told what was wrong with it."""
    messages = _raw_messages.decode(body["messages"])
    quoted = {"role": "assistant", "content": _quoted(answer.content)}
    told = {"role": "user", "content": _ASKED_AGAIN.format(problems)}
    messages += [msgspec.Raw(_encode(quoted)), msgspec.Raw(_encode(told))]
    return {**body, "messages": msgspec.Raw(_encode(messages))}


def _quoted(text: str) -> str:
    """Return as much of a text as may go up again; never nothing, which providers refuse."""
    text = text[:QUOTED_BYTES].encode(errors="replace").decode()
    while (size := len(_encode(text))) > QUOTED_BYTES:
        text = text[: min(len(text) * QUOTED_BYTES // size, len(text) - 1)]
    return text if text.strip() else "(nothing)"


def with_content(completion: bytes, text: str) -> bytes:
    """Return a chat completion whose one choice says `text`, all else as its upstream sent it."""
    body = _fields.decode(completion)
    choice = _choices.decode(body["choices"])[0]
    choice["message"] = _with(choice["message"], text)
    return _encode({**body, "choices": [choice]})


def _with(message: msgspec.Raw, text: str) -> msgspec.Raw:
    fields = _fields.decode(message)
    return msgspec.Raw(_encode({**fields, "content": text}))
