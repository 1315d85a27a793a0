"""Drafts a contract from real data: what it holds today, for a person to make a promise of.

Every rule of a draft is kept by the data that it was made from. A range is what was seen, not what
is right: that is what the person adds.
"""

# ruff: noqa: S608 - names are quoted by `quoted`, texts by `text_of`

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ..errors import MissingExtra, StoreError
from ..types import MICRO, Clock, SystemClock
from .columns import Column, read
from .contract import Field, LogicalType
from .odcs_checks import MOST_AGE_S
from .relations import quoted, text_of
from .sources import Source, open_source
from .values import EPOCH, MICROSECOND, micros_of
from .yaml_file import write_yaml

try:
    import yaml
except ImportError:  # the extra `data` is absent; `profile` says which line installs it
    yaml = None

MOST_OF_ENUM = 20
FEWEST_PER_VALUE = 10
"""A column whose values repeat less often has too few rows to list all that there are."""

_NULL_TEXTS = ("NA", "N/A", "NULL", "null", "None", "\\N", "nan", "NaN")
_TYPES: tuple[LogicalType, ...] = ("integer", "number", "boolean", "date", "timestamp", "time")
_OF_FAMILY: Mapping[str, LogicalType] = {
    "integer": "integer",
    "wide": "integer",
    "decimal": "number",
    "numeric": "number",
    "float": "number",
    "boolean": "boolean",
    "date": "date",
    "timestamp": "timestamp",
    "timestamptz": "timestamp",
    "time": "time",
    "struct": "object",
    "list": "array",
}
_PERSONAL = re.compile(
    r"e-?mail|phone|mobile|surname|first_?name|last_?name|address|birth|ssn|iban", re.I
)
_RANGED = frozenset(("integer", "number", "date", "timestamp"))


class Seen(msgspec.Struct, frozen=True):
    """What one column holds; of one that looks personal no value.

    Attributes:
        untyped: Values that are not of its type, such as an infinity among numbers.
    """

    name: str
    type: LogicalType
    nulls: int
    distinct: int
    low: Any = None
    high: Any = None
    values: tuple[Any, ...] = ()
    longest: int | None = None
    is_personal: bool = False
    untyped: int = 0


class Profile(msgspec.Struct, frozen=True):
    """What a source holds.

    Attributes:
        left_out: Columns of types that no contract has a word for, such as bytes.
    """

    name: str
    rows: int
    columns: tuple[Seen, ...]
    null_texts: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    fresh_h: int = 0
    fresh_column: str = ""


def profile(source: Any, *, clock: Clock | None = None) -> Profile:
    """Return what a source holds, column by column.

    Raises:
        StoreError: It cannot be read, or has no column that a contract can describe.
        RequestError: It is no source.
        MissingExtra: The extra `data` is not installed.
    """
    if yaml is None:
        raise MissingExtra("data", "a draft of a contract")
    with open_source(source) as opened:
        is_text = any(column.family == "text" for column in opened.columns.values())
        nulls = _null_texts(opened) if is_text else ()
        rows = opened.rows(f"SELECT COUNT(*) FROM {opened.relation}")[0][0]
        left_out = tuple(c.name for c in opened.columns.values() if _is_strange(opened, c))
        columns = [c for c in opened.columns.values() if c.name not in left_out]
        if not columns:
            got = f"none in {', '.join(f'`{name}`' for name in left_out)}"
            raise StoreError(
                f"expected a column of numbers, texts, times or truth values, got {got} - "
                f"{opened.name}"
            )
        seen = tuple(_seen(opened, column, nulls, rows) for column in columns)
        fresh_h, of = _freshness(opened, seen, nulls, clock or SystemClock())
        return Profile(opened.name, rows, seen, nulls, left_out, fresh_h, of)


