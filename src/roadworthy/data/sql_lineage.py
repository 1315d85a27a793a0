"""Which fields of sources each column of a query is made of, and of which of their rows.

A field alone does not say enough: in a query that joins a table with itself, or looks through a
window, one field is read of several rows. So each is followed together with the row it is of.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from .view_sql import DIALECT, SqlProblem, first_line

try:
    from sqlglot import exp
    from sqlglot.errors import SqlglotError
    from sqlglot.optimizer.qualify import qualify
    from sqlglot.optimizer.scope import Scope, build_scope
except ImportError:  # the extra `data` is absent; `parse_select` says which line installs it
    exp = None  # type: ignore[assignment]

Lineage = Mapping[str, frozenset[str]]
Schema = Mapping[str, Mapping[str, str]]
"""Source → field → its SQL type."""

_MADE_UP = re.compile(r"_col_\d+")
_NAME_THEM = "name each column that is read, without `COLUMNS`, `PIVOT`, `UNPIVOT` and whole rows"


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


def reads_of(tracer: Tracer) -> Reads:
    """Return which fields each output of a query, and its conditions, are made of."""
    root = tracer.root
    return Reads(
        outputs={name: tracer.fields(tracer.output(root, name)) for name in tracer.names},
        conditions=tracer.fields(tracer.conditions(root)),
        copies={name: found for name in tracer.names if (found := tracer.copied(root, name))},
    )


class At(NamedTuple):
    """A query within the query, and through which tables one of its rows is reached."""

    scope: Any
    row: tuple[str, ...]
    outer: At | None = None


class Spot(NamedTuple):
    """One column of one row.

    Attributes:
        row: Through which tables the row is reached; rows of two paths may be two rows.
        name: The column, in lower case.
    """

    row: tuple[str, ...]
    name: str


class Look(NamedTuple):
    """A window function, or a limit: the row that looks, and any row that it is held against."""

    window: Window
    at: At
    seen: At


class Window(NamedTuple):
    """What a window function is told, with what it takes over from a window that has a name.

    Of a `LIMIT` or a `DISTINCT ON` the function is None.
    """

    function: Any
    partition: tuple[Any, ...]
    order: tuple[Any, ...]
    frame: Any


class Tracer:
    """Follows columns through subqueries, CTEs and unions down to the sources.

    Args:
        query: A query whose columns exist.
        schema: What it may read.
        columns: The names of its outputs, as the engine that runs it spells them.

    Attributes:
        root: The query itself.
        names: Output, as the engine spells it → sqlglot's name of it.
        looks: The window functions that were met so far.
        visited: The queries whose rows were met so far, by the path to them.
        inside: Which query the columns of subqueries that were met so far are outputs of.

    Raises:
        SqlProblem: A column cannot be traced to a field.
    """

    def __init__(self, query: Any, schema: Schema, columns: Sequence[str]) -> None:
        try:
            told: Any = {name: dict(fields) for name, fields in schema.items()}
            whole = qualify(query.copy(), dialect=DIALECT, schema=told, quote_identifiers=False)
            scope = build_scope(whole)
        except SqlglotError as error:
            raise SqlProblem("columns that can be traced", first_line(error), _NAME_THEM) from error
        if scope is None:
            raise SqlProblem("one SELECT", "a query that cannot be traced")
        _refuse_untraced(whole)
        self.root = At(scope, ())
        self.looks: dict[tuple[str, ...], Look] = {}
        self.visited: dict[tuple[str, ...], At] = {}
        self.inside: dict[Spot, At] = {}
        self._leaves: dict[Spot, str] = {}
        self._of = {id(one.expression): one for one in scope.traverse() if not one.is_udtf}
        self._numbers: dict[int, int] = {}
        self._schema = {
            source.lower(): {field.lower(): f"{source}.{field}" for field in schema[source]}
            for source in schema
        }
        self._open: set[tuple[int, str]] = set()
        self.names = self._spelt(scope, columns)

    def _spelt(self, scope: Any, columns: Sequence[str]) -> dict[str, str]:
        """Return sqlglot's name of each output: it writes names small, and makes up others."""
        names = [column.alias_or_name for column in selects(scope)]
        is_same = len(names) == len(columns) and all(
            name.lower() == column.lower() or _MADE_UP.fullmatch(name)
            for name, column in zip(names, columns, strict=True)
        )
        if not is_same:
            listed = ", ".join(f"`{name}`" for name in columns)[:300]
            raise SqlProblem("columns that can be traced", listed, _NAME_THEM)
        return dict(zip(columns, names, strict=True))

    def fields(self, spots: Iterator[Spot]) -> frozenset[str]:
        """Return the fields of sources that columns are, whichever rows they are of."""
        return frozenset(self._leaves[spot] for spot in spots)

    def field(self, spot: Spot) -> str:
        """Return the field of a source that a column is, as `source.field`; empty for others."""
        return self._leaves.get(spot, "")

    def output(self, at: At, name: str) -> Iterator[Spot]:
        """Yield what one output column is made of."""
        for column, place in self.made(at, name):
            yield from self.reads(column, place)

    def made(self, at: At, name: str) -> Iterator[tuple[Any, At]]:
        """Yield the expressions that give an output column: of a union, one for each side."""
        if at.scope is self.root.scope:
            name = self.names.get(name, name)
        step = (id(at.scope), name.lower())
        if step in self._open:  # a recursive query meets itself
            return
        self._open.add(step)
        try:
            sides = at.scope.set_operation_scopes
            names = [column.alias_or_name.lower() for column in selects(at.scope)]
            if name.lower() not in names:
                raise _untraced(name)
            place = names.index(name.lower())
            for number, side in enumerate(sides):
                inner = selects(side)[place].alias_or_name
                yield from self.made(_side(at, number), inner)
            if not sides:
                yield selects(at.scope)[place].unalias(), at
        finally:
            self._open.discard(step)

    def copied(self, at: At, name: str) -> str:
        """Return the field that an output column is, unchanged; empty where it is none."""
        found = [] if at.scope.is_udtf else list(self.made(at, name))
        if len(found) != 1 or not isinstance(found[0][0], exp.Column) or not found[0][0].table:
            return ""
        spot = self.spot(*found[0])
        inner = self.inside.get(spot)
        return self.field(spot) if inner is None else self.copied(inner, spot.name)

    def conditions(self, at: At) -> Iterator[Spot]:
        """Yield what decides which rows there are."""
        step = (id(at.scope), "")
        if step in self._open:
            return
        self._open.add(step)
        try:
            self.visited[at.row] = at
            for part in _parts(at.scope.expression):
                yield from self.reads(part, at)
            cut = _cut_of(at.scope.expression)
            if cut is not None:
                self._looked(cut, at, "cut")
            for name, source in at.scope.sources.items():
                if isinstance(source, Scope) and source.is_udtf:
                    yield from self.reads(source.expression, at)
                elif isinstance(source, Scope) and name in at.scope.selected_sources:
                    yield from self.conditions(At(source, (*at.row, name), at))
            for number in range(len(at.scope.set_operation_scopes)):
                yield from self.conditions(_side(at, number))
        finally:
            self._open.discard(step)

    def reads(self, node: Any, at: At) -> Iterator[Spot]:
        """Yield the fields that an expression of a query is made of."""
        scope = self._of.get(id(node))
        if scope is not None:
            yield from self._subquery(node, scope, at)
        elif isinstance(node, exp.Column):
            yield from self._column(node, at)
        elif isinstance(node, exp.Window) and node.args.get("over"):
            look = self.look(node, at)
            yield from self.reads(look.window.function, look.seen)
            for key in (*node.args.get("partition_by", ()), *_order_of(node)):
                yield from self.reads(key, at)
        else:
            for part in node.iter_expressions():
                yield from self.reads(part, at)

    def _subquery(self, node: Any, scope: Any, at: At) -> Iterator[Spot]:
        number = self._numbers.setdefault(id(node), len(self._numbers))
        inner = At(scope, (*at.row, f"({number})"), at)
        if not isinstance(node.parent, exp.Exists):
            for column in selects(scope):
                yield from self.output(inner, column.alias_or_name)
        yield from self.conditions(inner)

    def _column(self, column: Any, at: At) -> Iterator[Spot]:
        if not column.table:  # the name of an output, in ORDER BY and its like
            for made, place in self.made(at, column.name):
                yield from self.reads(made, place)
            return
        spot = self.spot(column, at)
        inner = self.inside.get(spot)
        if inner is None:
            yield spot
        elif inner.scope.is_udtf:
            yield from self.reads(inner.scope.expression, inner.outer or at)
        else:
            yield from self.output(inner, spot.name)

    def spot(self, column: Any, at: At) -> Spot:
        """Return the column of a table that a column of a query names.

        Raises:
            SqlProblem: There is no such column of a source.
        """
        where: At | None = at
        while where is not None and column.table not in where.scope.sources:
            where = where.outer
        if where is None:
            raise _untraced(column.sql(DIALECT))
        source = where.scope.sources[column.table]
        spot = Spot((*where.row, column.table), column.name.lower())
        if isinstance(source, Scope):
            self.inside[spot] = At(source, spot.row, where)
        else:
            found = self._schema.get(source.name.lower(), {}).get(spot.name)
            if found is None:
                raise _untraced(column.sql(DIALECT))
            self._leaves[spot] = found
        return spot

    def met(self, spots: Iterator[Spot]) -> tuple[list[Spot], list[Look]]:
        """Return columns, and the window functions on the way to them."""
        before, self.looks = self.looks, {}
        try:
            return list(spots), [*self.looks.values()]
        finally:
            self.looks = before | self.looks

    def look(self, node: Any, at: At) -> Look:
        """Return a window function as a row meets it; equal windows see the same rows."""
        return self._looked(window_of(node, at.scope.expression), at, node.sql(DIALECT))

    def _looked(self, window: Window, at: At, name: str) -> Look:
        told = (*window.partition, "by", *window.order, window.frame)
        spelt = " ".join(
            part if isinstance(part, str) else part.sql(DIALECT) for part in told if part
        )
        seen = At(at.scope, (*at.row, f"over {spelt}"), at.outer)
        return self.looks.setdefault((*seen.row, name), Look(window, at, seen))


