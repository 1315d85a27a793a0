"""Invents the rows of a source: as many and as varied as its volume says, by its contract's rules.

Every value is made from the contract alone, so no real one, personal or not, gets into them. Rules
in SQL of their author, and relations between fields that no rule says, are not known here: whoever
uses the rows is told by `validate` which rules they break.
"""

# ruff: noqa: S608 - names are quoted by `quoted`, texts by `text_of`

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import DeclarationError
from ..types import MICRO
from .columns import literal
from .contract import MAX_INTEGER, MIN_INTEGER, Field, Table
from .made_texts import texts_of
from .relations import SQL_TYPES, Connection, SourceTable, quoted
from .sql_text import text_of
from .values import micros_of
from .volume import DAY_S

VARIED = 1_000
"""Different values of a text, or of a whole number of a key, where `distinct` names no other."""
LONGEST_S = 365 * DAY_S
"""Over how long a time rows are spread whose number a day is not declared."""
NULL_EVERY = 50
"""One in so many values that may be null is."""
_SPAN = 1_000
_BEFORE_S = 1_800


class Made(NamedTuple):
    """How the rows of a source are made.

    Attributes:
        source: Whose rows.
        rows: How many there are in all.
        now_us: The time at which they are looked at.
        pools: Field → values to choose from, of those that a foreign key looks up.
    """

    source: SourceTable
    rows: int
    now_us: int
    pools: Mapping[str, list[Any]]


def write_rows(connection: Connection, made: Made, path: Path, first: int, last: int) -> None:
    """Write the rows from number `first` up to `last` of all that are made as a Parquet file.

    Raises:
        DeclarationError: The contract allows fewer different keys than there are to be rows.
    """
    table = made.source.table
    places = _places(made)
    columns, joins = [], []
    for number, field in enumerate(table.fields):
        place = places.get(field.name, f"CAST(hash(i, {number}) % {2**31} AS BIGINT)")
        pool = _pool(made, field, number)
        if pool is None:
            value = _value(made, field, place)
        else:
            name = f"pool_{number}"
            _keep_pool(connection, name, field, pool)
            joins.append(f"LEFT JOIN {name} ON {name}.place = {place} % {len(pool)}")
            value = f"{name}.value"
        if _may_be_null(table, field) and field.name not in places:
            value = f"CASE WHEN hash(i, {number}, 'null') % {NULL_EVERY} > 0 THEN {value} END"
        columns.append(f"{value} AS {quoted(field.column)}")
    numbered = f"(SELECT range AS i FROM range({first}, {last})) AS numbered"
    connection.execute(
        f"COPY (SELECT {', '.join(columns)} FROM {' '.join((numbered, *joins))}) "
        f"TO {text_of(str(path))} (FORMAT parquet)"
    )


def time_field(source: SourceTable) -> Field | None:
    """Return the field that says when a row is: the one of its volume, or the first of its type."""
    if source.volume is not None and source.volume.time is not None:
        return source.table.field(source.volume.time)
    times = [f for f in source.table.fields if f.type == "timestamp"]
    return times[0] if times else None


def step_us(source: SourceTable, rows: int) -> int:
    """Return how long after each row the next one is, in microseconds."""
    volume = source.volume
    if volume is not None and volume.rows_per_day is not None:
        return math.ceil(DAY_S * MICRO / volume.rows_per_day[1])
    return max(1, LONGEST_S * MICRO // rows)


def _keep_pool(connection: Connection, name: str, field: Field, pool: list[Any]) -> None:
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT UNNEST(range(len($1))) AS place, "
        f"CAST(UNNEST($1) AS {SQL_TYPES[field.type]}) AS value",
        [[str(one) for one in pool]],
    )


def _may_be_null(table: Table, field: Field) -> bool:
    """Return whether nulls break nothing; how many a measure allows is not reckoned with."""
    if field.required or field.key_position or field.unique:
        return False
    return not any(field.name in (check.field, *check.fields) for check in table.checks)


