"""Compiles the rules of a table to SQL: one statement that counts what breaks each of them.

A column is read once, as `p<n>` (what is there, null where the contract means null) and `v<n>` (its
value, null where the type is wrong); every rule is a condition over these. Bounds, patterns and
enums judge only what has the right type and is not null: one bad value breaks one rule.
"""

# ruff: noqa: S608 - names are quoted by `quoted`, texts by `text_of`

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from ..declare.moments import exact_below
from ..errors import MissingExtra
from .columns import Column, Dialect, Reading, literal, matches, native_columns, read
from .contract import MAX_INTEGER, MIN_INTEGER, Check, Field, Rule, Table, rules_of
from .values import EPOCH, LAST_US, micros_of

try:
    import sqlglot
except ImportError:  # the extra `data` is absent; `statement_for` says which line installs it
    sqlglot = None  # type: ignore[assignment]

SOURCE = "roadworthy_source"
"""What the validated relation is called in a statement."""
ROW = "roadworthy_row"
"""Numbers the rows of a batch, from 1."""

_NEAR = "1e-9"
_HALF_NEAR = 5e-10
_COMPARED = {
    "minimum": "<",
    "exclusive_minimum": "<=",
    "maximum": ">",
    "exclusive_maximum": ">=",
}


class Measure(NamedTuple):
    """How one rule is measured.

    Attributes:
        condition: Of a rule that rows break: which do. Empty for a rule of the whole batch.
        sql: The aggregate; what it measures is how many rows break the rule, but for `freshness`
            (the newest value that is not in the future, in Unix milliseconds) and what counts
            rows, a day's rows or different values.
        window: Of a rule that rows break together: the condition needs this column of the name
            `w<n>`.
    """

    rule: Rule
    condition: str
    sql: str
    window: str = ""
    place: int = 0


class Plan(NamedTuple):
    """A table's rules over the columns that a source has.

    Attributes:
        inner: Expressions of the inner SELECT: `p<n>` and `v<n>` of each field.
        measures: All rules but those in SQL of their author.
        missing: Fields whose columns are not there.
    """

    table: Table
    inner: tuple[str, ...]
    measures: tuple[Measure, ...]
    missing: tuple[Field, ...]
    readings: Mapping[str, Reading]
    places: Mapping[str, int]
    columns: Mapping[str, Column]

    def value(self, field: str) -> str:
        """Return the name of a field's value in the inner SELECT."""
        return f"v{self.places[field]}"


class Statement(NamedTuple):
    """A statement whose columns are the number of rows, then what each rule measures."""

    sql: str
    rules: tuple[Rule, ...]


def plan_of(
    table: Table,
    columns: Mapping[str, Column],
    dialect: Dialect = "duckdb",
    now_us: int = LAST_US,
) -> Plan:
    """Return how the rules of a table are measured over `columns`.

    A foreign key reads the relation `reference_of(n)`, n being its place among the rules. What is
    later than `now_us` is in the future.
    """
    missing = tuple(field for field in table.fields if field.column not in columns)
    known = [field for field in table.fields if field.column in columns]
    readings = {
        field.name: read(field, columns[field.column], dialect, table.null_texts) for field in known
    }
    places = {field.name: place for place, field in enumerate(known)}
    inner = [
        part
        for field in known
        for part in (
            f"{readings[field.name].present} AS p{places[field.name]}",
            f"{readings[field.name].value} AS v{places[field.name]}",
        )
    ]
    plan = Plan(table, tuple(inner), (), missing, readings, places, columns)
    measures = [
        measure
        for place, rule in enumerate(rules_of(table))
        if rule.kind != "sql" and (measure := _measure(plan, rule, place, dialect, now_us))
    ]
    return plan._replace(measures=tuple(measures))


def statement_for(
    table: Table,
    columns: Mapping[str, Column] | None = None,
    dialect: Dialect = "duckdb",
    relation: str = SOURCE,
) -> Statement:
    """Return the statement that measures every rule of a table but those in its author's SQL.

    Args:
        table: The table of a contract.
        columns: The columns of the relation; without them, those that the contract asks for.
        dialect: Whose SQL it is.
        relation: What is measured, as an identifier in SQL.

    Raises:
        MissingExtra: Another dialect than DuckDB's needs sqlglot.
    """
    plan = plan_of(table, native_columns(table.fields) if columns is None else columns, dialect)
    sql = count_sql(plan, plan.measures, relation)
    return Statement(to_dialect(sql, dialect), tuple(measure.rule for measure in plan.measures))


def count_sql(plan: Plan, measures: Sequence[Measure], relation: str = SOURCE) -> str:
    """Return one SELECT of the number of rows and of what `measures` measure."""
    counted = ", ".join(f"{one.sql} AS r{at}" for at, one in enumerate(measures))
    inner = ", ".join(needed(plan, measures)) or "1 AS nothing"
    head = "SELECT COUNT(*) AS row_count" + (f", {counted}" if counted else "")
    return f"{head} FROM (SELECT {inner} FROM {relation}) AS read_rows"


