"""A JSON Schema in those of its words that a provider's grammar takes.

What is left out is still checked: the judge holds an answer against the declared schema, whole.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

_OF_SCHEMAS = frozenset({"properties", "$defs", "definitions"})
_LISTS = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_ONE = frozenset({"items", "additionalProperties", "not"})


def narrowed(schema: Any, words: Collection[str]) -> Any:
    """Return a schema with these keywords alone.

    >>> narrowed({"type": "string", "maxLength": 3}, {"type"})
    {'type': 'string'}
    """
    if not isinstance(schema, dict):
        return schema
    kept: dict[str, Any] = {}
    for word, value in schema.items():
        if word not in words:
            continue
        if word in _OF_SCHEMAS and isinstance(value, dict):
            kept[word] = {name: narrowed(inner, words) for name, inner in value.items()}
        elif word in _LISTS and isinstance(value, list):
            kept[word] = [narrowed(inner, words) for inner in value]
        elif word in _ONE:
            kept[word] = narrowed(value, words)
        else:
            kept[word] = value
    return kept


def is_closed(schema: Any) -> bool:
    """Whether every object of a schema names all its fields, so that it can be closed."""
    if not isinstance(schema, dict):
        return True
    if "patternProperties" in schema or isinstance(schema.get("additionalProperties"), dict):
        return False
    is_object = schema.get("type") == "object" or "properties" in schema
    if is_object and (schema.get("additionalProperties") is True or not schema.get("properties")):
        return False
    return all(is_closed(inner) for inner in _inner(schema))


def closed(schema: Any) -> Any:
    """Return a schema whose objects have no fields but those they name.

    >>> closed({"type": "object", "properties": {"a": {}}})["additionalProperties"]
    False
    """
    if not isinstance(schema, dict):
        return schema
    shut: dict[str, Any] = {}
    for word, value in schema.items():
        if word in _OF_SCHEMAS and isinstance(value, dict):
            shut[word] = {name: closed(inner) for name, inner in value.items()}
        elif word in _LISTS and isinstance(value, list):
            shut[word] = [closed(inner) for inner in value]
        else:
            shut[word] = closed(value) if word in _ONE else value
    if shut.get("type") == "object" or "properties" in shut:
        shut["additionalProperties"] = False
    return shut


def _inner(schema: Mapping[str, Any]) -> list[Any]:
    found: list[Any] = []
    for word, value in schema.items():
        if word in _OF_SCHEMAS and isinstance(value, dict):
            found += value.values()
        elif word in _LISTS and isinstance(value, list):
            found += value
        elif word in _ONE:
            found.append(value)
    return found
