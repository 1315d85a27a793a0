"""What stands before a prompt, between `+++` lines in TOML: its inputs, settings and output."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from typing import Any, NamedTuple

from .validate import shown

TYPES: Mapping[str, Any] = {
    "string": "a text",
    "integer": 1,
    "number": 1.5,
    "boolean": True,
    "object": {},
}
"""Types of an input, each with a value to try a prompt with."""
KEYS = ("inputs", "trusted", "settings", "output", "static_first")
PASSAGES = "passages"
"""Name of the variable that holds what retrieval found."""

_MATTER = re.compile(r"\A\+\+\+[ \t]*\n(.*?)^\+\+\+[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
_LIST = re.compile(r"list of (\w+)\Z")


class PromptError(ValueError):
    """A file is no prompt, or a prompt cannot be written for these values.

    Attributes:
        expected: What was expected.
        got: What came, without a word of the user's.
    """

    def __init__(self, expected: str, got: str) -> None:
        super().__init__(f"expected {expected}, got {got}")
        self.expected = expected
        self.got = got


class Input(NamedTuple):
    """One variable of a prompt.

    Attributes:
        schema: The JSON Schema that its values keep.
        sample: A value that keeps it.
        is_optional: Whether it may be left out; then it is null.
    """

    name: str
    schema: dict[str, Any]
    sample: Any
    is_optional: bool


class Matter(NamedTuple):
    """What a prompt says of itself.

    Attributes:
        inputs: Its variables by name.
        trusted: Those whose values are the team's own, so that they need no fence.
        settings: Parameters of the model, by their names in an OpenAI chat.
        output: The schema of its answers: a file's name, or the schema itself; None where neither
            is said.
        static_first: Whether what never changes has to stand before what does.
    """

    inputs: Mapping[str, Input] = {}
    trusted: frozenset[str] = frozenset()
    settings: Mapping[str, Any] = {}
    output: str | dict[str, Any] | None = None
    static_first: bool = True

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema that the inputs of a request keep."""
        needed = [one.name for one in self.inputs.values() if not one.is_optional]
        properties = {one.name: one.schema for one in self.inputs.values()}
        return {"type": "object", "properties": properties, "required": needed}


def split_matter(text: str) -> tuple[Matter | None, str]:
    """Return what a prompt says of itself, None where it says nothing, and the rest of its text.

    Raises:
        PromptError: It is no TOML, or says something that a prompt cannot.
    """
    found = _MATTER.match(text)
    if found is None:
        if text.startswith("+++"):
            raise PromptError("a line `+++` that ends the front matter", "none")
        return None, text
    try:
        said = tomllib.loads(found[1])
    except tomllib.TOMLDecodeError as error:
        raise PromptError("TOML between `+++` lines", str(error)) from None
    return read_matter(said), text[found.end() :]


def read_matter(said: Mapping[str, Any]) -> Matter:
    """Return front matter as a value.

    >>> read_matter({"inputs": {"usd": "number", "tone": ["kind", "firm"]}}).schema["properties"]
    {'usd': {'type': 'number'}, 'tone': {'enum': ['kind', 'firm']}}

    Raises:
        PromptError: It says something that a prompt cannot.
    """
    if unknown := sorted(said.keys() - set(KEYS)):
        keys = ", ".join(f"`{key}`" for key in KEYS)
        raise PromptError(f"front matter of {keys}", f"`{unknown[0]}`")
    inputs = {name: _input(name, kind) for name, kind in _table(said, "inputs").items()}
    trusted = said.get("trusted", [])
    if not _are_texts(trusted):
        raise PromptError("`trusted` as a list of names", shown(trusted))
    output = said.get("output")
    if output is not None and not isinstance(output, str | dict):
        raise PromptError("`output` as a file's name or a table", shown(output))
    static_first = said.get("static_first", True)
    if not isinstance(static_first, bool):
        raise PromptError("`static_first` as true or false", shown(static_first))
    settings = _settings(_table(said, "settings"))
    return Matter(inputs, frozenset(trusted), settings, output, static_first)


def _table(said: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = said.get(key, {})
    if not isinstance(found, dict):
        raise PromptError(f"`{key}` as a table", shown(found))
    return found


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _input(name: str, kind: Any) -> Input:
    if not _NAME.match(name) or name == PASSAGES:
        raise PromptError("letters, digits and `_` as the name of an input", f"`{name:.40}`")
    if isinstance(kind, list):
        return _choice(name, kind)
    expected = (
        f"the type of input `{name}` as one of {', '.join(f'`{one}`' for one in TYPES)}, `list of "
        "string` or a list of choices, with `?` behind it where it may be left out"
    )
    if not isinstance(kind, str):
        raise PromptError(expected, shown(kind))
    plain = kind.removesuffix("?").strip()
    is_optional, items = kind != plain, _LIST.match(plain)
    inner = items[1] if items else plain
    if inner not in TYPES:
        raise PromptError(expected, shown(kind))
    schema: dict[str, Any] = {"type": inner}
    sample = TYPES[inner]
    if items:
        schema, sample = {"type": "array", "items": schema}, [sample]
    if is_optional:
        schema = {"anyOf": [schema, {"type": "null"}]}
    return Input(name, schema, sample, is_optional)


def _choice(name: str, choices: list[Any]) -> Input:
    if not choices or not all(isinstance(one, str | int | float) for one in choices):
        raise PromptError(f"choices of texts or numbers for input `{name}`", shown(choices))
    return Input(name, {"enum": choices}, choices[0], False)


def _is_number(least: float, most: float) -> Any:
    def holds(value: Any) -> bool:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and least <= value <= most

    return holds, f"a number from {least:g} to {most:g}"


def _is_whole(least: int, most: int) -> Any:
    def holds(value: Any) -> bool:
        return type(value) is int and least <= value <= most

    return holds, f"a whole number from {least} to {most}"


def _is_stop(value: Any) -> bool:
    return (isinstance(value, str) and bool(value)) or (
        _are_texts(value) and 1 <= len(value) <= 4 and all(value)
    )


_SETTINGS: Mapping[str, tuple[str, Any]] = {
    "temperature": ("temperature", _is_number(0, 2)),
    "top_p": ("top_p", _is_number(0, 1)),
    "seed": ("seed", _is_whole(0, 2**31 - 1)),
    "stop": ("stop", (_is_stop, "a text, or one to four of them")),
    "max_output_tokens": ("max_tokens", _is_whole(1, 10_000_000)),
    "frequency_penalty": ("frequency_penalty", _is_number(-2, 2)),
    "presence_penalty": ("presence_penalty", _is_number(-2, 2)),
    "reasoning_effort": (
        "reasoning_effort",
        (lambda value: value in ("minimal", "low", "medium", "high"), "minimal, low, medium, high"),
    ),
}
"""Setting → its name in an OpenAI chat, and what its values keep."""


def _settings(said: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for name, value in said.items():
        if name not in _SETTINGS:
            known = ", ".join(f"`{one}`" for one in _SETTINGS)
            raise PromptError(f"settings of a model ({known})", f"`{name:.40}`")
        parameter, (holds, expected) = _SETTINGS[name]
        if not holds(value):
            raise PromptError(f"`settings.{name}` as {expected}", shown(value))
        found[parameter] = value
    return found


def same_schema(one: Any, other: Any) -> bool:
    """Whether two JSON Schemas are the same text, whatever the order of their keys."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
