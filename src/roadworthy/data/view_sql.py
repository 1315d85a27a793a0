"""What the SELECT of a feature view may say, what it reads, and how it is written in one way only.

A view must give the same rows from the same sources whenever it runs: so nothing random, no clock,
no table but its sources, and no order that the sources do not have.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from ..errors import MissingExtra

try:
    from sqlglot import exp, parse
    from sqlglot.errors import SqlglotError
    from sqlglot.optimizer.normalize_identifiers import normalize_identifiers
    from sqlglot.optimizer.qualify import qualify
    from sqlglot.optimizer.scope import Scope, build_scope
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

_MADE_UP = re.compile(r"_col_\d+")
_NAME_THEM = "name each column in the SELECT, without `COLUMNS`, `PIVOT` or `UNPIVOT`"

Lineage = Mapping[str, frozenset[str]]


class SqlProblem(ValueError):
    """A SELECT is not what a view may be.

    Attributes:
        expected, got, advice: What a message needs.
    """

    def __init__(self, expected: str, got: str, advice: str = "") -> None:
        super().__init__(f"expected {expected}, got {got}")
        self.expected, self.got, self.advice = expected, got, advice


class Reads(msgspec.Struct, frozen=True):
    """What a SELECT is made of.

    Attributes:
        outputs: Output column → the fields of sources whose values it is made of.
        conditions: The fields that decide which rows there are: filters, joins, groups.
        copies: Output column → the field whose value it is, unchanged, where it is one.
    """

    outputs: Mapping[str, frozenset[str]]
    conditions: frozenset[str]
    copies: Mapping[str, str]

    @property
    def everything(self) -> frozenset[str]:
        """Every field that is read, as `source.field`."""
        return self.conditions.union(*self.outputs.values())


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
        raise SqlProblem("one SELECT", _first_line(error)) from error
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
    for node in query.find_all(exp.Window):
        name = _name_of(node.this.this if isinstance(node.this, exp.IgnoreNulls) else node.this)
        if name in NEEDS_ORDER and not node.args.get("order"):
            yield SqlProblem("an `ORDER BY` within `OVER`", f"`{name}` without one")
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


def is_summed(text: str) -> bool:
    """Return whether a query adds up rows in an order that is up to the engine."""
    return any(
        _name_of(node) not in EXACT and not _is_windowed(node)
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
    name = _name_of(node)
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


def _name_of(node: Any) -> str:
    """Return the name a function has in SQL, in lower case, whichever class sqlglot gave it."""
    if isinstance(node, exp.Anonymous):
        return str(node.name).lower()
    found = re.match(r"\w+", node.sql(DIALECT))
    return found[0].lower() if found else ""


def reads_of(query: Any, schema: Mapping[str, Mapping[str, str]], columns: Sequence[str]) -> Reads:
    """Return which fields each output and each condition is made of.

    Args:
        query: A query whose columns exist.
        schema: Source → field → its SQL type.
        columns: The names of its outputs, as the engine that runs it spells them.

    Raises:
        SqlProblem: sqlglot cannot tell which table a column is of.
    """
    try:
        told: Any = {name: dict(fields) for name, fields in schema.items()}
        whole = qualify(query.copy(), dialect=DIALECT, schema=told, quote_identifiers=False)
        root = build_scope(whole)
    except SqlglotError as error:
        raise SqlProblem("columns that can be traced", _first_line(error)) from error
    if root is None:
        raise SqlProblem("one SELECT", "a query that cannot be traced")
    tracer = _Tracer(root, schema)
    spelt = _spelt([column.alias_or_name for column in _selects(root)], columns)
    outputs = {spelt[name]: frozenset(tracer.output(root, name)) for name in spelt}
    copies = {spelt[name]: field for name in spelt if (field := tracer.copied(root, name))}
    return Reads(outputs, frozenset(tracer.conditions()), copies)


def _spelt(names: Sequence[str], columns: Sequence[str]) -> dict[str, str]:
    """Return how the engine spells each output: sqlglot writes names small, and makes up others."""
    is_same = len(names) == len(columns) and all(
        name.lower() == column.lower() or _MADE_UP.fullmatch(name)
        for name, column in zip(names, columns, strict=True)
    )
    if not is_same:
        listed = ", ".join(f"`{name}`" for name in columns)
        raise SqlProblem("columns that can be traced", listed[:300], _NAME_THEM)
    return dict(zip(names, columns, strict=True))


class _Tracer:
    """Follows columns through subqueries, CTEs and unions down to the sources."""

    def __init__(self, root: Scope, schema: Mapping[str, Mapping[str, str]]) -> None:
        self._scopes = list(root.traverse())
        self._of = {id(scope.expression): scope for scope in self._scopes}
        self._known = {name.lower(): name for name in schema}
        self._fields = {
            (source.lower(), field.lower()): field for source in schema for field in schema[source]
        }
        self._open: set[tuple[int, str]] = set()

    def output(self, scope: Scope, name: str) -> set[str]:
        """Return what one output column of a scope is made of."""
        step = (id(scope), name.lower())
        if step in self._open:  # a recursive query meets itself
            return set()
        self._open.add(step)
        try:
            if scope.set_operation_scopes:
                return self._of_union(scope, name)
            made = [c for c in _selects(scope) if c.alias_or_name.lower() == name.lower()]
            return {field for column in made for field in self._within(column)}
        finally:
            self._open.discard(step)

    def _of_union(self, scope: Scope, name: str) -> set[str]:
        names = [c.alias_or_name.lower() for c in _selects(scope)]
        place = names.index(name.lower())
        found = set()
        for side in scope.set_operation_scopes:
            found |= self.output(side, _selects(side)[place].alias_or_name)
        return found

    def copied(self, scope: Scope, name: str) -> str:
        """Return the field that an output column is, unchanged; empty where it is none."""
        made = [c for c in _selects(scope) if c.alias_or_name.lower() == name.lower()]
        column = made[0].unalias() if len(made) == 1 and not scope.set_operation_scopes else None
        if not isinstance(column, exp.Column):
            return ""
        source = scope.sources.get(column.table)
        if isinstance(source, Scope):
            return "" if source.is_udtf else self.copied(source, column.name)
        (field,) = self._column(column) or {""}
        return field

    def conditions(self) -> set[str]:
        """Return what decides which rows there are."""
        found: set[str] = set()
        for scope in self._scopes:
            parts = [
                scope.expression.args.get(key)
                for key in ("where", "group", "having", "qualify", "order", "distinct")
            ]
            for key in ("joins", "windows"):
                parts += scope.expression.args.get(key) or ()
            for part in parts:
                if isinstance(part, exp.Expression):
                    found |= self._within(part)
        return found

    def _within(self, node: Any) -> set[str]:
        return {field for column in node.find_all(exp.Column) for field in self._column(column)}

    def _column(self, column: Any) -> set[str]:
        scope: Scope | None = self._scope_of(column)
        while scope is not None:
            source = scope.sources.get(column.table)
            if isinstance(source, Scope):
                if source.is_udtf:
                    return self._within(source.expression)
                return self.output(source, column.name)
            if source is not None:
                table = self._known.get(source.name.lower(), source.name)
                field = self._fields.get((table.lower(), column.name.lower()), column.name)
                return {f"{table}.{field}"}
            scope = scope.parent
        return set()

    def _scope_of(self, node: Any) -> Scope | None:
        while node is not None:
            scope = self._of.get(id(node))
            if scope is not None:
                return scope
            node = node.parent
        return None


def _selects(scope: Scope) -> list[Any]:
    """Return the output columns of a scope's query."""
    query: Any = scope.expression
    return list(query.selects)


def _first_line(error: Exception) -> str:
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip().partition("\n")[0]
    return f"`{text[:160]}`"