def window_of(node: Any, query: Any) -> Window:
    """Return what a window function is told, with what a window of the query adds that it names."""
    named = {w.name.lower(): w for w in query.args.get("windows") or ()}
    partition: list[Any] = []
    order: list[Any] = []
    frame, found = None, node
    while found is not None:
        partition = list(found.args.get("partition_by") or ()) or partition
        order = _order_of(found) or order
        frame = frame or found.args.get("spec")
        alias = found.args.get("alias")
        found = named.pop(alias.name.lower(), None) if alias is not None else None
    return Window(node.this, tuple(partition), tuple(order), frame)


def _cut_of(query: Any) -> Window | None:
    """Return what decides which rows a query keeps of those that it finds; None where it keeps all.

    What `DISTINCT ON` names need not be told apart by the order any more.
    """
    distinct = query.args.get("distinct")
    on = distinct.args.get("on") if isinstance(distinct, exp.Distinct) else None
    if on is None and not any(query.args.get(key) for key in ("limit", "offset")):
        return None
    keys = [] if on is None else list(on.expressions)
    names = {key.name.lower() for key in keys}
    order = [one for one in _order_of(query) if one.this.name.lower() not in names]
    return Window(None, tuple(keys), tuple(order), None)


def selects(scope: Any) -> list[Any]:
    """Return the output columns of a scope's query."""
    query: Any = scope.expression
    return list(query.selects)


