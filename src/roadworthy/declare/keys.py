"""Sorts the keys of a file: what something enforces is kept, every other key is a finding."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, get_args, get_origin

from pydantic.fields import FieldInfo

from .source import Finding, join
from .values import Section

DESCRIPTIVE = frozenset(("purpose", "owners.product", "owners.model", "owners.platform"))
"""Keys that are shown and enforced by nothing."""


class Words(NamedTuple):
    """The keys of one kind of file.

    Attributes:
        model: What the file is read into.
        is_kept: Whether a dotted key of `model` is enforced or descriptive.
        planned: Dotted keys that are reserved, with all that is below them.
    """

    model: type[Section]
    is_kept: Callable[[str], bool]
    planned: frozenset[str]


def fields_of(model: type[Section]) -> dict[str, FieldInfo]:
    """Return the fields of a table by the key that a file gives them."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def section_in(annotation: Any) -> type[Section] | None:
    """Return the table that a field holds, alone, in a list or by name; None for a plain value."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next(filter(None, map(section_in, get_args(annotation))), None)


def known_keys(model: type[Section], key: str = "") -> Iterator[str]:
    """Yield the dotted key of every plain value that `model` knows."""
    for name, field in fields_of(model).items():
        inner = section_in(field.annotation)
        if inner:
            yield from known_keys(inner, join(key, name))
        else:
            yield join(key, name)


def keep_known(words: Words, data: dict[str, Any], findings: list[Finding]) -> dict[str, Any]:
    """Return `data` without the keys that nothing enforces; each of those becomes a finding."""
    return _Sorter(words, findings).table(words.model, data, "", "")


class _Sorter:
    def __init__(self, words: Words, findings: list[Finding]) -> None:
        self._words = words
        self._findings = findings
        self._known = [key for key in known_keys(words.model) if words.is_kept(key)]

    def table(
        self, model: type[Section], data: dict[str, Any], path: str, key: str
    ) -> dict[str, Any]:
        """Sort one table at `path`; `key` is the same without indices and names."""
        fields, kept = fields_of(model), {}
        for name, value in data.items():
            here, dotted = join(path, name), join(key, name)
            if name not in fields:
                self._refuse(here, dotted, value)
            elif inner := section_in(fields[name].annotation):
                is_named = get_origin(fields[name].annotation) is dict
                kept[name] = self._nested(inner, value, here, dotted, is_named)
            elif self._words.is_kept(dotted):
                kept[name] = value
            else:
                self._findings.append(_not_enforced(here))
        return kept

    def _nested(self, inner: type[Section], value: Any, path: str, key: str, named: bool) -> Any:
        """Sort what a field holds; a value of the wrong shape is left for validation to refuse."""
        if isinstance(value, list):
            return [
                self._nested(inner, item, join(path, index), key, False)
                for index, item in enumerate(value)
            ]
        if not isinstance(value, dict):
            return value
        if named:
            return {
                name: self._nested(inner, item, join(path, name), key, False)
                for name, item in value.items()
            }
        return self.table(inner, value, path, key)

    def _refuse(self, path: str, key: str, value: Any) -> None:
        """Refuse a key that no field has; of a reserved table, refuse each key."""
        is_table = any(word.startswith(f"{key}.") for word in self._words.planned)
        members = list(_members(value, path, key)) if is_table else []
        for member in members:
            self._refuse(*member)
        if key in self._words.planned or (is_table and not members):
            self._findings.append(_not_enforced(path))
        elif not is_table:
            self._findings.append(self._unknown(path, key))

    def _unknown(self, path: str, key: str) -> Finding:
        table, _, name = key.rpartition(".")
        here = self._neighbours(table)
        elsewhere = {word.rpartition(".")[2]: word for word in reversed(self._known)}
        if name in elsewhere:
            advice = f"did you mean `{elsewhere[name]}`?"
        elif close := difflib.get_close_matches(name, here, 1):
            advice = f"did you mean `{close[0]}`?"
        elif close := difflib.get_close_matches(name, elsewhere, 1, 0.7):
            advice = f"did you mean `{elsewhere[close[0]]}`?"
        else:
            advice = f"known here: {', '.join(here)}" if here else "remove it"
        return Finding(path, "a known key", "an unknown one", advice)

    def _neighbours(self, table: str) -> list[str]:
        """Return the names of the keys and tables that may stand in `table`."""
        start = f"{table}." if table else ""
        inside = (key.removeprefix(start) for key in self._known if key.startswith(start))
        return sorted({key.partition(".")[0] for key in inside})


def _members(value: Any, path: str, key: str) -> Iterator[tuple[str, str, Any]]:
    """Yield the path, key and value of everything in a table, or in each table of a list."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield join(path, name), join(key, name), item
    elif isinstance(value, list):
        for index, table in enumerate(value):
            yield from _members(table, join(path, index), key)


def _not_enforced(path: str) -> Finding:
    return Finding(
        path, "a key that something enforces", "one that is not enforced yet", "remove it"
    )
