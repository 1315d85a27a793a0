"""Finds parts of a JSON value by a path: names, indexes and wildcards of RFC 9535."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from ..errors import DeclarationError

LONGEST_PATH = 1000
MOST_NODES = 10_000
"""A path with several wildcards finds no more than these: what is scored came from a model."""

_STEP = re.compile(
    r"""\.(?P<name>[^\W\d]\w*)
    | \[\ *'(?P<single>(?:[^'\\]|\\.)*)'\ *\]
    | \[\ *"(?P<double>(?:[^"\\]|\\.)*)"\ *\]
    | \[\ *(?P<index>-?[1-9]\d{0,14}|0)\ *\]
    | (?P<all>\.\*|\[\ *\*\ *\])""",
    re.VERBOSE,
)
_ESCAPED = re.compile(r"\\(u[0-9a-fA-F]{4}|.)")
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


class _All(msgspec.Struct, frozen=True):
    """Every member of an object, every item of an array."""


Step = str | int | _All


class JsonPath(msgspec.Struct, frozen=True):
    """A compiled path.

    Attributes:
        source: As it was written.
    """

    source: str
    steps: tuple[Step, ...]

    @property
    def is_single(self) -> bool:
        """Whether it finds one value at most."""
        return not any(isinstance(step, _All) for step in self.steps)

    def find(self, value: Any) -> list[Any]:
        """Return all that the path leads to, in order; nothing where it leads nowhere.

        >>> compile_path("$.items[*].price").find({"items": [{"price": 3}, {}, {"price": 5}]})
        [3, 5]
        """
        found = [value]
        for step in self.steps:
            found = [part for each in found for part in _parts(each, step)][:MOST_NODES]
        return found

    def first(self, value: Any) -> Any:
        """Return the first thing that the path leads to; None where it leads nowhere.

        >>> compile_path("$.a.b[-1]").first({"a": {"b": [1, 2]}})
        2
        """
        found = self.find(value)
        return found[0] if found else None


def compile_path(source: str) -> JsonPath:
    """Return the path that is written so: `$.a.b[0]`, `$['a b']`, `$.items[*].price`.

    Raises:
        DeclarationError: It is none, or holds what is not supported: filters, slices, `..`.
    """
    if not source.startswith("$") or len(source) > LONGEST_PATH:
        raise _no_path(source, 0)
    steps: list[Step] = []
    at = 1
    while at < len(source):
        match = _STEP.match(source, at)
        if match is None:
            raise _no_path(source, at)
        steps.append(_step(match))
        at = match.end()
    return JsonPath(source, tuple(steps))


def _no_path(source: str, at: int) -> DeclarationError:
    return DeclarationError(
        "path: expected one like `$.items[0].price`, with names, indexes and `[*]`, got "
        f"`{source[at : at + 40]}` after {at} characters"
    )


def _step(match: re.Match[str]) -> Step:
    kind, text = match.lastgroup, match.group(match.lastgroup or 0)
    if kind == "all":
        return _All()
    if kind == "index":
        return int(text)
    return text if kind == "name" else _ESCAPED.sub(_unescaped, text)


def _unescaped(match: re.Match[str]) -> str:
    mark = match.group(1)
    return chr(int(mark[1:], 16)) if len(mark) > 1 else _ESCAPES.get(mark, mark)


def _parts(value: Any, step: Step) -> Iterator[Any]:
    if isinstance(value, dict):
        if isinstance(step, _All):
            yield from value.values()
        elif isinstance(step, str) and step in value:
            yield value[step]
    elif isinstance(value, list | tuple):
        if isinstance(step, _All):
            yield from value
        elif isinstance(step, int) and -len(value) <= step < len(value):
            yield value[step]