def _places(made: Made) -> dict[str, str]:
    """Return for each field of a key which of its values a row has, so that no key comes twice.

    The number of the row is written in digits, one a field, each to the base of how many values the
    field has; a time that differs from row to row, or from day to day, is a digit by itself.
    """
    places = {f.name: "i" for f in made.source.table.fields if f.unique}
    for names in _keys(made.source.table):
        places |= _digits(made, names)
    return places


def _keys(table: Table) -> Iterator[tuple[str, ...]]:
    if table.key:
        yield table.key
    for check in table.checks:
        if check.kind == "duplicate_values":
            yield check.fields or (check.field,)


def _digits(made: Made, names: tuple[str, ...]) -> dict[str, str]:
    moment, needed = time_field(made.source), made.rows
    if moment is not None and moment.name in names:
        # Of a date, as many rows follow each other as there are in a day.
        day = math.ceil(DAY_S * MICRO / step_us(made.source, made.rows))
        needed = min(needed, day) if moment.type == "date" else 1
    fields = [f for f in made.source.table.fields if f.name in names and f is not moment]
    widths = {field.name: _width(made, field, needed) for field in fields}
    digits, before, left = {}, 1, needed
    for at, name in enumerate(sorted(widths, key=lambda name: widths[name])):
        fair = math.ceil(left ** (1 / (len(fields) - at)))
        base = min(widths[name], fair)
        digits[name] = f"(i // {before}) % {base}"
        before, left = before * base, math.ceil(left / base)
    if left > 1:
        raise DeclarationError(
            f"source `{made.source.name}`: expected a contract that allows {needed:,} different "
            f"{' and '.join(names)}, got one that allows {before:,}; declare fewer `rows`, or "
            "correct the contract"
        )
    return digits