def needed(plan: Plan, measures: Sequence[Measure]) -> list[str]:
    """Return the inner expressions of those fields that `measures` read."""
    names = {name for measure in measures for name in fields_of_rule(measure.rule)}
    keep = {plan.places[name] for name in names}
    return [part for at, part in enumerate(plan.inner) if at // 2 in keep]


def fields_of_rule(rule: Rule) -> tuple[str, ...]:
    """Return the fields that a rule reads."""
    if rule.kind == "primary_key":
        return tuple(rule.value)
    fields = rule.check.fields if rule.check else ()
    return fields or ((rule.field,) if rule.field else ())


def to_dialect(sql: str, dialect: Dialect) -> str:
    """Return DuckDB's SQL in another dialect.

    Raises:
        MissingExtra: sqlglot is not installed.
    """
    if dialect == "duckdb":
        return sql
    if sqlglot is None:
        raise MissingExtra("data", "rules in SQL of another database")
    return sqlglot.transpile(sql, read="duckdb", write=dialect)[0]


def reference_of(place: int) -> str:
    """Return what the other side of a foreign key is called; its keys are `k<n>`."""
    return f"roadworthy_reference_{place}"


def _measure(plan: Plan, rule: Rule, place: int, dialect: Dialect, now_us: int) -> Measure | None:
    """Return how a rule is measured; None where a column that it reads is missing."""
    names = fields_of_rule(rule)
    if any(name not in plan.places for name in names):
        return None
    if rule.kind == "row_count":
        return Measure(rule, "", "COUNT(*)", place=place)
    if rule.kind in ("unique", "primary_key", "duplicate_values"):
        return _duplicates(plan, rule, names, place)
    if rule.kind == "foreign_key":
        return _foreign_key(plan, rule, names, place)
    at = plan.places[rule.field]
    if rule.kind == "type":
        condition = f"p{at} IS NOT NULL AND v{at} IS NULL"
        return Measure(rule, condition, f"COUNT(p{at}) - COUNT(v{at})", place=place)
    if rule.kind in ("required", "null_values"):
        return Measure(rule, f"p{at} IS NULL", f"COUNT(*) - COUNT(p{at})", place=place)
    field = plan.table.field(rule.field)
    assert field is not None
    is_zoned = plan.columns[field.column].family != "timestamp"
    if rule.kind == "distinct_values":
        return Measure(rule, "", f"COUNT(DISTINCT v{at})", place=place)
    if rule.kind == "rows_per_day":
        return _of_day(rule, field, f"v{at}", place, now_us, is_zoned=is_zoned)
    if rule.kind in ("freshness", "future"):
        return _of_time(rule, field, f"v{at}", place, now_us, is_zoned=is_zoned)
    condition = condition_of(rule, field, f"v{at}", f"p{at}", is_zoned=is_zoned)
    return Measure(rule, condition, f"COUNT(*) FILTER (WHERE {condition})", place=place)


def _of_time(
    rule: Rule, field: Field, value: str, place: int, now_us: int, *, is_zoned: bool
) -> Measure:
    """Measure the newest value that is not in the future, or the rows whose value is."""
    moment = EPOCH + timedelta(microseconds=now_us)
    text = moment.date().isoformat() if field.type == "date" else moment.isoformat()
    now = _typed(field, text, is_zoned=is_zoned)
    if rule.kind == "future":
        condition = f"{value} > {now}"
        return Measure(rule, condition, f"COUNT(*) FILTER (WHERE {condition})", place=place)
    newest = f"MAX(CASE WHEN {value} <= {now} THEN {value} END)"
    ms = f"CAST(FLOOR(DATE_PART('epoch', {newest}) * 1000) AS BIGINT)"
    return Measure(rule, "", ms, place=place)


def _of_day(
    rule: Rule, field: Field, value: str, place: int, now_us: int, *, is_zoned: bool
) -> Measure:
    """Count the rows of the last day that is over; of dates, of the last whole one."""
    assert rule.check is not None
    end = EPOCH + timedelta(microseconds=now_us, seconds=-rule.check.max_age_s)
    start = end - timedelta(days=1)
    if field.type == "date":
        condition = f"{value} = {_typed(field, start.date().isoformat(), is_zoned=is_zoned)}"
    else:
        first, last = (_typed(field, at.isoformat(), is_zoned=is_zoned) for at in (start, end))
        condition = f"{value} > {first} AND {value} <= {last}"
    return Measure(rule, "", f"COUNT(*) FILTER (WHERE {condition})", place=place)


def condition_of(rule: Rule, field: Field, value: str, present: str, *, is_zoned: bool) -> str:
    """Return which values break a rule of one row, in SQL."""
    if rule.kind in _COMPARED:
        return _beyond(rule, field, value, is_zoned=is_zoned)
    if rule.kind == "enum":
        return f"{value} NOT IN ({_listed(field, rule.value, is_zoned=is_zoned)})"
    if rule.kind == "pattern":
        return f"NOT {matches(value, rule.value)}"
    if rule.kind in ("min_length", "max_length"):
        sign = "<" if rule.kind == "min_length" else ">"
        return f"LENGTH({value}) {sign} {rule.value}"
    if rule.kind == "multiple_of":
        return _no_multiple(field, rule.value, value)
    assert rule.check is not None
    return _of_check(rule.check, field, value, present, is_zoned=is_zoned)


def _of_check(check: Check, field: Field, value: str, present: str, *, is_zoned: bool) -> str:
    """Return which values a metric counts: missing ones, or invalid ones."""
    given = [one for one in check.values if one is not None]
    listed = _listed(field, given, is_zoned=is_zoned)
    if check.kind == "missing_values":
        parts = [f"{present} IS NULL"] if None in check.values else []
        parts += [f"{value} IN ({listed})"] if given else []
        return " OR ".join(parts) or "FALSE"
    parts = [f"{value} NOT IN ({listed})"] if given else []
    parts += [f"NOT {matches(value, check.pattern)}"] if check.pattern else []
    return " OR ".join(parts) or "FALSE"


def _beyond(rule: Rule, field: Field, value: str, *, is_zoned: bool) -> str:
    sign, bound = _COMPARED[rule.kind], rule.value
    if field.type == "integer":
        # A whole number is compared with a whole number: as a float it would lose its last digits.
        if isinstance(bound, float) and not bound.is_integer():
            bound = math.ceil(bound) if "minimum" in rule.kind else math.floor(bound)
            sign = sign[0]
        bound = max(2 * MIN_INTEGER, min(2 * MAX_INTEGER, int(bound)))
    return f"{value} {sign} {_typed(field, bound, is_zoned=is_zoned)}"


def _typed(field: Field, value: Any, *, is_zoned: bool) -> str:
    """Return a value of a contract as a literal of the field's type."""
    if field.type == "date":
        return f"CAST({literal(value)} AS DATE)"
    if field.type == "time":
        return f"CAST({literal(value)} AS TIME)"
    if field.type == "timestamp":
        instant = _utc(value).replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")
        if is_zoned:
            return f"CAST('{instant}+00' AS TIMESTAMPTZ)"
        return f"CAST('{instant}' AS TIMESTAMP)"
    return literal(float(value) if field.type == "number" else value)


def _utc(text: str) -> datetime:
    return EPOCH + timedelta(microseconds=micros_of(text))


def _listed(field: Field, values: Sequence[Any], *, is_zoned: bool) -> str:
    return ", ".join(_typed(field, value, is_zoned=is_zoned) for value in values)


def _no_multiple(field: Field, of: float, value: str) -> str:
    if field.type == "integer" and isinstance(of, int):
        return f"{value} % {of} <> 0"
    number = f"CAST({value} AS DOUBLE)"
    quotient = f"({number} / {literal(float(of))})"
    # What is nearer to 0 is as good as 0; Postgres raises where a quotient is too small.
    least = literal(of * _HALF_NEAR)
    small = f"ABS({number}) >= {least} AND ABS({number}) < {literal(exact_below(of))}"
    return f"CASE WHEN {small} THEN ABS({quotient} - ROUND({quotient})) > {_NEAR} ELSE FALSE END"


def _duplicates(plan: Plan, rule: Rule, names: Sequence[str], place: int) -> Measure:
    """Measure the rows that would have to go so that each value is there once."""
    values = [plan.value(name) for name in names]
    is_whole = " AND ".join(f"{value} IS NOT NULL" for value in values)
    if len(values) == 1:
        sql = f"COUNT({values[0]}) - COUNT(DISTINCT {values[0]})"
    else:
        row = f"({', '.join(values)})"
        sql = (
            f"COUNT(*) FILTER (WHERE {is_whole}) - COUNT(DISTINCT {row}) FILTER (WHERE {is_whole})"
        )
    window = f"ROW_NUMBER() OVER (PARTITION BY {', '.join(values)} ORDER BY {ROW})"
    return Measure(rule, f"w{place} > 1 AND {is_whole}", sql, window, place)


def _foreign_key(plan: Plan, rule: Rule, names: Sequence[str], place: int) -> Measure:
    values = [plan.value(name) for name in names]
    is_whole = " AND ".join(f"{value} IS NOT NULL" for value in values)
    row = values[0] if len(values) == 1 else f"({', '.join(values)})"
    found = ", ".join(f"k{at}" for at in range(len(names)))
    condition = f"{is_whole} AND {row} NOT IN (SELECT {found} FROM {reference_of(place)})"
    return Measure(rule, condition, f"COUNT(*) FILTER (WHERE {condition})", place=place)
