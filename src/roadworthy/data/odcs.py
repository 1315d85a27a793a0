"""Loads data contracts: files of the Open Data Contract Standard 3, checked against its schema.

Offline: the schema is the one in the standard's own package. What the standard lets a contract say
and nothing here enforces is a problem, not a comment; what only describes is left to people.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

from jsonschema_rs import Draft201909Validator, ValidationError, ValidationErrorKind
from msgspec import structs

from ..declare.source import Finding, Source, is_within, join
from ..errors import MissingExtra
from .contract import Check, Contract, Field, LogicalType, Table
from .odcs_checks import METRICS, OPERATORS, checks_of, freshness_of, relationships_of
from .odcs_fields import custom, fields_of, plain_text, shown, texts_of
from .patterns import NUMBER
from .yaml_file import YamlFile, read_yaml, refuse_findings

Findings = Iterator[Finding]
_Kind = ValidationErrorKind
_NUMBER = re.compile(NUMBER)
_VERSIONS = ("v3.0.0", "v3.0.1", "v3.0.2", "v3.1.0", "v3.2.0")


def load_contract(path: Path, folder: Path | None = None) -> Contract:
    """Return the contract in the file at `path`; problems name it relative to `folder`.

    Raises:
        DeclarationError: It is not a contract that can be enforced; with all problems.
        MissingExtra: The extra `data` is not installed.
    """
    return compile_contract(read_yaml(path, folder))


def compile_contract(file: YamlFile) -> Contract:
    """Return the contract that a YAML file holds.

    Raises:
        DeclarationError: It is not a contract that can be enforced; with all problems.
        MissingExtra: The extra `data` is not installed.
    """
    source = file.source
    findings = [*file.findings, *_against_standard(source.data)]
    refuse_findings(source, findings)
    tables, findings = _tables(source.data)
    findings += _of_contract(source.data)
    refuse_findings(source, findings)
    return _contract(source, tables, file.digest)


def _contract(source: Source, tables: tuple[Table, ...], digest: str) -> Contract:
    data = source.data
    team = data.get("team")
    members = team.get("members", ()) if isinstance(team, dict) else team or ()
    owners = [m for m in members if m.get("role", "").lower() == "owner"] or members[:1]
    named = owners[0].get("username", "") if owners else ""
    return Contract(
        id=data["id"],
        version=data["version"],
        tables=tables,
        digest=digest,
        name=data.get("name", ""),
        owner=named or (team.get("name", "") if isinstance(team, dict) else ""),
        status=data.get("status", ""),
    )


def _of_contract(data: dict[str, Any]) -> Findings:
    version = data.get("apiVersion")
    if version not in _VERSIONS:
        yield Finding("apiVersion", f"one of {', '.join(_VERSIONS)}", f"`{version}`")
    for key in ("id", "version"):
        if not data[key].strip():
            yield Finding(key, "some text", "none")
    if not data.get("schema"):
        yield Finding("schema", "one table or more", "none")


def _tables(data: dict[str, Any]) -> tuple[tuple[Table, ...], list[Finding]]:
    findings: list[Finding] = []
    tables: list[Table] = []
    for at, object_ in enumerate(data.get("schema") or ()):
        path = f"schema[{at}]"
        if any(object_["name"] == table.name for table in tables):
            findings.append(Finding(f"{path}.name", "a name of its own", f"`{object_['name']}`"))
        table, found = _table(object_, path)
        tables.append(table)
        findings += found
    sla, found = freshness_of(data, tuple(tables))
    findings += found
    for name, check in sla:
        at = next(at for at, table in enumerate(tables) if table.name == name)
        tables[at] = structs.replace(tables[at], checks=(*tables[at].checks, check))
    return tuple(tables), findings


def _table(object_: dict[str, Any], path: str) -> tuple[Table, list[Finding]]:
    fields, findings = fields_of(object_.get("properties") or (), f"{path}.properties")
    if not fields and not findings:
        findings.append(Finding(f"{path}.properties", "one field or more", "none"))
    checks, found = _checks_of(object_, fields, path)
    findings += found
    extras, found = custom(object_, path, ("closed", "nullText"))
    findings += found
    is_closed = extras.get("closed", False)
    if not isinstance(is_closed, bool):
        findings.append(Finding(f"{path}.customProperties", "`closed` true or false", "another"))
    null_texts, found = texts_of(extras.get("nullText", ()), f"{path}.customProperties", "nullText")
    findings += found
    name = object_["name"]
    findings += plain_text(name, f"{path}.name")
    table = Table(
        name=name,
        physical_name=object_.get("physicalName") or name,
        fields=fields,
        checks=checks,
        is_closed=is_closed is True,
        null_texts=null_texts,
    )
    return table, findings


def _checks_of(
    object_: dict[str, Any], fields: tuple[Field, ...], path: str
) -> tuple[tuple[Check, ...], list[Finding]]:
    """Return the checks of a table and of its fields."""
    checks, findings = checks_of(object_.get("quality") or (), f"{path}.quality", None, fields)
    found = relationships_of(object_.get("relationships") or (), f"{path}.relationships", "")
    checks += found[0]
    findings += found[1]
    by_name = {field.name: field for field in fields}
    for at, one in enumerate(object_.get("properties") or ()):
        inner, field = f"{path}.properties[{at}]", by_name.get(one["name"])
        if field is None:
            continue
        found = checks_of(one.get("quality") or (), f"{inner}.quality", field, fields)
        more = relationships_of(
            one.get("relationships") or (), f"{inner}.relationships", field.name
        )
        checks += [*found[0], *more[0]]
        findings += [*found[1], *more[1]]
    return tuple(checks), findings


@cache
def _standard() -> Draft201909Validator:
    try:
        text = files("open_data_contract_standard").joinpath("schema.json").read_text("utf-8")
    except ModuleNotFoundError as error:
        raise MissingExtra("data", "a data contract") from error
    return Draft201909Validator(json.loads(text), offline=True)


def _against_standard(data: dict[str, Any]) -> list[Finding]:
    """Return what breaks the standard's schema, without what only follows from something else."""
    untyped, unmeasured = list(_untyped(data)), dict(_unmeasured(data))
    try:
        errors = list(_standard().iter_errors(data))
    except (TypeError, ValueError):
        return [Finding("", "values that JSON can hold", "another")]
    # Without a type the standard's schema asks for what every type needs.
    errors = [error for error in errors if not _is_about(error, untyped)]
    errors = [error for error in errors if not _is_within(error, list(unmeasured))]
    told = [error for error in errors if not _is_leftover(error)]
    paths = [_path(error) for error in told]
    # A part that breaks a rule leaves its keys unevaluated: they are not unknown.
    told += [
        error
        for error in errors
        if _is_leftover(error) and not any(is_within(path, _path(error)) for path in paths)
    ]
    findings = [finding for error in told for finding in _findings(error)]
    expected = f"one of {', '.join(get_args(LogicalType))}"
    findings += [Finding(f"{path}.logicalType", expected, "none") for path in untyped]
    metrics = f"one of {', '.join(METRICS)}"
    findings += [
        Finding(f"{path}.metric", metrics, shown(metric)) for path, metric in unmeasured.items()
    ]
    return list(dict.fromkeys(findings))