def draft_of(found: Profile) -> str:
    """Return the draft of a contract as YAML, with what a person still has to do on top."""
    name = re.sub(r"[^A-Za-z0-9_]+", "_", Path(found.name.partition("#")[0]).name.partition(".")[0])
    name = name.strip("_") or "table"
    key = next((s.name for s in found.columns if _is_key(s, found.rows)), "")
    table: dict[str, Any] = {
        "name": name,
        "properties": [_property(seen, found.rows, seen.name == key) for seen in found.columns],
        "quality": [{"metric": "rowCount", "mustBeGreaterThan": 0}] if found.rows else [],
    }
    if found.null_texts:
        table["customProperties"] = [{"property": "nullText", "value": list(found.null_texts)}]
    contract: dict[str, Any] = {
        "apiVersion": "v3.2.0",
        "kind": "DataContract",
        "id": name,
        "version": "0.1.0",
        "status": "draft",
        "schema": [table],
    }
    if found.fresh_h:
        element = f"{name}.{found.fresh_column}"
        contract["slaProperties"] = [
            {"property": "freshness", "value": found.fresh_h, "unit": "h", "element": element}
        ]
    head = (
        f"# A draft from {found.rows} rows: every rule is what was seen, not what is right.\n"
        "# Widen each range to what can be true, say what each field means (`description`) and in\n"
        "# which unit (`customProperties`: `unit`), mark personal fields (`classification`).\n"
    )
    if found.left_out:
        names = ", ".join(map(ascii, found.left_out))
        head += f"# Left out, as no type of a contract holds what they do: {names}\n"
    return head + write_yaml(contract)


def _is_strange(source: Source, column: Column) -> bool:
    """Return whether a column holds values of a type that no contract has a word for."""
    if column.family != "other":
        return False
    counted = f"SELECT COUNT({quoted(column.name)}) FROM {source.relation}"
    return bool(source.rows(counted)[0][0])


def _reading(column: Column, kind: LogicalType, nulls: Sequence[str]) -> tuple[str, str]:
    reading = read(Field(name=column.name, column=column.name, type=kind), column, "duckdb", nulls)
    return reading.present, reading.value


def _null_texts(source: Source) -> tuple[str, ...]:
    """Return the texts that keep a column from having a type, and so must mean null."""
    found: set[str] = set()
    for column in source.columns.values():
        name = quoted(column.name)
        listed = ", ".join(map(text_of, _NULL_TEXTS))
        rows = source.rows(
            f"SELECT DISTINCT {name} FROM {source.relation} WHERE {name} IN ({listed})"
        )
        texts = [row[0] for row in rows]
        if texts and _type_of(source, column, texts) != "string":
            found |= set(texts)
    return tuple(text for text in _NULL_TEXTS if text in found)


def _type_of(source: Source, column: Column, nulls: Sequence[str]) -> LogicalType:
    """Return the narrowest type that every value of a column has."""
    if column.family != "text":
        if column.family == "string":
            return "string"
        kind = _OF_FAMILY.get(column.family, "string")
        return _narrowed(source, column, kind) if kind in ("number", "integer") else kind
    readings = [_reading(column, kind, nulls) for kind in _TYPES]
    parts = ", ".join(f"COUNT({p}) - COUNT({v}), COUNT({p})" for p, v in readings)
    row = source.rows(f"SELECT {parts} FROM {source.relation}")[0]
    for at, kind in enumerate(_TYPES):
        if row[2 * at] == 0 and row[2 * at + 1] > 0:
            return kind
    return "string"


def _narrowed(source: Source, column: Column, kind: LogicalType) -> LogicalType:
    """Return `integer` for floats that are whole, as nulls make them; `number` for what is wide."""
    if column.family == "integer":
        return kind
    present, value = _reading(column, "integer", ())
    row = source.rows(f"SELECT COUNT({present}), COUNT({value}) FROM {source.relation}")[0]
    is_whole = row[0] == row[1] and (row[0] > 0 or kind == "integer")
    return "integer" if is_whole else "number"


