"""From when the rows of a view claim to be known, and what they are made of that was not.

A row counts from its event time and its created time on. What it is made of has to be known by
then: the fields of its own row, and those of other rows that it reaches by a join or through a
window. So the two times are followed to all that they are provably not before: `greatest(a, b)` is
not before `a`, `least(a, b)` may be; `ORDER BY a` lets a window see rows whose `a` is not later;
`ON b.at <= a.at` says so of a join. What cannot be proved so is told, never passed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from .sql_lineage import At, Look, Spot, Tracer
from .view_sql import SqlProblem, name_of

try:
    from sqlglot import exp
    from sqlglot.optimizer.scope import Scope
except ImportError:  # the extra `data` is absent; `parse_select` says which line installs it
    exp = None  # type: ignore[assignment]

WITH_LABEL = "label"
"""What a contract says of a field that is known only with the outcome."""

_AHEAD = frozenset(("lead", "fill", "percent_rank", "cume_dist", "ntile"))
"""Window functions that look at later rows, whatever their frame."""
_EPOCHS = frozenset(("epoch", "epoch_ms", "epoch_us", "epoch_ns"))
_LENGTHS = frozenset(("to_seconds", "to_minutes", "to_hours", "to_days", "to_weeks"))
_TIMES = frozenset(("TIMESTAMP", "TIMESTAMPTZ", "TIMESTAMPNTZ", "TIMESTAMP_NS", "DATETIME"))
_LOOK_BACK = "look back only: `OVER (PARTITION BY entity ORDER BY time ROWS 9 PRECEDING)`"


class Late(NamedTuple):
    """A field that a row is made of and that is not shown to be known when the row counts.

    Attributes:
        field: It, as `source.field`.
        known_at: The field of the same source at which it is known.
        is_declared: Whether its contract says so. Otherwise the view does: its created time is made
            of that field, and this is a field of another row.
    """

    field: str
    known_at: str
    is_declared: bool


class KnownWhen:
    """What the two times of a view are provably not before.

    Args:
        tracer: Of its query.
        event_time, created_time: The outputs from which on a row counts.

    Attributes:
        claims: The fields of sources that the created time is not before by what it is made of.
    """

    def __init__(self, tracer: Tracer, event_time: str, created_time: str) -> None:
        self._tracer = tracer
        self._made = {name: tracer.met(tracer.output(tracer.root, name)) for name in tracer.names}
        self._conditions = tracer.met(tracer.conditions(tracer.root))
        self._later: dict[Spot, set[Spot]] = {}
        created = self._output(tracer.root, created_time)
        fields = map(tracer.field, self._closed(created))
        self.claims = frozenset(field for field in fields if field)
        for at in [*tracer.visited.values()]:
            self._relate(at, ("where", "having", "qualify"))
        for look in [*tracer.looks.values()]:
            self._relate_seen(look.seen, frozenset())
            self._relate_look(look)
        self._known = self._closed(created | self._output(tracer.root, event_time))

    def looks_ahead(self) -> Iterator[SqlProblem]:
        """Yield the windows that see rows which come after the row that looks."""
        for look in self._tracer.looks.values():
            got = _ahead(look) if look.window.function is not None else ""
            if got and not self._is_of_one_moment(look):
                yield SqlProblem("windows that see no later row", got, _LOOK_BACK)

    def late(self, name: str, available: Mapping[str, str]) -> Late | None:
        """Return the first field that an output is made of and that its row cannot know.

        Args:
            name: The output; empty for what decides which rows there are.
            available: Field of a source, as `source.field` → the field at which it is known.
        """
        spots, looks = self._made[name] if name else self._conditions
        keys = (
            (key, look) for look in looks for key in (*look.window.partition, *look.window.order)
        )
        seen = [spot for key, look in keys for spot in self._tracer.reads(key, look.seen)]
        for spot in sorted({*spots, *seen}, key=lambda spot: (self._tracer.field(spot), spot.row)):
            field = self._tracer.field(spot)
            for known_at in self._needed(field, available):
                is_known = Spot(spot.row, known_at.lower()) in self._known
                if known_at == WITH_LABEL or not is_known:
                    return Late(field, known_at, field in available)
        return None

    def _needed(self, field: str, available: Mapping[str, str]) -> list[str]:
        """Return the fields of its row that have to have come for a field to be known."""
        if field in available:
            return [available[field]]
        source = field.partition(".")[0]
        claims = (claim.partition(".") for claim in sorted(self.claims))
        return [name for of, _, name in claims if of == source]

    def _is_of_one_moment(self, look: Look) -> bool:
        """Say whether all rows that a window sees count from the moment of the row that looks."""
        keys = (self._same(key, look.at) for key in look.window.partition)
        return any(key & self._known for key in keys)

    def _closed(self, start: Iterable[Spot]) -> set[Spot]:
        """Return everything that these columns are not before."""
        known: set[Spot] = set()
        todo = [*start]
        while todo:
            spot = todo.pop()
            if spot not in known:
                known.add(spot)
                todo += self._later.get(spot, ())
                inner = self._tracer.inside.get(spot)
                if inner is not None and not inner.scope.is_udtf:
                    todo += self._output(inner, spot.name)
        return known

    def _output(self, at: At, name: str) -> set[Spot]:
        """Return what an output is not before; a row of a union is of one of its sides."""
        return _all(self._floor(made, place) for made, place in self._tracer.made(at, name))

    def _floor(self, node: Any, at: At) -> set[Spot]:
        """Return columns that an expression is never before."""
        if isinstance(node, exp.Paren) or _is_time(node):
            return self._floor(node.this, at)
        if isinstance(node, exp.Column):
            return self._same(node, at)
        if isinstance(node, exp.Greatest):
            return _all(self._floor(part, at) for part in node.iter_expressions())
        if isinstance(node, exp.Coalesce):
            return set.intersection(*(self._floor(part, at) for part in node.iter_expressions()))
        if isinstance(node, exp.Case):
            branches = [*(one.args["true"] for one in node.args["ifs"]), node.args.get("default")]
            return set.intersection(
                *(self._floor(part, at) for part in branches if part is not None)
            )
        if isinstance(node, exp.Add | exp.DateAdd) and _is_positive(node.expression):
            return self._floor(node.this, at)
        if isinstance(node, exp.Max):  # of a group: not before that of any of its rows
            return self._floor(node.this, at)
        if isinstance(node, exp.Window) and isinstance(node.this, exp.Max):
            look = self._tracer.look(node, at)
            own = self._floor(node.this.this, at) if _has_own_row(look) else set()
            return self._floor(node.this.this, look.seen) | own
        return set()

    def _ceiling(self, node: Any, at: At) -> set[Spot]:
        """Return columns that an expression is never after."""
        cuts = (exp.Paren, exp.TimestampTrunc, exp.DateTrunc)
        if isinstance(node, cuts) or _is_time(node) or _is_date(node):
            return self._ceiling(node.this, at)
        if isinstance(node, exp.Column):
            return self._same(node, at)
        if isinstance(node, exp.Least):
            return _all(self._ceiling(part, at) for part in node.iter_expressions())
        if isinstance(node, exp.Sub | exp.DateSub) and _is_positive(node.expression):
            return self._ceiling(node.this, at)
        return set()

    def _same(self, node: Any, at: At) -> set[Spot]:
        """Return the column that an expression is, or is ordered like; none where it is neither."""
        while isinstance(node, exp.Paren | exp.Ordered) or _is_time(node) or _is_epoch(node):
            node = next(node.iter_expressions())
        if not isinstance(node, exp.Column):
            return set()
        if node.table:
            return {self._tracer.spot(node, at)}
        return _all(self._same(made, there) for made, there in self._tracer.made(at, node.name))

    def _relate(self, at: At, keys: Iterable[str]) -> None:
        """Learn from the conditions of a query which times of its rows are not after which."""
        query = at.scope.expression
        for part in filter(None, map(query.args.get, keys)):
            for before, after in _ordered(part.this):
                self._learn(before, after, at, ())
        for join in query.args.get("joins") or ():
            on = join.args.get("on")
            is_guessed = join.method == "ASOF" and all(
                isinstance(c, exp.EQ) for c in _conjuncts(on)
            )
            if on is None or is_guessed:  # `ASOF … USING` has lost which column is the time
                continue
            is_outer = bool(join.side) or join.kind == "ANTI"
            for before, after in _ordered(on):
                self._learn(before, after, at, (*at.row, join.alias_or_name) if is_outer else ())

    def _relate_seen(self, at: At, above: frozenset[int]) -> None:
        """Learn the same of the rows that a window sees: they are rows of the same query."""
        if id(at.scope) in above:
            return
        self._relate(at, ("where",))
        for name, (_, source) in at.scope.selected_sources.items():
            if isinstance(source, Scope) and not source.is_udtf:
                self._relate_seen(At(source, (*at.row, name), at), above | {id(at.scope)})

    def _learn(self, before: Any, after: Any, at: At, table: tuple[str, ...]) -> None:
        """Note that `before` is not after `after`.

        Of an outer join that is so where a row of its `table` was found, or else one of the two is
        null: so only where just one of them is of that table.
        """
        for later in self._ceiling(after, at):
            for earlier in self._floor(before, at):
                sides = [spot.row[: len(table)] == table for spot in (later, earlier)]
                if not table or sides.count(True) == 1:
                    self._later.setdefault(later, set()).add(earlier)

    def _relate_look(self, look: Look) -> None:
        """Note that the rows that a window sees are not after the row that looks."""
        keys = [*look.window.partition]
        if not _ahead(look) and not look.window.order[0].args.get("nulls_first"):
            keys.append(look.window.order[0])
        for key in keys:
            for here in self._same(key, look.at):
                self._later.setdefault(here, set()).update(self._same(key, look.seen))


def _all(found: Iterable[set[Spot]]) -> set[Spot]:
    return set[Spot]().union(*found)


def _ahead(look: Look) -> str:
    """Say what lets a window see later rows, whatever they hold; empty where nothing does."""
    function, _, order, frame = look.window
    if function is None:
        return "" if order and not order[0].args.get("desc") else "the last rows"
    while isinstance(function, exp.IgnoreNulls | exp.RespectNulls | exp.Filter):
        function = function.this
    name, offset = name_of(function), function.args.get("offset")
    if name in _AHEAD:
        return f"`{name}`, which looks at them"
    if isinstance(function, exp.Lag) and offset is not None and not _is_positive(offset):
        return f"`lag` by `{offset.sql()[:40]}`"
    sides = [frame.args.get(key) for key in ("start_side", "end_side")] if frame else []
    if "FOLLOWING" in [str(side).upper() for side in sides]:
        return f"`{name}` of rows that are `FOLLOWING`"
    if not order:
        return f"`{name}` of all rows, without `ORDER BY`"
    is_reversed = order[0].args.get("desc")
    return f"`{name}` from the latest to the first, by `DESC`" if is_reversed else ""


def _has_own_row(look: Look) -> bool:
    frame = look.window.frame
    return frame is None or str(frame.args.get("end") or "CURRENT ROW").upper() == "CURRENT ROW"


def _ordered(condition: Any) -> Iterator[tuple[Any, Any]]:
    """Yield of each comparison that has to hold what is not after what."""
    for one in _conjuncts(condition):
        if isinstance(one, exp.LT | exp.LTE | exp.EQ | exp.NullSafeEQ):
            yield one.this, one.expression
        if isinstance(one, exp.GT | exp.GTE | exp.EQ | exp.NullSafeEQ):
            yield one.expression, one.this
        if isinstance(one, exp.Between):
            yield one.args["low"], one.this
            yield one.this, one.args["high"]


def _conjuncts(condition: Any) -> Iterator[Any]:
    while isinstance(condition, exp.Paren):
        condition = condition.this
    if isinstance(condition, exp.And):
        yield from _conjuncts(condition.this)
        yield from _conjuncts(condition.expression)
    elif condition is not None:
        yield condition


def _is_time(node: Any) -> bool:
    """Say whether a node changes nothing about a time but its type."""
    if isinstance(node, exp.AtTimeZone):
        return str(node.args["zone"].name).upper() == "UTC"
    return isinstance(node, exp.Cast) and node.to.this.name in _TIMES


def _is_date(node: Any) -> bool:
    return isinstance(node, exp.Cast) and node.to.this.name == "DATE"


def _is_epoch(node: Any) -> bool:
    return isinstance(node, exp.Func) and name_of(node) in _EPOCHS


def _is_positive(node: Any) -> bool:
    """Say whether a length of time, or a number, is written out and not below zero."""
    if isinstance(node, exp.Interval):
        node = node.this
    elif isinstance(node, exp.Anonymous) and name_of(node) in _LENGTHS:
        node = node.expressions[0]
    return isinstance(node, exp.Literal) and bool(re.fullmatch(r"\d+(\.\d+)?", node.name))