def _untyped(data: dict[str, Any]) -> Iterator[str]:
    """Yield the path of each property without a logical type."""
    tables = data.get("schema")
    for at, table in enumerate(tables if isinstance(tables, list) else ()):
        properties = table.get("properties") if isinstance(table, dict) else None
        for place, one in enumerate(properties if isinstance(properties, list) else ()):
            if isinstance(one, dict) and "logicalType" not in one:
                yield f"schema[{at}].properties[{place}]"


def _unmeasured(data: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the path of each quality rule that does not say what it measures, and what it says."""
    tables = data.get("schema")
    for at, table in enumerate(tables if isinstance(tables, list) else ()):
        properties = table.get("properties") if isinstance(table, dict) else None
        places = [(f"schema[{at}]", table)]
        if isinstance(properties, list):
            places += [(f"schema[{at}].properties[{n}]", one) for n, one in enumerate(properties)]
        for path, holder in places:
            rules = holder.get("quality") if isinstance(holder, dict) else None
            for place, rule in enumerate(rules if isinstance(rules, list) else ()):
                is_library = isinstance(rule, dict) and rule.get("type", "library") == "library"
                if is_library and not isinstance(metric := rule.get("metric"), str):
                    yield f"{path}.quality[{place}]", metric


def _is_within(error: ValidationError, paths: Sequence[str]) -> bool:
    return any(is_within(_path(error), path) for path in paths)


def _is_about(error: ValidationError, paths: Sequence[str]) -> bool:
    path = _path(error)
    is_named = isinstance(error.kind, _Kind.Required) and error.kind.property == "name"
    return any(is_within(path, one) for one in paths) and not is_named


def _is_leftover(error: ValidationError) -> bool:
    return isinstance(error.kind, _Kind.UnevaluatedProperties)


def _path(error: ValidationError) -> str:
    path = ""
    for step in error.instance_path:
        path = join(path, step)
    return path


def _findings(error: ValidationError) -> Findings:
    path = _path(error)
    match error.kind:
        case _Kind.Required(property=name):
            yield Finding(join(path, name), "a value", "none")
        case (
            _Kind.UnevaluatedProperties(unexpected=names)
            | _Kind.AdditionalProperties(unexpected=names)
        ):
            for name in names:
                got = "an unknown key, or one that does not go with its type"
                yield Finding(join(path, name), "a key of ODCS 3.2", got)
        case _Kind.Type(types=types):
            yield _mistyped(path, types, error.instance)
        case _Kind.Enum(options=options):
            words = ", ".join(map(str, options))
            yield Finding(path, f"one of {words}", f"`{error.instance}`")
        case _Kind.OneOfNotValid() | _Kind.OneOfMultipleValid() if "quality" in path:
            yield from _of_operators(path, error.instance)
        case _Kind.ExclusiveMinimum(limit=limit):
            yield Finding(path, f"> {limit}", shown(error.instance))
        case _Kind.Minimum(limit=limit):
            yield Finding(path, f">= {limit}", shown(error.instance))
        case _ if ".relationships[" in path:
            yield Finding(path, "`table.field`", f"`{error.instance}`")
        case _:
            yield Finding(path, "what ODCS 3.2 asks for", error.message[:160])


def _mistyped(path: str, types: Sequence[str], value: Any) -> Finding:
    expected = " or ".join(types)
    if value is None and "number" in types:
        # JSON has no word for `.inf` and `.nan`.
        return Finding(path, expected, "none, or a number that is not finite")
    advice = ""
    if isinstance(value, str) and {"number", "integer"} & set(types) and _NUMBER.match(value):
        advice = "write it without quotes, and an exponent as `1.0e+5`"
    return Finding(path, expected, shown(value), advice)


def _of_operators(path: str, value: Any) -> Findings:
    """Yield what is wrong with what a quality rule compares with."""
    if not isinstance(value, dict):
        # Another problem says so.
        return
    given = [name for name in value if name.startswith("must")]
    known = [name for name in given if name in OPERATORS]
    if len(given) == len(known) == 1:
        expected = "two numbers, the smaller first" if "Between" in known[0] else "a number"
        yield Finding(join(path, known[0]), expected, shown(value[known[0]]))
        return
    got = " and ".join(f"`{name}`" for name in given) or "none"
    yield Finding(path, f"exactly one of {', '.join(f'`{name}`' for name in OPERATORS)}", got)