def _width(made: Made, field: Field, needed: int) -> int:
    """Return how many different values a field of a key has, at most as many as are needed."""
    if pool := made.pools.get(field.name):
        return len(pool)
    declared = _declared(made.source, field)
    wanted = needed if declared is None else min(needed, declared)
    if field.enum:
        return len(field.enum)
    if field.type == "string":
        return len(_texts(field, wanted, seed=0))
    if field.type == "boolean":
        return 2
    if field.type == "integer":
        low, high, step = _bounds(field, key=True)
        return min(wanted, int((high - low) // step) + 1)
    return wanted


def _declared(source: SourceTable, field: Field) -> int | None:
    return None if source.volume is None else source.volume.distinct.get(field.name)


def _texts(field: Field, wanted: int, seed: int) -> list[str]:
    return texts_of(field.pattern, field.min_length or 0, field.max_length, wanted, seed)


def _pool(made: Made, field: Field, seed: int) -> list[Any] | None:
    """Return the values to choose from; None where they are reckoned."""
    if field.name in made.pools:
        return made.pools[field.name]
    allowed = [
        one
        for check in made.source.table.checks
        if check.kind == "invalid_values" and check.field == field.name
        for one in check.values
    ]
    if field.enum or allowed:
        return [*(field.enum or allowed)]
    if field.type != "string":
        return None
    is_key = field.unique or any(field.name in key for key in _keys(made.source.table))
    wanted = _declared(made.source, field) or (made.rows if is_key else min(VARIED, made.rows))
    found = _texts(field, wanted, seed=0 if is_key else seed)
    if not found:
        raise DeclarationError(
            f"source `{made.source.name}`: expected a rule that some text keeps, got `{field.name}`"
            f" of {field.min_length or 0} to {field.max_length} characters that matches "
            f"`{field.pattern}`; correct the contract"
        )
    if field.unique and len(found) < made.rows:
        raise DeclarationError(
            f"source `{made.source.name}`: expected a contract that allows {made.rows:,} different "
            f"`{field.name}`, got one of which {len(found):,} were found; declare fewer `rows`, or "
            "correct the contract"
        )
    return found


def _value(made: Made, field: Field, place: str) -> str:
    """Return a value of a field in SQL, by the number of its place among all of them."""
    count = _declared(made.source, field)
    if count is not None:
        place = f"({place} % {count})"
    if field.type in ("date", "timestamp"):
        return _moment(made, field, place)
    if field.type in ("integer", "number"):
        return _number(field, place, count, is_key="hash" not in place)
    reckoned = {
        "boolean": f"{place} % 2 = 0",
        "time": f"CAST(TIME '00:00:00' + to_seconds({place} % {DAY_S}) AS TIME)",
        "array": f"[{place}]",
        "object": f"{{'made': {place}}}",
    }
    return reckoned[field.type]


def _moment(made: Made, field: Field, place: str) -> str:
    """Return a moment: the row's own, or for another field than that of the time one before it."""
    moment, step = time_field(made.source), step_us(made.source, made.rows)
    end_us = made.now_us - MICRO
    if moment is not None and moment.type == "date":
        end_us = made.now_us // (DAY_S * MICRO) * DAY_S * MICRO - 1  # of the last whole day
    us = f"{end_us} - ({made.rows - 1} - i) * {step}"
    if moment is None or field.name != moment.name:
        us = f"({us}) - {place} % {_before_s(made.source.table) * MICRO + 1}"
    for sign, bound, by in (
        ("GREATEST", field.minimum, 0),
        ("GREATEST", field.exclusive_minimum, 1),
        ("LEAST", field.maximum, 0),
        ("LEAST", field.exclusive_maximum, -1),
    ):
        if bound is not None:
            unit = DAY_S * MICRO if field.type == "date" else 1
            us = f"{sign}({us}, {micros_of(str(bound)) + by * unit})"
    made_of = f"make_timestamp(CAST({us} AS BIGINT))"
    if field.type == "date":
        return f"CAST({made_of} AS DATE)"
    return f"timezone('UTC', {made_of})" if field.has_timezone else made_of


def _before_s(table: Table) -> int:
    """Return how long before a row's own time its others are, at most."""
    ages = [check.max_age_s for check in table.checks if check.kind == "freshness"]
    return int(min((_BEFORE_S, *(age / 2 for age in ages))))


def _number(field: Field, place: str, count: int | None, *, is_key: bool) -> str:
    low, high, step = _bounds(field, key=is_key)
    if field.type == "integer" or field.multiple_of is not None:
        steps = min(int((high - low) // step) + 1, count or MAX_INTEGER)
        value = f"{literal(low)} + ({place} % {steps}) * {literal(step)}"
        return f"CAST({value} AS {SQL_TYPES[field.type]})"
    share = f"({place} % {count}) / {count}" if count else f"({place} % 1000003) / 1000003.0"
    if field.exclusive_minimum is not None:
        share = f"({share} + 1e-9) * 0.999"
    return f"CAST({literal(float(low))} + {share} * {literal(float(high) - low)} AS DOUBLE)"


def _bounds(field: Field, *, key: bool) -> tuple[Any, Any, Any]:
    """Return the least and the greatest value of a number, and what lies between two of them."""
    step: Any = field.multiple_of or (1 if field.type == "integer" else 0)
    by = step or 0
    lows: list[tuple[Any, float]] = [(field.minimum, 0), (field.exclusive_minimum, by)]
    highs: list[tuple[Any, float]] = [(field.maximum, 0), (field.exclusive_maximum, -by)]
    low: Any = max((bound + by for bound, by in lows if bound is not None), default=None)
    high: Any = min((bound + by for bound, by in highs if bound is not None), default=None)
    span = MAX_INTEGER // 2 if key and field.type == "integer" else _SPAN * (step or 1)
    if low is None:
        low = 0 if high is None or high >= 0 else high - span
    if high is None:
        high = low + span
    if step:
        low = math.ceil(low / step) * step
        whole = field.type == "integer" and float(step).is_integer()
        low, step = (int(low), int(step)) if whole else (low, step)
    return (max(low, MIN_INTEGER), min(high, MAX_INTEGER), step) if key else (low, high, step)