def _seen(source: Source, column: Column, nulls: Sequence[str], rows: int) -> Seen:
    kind = _type_of(source, column, nulls)
    present, value = _reading(column, kind, nulls)
    is_ranged = kind in _RANGED
    parts = [f"COUNT(*) - COUNT({present})"]
    parts.append(f"COUNT({present}) - COUNT({value})")
    is_listed = kind in ("string", "integer", "number", "boolean", "date", "timestamp")
    parts.append(f"COUNT(DISTINCT {value})" if is_listed else "0")
    ends = [f"MIN({value})", f"MAX({value})"] if is_ranged else ["NULL", "NULL"]
    is_timed = kind in ("date", "timestamp")
    parts += [f"CAST({end} AS VARCHAR)" for end in ends] if is_timed else ends
    parts.append(f"MAX(LENGTH({value}))" if kind == "string" else "NULL")
    row = source.rows(f"SELECT {', '.join(parts)} FROM {source.relation}")[0]
    is_personal = bool(_PERSONAL.search(column.name))
    values: tuple[Any, ...] = ()
    nulled, untyped, distinct, low, high, longest = row
    is_few = 0 < distinct <= MOST_OF_ENUM and rows >= distinct * FEWEST_PER_VALUE
    if kind == "string" and is_few and not is_personal:
        found = source.rows(
            f"SELECT DISTINCT {value} AS v FROM {source.relation} WHERE {value} IS NOT NULL"
            " ORDER BY v"
        )
        values = tuple(one[0] for one in found if "\0" not in one[0])
    if is_personal:
        return Seen(column.name, kind, nulled, distinct, is_personal=True, untyped=untyped)
    return Seen(
        column.name, kind, nulled, distinct, low, high, values, longest, is_personal, untyped
    )


def _is_key(seen: Seen, rows: int) -> bool:
    is_fit = seen.type in ("string", "integer") and not seen.is_personal
    return is_fit and seen.nulls == 0 and seen.distinct == rows > 1


def _property(seen: Seen, rows: int, is_key: bool) -> dict[str, Any]:
    one: dict[str, Any] = {"name": seen.name, "logicalType": seen.type}
    if is_key:
        one["primaryKey"] = True
    if seen.nulls == 0 and rows:
        one["required"] = True
    if not is_key and _is_key(seen, rows):
        one["unique"] = True
    if seen.untyped:
        one["customProperties"] = [{"property": "severity", "value": "warning"}]
    if seen.is_personal:
        return {**one, "classification": "personal"}
    options: dict[str, Any] = {}
    if seen.low is not None:
        options = {"minimum": _bound(seen, seen.low), "maximum": _bound(seen, seen.high)}
    if seen.type == "string" and seen.longest is not None and not seen.values:
        options = {"maxLength": seen.longest}
    if options:
        one["logicalTypeOptions"] = options
    if seen.values:
        one["enum"] = [{"value": value} for value in seen.values]
    return one


def _bound(seen: Seen, value: Any) -> Any:
    if seen.type != "timestamp":
        return value
    moment = _moment(value)
    return f"{moment.replace(tzinfo=None).isoformat()}Z"


def _moment(text: str) -> Any:
    return EPOCH + micros_of(text) * MICROSECOND


def _freshness(
    source: Source, seen: Sequence[Seen], nulls: Sequence[str], clock: Clock
) -> tuple[int, str]:
    """Return twice the longest gap between two times, in hours, and whose; where it holds now.

    A time that has not come says nothing of either.
    """
    now_us = clock.now_us()
    for one in seen:
        if one.type != "timestamp" or one.high is None:
            continue
        value = _reading(source.columns[one.name], "timestamp", nulls)[1]
        times = f"SELECT DISTINCT EPOCH_US({value}) AS moment FROM {source.relation}"
        times = f"SELECT moment FROM ({times}) AS every WHERE moment <= {now_us}"
        gaps = (
            f"SELECT moment, moment - LAG(moment) OVER (ORDER BY moment) AS gap FROM ({times}) AS t"
        )
        gap, newest = source.rows(f"SELECT MAX(gap), MAX(moment) FROM ({gaps}) AS gaps")[0]
        hours = max(1, -(-2 * (gap or 0) // (3_600 * MICRO)))
        is_fresh = newest is not None and now_us - newest <= hours * 3_600 * MICRO
        is_held = is_fresh and hours * 3_600 <= MOST_AGE_S
        return (hours, one.name) if is_held else (0, "")
    return 0, ""
