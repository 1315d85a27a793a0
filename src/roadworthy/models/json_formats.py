"""How an OpenAI-style upstream is told which JSON to write: `response_format`."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec

NAME = "answer"
MOST_DEPTH, MOST_PROPERTIES = 10, 5_000

_KEYWORDS = (
    frozenset(("$defs", "$id", "$ref", "additionalProperties", "anyOf", "const", "description"))
    | frozenset(("enum", "exclusiveMaximum", "exclusiveMinimum", "format", "items", "maxItems"))
    | frozenset(
        (
            "maximum",
            "minItems",
            "minimum",
            "multipleOf",
            "pattern",
            "properties",
            "required",
            "title",
            "type",
        )
    )
)
"""What a schema may hold that OpenAI keeps to the letter (`strict`), from its documentation."""
_FORMATS = frozenset(
    ("date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uuid")
)
_encode = msgspec.json.Encoder().encode


@lru_cache(maxsize=256)
def response_format_of(schema: bytes) -> msgspec.Raw:
    """Return the `response_format` for a JSON Schema; strict where the schema fits OpenAI's subset.

    >>> bytes(response_format_of(b'{"type": "array"}'))
    b'{"type":"json_schema","json_schema":{"name":"answer","schema":{"type":"array"},"strict":false}}'
    """
    read = msgspec.json.decode(schema)
    told = {"name": NAME, "schema": read, "strict": is_strict(read)}
    return msgspec.Raw(_encode({"type": "json_schema", "json_schema": told}))


def is_strict(schema: Any) -> bool:
    """Whether OpenAI can hold a model to a schema while it writes.

    >>> is_strict({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"],
    ...            "additionalProperties": False})
    True
    >>> is_strict({"type": "object", "properties": {"a": {"type": "string"}}})
    False
    """
    if not isinstance(schema, dict) or schema.get("type") != "object" or "anyOf" in schema:
        return False
    return _fits(schema, 1) and _properties_in(schema) <= MOST_PROPERTIES


def _fits(schema: Any, depth: int) -> bool:
    if not isinstance(schema, dict) or depth > MOST_DEPTH or not schema.keys() <= _KEYWORDS:
        return False
    types = schema.get("type", ())
    types = (types,) if isinstance(types, str) else tuple(types)
    if "object" in types and not _is_closed(schema):
        return False
    if schema.get("format", "date") not in _FORMATS:
        return False
    if not types and not schema.keys() & {"$ref", "anyOf", "enum", "const"}:
        return False
    parts = [*schema.get("properties", {}).values(), *schema.get("$defs", {}).values()]
    parts += schema.get("anyOf", [])
    parts += [schema["items"]] if "items" in schema else []
    return all(_fits(part, depth + 1) for part in parts)


def _is_closed(schema: dict[str, Any]) -> bool:
    """Whether an object has just the fields it names, and every one of them."""
    fields = schema.get("properties", {})
    return schema.get("additionalProperties") is False and set(schema.get("required", ())) == set(
        fields
    )


def _properties_in(schema: Any) -> int:
    if isinstance(schema, list):
        return sum(map(_properties_in, schema))
    if not isinstance(schema, dict):
        return 0
    return len(schema.get("properties", ())) + sum(map(_properties_in, schema.values()))
