"""How a column of a source becomes values of a logical type, in SQL.

Every expression is written so that sqlglot can say it to Postgres. A CSV file has text only, so its
values are read from text; any other source has types, and a text in a column of numbers is as wrong
there as it is in JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from .contract import MAX_INTEGER, MIN_INTEGER, Field
from .patterns import DATE, NUMBER, TIME, TIMESTAMP, TIMESTAMP_WITH_OFFSET, WHOLE
from .sql_text import quoted, text_of
from .values import LARGEST_NUMBER

Family = Literal[
    "text",
    "string",
    "integer",
    "wide",
    "decimal",
    "numeric",
    "float",
    "boolean",
    "date",
    "timestamp",
    "timestamptz",
    "time",
    "list",
    "struct",
    "other",
]
"""What a column is made of; `numeric` is Postgres's: any number of digits, NaN and infinity."""
Dialect = Literal["duckdb", "postgres"]

_LEAST = "2.5e-324"
"""What is nearer to 0 is 0 as a float, and an error in Postgres."""
_WIDEST = str(int(LARGEST_NUMBER))
_ZONE = r"(Z|[+-][0-9]{2}(:[0-9]{2})?)$"

_FAMILIES: dict[str, Family] = {
    **dict.fromkeys(
        ("VARCHAR", "TEXT", "UUID", "CHAR", "CHARACTER VARYING", "CHARACTER"), "string"
    ),
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT"), "integer"),
    **dict.fromkeys(("USMALLINT", "UINTEGER"), "integer"),
    **dict.fromkeys(("HUGEINT", "UHUGEINT", "UBIGINT"), "wide"),
    **dict.fromkeys(("FLOAT", "DOUBLE", "REAL", "DOUBLE PRECISION"), "float"),
    "NUMERIC": "numeric",
    "BOOLEAN": "boolean",
    "DATE": "date",
    **dict.fromkeys(("TIMESTAMP", "TIMESTAMP_NS", "TIMESTAMP_MS", "TIMESTAMP_S"), "timestamp"),
    "TIMESTAMP WITHOUT TIME ZONE": "timestamp",
    "TIMESTAMP WITH TIME ZONE": "timestamptz",
    **dict.fromkeys(("TIME", "TIME_NS", "TIME WITHOUT TIME ZONE"), "time"),
    **dict.fromkeys(("MAP", "STRUCT", "JSON", "JSONB"), "struct"),
    "ARRAY": "list",
}

_NATIVE: dict[str, Family] = {
    "string": "string",
    "integer": "integer",
    "number": "float",
    "boolean": "boolean",
    "date": "date",
    "timestamp": "timestamp",
    "time": "time",
    "object": "struct",
    "array": "list",
}


class Column(NamedTuple):
    """One column of a source."""

    name: str
    family: Family


class Reading(NamedTuple):
    """What a column gives of a field.

    Attributes:
        present: The column as it is, null where the contract means null: a NaN is one.
        value: The value in its type; null where it has another.
        is_exact: Whether every present value has the right type, so that none needs to be counted.
    """

    present: str
    value: str
    is_exact: bool = False


def family_of(sql_type: str) -> Family:
    """Return the family of a type as DuckDB or Postgres calls it."""
    name = sql_type.upper()
    if name.endswith("]"):
        return "list"
    if name.startswith("ENUM("):
        return "string"
    if name.startswith("DECIMAL"):
        return "decimal"
    return _FAMILIES.get(name.partition("(")[0].strip(), "other")


def native_columns(fields: Sequence[Field]) -> dict[str, Column]:
    """Return the columns of a table whose types are those of its contract."""
    found = {}
    for field in fields:
        family = _NATIVE[field.type]
        if field.type == "timestamp" and field.has_timezone:
            family = "timestamptz"
        found[field.column] = Column(field.column, family)
    return found


