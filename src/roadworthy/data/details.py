"""Which rows break rules: counted, with examples, and how many rows there are of them in all."""

# ruff: noqa: S608 - names are quoted by `quoted`, texts by `text_of`

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from .batch import ROW, Measure, Plan, fields_of_rule, needed
from .contract import ROW_RULES
from .report import Example
from .sources import Source

MOST_CHARACTERS = 200
_OF_ROWS = ROW_RULES | {"unique", "primary_key", "foreign_key"}


class Details(msgspec.Struct, frozen=True):
    """What the second look found.

    Attributes:
        failed_rows: Rows that break a rule of severity `error`, each once.
        counts: Rule → how many rows break it.
        examples: Rule → some of them, the first ones.
    """

    failed_rows: int = 0
    counts: Mapping[str, int] = msgspec.field(default_factory=dict)
    examples: Mapping[str, tuple[Example, ...]] = msgspec.field(default_factory=dict)


def details_of(
    source: Source,
    plan: Plan,
    measures: Sequence[Measure],
    personal: Collection[str],
    most: int,
) -> Details:
    """Return which rows break the rules of `measures`; values of personal fields are left out."""
    if not measures:
        return Details()
    marked = marked_sql(source, plan, measures)
    shown = [_shown(plan, one, personal) for one in measures]
    parts = [f"COUNT(*) FILTER (WHERE {bad_of(measures)}) AS bad"]
    parts += [
        f"COUNT(*) FILTER (WHERE {one.condition}) AS r{at}" for at, one in enumerate(measures)
    ]
    is_duckdb = source.dialect == "duckdb"
    if is_duckdb:
        parts += [
            _first_part(one, columns, most) for one, columns in zip(measures, shown, strict=True)
        ]
    row = source.rows(f"SELECT {', '.join(parts)} FROM ({marked}) AS marked")[0]
    counts, lists = row[1 : len(measures) + 1], row[len(measures) + 1 :]
    if not is_duckdb:
        lists = tuple(
            source.rows(_first_sql(one, columns, marked, most)) if count else ()
            for one, columns, count in zip(measures, shown, counts, strict=True)
        )
    names = [measure.rule.name for measure in measures]
    examples = {
        name: tuple(_example(columns, one) for one in found or ())
        for name, columns, found in zip(names, shown, lists, strict=True)
    }
    return Details(row[0], dict(zip(names, counts, strict=True)), examples)


def marked_sql(
    source: Source, plan: Plan, measures: Sequence[Measure], extra: Sequence[str] = ()
) -> str:
    """Return a SELECT of all rows, numbered, with what the conditions of `measures` read."""
    inner = ", ".join((f"ROW_NUMBER() OVER () AS {ROW}", *needed(plan, measures), *extra))
    numbered = f"SELECT {inner} FROM {source.relation}"
    windows = [f"{one.window} AS w{one.place}" for one in measures if one.window]
    if not windows:
        return numbered
    return f"SELECT *, {', '.join(windows)} FROM ({numbered}) AS numbered"


def bad_of(measures: Sequence[Measure]) -> str:
    """Return the condition of a row that breaks a rule of severity `error`."""
    parts = [
        f"({one.condition})"
        for one in measures
        if one.rule.severity == "error" and one.rule.kind in _OF_ROWS
    ]
    return " OR ".join(parts) or "FALSE"


def _first_part(measure: Measure, shown: Mapping[str, str], most: int) -> str:
    """Return the aggregate that keeps the first rows which break a rule."""
    values = "".join(f", {_short(name)}" for name in shown.values())
    packed = f"LIST_VALUE(CAST({ROW} AS VARCHAR){values})"
    return f"ARG_MIN({packed}, {ROW}, {most}) FILTER (WHERE {measure.condition})"


def _shown(plan: Plan, measure: Measure, personal: Collection[str]) -> dict[str, str]:
    """Return field → the column that shows what is there, but for what must not be shown."""
    fields = [name for name in fields_of_rule(measure.rule) if name not in personal]
    if measure.rule.kind in ("required", "null_values"):
        return {}
    return {name: f"p{plan.places[name]}" for name in fields}


def _short(name: str) -> str:
    return f"LEFT(CAST({name} AS VARCHAR), {MOST_CHARACTERS})"


def _first_sql(measure: Measure, shown: Mapping[str, str], marked: str, most: int) -> str:
    values = "".join(f", {_short(name)}" for name in shown.values())
    where = f"WHERE {measure.condition} ORDER BY {ROW} LIMIT {most}"
    return f"SELECT CAST({ROW} AS VARCHAR){values} FROM ({marked}) AS marked {where}"


def _example(shown: Mapping[str, str], row: Sequence[Any]) -> Example:
    """Return one row as people look for it: its number, and its value or values."""
    values = dict(zip(shown, row[1:], strict=True))
    told = {"value": next(iter(values.values()))} if len(values) == 1 else values
    return {"row": int(row[0]), **told}
