"""Sources and views that many tests read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from feature_project import HEAD, SQL
from roadworthy.data.contract import Contract, Field, LogicalType, Table
from roadworthy.data.relations import SourceTable
from roadworthy.data.views import View, read_view

HOUR_US = 3_600_000_000

__all__ = ["HEAD", "HOUR_US", "SQL", "WEATHER", "source", "view"]

WEATHER: Mapping[str, LogicalType] = {
    "origin": "string",
    "observed_at": "timestamp",
    "known_at": "timestamp",
    "wind_mph": "number",
    "temp_f": "number",
}


def source(
    name: str = "weather",
    fields: Mapping[str, LogicalType] = WEATHER,
    *,
    data: Any = None,
    url: str = "",
    version: str = "1.0.0",
    **options: Any,
) -> SourceTable:
    """Return a source whose contract has these fields; `options` are given to each."""
    columns = tuple(Field(name=n, column=n, type=t, **options) for n, t in fields.items())
    table = Table(name=name, physical_name=name, fields=columns)
    contract = Contract(id=name, version=version, tables=(table,), digest="d" * 64)
    return SourceTable(name=name, contract=contract, table=table, url=url, data=data)


def view(
    sql: str = SQL, head: str = HEAD, name: str = "weather_now", **sources: SourceTable
) -> View:
    """Return a view of these sources, the weather if none are given."""
    return read_view(name, f"{head}\n{sql}\n", sources or {"weather": source()})