def literal(value: Any) -> str:
    """Return a value as a literal of SQL."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int):
        return f"({value})" if value < 0 else str(value)
    if isinstance(value, float):
        return f"CAST('{value!r}' AS DOUBLE)"
    return text_of(str(value))


def is_nan(expression: str, dialect: Dialect) -> str:
    """Return the test for NaN.

    DuckDB's comparison with NaN is folded by statistics of Parquet files that leave NaN out.
    """
    if dialect == "duckdb":
        return f"ISNAN({expression})"
    return f"{expression} = CAST('NaN' AS DOUBLE)"


def matches(expression: str, pattern: str) -> str:
    """Return the test whether a text holds a pattern."""
    return f"REGEXP_MATCHES({expression}, {literal(pattern)})"


def read(
    field: Field, column: Column, dialect: Dialect = "duckdb", null_texts: Sequence[str] = ()
) -> Reading:
    """Return how `field` is read from `column`."""
    raw = quoted(column.name)
    if column.family == "text":
        return _read_text(field, raw, null_texts)
    if column.family == "float":
        raw = f"CASE WHEN {is_nan(raw, dialect)} THEN NULL ELSE {raw} END"
    if column.family == "numeric":
        raw = f"CASE WHEN {raw} = CAST('NaN' AS DECIMAL) THEN NULL ELSE {raw} END"
    return _READERS[field.type](field, column.family, raw, quoted(column.name), dialect)


def _string(field: Field, family: Family, raw: str, name: str, dialect: Dialect) -> Reading:
    if family == "string":
        return Reading(raw, f"CAST({raw} AS VARCHAR)", is_exact=True)
    return Reading(raw, "CAST(NULL AS VARCHAR)")


def _integer(field: Field, family: Family, raw: str, name: str, dialect: Dialect) -> Reading:
    if family == "integer":
        return Reading(raw, raw, is_exact=True)
    if family == "wide":
        span = f"{name} BETWEEN {MIN_INTEGER} AND {MAX_INTEGER}"
    elif family in ("decimal", "numeric"):
        span = f"{name} = FLOOR({name}) AND {name} BETWEEN {MIN_INTEGER} AND {MAX_INTEGER}"
    elif family == "float":
        low, above = literal(float(MIN_INTEGER)), literal(float(2**63))
        span = f"{name} > {low} AND {name} < {above} AND {name} = FLOOR({name})"
    else:
        return Reading(raw, "CAST(NULL AS BIGINT)")
    return Reading(raw, f"CASE WHEN {span} THEN CAST({name} AS BIGINT) END")


def _number(field: Field, family: Family, raw: str, name: str, dialect: Dialect) -> Reading:
    if family in ("integer", "wide", "decimal"):
        return Reading(raw, f"CAST({raw} AS DOUBLE)", is_exact=True)
    if family == "numeric":
        # Postgres raises where a number is too wide for a float, or too near to 0.
        value = (
            f"CASE WHEN ABS({name}) < {_LEAST} THEN CAST(0 AS DOUBLE)"
            f" WHEN {name} BETWEEN -{_WIDEST} AND {_WIDEST} THEN CAST({name} AS DOUBLE) END"
        )
        return Reading(raw, value)
    if family == "float":
        low, high = literal(-LARGEST_NUMBER), literal(LARGEST_NUMBER)
        # NaN is above every number in SQL, so the bounds keep it out.
        value = f"CASE WHEN {name} BETWEEN {low} AND {high} THEN CAST({name} AS DOUBLE) END"
        return Reading(raw, value)
    return Reading(raw, "CAST(NULL AS DOUBLE)")


def _boolean(field: Field, family: Family, raw: str, name: str, dialect: Dialect) -> Reading:
    is_exact = family == "boolean"
    return Reading(raw, raw if is_exact else "CAST(NULL AS BOOLEAN)", is_exact=is_exact)


def _date(field: Field, family: Family, raw: str, name: str, dialect: Dialect) -> Reading:
    span = "BETWEEN CAST('0001-01-01' AS DATE) AND CAST('9999-12-31' AS DATE)"
    if family == "date":
        return Reading(raw, f"CASE WHEN {raw} {span} THEN {raw} END")
    if family == "timestamp":
        # Frames have no type for days: a timestamp at midnight is one.
        day = f"CAST({raw} AS DATE)"
        return Reading(
            raw, f"CASE WHEN {raw} = CAST({day} AS TIMESTAMP) AND {day} {span} THEN {day} END"
        )
    if family == "string":
        text = _text(raw, dialect)
        return Reading(raw, f"CASE WHEN {matches(text, DATE)} THEN CAST({text} AS DATE) END")
    return Reading(raw, "CAST(NULL AS DATE)")


def _timestamp(field: Field, family: Family, raw: str, name: str, dialect: Dialect) -> Reading:
    if family == "timestamp" and not field.has_timezone:
        first = "CAST('0001-01-01 00:00:00' AS TIMESTAMP)"
        last = "CAST('9999-12-31 23:59:59.999999' AS TIMESTAMP)"
        return Reading(raw, f"CASE WHEN {raw} BETWEEN {first} AND {last} THEN {raw} END")
    if family == "timestamptz":
        return Reading(raw, f"CASE WHEN {_in_years(raw)} THEN {raw} END")
    if family == "string":
        return Reading(raw, _timestamp_of_text(field, _text(raw, dialect), dialect))
    return Reading(raw, "CAST(NULL AS TIMESTAMPTZ)")


def _time(field: Field, family: Family, raw: str, name: str, dialect: Dialect) -> Reading:
    if family == "time":
        return Reading(raw, raw, is_exact=True)
    if family == "string":
        text = _text(raw, dialect)
        cut = _to_micros(text) if dialect == "postgres" else text
        return Reading(raw, f"CASE WHEN {matches(text, TIME)} THEN CAST({cut} AS TIME) END")
    return Reading(raw, "CAST(NULL AS TIME)")


def _nested(field: Field, family: Family, raw: str, name: str, dialect: Dialect) -> Reading:
    is_exact = family == ("struct" if field.type == "object" else "list")
    return Reading(raw, raw if is_exact else "CAST(NULL AS VARCHAR)", is_exact=is_exact)


_READERS = {
    "string": _string,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "date": _date,
    "timestamp": _timestamp,
    "time": _time,
    "object": _nested,
    "array": _nested,
}


def _in_years(instant: str) -> str:
    first = "CAST('0001-01-01 00:00:00+00' AS TIMESTAMPTZ)"
    last = "CAST('9999-12-31 23:59:59.999999+00' AS TIMESTAMPTZ)"
    return f"{instant} BETWEEN {first} AND {last}"


def _timestamp_of_text(field: Field, raw: str, dialect: Dialect) -> str:
    pattern = TIMESTAMP_WITH_OFFSET if field.has_timezone else TIMESTAMP
    if dialect == "duckdb":
        instant = f"TRY_CAST({raw} AS TIMESTAMPTZ)"
    else:
        # Postgres knows no offset beyond 15:59, and rounds what is less than a microsecond.
        local = f"REGEXP_REPLACE({raw}, {literal(_ZONE)}, '')"
        zone = f"SUBSTR({raw}, LENGTH({local}) + 1)"
        offset = f"CASE WHEN LENGTH({zone}) < 3 THEN '+00:00' ELSE RPAD({zone}, 6, ':00') END"
        utc = f"CAST(CONCAT({_to_micros(local)}, 'Z') AS TIMESTAMPTZ)"
        instant = f"{utc} - CAST({offset} AS INTERVAL)"
    return f"CASE WHEN {matches(raw, pattern)} THEN {instant} END"


def _to_micros(text: str) -> str:
    """Return a time without the digits behind its microseconds, which Postgres would round."""
    return f"REGEXP_REPLACE({text}, '([.][0-9]{{6}})[0-9]+', '\\1')"


def _text(raw: str, dialect: Dialect) -> str:
    """Return what patterns are matched with: Postgres compares none with an ENUM."""
    return raw if dialect == "duckdb" else f"CAST({raw} AS VARCHAR)"


def _read_text(field: Field, raw: str, null_texts: Sequence[str]) -> Reading:
    """Return how a field is read from text, which only DuckDB does."""
    nulls = [*null_texts, *(() if field.type == "string" else ("",))]
    present = raw
    if nulls:
        present = f"CASE WHEN {raw} IN ({', '.join(map(literal, nulls))}) THEN NULL ELSE {raw} END"
    if field.type in ("number", "integer"):
        bare = f"LTRIM(LOWER({raw}), '+-')"
        is_null = f"{raw} IN ({', '.join(map(literal, nulls))}) OR {bare} = 'nan'"
        present = f"CASE WHEN {is_null} THEN NULL ELSE {raw} END"
    return Reading(present, _of_text(field, f"({present})"))


def _of_text(field: Field, text: str) -> str:
    """Return the value that a text stands for; null where it is none of this type."""
    number = f"TRY_CAST({text} AS DOUBLE)"
    largest = literal(LARGEST_NUMBER)
    match field.type:
        case "integer":
            low, above = literal(float(MIN_INTEGER)), literal(float(2**63))
            span = f"{number} > {low} AND {number} < {above} AND {number} = FLOOR({number})"
            return (
                f"CASE WHEN {matches(text, WHOLE)} THEN TRY_CAST({text} AS BIGINT)"
                f" WHEN {matches(text, NUMBER)} AND {span} THEN CAST({number} AS BIGINT) END"
            )
        case "number":
            is_finite = f"{number} BETWEEN {literal(-LARGEST_NUMBER)} AND {largest}"
            return f"CASE WHEN {matches(text, NUMBER)} AND {is_finite} THEN {number} END"
        case "boolean":
            return f"CASE LOWER({text}) WHEN 'true' THEN TRUE WHEN 'false' THEN FALSE END"
        case "date":
            return f"CASE WHEN {matches(text, DATE)} THEN CAST({text} AS DATE) END"
        case "timestamp":
            return _timestamp_of_text(field, text, "duckdb")
        case "time":
            return f"CASE WHEN {matches(text, TIME)} THEN CAST({text} AS TIME) END"
        case "object" | "array":
            kind = field.type.upper()
            return (
                f"CASE WHEN JSON_VALID({text}) THEN"
                f" CASE WHEN JSON_TYPE({text}) = '{kind}' THEN {text} END END"
            )
    return text
