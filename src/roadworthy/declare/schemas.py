"""JSON Schema (draft 2020-12): compiled once, and problems told without the user's words.

A data contract stands wherever a schema may: the plugin `odcs` of `roadworthy.schemas` compiles it
to one, so that live requests are held to the same rules as batches.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from jsonschema_rs import Draft202012Validator, ValidationError, ValidationErrorKind

from ..errors import DeclarationError, MissingExtra
from ..plugins import load_plugin
from .moments import KEYWORDS

CONTRACT_ENDINGS = (".odcs.yaml", ".odcs.yml")
"""How the names of data contracts end (Open Data Contract Standard)."""
DRAFT = "https://json-schema.org/draft/2020-12/schema"

PERSONAL = "x-personal"
"""Keyword of a property whose values are about a person: they are kept nowhere but in bodies."""
EXPECTED = "x-expected"
"""Keyword of a schema that checks nothing: what a value is, in words, where its pattern says it to
engines alone."""

_Kind = ValidationErrorKind
_WORDS = {
    "additionalProperties": ("only fields that the schema names", "unexpected"),
    "exclusiveMaximum": ("< {}", "limit"),
    "exclusiveMinimum": ("> {}", "limit"),
    "format": ("a string of format {}", "format"),
    "maxItems": ("<= {} items", "limit"),
    "maxLength": ("<= {} characters", "limit"),
    "maxProperties": ("<= {} fields", "limit"),
    "maximum": ("<= {}", "limit"),
    "minItems": (">= {} items", "limit"),
    "minLength": (">= {} characters", "limit"),
    "minProperties": (">= {} fields", "limit"),
    "minimum": (">= {}", "limit"),
    "multipleOf": ("a multiple of {}", "multiple_of"),
    "pattern": ("a string that matches `{}`", "pattern"),
    "required": ("field `{}`", "property"),
    "unevaluatedProperties": ("only fields that the schema names", "unexpected"),
}
"""Keyword → what it wants, and where an error of it holds the schema's own number or word."""


class SchemaError(ValueError):
    """A schema cannot be used.

    Attributes:
        expected: What should be there.
        got: What is there.
    """

    def __init__(self, expected: str, got: str) -> None:
        super().__init__(f"expected {expected}, got {got}")
        self.expected = expected
        self.got = got


class Mismatch(NamedTuple):
    """Where a value breaks a schema, in the schema's words; of the value only types and numbers."""

    path: str
    expected: str
    got: str


class SchemaCheck:
    """Checks values against one schema.

    Attributes:
        schema: The schema it was compiled from.
        is_valid: Tells whether a value keeps it (20 fields: 1 to 3 µs).
    """

    __slots__ = ("_name", "_properties", "_validator", "is_valid", "schema")

    @property
    def personal(self) -> frozenset[str]:
        """The fields that the schema marks as personal."""
        fields = self.schema.get("properties", {}).items()
        return frozenset(n for n, rule in fields if isinstance(rule, dict) and rule.get(PERSONAL))

    def __init__(self, schema: dict[str, Any], name: str, validator: Draft202012Validator) -> None:
        self.schema = schema
        self.is_valid = validator.is_valid
        self._name = name
        self._validator = validator
        self._properties = frozenset(_properties(schema))

    def first_problem(self, value: Any) -> str:
        """Return why `value` breaks the schema, or an empty string.

        It reads `input.distance: expected number, got string of 3 characters`: types, lengths and
        numbers, never a text of the user's.
        """
        mismatch = self.first_mismatch(value)
        return "{}: expected {}, got {}".format(*mismatch) if mismatch else ""

    def problems(self, value: Any, most: int) -> list[str]:
        """Return the first `most` things that break the schema, told as `first_problem` does."""
        try:
            found = list(islice(self._validator.iter_errors(value), most))
        except (TypeError, ValueError):
            return [self.first_problem(value)]
        told = (Mismatch(self._path(e), self._words(e), _got(e)) for e in found)
        return ["{}: expected {}, got {}".format(*mismatch) for mismatch in told]

    def first_mismatch(self, value: Any) -> Mismatch | None:
        """Return the first thing that breaks the schema, or None."""
        try:
            if self.is_valid(value):
                return None
            error = next(iter(self._validator.iter_errors(value)))
        except (TypeError, ValueError):
            return Mismatch(self._name, "a value that JSON can hold", "another")
        return Mismatch(self._path(error), self._words(error), _got(error))

    def _words(self, error: ValidationError) -> str:
        """Return what the schema wants: in its words for people, where it has some."""
        part: Any = self.schema
        if isinstance(error.kind, _Kind.Pattern | _Kind.Type):
            for step in list(error.schema_path)[:-1]:
                part = part.get(step) if isinstance(part, dict) else None
            if isinstance(part, dict) and isinstance(said := part.get(EXPECTED), str):
                return said
        return _expected(error.kind)

    def _path(self, error: ValidationError) -> str:
        path = self._name
        for step in error.instance_path:
            if isinstance(step, int):
                path += f"[{step}]"
            else:
                # A key that the schema does not name is the user's own text.
                path += f".{step}" if step in self._properties else ".*"
        return path


