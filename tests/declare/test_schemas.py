from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.declare.schemas import (
    SchemaError,
    compile_schema,
    describe,
    open_schema,
    read_schema,
)
from roadworthy.errors import DeclarationError

SECRET = "hush-hush"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "distance": {"type": "number", "minimum": 0, "exclusiveMaximum": 100},
        "carrier": {"type": "string", "minLength": 2, "maxLength": 3, "pattern": "^[A-Z]+$"},
        "day": {"type": "string", "format": "date"},
        "class": {"enum": ["economy", "business"]},
        "version": {"const": 2},
        "legs": {
            "type": "array",
            "minItems": 1,
            "maxItems": 2,
            "uniqueItems": True,
            "items": {
                "type": "object",
                "required": ["to"],
                "properties": {"to": {"type": "string"}},
            },
        },
        "seats": {"type": "integer", "multipleOf": 2},
        "notes": {
            "type": "object",
            "additionalProperties": {"type": "integer"},
            "maxProperties": 1,
        },
        "either": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "one": {"oneOf": [{"type": "integer"}, {"type": "number"}]},
    },
    "additionalProperties": False,
}
check = compile_schema(SCHEMA)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"distance": SECRET}, "input.distance: expected number, got string of 9 characters"),
        ({"distance": None}, "input.distance: expected number, got null"),
        ({"distance": True}, "input.distance: expected number, got true"),
        ({"distance": -1.5}, "input.distance: expected >= 0, got -1.5"),
        ({"distance": 100}, "input.distance: expected < 100, got 100"),
        (
            {"carrier": SECRET},
            "input.carrier: expected <= 3 characters, got string of 9 characters",
        ),
        ({"carrier": "A"}, "input.carrier: expected >= 2 characters, got string of 1 characters"),
        (
            {"carrier": "ab"},
            "input.carrier: expected a string that matches `^[A-Z]+$`, got string of 2 characters",
        ),
        (
            {"day": SECRET},
            "input.day: expected a string of format date, got string of 9 characters",
        ),
        (
            {"class": SECRET},
            'input.class: expected one of ["economy", "business"], got string of 9 characters',
        ),
        ({"version": 3}, "input.version: expected 2, got 3"),
        ({"legs": []}, "input.legs: expected >= 1 items, got array of 0 items"),
        ({"legs": [{}]}, "input.legs[0]: expected field `to`, got none"),
        ({"legs": [{"to": 1}]}, "input.legs[0].to: expected string, got 1"),
        (
            {"legs": [{"to": "x"}, {"to": "x"}]},
            "input.legs: expected what `uniqueItems` of the schema asks for, got array of 2 items",
        ),
        ({"seats": 3}, "input.seats: expected a multiple of 2, got 3"),
        ({"notes": {SECRET: "x"}}, "input.notes.*: expected integer, got string of 1 characters"),
        ({"notes": {"a": 1, "b": 2}}, "input.notes: expected <= 1 fields, got object of 2 fields"),
        ({"either": 3}, "input.either: expected one of 2 shapes, got 3"),
        ({"one": 3}, "input.one: expected what `oneOf` of the schema asks for, got 3"),
        ({SECRET: 1}, "input: expected only fields that the schema names, got 1 more"),
        ([], "input: expected object, got array of 0 items"),
        (SECRET, "input: expected object, got string of 9 characters"),
        ({"distance": float("nan")}, "input.distance: expected number, got null"),
        ({"distance": b"x"}, "input: expected a value that JSON can hold, got another"),
        ({1: 1}, "input: expected a value that JSON can hold, got another"),
        ({"distance": 1, "carrier": "UA"}, ""),
    ],
)
def test_a_problem_tells_where_and_what_but_no_words_of_the_user(value: Any, problem: str) -> None:
    assert check.first_problem(value) == problem
    assert SECRET not in problem


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from([*SCHEMA["properties"], "other"]), inner, max_size=4)
        ),
        max_leaves=8,
    )
)
def test_there_is_a_problem_exactly_where_a_value_is_not_valid(value: Any) -> None:
    assert (check.first_problem(value) == "") == check.is_valid(value)


def test_a_problem_starts_with_the_name_it_was_given() -> None:
    assert compile_schema(SCHEMA, "output").first_problem(3).startswith("output: ")


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "https://example.com/schema.json"},
        {"$ref": "file:///etc/passwd"},
        {"$ref": "other.json"},
        {"properties": {"a": {"$ref": "http://127.0.0.1:1/x"}}},
        {"$dynamicRef": "https://example.com/schema.json"},
    ],
)
def test_a_reference_out_of_the_schema_is_refused_and_not_followed(schema: dict[str, Any]) -> None:
    with pytest.raises(SchemaError, match="leads out of its file"):
        compile_schema(schema)


def test_a_reference_within_the_schema_is_followed() -> None:
    schema = {"$defs": {"text": {"type": "string"}}, "properties": {"a": {"$ref": "#/$defs/text"}}}
    assert compile_schema(schema).first_problem({"a": 1}) == "input.a: expected string, got 1"


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "objekt"},
        {"minimum": "3"},
        {"properties": {"a": {"format": "emial"}}},
        {"pattern": "("},
        {"$ref": "#/$defs/none"},
        {"$schema": "http://json-schema.org/draft-07/schema#"},
        {"$schema": 3},
        {"const": b"x"},
    ],
)
def test_what_is_no_usable_schema_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(SchemaError, match="expected"):
        compile_schema(schema)


@pytest.mark.parametrize(
    ("text", "got"),
    [("{", "line 1"), ("[]", "array of 0 items"), ("[" * 100_000, "JSON"), ("\ufeff{}", "")],
)
def test_a_schema_file_must_be_a_json_object(text: str, got: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(text, encoding="utf-8")
    if not got:
        assert read_schema(path) == {}
        return
    with pytest.raises(SchemaError, match=got):
        read_schema(path)
    with pytest.raises(DeclarationError, match=r"^x\.json: expected"):
        open_schema(tmp_path, "x.json")


def test_no_file_is_no_check(tmp_path: Path) -> None:
    assert open_schema(tmp_path, None) is None
    (tmp_path / "x.json").write_text(json.dumps(SCHEMA))
    opened = open_schema(tmp_path, "x.json", "output")
    assert opened is not None
    assert opened.schema == SCHEMA
    with pytest.raises(DeclarationError, match="cannot be read"):
        open_schema(tmp_path, "missing.json")


@given(st.text(min_size=8))
def test_a_description_never_holds_the_text(text: str) -> None:
    assert describe(text) == f"string of {len(text)} characters"
    assert text not in describe([text])
    assert text not in describe({text: text})
