"""Holds one record at a time to the rules that batches are held to, as a JSON Schema.

Rules that only a whole batch keeps (unique values, counts, SQL, freshness) have no meaning here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jsonschema_rs import Draft202012Validator, ValidationError, ValidationErrorKind

from ..declare.moments import KEYWORDS
from ..declare.schemas import DRAFT, EXPECTED, PERSONAL, SchemaCheck
from ..errors import ContractViolation
from .contract import MAX_INTEGER, MIN_INTEGER, ROW_RULES, Field, RuleKind, Table, rules_of
from .patterns import DATE, TIME, TIMESTAMP, TIMESTAMP_WITH_OFFSET
from .values import LARGEST_NUMBER, is_null, is_of

Schema = dict[str, Any]

_JSON_TYPES = {"date": "string", "timestamp": "string", "time": "string"}
_TEXTS = {"date": DATE, "timestamp": TIMESTAMP, "time": TIME}
_EXPECTED = {
    "date": "a date in ISO 8601, such as `2026-03-01`",
    "time": "a time in ISO 8601, such as `08:30:00`",
    "timestamp": "a timestamp in ISO 8601, such as `2026-03-01T08:30:00Z`",
}
_WITH_OFFSET = "a timestamp in ISO 8601 with its offset, such as `2026-03-01T08:30:00+01:00`"
_KEYWORDS: Mapping[str, RuleKind] = {
    "minimum": "minimum",
    "maximum": "maximum",
    "exclusiveMinimum": "exclusive_minimum",
    "exclusiveMaximum": "exclusive_maximum",
    "formatMinimum": "minimum",
    "formatMaximum": "maximum",
    "formatExclusiveMinimum": "exclusive_minimum",
    "formatExclusiveMaximum": "exclusive_maximum",
    "nearMultipleOf": "multiple_of",
    "minLength": "min_length",
    "maxLength": "max_length",
    "pattern": "pattern",
    "enum": "enum",
}
"""Keyword of the schema → the rule that it states."""


def json_schema_of(table: Table) -> Schema:
    """Return what one record of a table must keep, as a JSON Schema of draft 2020-12."""
    must = [field.name for field in table.fields if field.required or field.key_position]
    schema: Schema = {
        "$schema": DRAFT,
        "type": "object",
        "properties": {field.name: _schema_of(field) for field in table.fields},
    }
    if must:
        schema["required"] = must
    if table.is_closed:
        schema["additionalProperties"] = False
    return schema


def compile_live(table: Table, name: str = "input") -> SchemaCheck:
    """Return the compiled check of one record; `name` stands at the start of every path it tells.

    A record of 20 fields takes 1 to 3 us, and 1 us more for each bound of a date or time.
    """
    schema = json_schema_of(table)
    return SchemaCheck(schema, name, _validator(schema))


class LiveRules:
    """The rules of a table that one record keeps or breaks by itself.

    Attributes:
        is_valid: Whether a record keeps all of them. A NaN is no JSON: it needs `broken`.
    """

    def __init__(self, table: Table) -> None:
        self._validator = _validator(json_schema_of(table))
        self._fields = {field.name: field for field in table.fields}
        self._names = {
            (rule.field, rule.kind): rule.name for rule in rules_of(table) if rule.kind in ROW_RULES
        }
        self.is_valid = self._validator.is_valid

    def broken(self, record: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the names of the rules that a record breaks, each once.

        Raises:
            ContractViolation: It holds what JSON cannot, such as bytes.
        """
        plain = {name: None if is_null(value) else value for name, value in record.items()}
        infinite = [name for name, value in plain.items() if value in _INFINITE]
        # JSON has no infinity: it is judged here, and null stands in its place.
        told = [self._names[name, "type"] for name in infinite if name in self._fields]
        plain |= dict.fromkeys(infinite)
        try:
            errors = [] if self.is_valid(plain) else list(self._validator.iter_errors(plain))
        except (TypeError, ValueError):
            raise ContractViolation("expected values that JSON can hold, got another") from None
        told += [name for error in errors if (name := self._rule(error, infinite))]
        return tuple(dict.fromkeys(told))

    def _rule(self, error: ValidationError, infinite: list[str]) -> str:
        """Return the rule that an error is of: a value of the wrong type breaks that one alone."""
        if isinstance(error.kind, ValidationErrorKind.Required):
            return self._names[error.kind.property, "required"]
        path = list(error.instance_path)
        if not path or path[0] not in self._fields:
            return "columns"
        field = self._fields[str(path[0])]
        if field.name in infinite:
            return ""
        if error.instance is None:
            return self._names[field.name, "required"]
        if not is_of(field.type, error.instance, has_timezone=field.has_timezone):
            return self._names[field.name, "type"]
        return self._names[field.name, _KEYWORDS[str(error.schema_path[-1])]]


_INFINITE = (float("inf"), float("-inf"))


def _validator(schema: Schema) -> Draft202012Validator:
    return Draft202012Validator(schema, offline=True, keywords=dict(KEYWORDS))


def _schema_of(field: Field) -> Schema:
    kind = _JSON_TYPES.get(field.type, field.type)
    is_nullable = not (field.required or field.key_position)
    schema: Schema = {"type": [kind, "null"] if is_nullable else kind}
    if field.definition:
        schema["description"] = field.definition
    if field.is_personal:
        schema[PERSONAL] = True
    if field.type in _TEXTS:
        schema |= _moments(field)
    elif field.type in ("integer", "number"):
        schema |= _numbers(field)
    elif field.type == "string":
        texts = (field.min_length, field.max_length, field.pattern or None)
        schema |= _given(zip(("minLength", "maxLength", "pattern"), texts, strict=True))
    if field.enum:
        schema["enum"] = [*field.enum, *((None,) if is_nullable else ())]
    return schema


def _moments(field: Field) -> Schema:
    pattern = TIMESTAMP_WITH_OFFSET if field.has_timezone else _TEXTS[field.type]
    bounds = {
        "formatMinimum": field.minimum,
        "formatMaximum": field.maximum,
        "formatExclusiveMinimum": field.exclusive_minimum,
        "formatExclusiveMaximum": field.exclusive_maximum,
    }
    expected = _WITH_OFFSET if field.has_timezone else _EXPECTED[field.type]
    return {"pattern": pattern, EXPECTED: expected} | _given(bounds.items())


def _numbers(field: Field) -> Schema:
    is_whole = field.type == "integer"
    low, high = (MIN_INTEGER, MAX_INTEGER) if is_whole else (-LARGEST_NUMBER, LARGEST_NUMBER)
    bounds: Schema = {
        "minimum": low if field.minimum is None else field.minimum,
        "maximum": high if field.maximum is None else field.maximum,
        "exclusiveMinimum": field.exclusive_minimum,
        "exclusiveMaximum": field.exclusive_maximum,
    }
    bounds["nearMultipleOf"] = field.multiple_of
    return _given(bounds.items())


def _given(pairs: Any) -> Schema:
    return {name: value for name, value in pairs if value is not None}
