"""Keeps a rule in its author's SQL to what it is for: one number of the table under contract.

A contract may come from another team, and a database lets its user see more than one table. So a
rule reads the tables that the contract names and calls functions that compute; what is not known to
be harmless is refused. What runs is written from what was read here, never the author's own text.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.scope import traverse_scope

from .columns import Dialect

_PURE = frozenset(
    (
        *("age", "date_part", "epoch", "epoch_ms", "epoch_us", "isodow", "yearweek"),
        *("btrim", "char_length", "character_length", "ltrim", "rtrim", "prefix", "suffix"),
        *("strip_accents", "to_hex", "isfinite", "isinf", "isnan", "num_nulls", "num_nonnulls"),
        *("bool_and", "bool_or", "every", "mad", "json_array_length", "jsonb_array_length"),
        *("list_avg", "list_count", "list_max", "list_min", "list_sum", "list_unique"),
    )
)
"""Functions beside those that the parser knows by themselves; they only compute."""
_REACHING = re.compile(
    "AI|ML|Read|Current(?!Date|Time|Timestamp)|Session|Secret|Dynamic|NextValue|XML|ToFile|Net"
    "|Predict|Generate(?!Series|DateArray|TimestampArray)|FeaturesAt|VectorSearch|Host|Anonymous"
)
"""Functions that the parser knows and that reach beyond their arguments."""
_ACTS = (exp.DML, exp.DDL, exp.Command, exp.Into, exp.Lock, exp.Set, exp.Pragma)


def pure_query(query: str, dialect: Dialect, tables: Collection[str]) -> tuple[str, str]:
    """Return the query that may run, or what is wrong with it.

    Args:
        query: What the author wrote.
        dialect: Whose SQL it is.
        tables: The names it may read.
    """
    try:
        statements = sqlglot.parse(query, read=dialect)
        if len(statements) != 1 or not isinstance(statements[0], exp.Query):
            return "", "expected one SELECT, got another statement"
        statement = statements[0]
        problem = next(_problems(statement, {name.lower() for name in tables}), "")
        return ("", problem) if problem else (statement.sql(dialect, comments=False), "")
    except SqlglotError as error:
        return "", f"not SQL: {str(error).partition(chr(10))[0][:160]}"


def _problems(statement: Any, tables: Collection[str]) -> Iterator[str]:
    """Yield what a statement does beside computing a number of the tables."""
    for node in statement.find_all(*_ACTS):
        if not isinstance(node, exp.Query):
            yield f"expected a SELECT that changes nothing, got `{type(node).__name__.upper()}`"
    for node in statement.find_all(exp.Func):
        if isinstance(node, exp.Anonymous | exp.AnonymousAggFunc):
            name = node.name.lower()
            if name not in _PURE:
                yield f"expected functions that only compute, got `{name}`"
        elif _REACHING.match(type(node).__name__):
            yield f"expected functions that only compute, got `{node.sql_name().lower()}`"
    yield from _of_tables(statement, tables)


def _of_tables(statement: Any, tables: Collection[str]) -> Iterator[str]:
    seen = set()
    for scope in traverse_scope(statement):
        real = {id(one) for one in scope.sources.values() if isinstance(one, exp.Table)}
        seen |= {id(table) for table in scope.tables}
        for table in scope.tables:
            is_computed = isinstance(table.this, exp.GenerateSeries | exp.Unnest)
            is_named = table.name.lower() in tables and not (table.db or table.catalog)
            if id(table) in real and not (is_computed or is_named):
                there = ", ".join(f"`{name}`" for name in sorted(tables))
                yield f"expected the tables of the contract ({there}), got `{table.sql()[:80]}`"
    if any(id(table) not in seen for table in statement.find_all(exp.Table)):
        yield "expected tables that can be traced, got another query"
