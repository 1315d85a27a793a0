"""Shows a declaration: what enforces each key, and the file with every default filled in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from .keys import fields_of
from .project import ProjectDeclaration
from .service import ServiceDeclaration
from .source import join
from .values import Section


def check_report(
    service: ServiceDeclaration, enforces: Mapping[str, str]
) -> list[tuple[str, Any, str]]:
    """Return, for each key that stands in the file: its path, its value, and what enforces it.

    What only describes says `descriptive`.
    """
    return [(path, value, enforces.get(key, "descriptive")) for path, key, value in _given(service)]


def project_report(
    project: ProjectDeclaration, enforces: Mapping[str, str]
) -> list[tuple[str, Any, str]]:
    """Return the same for each key of roadworthy.toml that a room says it enforces."""
    return [(path, value, enforces[key]) for path, key, value in _given(project) if key in enforces]


def _given(section: Section, path: str = "", key: str = "") -> Iterator[tuple[str, str, Any]]:
    for attribute, field in type(section).model_fields.items():
        if attribute not in section.model_fields_set:
            continue
        name = field.alias or attribute
        here, dotted, value = join(path, name), join(key, name), getattr(section, attribute)
        if isinstance(value, Section):
            yield from _given(value, here, dotted)
        elif isinstance(value, tuple) and value and isinstance(value[0], Section):
            for index, member in enumerate(value):
                yield from _given(member, join(here, index), dotted)
        elif isinstance(value, dict) and any(isinstance(one, Section) for one in value.values()):
            for label, member in value.items():
                yield from _given(member, join(here, label), dotted)
        else:
            yield here, dotted, value


def show(service: ServiceDeclaration) -> str:
    """Return the service file with every default filled in; it reads back to the same hash.

    A key without a value stands there as a comment.
    """
    return "\n".join(_lines(service)).strip() + "\n"


def _lines(section: Section, header: str = "") -> Iterator[str]:
    """Yield the section as TOML: first its own keys, then its tables."""
    tables: list[tuple[str, Section]] = []
    for attribute, (name, field) in zip(
        type(section).model_fields, fields_of(type(section)).items(), strict=True
    ):
        value = getattr(section, attribute)
        path = join(header.strip("[]"), name)
        if isinstance(value, Section):
            tables.append((f"[{path}]", value))
        elif isinstance(value, tuple) and _holds_sections(value):
            tables += [(f"[[{path}]]", member) for member in value]
        elif value is None or (value == () and header == ""):
            yield f"# {name} is not set: {field.description}"
        else:
            yield f"{name} = {_toml(value)}"
    for line, table in tables:
        yield ""
        yield line
        yield from _lines(table, line)


def _holds_sections(value: tuple[Any, ...]) -> bool:
    return bool(value) and isinstance(value[0], Section)


def _toml(value: Any) -> str:
    """Return a value as TOML on one line."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, str):
        # A JSON text is a TOML text, but for the one control character that JSON leaves bare.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, dict):
        members = ", ".join(f"{_toml(key)} = {_toml(item)}" for key, item in value.items())
        return f"{{ {members} }}" if members else "{}"
    return json.dumps(value)
