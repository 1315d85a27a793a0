"""Fresh features put online by hand, held to what the contracts of a view's sources say of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from ..declare.schemas import describe
from ..errors import ContractViolation, RequestError
from ..types import Clock, Pushed
from .computed import plain
from .contract import Field, Table
from .entity import key_of
from .live import compile_live
from .online import OnlineFeatures, OnlineRow, pack
from .relations import Sources
from .values import is_null, micros_of
from .views import Column, FeatureType, View, online_key

MOST_ROWS = 10_000
"""Rows of one push: more are a file for the sources."""

ROW = "row"

Row = Mapping[str, Any]


class Pusher:
    """Takes rows of one view, checked and compiled once.

    A row holds the entity, the event time and every feature that is stored, null where it is not
    known. A feature that is a field of a source keeps that field's rules; any other keeps its type.
    The creation time is now unless it is given.
    """

    def __init__(self, view: View, sources: Sources) -> None:
        self._view = view
        self._table = table_of(view, sources)
        self._check = compile_live(self._table, ROW)
        times = {view.event_time, view.created_time}
        self._needed = [f.name for f in self._table.fields if f.name not in times]

    def push(self, rows: Sequence[Row], online: OnlineFeatures, clock: Clock) -> Pushed:
        """Put rows online where their event is newer, all of them or, where one is wrong, none.

        Raises:
            RequestError: It is no list of objects.
            ContractViolation: A row breaks a rule; `param` says which field of which row.
            StoreError: The online store cannot be written.
        """
        if not isinstance(rows, list | tuple):
            got = f"rows: expected a list of objects, got {describe(rows)}"
            raise RequestError(got, param="rows")
        if len(rows) > MOST_ROWS:
            got = f"rows: expected at most {MOST_ROWS:,}, got {len(rows):,}; put them in a source"
            raise ContractViolation(got, param="rows")
        for number, row in enumerate(rows):
            if not isinstance(row, Mapping):
                where, fields = f"rows[{number}]", ", ".join((*self._needed, self._view.event_time))
                got = f"{where}: expected an object with {fields}, got {describe(row)}"
                raise RequestError(got, param=where)
        rows = [{n: None if is_null(v) else v for n, v in row.items()} for row in rows]
        for number, row in enumerate(rows):
            if problem := self._check.first_problem(row) or self._absent(row):
                said = f"rows[{number}]{problem.removeprefix(ROW)}"
                raise ContractViolation(said, param=said.partition(":")[0])
        now_us = clock.now_us()
        packed = [self._packed(row, number, now_us) for number, row in enumerate(rows)]
        taken = online.push(online_key(self._view), packed, now_us)
        return Pushed(self._view.id, len(rows), taken)

    def _absent(self, row: Row) -> str:
        for name in self._needed:
            if name not in row:
                return f"{ROW}.{name}: expected a value or null, got none"
        return ""

    def _packed(self, row: Row, number: int, now_us: int) -> OnlineRow:
        view = self._view
        event_us = self._time(row, view.event_time, number, now_us)
        created_us = now_us
        if view.created_time != view.event_time and row.get(view.created_time) is not None:
            created_us = self._time(row, view.created_time, number, now_us)
        key = key_of(view.entity, row.get)
        if key is None:
            where = f"rows[{number}]"
            names = ", ".join(f"`{column.name}`" for column in view.entity)
            raise ContractViolation(
                f"{where}: expected {names} to name an entity, got what is none", param=where
            )
        return OnlineRow(key, event_us, created_us, pack(_values(view.features, row, number)))

    def _time(self, row: Row, name: str, number: int, now_us: int) -> int:
        moment = micros_of(_value(row, name, "timestamp", number))
        if moment > now_us:
            where = f"rows[{number}].{name}"
            raise ContractViolation(
                f"{where}: expected a time that has come, got one in the future", param=where
            )
        return moment


def _values(columns: Iterable[Column], row: Row, number: int) -> list[Any]:
    return [_value(row, column.name, column.type, number) for column in columns]


def _value(row: Row, name: str, kind: FeatureType, number: int) -> Any:
    """Return a value as it is stored; one that is there and that no store can hold is refused."""
    value = plain(row[name], kind)
    if value is None and row[name] is not None:
        where = f"rows[{number}].{name}"
        raise ContractViolation(
            f"{where}: expected a {kind} of the years 1 to 9999 in UTC, got one beyond them"
            if kind in ("date", "timestamp")
            else f"{where}: expected a {kind} that can be stored, got another value",
            param=where,
        )
    return value


def plain_rows(view: View, rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Return rows of a table as JSON values; a NaN is null, times are in UTC."""
    kinds: dict[str, FeatureType] = {c.name: c.type for c in (*view.entity, *view.features)}
    kinds |= {view.event_time: "timestamp", view.created_time: "timestamp"}
    return [
        {name: plain(value, kinds[name]) if name in kinds else value for name, value in row.items()}
        for row in rows
    ]


def table_of(view: View, sources: Sources) -> Table:
    """Return what a view's rows must keep, from the contracts of its sources."""
    optional = {view.created_time} - {view.event_time}
    times = [
        Column(name, "timestamp") for name in dict.fromkeys((view.event_time, view.created_time))
    ]
    must = {view.event_time, *(column.name for column in view.entity)} - optional
    fields = tuple(
        _field(column, view, sources, required=column.name in must)
        for column in (*view.entity, *times, *view.features)
    )
    return Table(name=view.name, physical_name=view.name, fields=fields, is_closed=True)


def _field(column: Column, view: View, sources: Sources, *, required: bool) -> Field:
    source, _, name = view.reads.copies.get(column.name, "").partition(".")
    found = sources[source].table.field(name) if source in sources else None
    if found is None or found.type != column.type:
        found = Field(name=column.name, column=column.name, type=column.type)
    return msgspec.structs.replace(
        found,
        name=column.name,
        column=column.name,
        required=required,
        unique=False,
        key_position=0,
    )
