"""The properties of an ODCS table, compiled to fields; contradictions are told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast, get_args

from jsonschema_rs import Draft202012Validator
from msgspec import structs

from ..declare.source import Finding
from .contract import MAX_INTEGER, MIN_INTEGER, Bound, Field, LogicalType, Severity
from .patterns import FORMATS, PatternError, common_pattern
from .values import FIRST_US, LAST_US, is_finite, is_multiple, is_of, ordered

TYPES = frozenset(get_args(LogicalType))
_PERSONAL = frozenset(("personal", "pii", "sensitive", "confidential", "restricted"))
_EXTRAS = ("availableAt", "unit", "severity", "definition")
_SEVERITIES: Mapping[str, Severity] = {"error": "error", "warning": "warning", "info": "warning"}
_BOUNDS = {
    "minimum": "minimum",
    "maximum": "maximum",
    "exclusiveMinimum": "exclusive_minimum",
    "exclusiveMaximum": "exclusive_maximum",
}
_WIDTHS = {
    **{f"i{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)},
    **{f"u{bits}": (0, 2**bits - 1) for bits in (8, 16, 32)},
    "f32": (-3.4028234663852886e38, 3.4028234663852886e38),
    "f64": (None, None),
}
_ISO = {
    "date": ("yyyy-MM-dd",),
    "time": ("HH:mm:ss", "HH:mm:ss.SSS", "HH:mm:ss.SSSSSS"),
    "timestamp": tuple(
        f"yyyy-MM-dd{between}HH:mm:ss{fraction}{zone}"
        for between in (" ", "'T'")
        for fraction in ("", ".SSS", ".SSSSSS")
        for zone in ("", "X", "XXX", "'Z'")
    ),
}
_MOST_LENGTH = 2**31 - 1
_MOST_SHOWN = 60
_KINDS = {str: "text", bool: "bool", int: "integer", float: "number", list: "list", dict: "keys"}

Findings = Iterator[Finding]
Options = Mapping[str, Any]


def fields_of(
    properties: Sequence[dict[str, Any]], path: str
) -> tuple[tuple[Field, ...], list[Finding]]:
    """Return the fields that could be compiled, and what is wrong with all of them."""
    fields: list[Field] = []
    findings: list[Finding] = []
    seen: dict[str, int] = {}
    for at, one in enumerate(properties):
        inner = f"{path}[{at}]"
        name = one["name"]
        # DuckDB, Postgres and SQLite take `Temp` and `temp` for one column.
        if (first := seen.setdefault(name.casefold(), at)) != at:
            got = f"`{name}`, as {path.rpartition('.')[2]}[{first}] has"
            findings.append(Finding(f"{inner}.name", "a name of its own", got))
        findings += plain_text(name, f"{inner}.name")
        field, found = _field(one, inner)
        findings += found
        if field is not None:
            fields.append(field)
    fields, found = _with_positions(fields, properties, path)
    return tuple(fields), [*findings, *found]


def plain_text(text: str, path: str) -> Findings:
    """Yield what is wrong with a name that becomes an identifier."""
    if not text.strip() or "\0" in text:
        yield Finding(path, "a name", "an empty one" if not text.strip() else "a NUL in it")


def custom(
    holder: Mapping[str, Any], path: str, known: Sequence[str]
) -> tuple[dict[str, Any], list[Finding]]:
    """Return the values of the custom properties that mean something here."""
    values: dict[str, Any] = {}
    findings: list[Finding] = []
    for at, one in enumerate(holder.get("customProperties") or ()):
        if (name := one.get("property")) not in known:
            continue
        if name in values:
            findings.append(Finding(f"{path}.customProperties[{at}]", f"`{name}` once", "twice"))
        values[name] = one.get("value")
    return values, findings


def texts_of(value: Any, path: str, name: str) -> tuple[tuple[str, ...], list[Finding]]:
    """Return one text or several as a tuple."""
    texts = [value] if isinstance(value, str) else value
    if isinstance(texts, list | tuple) and all(isinstance(t, str) and "\0" not in t for t in texts):
        return tuple(texts), []
    return (), [Finding(path, f"`{name}` as texts, in quotes", "another")]


def shown(value: Any) -> str:
    """Return a value as a problem quotes it, with its kind: the first of it where it is long."""
    if value is None:
        return "none"
    text = str(value)
    text = text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."
    kind = _KINDS.get(type(value))
    return f"`{text}` ({kind})" if kind else f"`{text}`"


def severity_of(value: Any, path: str) -> tuple[Severity, list[Finding]]:
    """Return a severity: `info` warns."""
    if value is None:
        return "error", []
    found = _SEVERITIES.get(value) if isinstance(value, str) else None
    if found is None:
        return "error", [Finding(path, "error, warning or info", f"`{value}`")]
    return found, []


def _field(one: dict[str, Any], path: str) -> tuple[Field | None, list[Finding]]:
    kind = one.get("logicalType", "string")
    if kind not in TYPES:
        expected = f"one of {', '.join(get_args(LogicalType))}"
        return None, [Finding(f"{path}.logicalType", expected, f"`{kind}`, not enforced yet")]
    findings = list(_unenforced(one, kind, path))
    options = one.get("logicalTypeOptions") or {}
    extras, found = custom(one, path, _EXTRAS)
    findings += found
    severity, found = severity_of(extras.get("severity"), f"{path}.customProperties")
    findings += found
    for name in ("availableAt", "unit", "definition"):
        if not isinstance(extras.get(name, ""), str):
            findings.append(Finding(f"{path}.customProperties", f"`{name}` as text", "another"))
    where = f"{path}.logicalTypeOptions"
    pattern, found = _pattern(options, kind, where)
    findings += found
    bounds, found = _bounds(options, kind, where)
    findings += found
    classification = str(one.get("classification", "")).lower()
    field = Field(
        name=one["name"],
        column=one.get("physicalName") or one["name"],
        type=cast(LogicalType, kind),
        required=one.get("required", False),
        unique=one.get("unique", False),
        key_position=int(bool(one.get("primaryKey"))),
        multiple_of=options.get("multipleOf"),
        min_length=options.get("minLength"),
        max_length=options.get("maxLength"),
        pattern=pattern,
        enum=tuple(value.get("value") for value in one.get("enum") or ()),
        has_timezone=options.get("timezone", False),
        is_personal=classification in _PERSONAL or options.get("format") == "password",
        available_at=str(extras.get("availableAt", "")),
        unit=str(extras.get("unit", "")),
        business_name=one.get("businessName", ""),
        definition=str(extras.get("definition", "") or one.get("description", "")),
        severity=severity,
        **bounds,
    )
    findings += plain_text(field.column, f"{path}.physicalName")
    if not findings:
        findings += _contradictions(field, path)
    return field, findings


def _unenforced(one: dict[str, Any], kind: str, path: str) -> Findings:
    """Yield what the standard allows and nothing here keeps."""
    options = one.get("logicalTypeOptions") or {}
    where = f"{path}.logicalTypeOptions"
    for key in ("properties", "items", "map"):
        if one.get(key):
            got = "some; what lies within a value is not checked"
            yield Finding(f"{path}.{key}", "none", got, "make fields of it, or leave it out")
    if kind in ("object", "array") and options:
        yield Finding(where, "none", "some; what lies within a value is not checked")
    zone = options.get("defaultTimezone", "Etc/UTC")
    if zone not in ("Etc/UTC", "UTC"):
        # A local time does not say which of two hours it means when clocks go back.
        advice = "write each value with its offset and set `timezone: true`"
        yield Finding(f"{where}.defaultTimezone", "Etc/UTC", f"`{zone}`", advice)
    form = options.get("format")
    if form is not None and kind in _ISO and form not in _ISO[kind]:
        got = f"`{form}`; dates and times travel as ISO 8601"
        yield Finding(f"{where}.format", f"`{_ISO[kind][0]}`", got)
    if form is not None and kind in ("integer", "number") and form not in _WIDTHS:
        yield Finding(f"{where}.format", f"one of {', '.join(_WIDTHS)}", f"`{form}`")


def _pattern(options: Options, kind: str, path: str) -> tuple[str, list[Finding]]:
    """Return what a text must hold: the pattern that is given, or that of its format."""
    form = options.get("format") if kind == "string" else None
    if form is not None and form not in FORMATS and form != "password":
        expected = f"one of {', '.join((*FORMATS, 'password'))}"
        return "", [Finding(f"{path}.format", expected, f"`{form}`", "or give a `pattern`")]
    if "pattern" not in options:
        return FORMATS.get(form or "", ""), []
    pattern = options["pattern"]
    if form in FORMATS:
        return "", [Finding(path, "`pattern` or `format`", "both", "say it in the pattern")]
    try:
        return common_pattern(pattern), []
    except PatternError as error:
        return "", [Finding(f"{path}.pattern", "a pattern that all engines read alike", str(error))]


def _bounds(
    options: Options, kind: str, path: str
) -> tuple[dict[str, Bound | None], list[Finding]]:
    """Return the bounds of a field; the width of a number is a bound too."""
    bounds: dict[str, Any] = {}
    findings = list(_boundless(options, path))
    for key, name in _BOUNDS.items():
        value = options.get(key)
        if value is None:
            continue
        bounds[name] = value
        if kind in ("date", "timestamp", "time") and not is_of(cast(LogicalType, kind), value):
            findings.append(Finding(f"{path}.{key}", f"a {kind} in ISO 8601", f"`{value}`"))
        elif kind == "timestamp" and not FIRST_US <= ordered(value) <= LAST_US:
            findings.append(Finding(f"{path}.{key}", "a time of the years 1 to 9999", f"`{value}`"))
        if isinstance(value, int | float) and not is_finite(value):
            findings.append(Finding(f"{path}.{key}", "a finite number", shown(value)))
    if kind in ("integer", "number") and not findings:
        low, high = _WIDTHS.get(options.get("format", ""), (None, None))
        if low is not None and (low, high) != (MIN_INTEGER, MAX_INTEGER):
            bounds["minimum"] = max(low, bounds.get("minimum", low))
            bounds["maximum"] = min(high, bounds.get("maximum", high))
    return bounds, findings


def _boundless(options: Options, path: str) -> Findings:
    """Yield lengths and multiples that no column can be held to."""
    for key in ("minLength", "maxLength"):
        if (length := options.get(key)) is not None and length > _MOST_LENGTH:
            yield Finding(f"{path}.{key}", f"at most {_MOST_LENGTH}", shown(length))
    if (of := options.get("multipleOf")) is not None and not is_finite(of):
        yield Finding(f"{path}.multipleOf", "a finite number", shown(of))


def _with_positions(
    fields: list[Field], properties: Sequence[dict[str, Any]], path: str
) -> tuple[list[Field], list[Finding]]:
    """Give the fields of the primary key their places; without positions, in their order."""
    given = {
        one["name"]: one.get("primaryKeyPosition", -1)
        for one in properties
        if one.get("primaryKey")
    }
    stated = [place for place in given.values() if place != -1]
    if stated and sorted(stated) != list(range(1, len(given) + 1)):
        expected = f"each of 1 to {len(given)} once, as fields of the key there are"
        finding = Finding(path, f"`primaryKeyPosition` {expected}", f"{sorted(stated)}")
        return fields, [finding]
    places = given if stated else {name: at for at, name in enumerate(given, 1)}
    return [
        structs.replace(field, key_position=places[field.name]) if field.key_position else field
        for field in fields
    ], []


def _contradictions(field: Field, path: str) -> Findings:
    """Yield rules of one field that no value can keep together."""
    where = f"{path}.logicalTypeOptions"
    low, high = field.min_length, field.max_length
    if low is not None and high is not None and low > high:
        yield Finding(where, "minLength <= maxLength", f"{low} > {high}")
    yield from _empty_span(field, where)
    if field.enum and field.type in ("timestamp", "time", "object", "array"):
        yield Finding(f"{path}.enum", "none", f"values of a {field.type}, which are never listed")
        return
    for at, value in enumerate(field.enum):
        inner = f"{path}.enum[{at}].value"
        if not is_of(field.type, value, has_timezone=field.has_timezone):
            expected = f"a value of type {field.type}"
            yield Finding(inner, expected, shown(value), "put texts in quotes")
        elif broken := _broken_by(field, value):
            yield Finding(inner, f"a value that keeps `{broken}`", shown(value))
        if isinstance(value, str) and "\0" in value:
            yield Finding(inner, "a text without NUL", "one with it")


def _empty_span(field: Field, path: str) -> Findings:
    lows = [(field.minimum, False), (field.exclusive_minimum, True)]
    highs = [(field.maximum, False), (field.exclusive_maximum, True)]
    if field.type == "integer":
        yield from _beyond_64_bits([low for low, _ in lows], [high for high, _ in highs], path)
    for low, is_open in lows:
        for high, is_open_too in highs:
            if low is None or high is None:
                continue
            first, last = _measured(field, low), _measured(field, high)
            if first > last or (first == last and (is_open or is_open_too)):
                yield Finding(path, "a minimum below the maximum", f"{low} and {high}")


def _beyond_64_bits(lows: Sequence[Any], highs: Sequence[Any], path: str) -> Findings:
    """Yield bounds that no integer of 64 bits keeps."""
    for low in lows:
        if low is not None and low > MAX_INTEGER:
            yield Finding(path, f"a minimum <= {MAX_INTEGER}, as 64 bits hold", shown(low))
    for high in highs:
        if high is not None and high < MIN_INTEGER:
            yield Finding(path, f"a maximum >= {MIN_INTEGER}, as 64 bits hold", shown(high))


def _measured(field: Field, value: Any) -> Any:
    """Return what a value is compared by: texts by nothing but themselves."""
    return value if field.type == "string" else ordered(value)


def _broken_by(field: Field, value: Any) -> str:
    """Return which other rule of the field a value of its enum breaks."""
    measured = _measured(field, value)

    def bound(name: str) -> Any:
        given = getattr(field, name)
        return None if given is None else _measured(field, given)

    if (low := bound("minimum")) is not None and measured < low:
        return "minimum"
    if (high := bound("maximum")) is not None and measured > high:
        return "maximum"
    if (low := bound("exclusive_minimum")) is not None and measured <= low:
        return "exclusiveMinimum"
    if (high := bound("exclusive_maximum")) is not None and measured >= high:
        return "exclusiveMaximum"
    if field.multiple_of and not is_multiple(value, field.multiple_of):
        return "multipleOf"
    if field.min_length is not None and len(value) < field.min_length:
        return "minLength"
    # In linear time, whatever the pattern: Python's own engine tries every way there is.
    if field.pattern and not Draft202012Validator({"pattern": field.pattern}).is_valid(value):
        return "pattern"
    return "maxLength" if field.max_length is not None and len(value) > field.max_length else ""
