"""What the expression of a guard must keep: a rule that can hold, of fields that can be there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ..errors import DeclarationError
from .expressions import Expression, ExpressionError, Place, compile_expression, kind_of
from .files import Findings, check_file
from .loops import without_texts
from .project import ProjectDeclaration
from .schemas import SchemaCheck, SchemaError, compile_schema, read_schema, split_table
from .service import GuardEntry, ServiceDeclaration
from .source import Finding

_MORE = (
    *("$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "if", "then", "else"),
    *("dependentSchemas", "patternProperties"),
)
"""Keywords by which a schema may name fields in another place."""


def check_expression(path: str, source: str, place: Place) -> Findings:
    """Yield what is wrong with an expression."""
    try:
        compile_expression(source, place)
    except ExpressionError as error:
        yield Finding(path, "an expression", error.got, error.advice)


def check_rule(path: str, guard: GuardEntry) -> Findings:
    """Yield what keeps the rule of a guard from ever being true or false."""
    rule = _compiled(guard)
    if rule is None:
        place: Place = "guard_input" if guard.on == "input" else "guard_output"
        yield from check_expression(path, guard.expression or "", place)
    elif not rule.names:
        expected = "an expression that is true or false"
        try:
            value = rule.evaluate({})
        except ExpressionError as error:
            yield Finding(path, expected, error.got, error.advice)
        else:
            if not isinstance(value, bool):
                got = f"`{rule.source}`, which is always {kind_of(value)}"
                advice = "compare it with something, like `output.score >= 0.5`"
                yield Finding(path, expected, got, advice)


def rules_read_what_can_be_there(
    service: ServiceDeclaration, project: ProjectDeclaration
) -> Findings:
    """A field that the contract keeps out is read by no rule: it would refuse everything."""
    return (finding for finding, is_kept_out in unnamed_fields(service, project) if is_kept_out)


def unnamed_fields(
    service: ServiceDeclaration, project: ProjectDeclaration
) -> Iterator[tuple[Finding, bool]]:
    """Yield each field that a rule needs and that the schema does not name.

    Beside it stands whether the schema lets no such field be there at all.
    """
    named = {side: _fields_named(service, project, side) for side in ("input", "output")}
    for index, guard in enumerate(service.guards):
        rule = _compiled(guard)
        for side, field in _needed(rule) if rule else ():
            file, known, is_closed = named[side] or ("", (), False)
            if file and field not in known:
                finding = Finding(
                    f"guards[{index}].expression",
                    f"fields of the {side} that {file} names ({_listed(known)})",
                    f"`{' '.join((guard.expression or '').split())}`, which reads `{field}`",
                    f"name it in {file}, correct the rule, or ask `has({side}.{field})` first",
                )
                yield finding, is_closed


def schema_of(
    service: ServiceDeclaration, project: ProjectDeclaration, name: str
) -> SchemaCheck | None:
    """Return the check of a schema file, or None where another check tells what is wrong."""
    if list(check_file(service, project, "", split_table(name)[0])):
        return None
    try:
        return compile_schema(read_schema(service.folder / name), "output")
    except (SchemaError, DeclarationError):
        return None


def _compiled(guard: GuardEntry) -> Expression | None:
    if guard.use != "rule" or not guard.expression:
        return None
    try:
        place: Place = "guard_input" if guard.on == "input" else "guard_output"
        return compile_expression(guard.expression, place)
    except ExpressionError:
        return None


def _needed(rule: Expression) -> Iterator[tuple[str, str]]:
    """Yield the fields without which a rule has no value: those that it does not ask for first."""
    text = without_texts(rule.source)
    for side, fields in rule.fields:
        for field in fields or ():
            if side in ("input", "output") and not re.search(
                rf"\bhas\s*\(\s*{side}\s*\.\s*{field}\b", text
            ):
                yield side, field


def _fields_named(
    service: ServiceDeclaration, project: ProjectDeclaration, side: str
) -> tuple[str, tuple[str, ...], bool] | None:
    """Return a side's file, the fields it names, and whether no other may be there.

    None where the schema does not say, or where more joins what it describes.
    """
    file = getattr(service.contract, side)
    is_joined = side == "input" and service.features.views
    check = schema_of(service, project, file) if file and not is_joined else None
    schema: dict[str, Any] = check.schema if check else {}
    fields = schema.get("properties")
    if not isinstance(fields, dict) or any(keyword in schema for keyword in _MORE):
        return None
    is_closed = schema.get("additionalProperties", schema.get("unevaluatedProperties")) is False
    if not is_closed and isinstance(schema.get("additionalProperties"), dict):
        return None  # it describes what else may be there
    return file, tuple(fields), is_closed


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"
