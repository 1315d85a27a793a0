"""The quality rules, relationships and freshness of an ODCS contract, compiled to checks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from ..declare.source import Finding
from .contract import Check, Field, Limits, RuleKind, Table
from .odcs_fields import severity_of, shown
from .patterns import PatternError, common_pattern
from .values import is_finite, is_of

Findings = Iterator[Finding]
Found = tuple[list[Check], list[Finding]]
_Unit = Literal["rows", "percent"]

METRICS: Mapping[str, RuleKind] = {
    "nullValues": "null_values",
    "missingValues": "missing_values",
    "invalidValues": "invalid_values",
    "duplicateValues": "duplicate_values",
    "rowCount": "row_count",
}
OPERATORS = {
    "mustBe": "equal",
    "mustNotBe": "unequal",
    "mustBeGreaterThan": "more_than",
    "mustBeGreaterOrEqualTo": "at_least",
    "mustBeLessThan": "less_than",
    "mustBeLessOrEqualTo": "at_most",
    "mustBeBetween": "between",
    "mustNotBeBetween": "outside",
}
_ARGUMENTS = {
    "missing_values": ("missingValues",),
    "invalid_values": ("validValues", "pattern"),
    "duplicate_values": ("properties",),
}
_SECONDS = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hr", "hour", "hours"), 3_600),
    **dict.fromkeys(("d", "day", "days"), 86_400),
    **dict.fromkeys(("w", "week", "weeks"), 7 * 86_400),
}
MOST_AGE_S = 10_000 * 366 * 86_400
_PLACEHOLDER = re.compile(r"\$?\{(\w+)\}")
_FRESH = frozenset(("freshness", "latency", "fr", "ly"))
PLACEHOLDERS = {
    "table": "table",
    "object": "table",
    "column": "column",
    "property": "column",
}


class _Place(NamedTuple):
    """Where a quality rule stands: its path, its field if it has one, and all fields."""

    path: str
    field: Field | None
    fields: Sequence[Field]


def checks_of(
    quality: Sequence[dict[str, Any]], path: str, field: Field | None, fields: Sequence[Field]
) -> Found:
    """Return the checks of one list of quality rules; `text` rules are words for people."""
    checks: list[Check] = []
    findings: list[Finding] = []
    for at, one in enumerate(quality):
        if one.get("type") == "text":
            continue
        place = _Place(f"{path}[{at}]", field, fields)
        check, found = _check(one, place)
        findings += found
        if check is not None:
            checks.append(check)
    return checks, findings


def relationships_of(relationships: Sequence[dict[str, Any]], path: str, field: str) -> Found:
    """Return the foreign keys among relationships; other kinds describe."""
    checks: list[Check] = []
    findings: list[Finding] = []
    for at, one in enumerate(relationships):
        if one.get("type", "foreignKey") != "foreignKey":
            continue
        froms, tos = _listed(one.get("from") or field), _listed(one.get("to"))
        froms = [name.rpartition(".")[2] for name in froms]
        targets = {name.rpartition(".")[0] for name in tos}
        if len(froms) != len(tos) or len(targets) != 1 or "" in targets:
            expected = "as many `table.field` of one table as there are fields"
            findings.append(Finding(f"{path}[{at}].to", expected, f"{', '.join(tos) or 'none'}"))
            continue
        checks.append(
            Check(
                kind="foreign_key",
                field=froms[0],
                fields=tuple(froms),
                references=", ".join(tos),
                name=f"{'_'.join(froms)}.foreign_key",
            )
        )
    return checks, findings


def freshness_of(
    data: dict[str, Any], tables: Sequence[Table]
) -> tuple[list[tuple[str, Check]], list[Finding]]:
    """Return what the service levels say of freshness, each with its table; others describe."""
    checks: list[tuple[str, Check]] = []
    findings: list[Finding] = []
    for at, one in enumerate(data.get("slaProperties") or ()):
        if one["property"].lower() not in _FRESH:
            continue
        path = f"slaProperties[{at}]"
        element = one.get("element") or data.get("slaDefaultElement") or ""
        table, field = _element(element, tables)
        if table is None or field is None:
            expected = "`table.field` of a date or timestamp"
            findings.append(Finding(f"{path}.element", expected, f"`{element}`"))
            continue
        max_age_s, found = _span(one, path)
        findings += found
        check = Check(
            kind="freshness",
            field=field.name,
            max_age_s=max_age_s,
            name=f"{field.name}.freshness",
            description=one.get("description", ""),
        )
        checks.append((table.name, check))
    return checks, findings


def _element(element: str, tables: Sequence[Table]) -> tuple[Table | None, Field | None]:
    """Return the table and the field that an element names; either may have dots in its name."""
    found = [(table, element) for table in tables[:1] if len(tables) == 1]
    found += [
        (table, element.removeprefix(f"{name}."))
        for table in tables
        for name in dict.fromkeys((table.name, table.physical_name))
        if element.startswith(f"{name}.")
    ]
    for table, name in found:
        field = table.field(name)
        if field is not None and field.type in ("date", "timestamp"):
            return table, field
    return None, None


def _span(one: dict[str, Any], path: str) -> tuple[float, list[Finding]]:
    value, unit = one["value"], str(one.get("unit", "")).lower()
    if isinstance(value, str):
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", value)
        value, unit = (float(found[1]), found[2].lower() or unit) if found else (None, unit)
    if not is_finite(value) or value <= 0:
        return 0.0, [Finding(f"{path}.value", "a number above 0", shown(one["value"]))]
    if unit not in _SECONDS:
        expected = "s, min, h, d or w"
        return 0.0, [Finding(f"{path}.unit", expected, f"`{unit}`" if unit else "none")]
    span_s = float(value) * _SECONDS[unit]
    if span_s > MOST_AGE_S:
        return 0.0, [Finding(f"{path}.value", "at most 10,000 years", shown(one["value"]))]
    return span_s, []


def _check(one: dict[str, Any], place: _Place) -> tuple[Check | None, list[Finding]]:
    path = place.path
    if one.get("type") == "custom":
        got = f"`custom` (engine `{one.get('engine')}`), which nothing here runs"
        return None, [Finding(f"{path}.type", "library, sql or text", got, "say it in SQL")]
    limits, findings = _limits(one, path)
    severity, found = severity_of(one.get("severity"), f"{path}.severity")
    findings += found
    shared: dict[str, Any] = {
        "field": place.field.name if place.field else "",
        "limits": limits,
        "name": one.get("name") or "",
        "description": one.get("description", ""),
        "severity": severity,
    }
    if one.get("type") == "sql":
        query, found = _query(one["query"], place)
        return Check(kind="sql", query=query, **shared), [*findings, *found]
    kind = METRICS[one["metric"]]
    unit: _Unit = "percent" if one.get("unit") == "percent" else "rows"
    findings += _misplaced(one, kind, place)
    arguments, found = _arguments(one, kind, place)
    findings += found
    if not findings:
        findings += _impossible(limits, unit, path)
    return Check(kind=kind, unit=unit, **shared, **arguments), findings


def _limits(one: dict[str, Any], path: str) -> tuple[Limits, list[Finding]]:
    values = {name: one[key] for key, name in OPERATORS.items() if key in one}
    findings = []
    for key in ("mustBeBetween", "mustNotBeBetween"):
        between = one.get(key)
        if between is not None and not all(map(is_finite, between)):
            findings.append(Finding(f"{path}.{key}", "two finite numbers", shown(between)))
        elif between is not None and between[0] > between[1]:
            got = f"{between[0]} and {between[1]}"
            findings.append(Finding(f"{path}.{key}", "the smaller number first", got))
    if "between" in values:
        values["at_least"], values["at_most"] = values.pop("between")
    if "outside" in values:
        values["outside"] = tuple(values["outside"])
    findings += [
        Finding(f"{path}.{key}", "a finite number", shown(one[key]))
        for key in OPERATORS
        if key in one and "Between" not in key and not is_finite(one[key])
    ]
    return Limits(**values), findings


def _impossible(limits: Limits, unit: str, path: str) -> Findings:
    """Yield limits that no count keeps."""
    least = 0
    if limits.at_most is not None and limits.at_most < least:
        yield Finding(path, "a limit that a count can keep", f"<= {limits.at_most}")
    if limits.less_than is not None and limits.less_than <= least:
        yield Finding(path, "a limit that a count can keep", f"< {limits.less_than}")
    given = (limits.at_least, limits.more_than, limits.equal)
    exact = limits.equal
    if exact is not None and (exact < least or (unit == "rows" and exact != int(exact))):
        yield Finding(path, "a limit that a count can keep", f"exactly {exact}")
    if unit == "percent" and any(value is not None and value > 100 for value in given):
        yield Finding(path, "a share of 0 to 100 percent", "more than 100")


def _misplaced(one: dict[str, Any], kind: RuleKind, place: _Place) -> Findings:
    unit = one.get("unit")
    if unit not in (None, "rows", "percent"):
        yield Finding(f"{place.path}.unit", "rows or percent", f"`{unit}`")
    if kind == "row_count" and unit == "percent":
        yield Finding(f"{place.path}.unit", "rows", "percent, of which all rows are always 100")
    if kind in ("null_values", "missing_values", "invalid_values") and place.field is None:
        yield Finding(place.path, f"`{one['metric']}` at a field", "it at the table")
    if kind == "row_count" and place.field is not None:
        yield Finding(place.path, "`rowCount` at the table", "it at a field")


def _arguments(
    one: dict[str, Any], kind: RuleKind, place: _Place
) -> tuple[dict[str, Any], list[Finding]]:
    given = one.get("arguments") or {}
    known = _ARGUMENTS.get(kind, ())
    path = f"{place.path}.arguments"
    findings = [
        Finding(f"{path}.{name}", f"one of {', '.join(known) or 'no arguments'}", "another")
        for name in given
        if name not in known
    ]
    values: dict[str, Any] = {}
    if kind == "missing_values":
        values["values"], found = _values(given, "missingValues", (None,), path)
        findings += found
    if kind == "invalid_values":
        values["values"], found = _values(given, "validValues", (), path)
        findings += found
        values["pattern"], found = _valid_pattern(given.get("pattern", ""), path, place)
        findings += found
        if not (findings or values["values"] or values["pattern"]):
            findings.append(Finding(path, "`validValues` or `pattern`", "none"))
    if kind == "duplicate_values":
        names, found = _values(given, "properties", (), path)
        findings += found
        values["fields"], found = ((), []) if found else _fields(names, path, place)
        findings += found
    findings += _mistyped(values.get("values", ()), path, place)
    return values, findings


def _values(
    given: Mapping[str, Any], name: str, absent: tuple[Any, ...], path: str
) -> tuple[tuple[Any, ...], list[Finding]]:
    """Return a list of values among the arguments; a single one is no list of its characters."""
    if name not in given:
        return absent, []
    if not isinstance(given[name], list) or not given[name]:
        return (), [Finding(f"{path}.{name}", "a list of one value or more", shown(given[name]))]
    return tuple(given[name]), []


def _valid_pattern(pattern: Any, path: str, place: _Place) -> tuple[str, list[Finding]]:
    if pattern == "":
        return "", []
    if not isinstance(pattern, str):
        return "", [Finding(f"{path}.pattern", "a pattern, in quotes", shown(pattern))]
    if place.field is not None and place.field.type != "string":
        return "", [Finding(f"{path}.pattern", "a field of text", f"a {place.field.type}")]
    try:
        return common_pattern(pattern), []
    except PatternError as error:
        return "", [Finding(f"{path}.pattern", "a pattern that all engines read alike", str(error))]


def _fields(
    names: Sequence[Any], path: str, place: _Place
) -> tuple[tuple[str, ...], list[Finding]]:
    if place.field is not None:
        return (place.field.name,), []
    known = {field.name for field in place.fields}
    findings = [
        Finding(f"{path}.properties", "fields of the table", shown(name))
        for name in names
        if not isinstance(name, str) or name not in known
    ]
    if not names:
        findings.append(Finding(f"{path}.properties", "one field or more", "none"))
    return tuple(names), findings


def _mistyped(values: Sequence[Any], path: str, place: _Place) -> Findings:
    """Yield values that a field of this type never has."""
    if place.field is None:
        return
    for value in values:
        if value is not None and place.field.type in ("object", "array"):
            yield Finding(path, "no values", f"values of an {place.field.type}, which none equals")
        elif value is not None and not is_of(place.field.type, value):
            expected = f"values of type {place.field.type}"
            yield Finding(path, expected, shown(value), "put texts in quotes")


def _query(query: str, place: _Place) -> tuple[str, list[Finding]]:
    """Return the query with `${table}` and `${column}` as its only placeholders."""
    findings: list[Finding] = []
    if not query.strip():
        findings.append(Finding(f"{place.path}.query", "one SELECT of one number", "none"))

    def named(found: re.Match[str]) -> str:
        word = PLACEHOLDERS.get(found[1])
        if word is None or (word == "column" and place.field is None):
            expected = "`${table}`, or at a field `${column}`"
            findings.append(Finding(f"{place.path}.query", expected, f"`{found[0]}`"))
            return found[0]
        return f"${{{word}}}"

    return _PLACEHOLDER.sub(named, query), findings


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value or ())
