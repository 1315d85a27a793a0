"""Inputs that mean harm: instructions in a text, and values that no code was written for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

import msgspec

from ..builtin import Attack, load_builtin
from ..cases import Case
from .change import Ground, Variant, text_fields, value_of, with_value
from .numbers import is_number

_MOST_VALUES = 12
_INJECTIONS = 2
_STRINGS = (
    ("an unseen category", "zz-never-seen"),
    ("an empty text", ""),
    ("a very long text", "A" * 100_000),
    ("a text of signs that no font shows", "\u200b\u200d\u2060\ufeff"),
    ("a text that turns the writing direction", "\u202eabc\u202c"),
    ("marks upon marks", "a" + "\u0301\u0316" * 2000),
    ("the name of a missing number", "NaN"),
    ("a null byte", "a\u0000b"),
    ("a piece of SQL", "x'; DROP TABLE records; --"),
    ("a path out of the folder", "../../../../etc/passwd"),
    ("a formula", "=1+1"),
    ("a template", "{{7*7}}${7*7}"),
)
_NUMBERS = (
    ("the largest number there is", 1.7976931348623157e308),
    ("the smallest number there is", -1.7976931348623157e308),
    ("a number next to nothing", 5e-324),
    ("more than 64 bits hold", 2**70),
    ("zero", 0),
    ("minus one", -1),
    ("a missing number as text", "NaN"),
    ("infinity as text", "Infinity"),
    ("a number as text", "1e3"),
)
_ANY: tuple[tuple[str, Any], ...] = (
    ("null", None),
    ("a list", [1, 2, 3]),
    ("an object", {"a": {"b": {}}}),
    ("true", True),
)


def attacks(case: Case, ground: Ground, rng: Random) -> Iterator[Variant]:
    """Yield a case with instructions in its texts, and with extreme values in its other fields."""
    texts = text_fields(case, ground.entry.fields)
    for field in texts:
        yield from _injected(case, field, rng)
    others = [f for f in ground.entry.fields or tuple(case.input) if f not in texts]
    able = [change for field in others for change in _values(case, field, ground.schema)]
    for field, said, value in rng.sample(able, min(_MOST_VALUES, len(able))):
        yield Variant(with_value(case, field, value), f"{field}: {said}")
    if others:
        field = rng.choice(others)
        if field in case.input:
            rest = {name: value for name, value in case.input.items() if name != field}
            yield Variant(msgspec.structs.replace(case, input=rest), f"{field}: left out")


def _injected(case: Case, field: str, rng: Random) -> Iterator[Variant]:
    """Yield a case whose own text is followed by an attack, as a document would bring it."""
    suite = load_builtin("builtin:attacks/injection")
    for attack in rng.sample(suite.cases, _INJECTIONS):
        text = f"{value_of(case, field)}\n\n{attack.input['text']}"
        marks = msgspec.convert(attack.expect, Attack).must_not
        yield Variant(with_value(case, field, text), f"{field}: `{attack.id}` behind it", "", marks)


def _values(case: Case, field: str, schema: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    declared = schema.get("properties", {}).get(field, {})
    value = value_of(case, field)
    options = _NUMBERS if is_number(value) else _STRINGS if isinstance(value, str) else ()
    for said, other in (*options, *_ANY):
        if other != value:
            yield field, said, other
    for key, said in (("maximum", "the most that is allowed"), ("minimum", "the least")):
        if key in declared and declared[key] != value:
            yield field, said, declared[key]