def _order_of(window: Any) -> list[Any]:
    order = window.args.get("order")
    return [] if order is None else list(order.expressions)


def _side(at: At, number: int) -> At:
    return At(at.scope.set_operation_scopes[number], (*at.row, f"side {number}"), at.outer)


def _parts(query: Any) -> Iterator[Any]:
    keys = ("where", "group", "having", "qualify", "order", "distinct")
    parts = [query.args.get(key) for key in keys]
    parts += [join.args.get("on") for join in query.args.get("joins") or ()]
    for window in query.args.get("windows") or ():
        parts += [*(window.args.get("partition_by") or ()), *_order_of(window)]
    return (part for part in parts if isinstance(part, exp.Expression))


def _refuse_untraced(query: Any) -> None:
    """Refuse what hides which columns are read.

    Raises:
        SqlProblem: There is such a thing.
    """
    for node in query.find_all(exp.TableColumn):
        raise SqlProblem("columns by their names", f"the whole row of `{node.name}`", _NAME_THEM)
    hidden = (exp.Pivot, exp.Columns, exp.PositionalColumn)
    for node in query.find_all(*hidden):
        raise _untraced(node.sql(DIALECT).strip())
    for node in query.find_all(exp.Star):
        if not isinstance(node.parent, exp.Count):
            raise _untraced(node.parent.sql(DIALECT))
    for node in query.find_all(exp.SetOperation):
        if node.args.get("by_name"):
            advice = "write the columns of both sides in one order"
            raise SqlProblem("columns that can be traced", "`BY NAME`", advice)


def _untraced(got: str) -> SqlProblem:
    return SqlProblem("columns that can be traced", f"`{got[:160]}`", _NAME_THEM)