def compile_schema(schema: dict[str, Any], name: str = "input") -> SchemaCheck:
    """Return the compiled check; `name` stands at the start of every path it tells.

    Formats are asserted. Nothing outside the schema is read: a `$ref` leads into the schema itself.

    Raises:
        SchemaError: It is not a JSON Schema of draft 2020-12, or refers elsewhere.
    """
    stated = schema.get("$schema", DRAFT)
    if not isinstance(stated, str) or stated.rstrip("#") != DRAFT:
        raise SchemaError(f"a JSON Schema of draft 2020-12 (`{DRAFT}`)", "another `$schema`")
    try:
        validator = Draft202012Validator(
            schema,
            validate_formats=True,
            ignore_unknown_formats=False,
            offline=True,
            keywords=dict(KEYWORDS),
        )
    except ValidationError as error:
        raise _broken(error) from None
    except (TypeError, ValueError):
        raise SchemaError("a JSON Schema", "something else") from None
    return SchemaCheck(schema, name, validator)


def split_table(name: str) -> tuple[str, str]:
    """Return the file that a schema's name means, and the table of a data contract behind it.

    >>> split_table("flights.odcs.yaml#schedule")
    ('flights.odcs.yaml', 'schedule')
    """
    file, _, table = name.partition("#")
    return (file, table) if file.endswith(CONTRACT_ENDINGS) else (name, "")


def is_contract(name: str) -> bool:
    """Whether a schema's name means a data contract."""
    return split_table(name)[0].endswith(CONTRACT_ENDINGS)


def read_schema(path: Path) -> dict[str, Any]:
    """Return the JSON Schema in the file at `path`, or that of a data contract; not yet compiled.

    Raises:
        SchemaError: It is not a JSON object, or the packages that read contracts are not installed.
        DeclarationError: It is a data contract with problems.
    """
    if is_contract(path.name):
        file, table = split_table(path.name)
        try:
            found: dict[str, Any] = load_plugin("schemas", "odcs")(path.with_name(file), table)
        except MissingExtra as error:
            raise SchemaError(
                "a file that can be read here", f"a data contract ({error})"
            ) from None
        return found
    try:
        schema = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SchemaError("a file", f"one that cannot be read ({error.strerror})") from None
    except json.JSONDecodeError as error:
        raise SchemaError("JSON", f"a syntax error in line {error.lineno}") from None
    except (ValueError, RecursionError):
        raise SchemaError("JSON", "something else") from None
    if not isinstance(schema, dict):
        raise SchemaError("a JSON object", describe(schema))
    return schema


def open_schema(folder: Path, file: str | None, name: str = "input") -> SchemaCheck | None:
    """Return the compiled check of a schema file in `folder`; None where no file is named.

    Raises:
        DeclarationError: The file is missing or holds no usable schema.
    """
    if file is None:
        return None
    try:
        return compile_schema(read_schema(folder / file), name)
    except SchemaError as error:
        raise DeclarationError(f"{file}: {error}") from error


def describe(value: Any) -> str:
    """Return the type of a JSON value with its number or length, never a text."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, int | float):
        return str(value)[:40]
    if isinstance(value, str):
        return f"string of {len(value)} characters"
    if isinstance(value, list | tuple):
        return f"array of {len(value)} items"
    return f"object of {len(value)} fields" if isinstance(value, dict) else "another value"


def _properties(schema: Any) -> Iterator[str]:
    """Yield every property that `schema` names, wherever it names it."""
    if isinstance(schema, list):
        for item in schema:
            yield from _properties(item)
    elif isinstance(schema, dict):
        for keyword, value in schema.items():
            if keyword in ("properties", "dependentSchemas") and isinstance(value, dict):
                yield from value
            yield from _properties(value)


def _expected(kind: ValidationErrorKind) -> str:
    """Return what the schema wants, in its author's own words and numbers."""
    if kind.name in _WORDS and hasattr(kind, _WORDS[kind.name][1]):
        words, attribute = _WORDS[kind.name]
        return words.format(getattr(kind, attribute))
    match kind:
        case _Kind.Type(types=types):
            return " or ".join(types)
        case _Kind.Enum(options=options):
            return f"one of {json.dumps(options, default=str)[:200]}"
        case _Kind.Custom(message=message):  # our own keywords for times say it in full
            return message
        case _Kind.Constant(expected_value=value):
            return json.dumps(value, default=str)[:200]
        case _Kind.AnyOf(context=shapes) | _Kind.OneOfNotValid(context=shapes):
            return f"one of {len(shapes)} shapes"
    return f"what `{kind.name}` of the schema asks for"


def _got(error: ValidationError) -> str:
    match error.kind:
        case _Kind.Required():
            return "none"
        case _Kind.AdditionalProperties(unexpected=names):
            return f"{len(names)} more"
        case _Kind.UnevaluatedProperties(unexpected=names):
            return f"{len(names)} more"
    return describe(error.instance)


def _broken(error: ValidationError) -> SchemaError:
    """Say what is wrong with a schema; its text is the author's, so it may be shown."""
    if "retriev" in error.message.lower() or "base URI" in error.message:
        return SchemaError("references within the schema", "a `$ref` that leads out of its file")
    where = "/".join(map(str, error.instance_path))
    what = error.message.partition(". ")[0][:160]
    return SchemaError("a JSON Schema", f"{what} (at `/{where}`)")
