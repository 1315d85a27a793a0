"""What the SELECT of a feature view may say, what it reads, and how it is written in one way only.

A view must give the same rows from the same sources whenever it runs: so nothing random, no clock,
no table but its sources, and no order that the sources do not have.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ..errors import MissingExtra

try:
    from sqlglot import exp, parse
    from sqlglot.errors import SqlglotError
    from sqlglot.optimizer.normalize_identifiers import normalize_identifiers
except ImportError:  # the extra `data` is absent; `parse_select` says which line installs it
    exp = None  # type: ignore[assignment]

DIALECT = "duckdb"

UNSTABLE = frozenset(
    (
        *("random", "rand", "setseed", "uuid", "uuidv4", "uuidv7", "gen_random_uuid", "nextval"),
        *("currval", "now", "today", "current_date", "current_time", "current_timestamp"),
        *("current_localtime", "current_localtimestamp", "localtime", "localtimestamp"),
        *("get_current_time", "get_current_timestamp", "transaction_timestamp", "txid_current"),
        *("current_user", "current_database", "current_schema", "current_schemas", "user"),
        *("current_catalog", "current_setting", "current_query", "getvariable", "getenv"),
        *("session_user", "version", "in_search_path", "age", "sleep_ms", "write_log", "stats"),
    )
)
"""Functions whose value depends on when, where or how often they run. `age(x)` counts until now."""

UNORDERED = frozenset(
    (
        *("any_value", "arbitrary", "first", "last", "mode", "approx_top_k", "list", "array_agg"),
        *("string_agg", "group_concat", "listagg", "histogram", "reservoir_quantile"),
    )
)
"""Aggregates that take whichever row comes first, unless they are told an order."""

NEEDS_ORDER = frozenset(
    (
        *("row_number", "rank", "dense_rank", "percent_rank", "cume_dist", "ntile"),
        *("lag", "lead", "first_value", "last_value", "nth_value"),
    )
)
"""Window functions that mean nothing without an order."""

EXACT = frozenset(
    (
        *("count", "count_if", "min", "max", "arg_max", "arg_min", "bool_and", "bool_or"),
        *("first", "last", "any_value", "quantile_disc", "approx_count_distinct"),
    )
)
"""Aggregates whose value does not depend on the order of their rows, or that are told one."""


class SqlProblem(ValueError):
    """A SELECT is not what a view may be.

    Attributes:
        expected, got, advice: What a message needs.
    """

    def __init__(self, expected: str, got: str, advice: str = "") -> None:
        super().__init__(f"expected {expected}, got {got}")
        self.expected, self.got, self.advice = expected, got, advice


def parse_select(text: str) -> Any:
    """Return the one SELECT in `text`, as sqlglot's tree.

    Raises:
        SqlProblem: It is not exactly one query, or cannot be parsed.
        MissingExtra: sqlglot is not installed.
    """
    if exp is None:
        raise MissingExtra("data", "a feature view")
    try:
        statements = [found for found in parse(text, dialect=DIALECT) if found is not None]
    except SqlglotError as error:
        raise SqlProblem("one SELECT", first_line(error)) from error
    if len(statements) != 1:
        raise SqlProblem("one SELECT", f"{len(statements) or 'no'} statements")
    if not isinstance(statements[0], exp.Query):
        raise SqlProblem("one SELECT", f"`{statements[0].key.upper()}`")
    return statements[0]


def normalised(query: Any) -> str:
    """Return a query in one spelling: without comments, case and spacing of its author."""
    query = normalize_identifiers(query.copy(), dialect=DIALECT)
    for frame in query.find_all(exp.WindowSpec):  # sqlglot keeps these words as they were written
        for key, word in frame.args.items():
            if isinstance(word, str):
                frame.set(key, word.upper())
    text: str = query.sql(DIALECT, comments=False)
    return text


def problems_of(query: Any, sources: frozenset[str]) -> Iterator[SqlProblem]:
    """Yield what a view may not say: other tables, unstable functions, order that nothing gives."""
    yield from _foreign_tables(query, sources)
    for node in query.find_all(exp.Func):
        yield from _unstable(node)
    yield from _loose_windows(query)
    for node in query.find_all(exp.Join):
        if node.method in ("NATURAL", "POSITIONAL"):
            got = f"`{node.method} JOIN`"
            yield SqlProblem("a join that names its columns", got, "write `ON` or `USING`")
    for node in query.find_all(exp.TableSample):
        yield SqlProblem("all rows of a source", f"`{node.sql(DIALECT).strip()}`")
    for node in query.find_all(exp.Limit, exp.Fetch, exp.Offset):
        if not node.parent.args.get("order"):
            yield SqlProblem("an `ORDER BY` before a limit", "a limit of rows in any order")
    for node in query.find_all(exp.Distinct):
        if node.args.get("on") and not node.parent.args.get("order"):
            yield SqlProblem("an `ORDER BY` with `DISTINCT ON`", "rows in any order")
    for node in query.find_all(exp.Placeholder, exp.Parameter):
        yield SqlProblem("a query without parameters", f"`{node.sql(DIALECT)}`")


def _loose_windows(query: Any) -> Iterator[SqlProblem]:
    for node in query.find_all(exp.Window):
        name = name_of(node.this.this if isinstance(node.this, exp.IgnoreNulls) else node.this)
        if name in NEEDS_ORDER and not node.args.get("order"):
            yield SqlProblem("an `ORDER BY` within `OVER`", f"`{name}` without one")
    for node in query.find_all(exp.WindowSpec):
        if node.args.get("exclude"):
            # sqlglot does not write it, so that no version of the view would hold it.
            yield SqlProblem("a window without `EXCLUDE`", "a window that leaves rows out")


def is_summed(text: str) -> bool:
    """Return whether a query adds up rows in an order that is up to the engine."""
    return any(
        name_of(node) not in EXACT and not _is_windowed(node)
        for node in parse_select(text).find_all(exp.AggFunc, exp.Anonymous)
    )


def _foreign_tables(query: Any, sources: frozenset[str]) -> Iterator[SqlProblem]:
    names = {cte.alias_or_name.lower() for cte in query.find_all(exp.CTE)}
    known = {name.lower() for name in sources}
    listed = ", ".join(f"`{name}`" for name in sorted(sources))
    for table in query.find_all(exp.Table):
        is_named = isinstance(table.this, exp.Identifier) and not (table.db or table.catalog)
        if is_named and table.name.lower() in names | known:
            continue
        got = f"`{table.sql(DIALECT)[:60]}`"
        yield SqlProblem(f"only its sources ({listed})", got, "declare it in `sources`")


def _unstable(node: Any) -> Iterator[SqlProblem]:
    name = name_of(node)
    if name in UNSTABLE and not (name == "age" and len(list(node.iter_expressions())) > 1):
        advice = "times come from the sources' own columns"
        yield SqlProblem("the same rows whenever it runs", f"`{name}`", advice)
    inner = node.find(exp.Order)
    if name in UNORDERED and inner is None and not _is_windowed(node):
        yield SqlProblem(
            f"`{name}` with an order", f"`{name}` of any row", "use `arg_max(value, time)` or `max`"
        )


def _is_windowed(node: Any) -> bool:
    wrapper = node.parent
    while isinstance(wrapper, exp.IgnoreNulls | exp.RespectNulls | exp.Filter):
        wrapper = wrapper.parent
    return isinstance(wrapper, exp.Window)


def name_of(node: Any) -> str:
    """Return the name a function has in SQL, in lower case, whichever class sqlglot gave it."""
    if isinstance(node, exp.Anonymous):
        return str(node.name).lower()
    found = re.match(r"\w+", node.sql(DIALECT))
    return found[0].lower() if found else ""


def first_line(error: Exception) -> str:
    """Return what sqlglot says of a query, without its colours."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip().partition("\n")[0]
    return f"`{text[:160]}`"
