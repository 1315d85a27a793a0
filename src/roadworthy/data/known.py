"""Rows of a view in the order in which they became known: what a stream would have brought."""

# ruff: noqa: S608 - names are quoted by `quoted`

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .opened_sources import open_sources
from .push import plain_rows
from .relations import Sources, as_arrow, failed_read, quoted
from .views import View, prepared

try:
    import duckdb
    import numpy as np
except ImportError:  # the extra `data` is absent; `open_duck` says which line installs it
    duckdb = np = None  # type: ignore[assignment]


class KnownRows:
    """All rows of one view, computed once, to be pushed as time goes by.

    A row became known when its event had happened and it was created. Pushed in this order, rows
    leave online what `materialize` would.

    Args:
        view: Whose rows.
        sources: What it reads.

    Raises:
        DeclarationError: The sources cannot be read as their contracts say.
        NotFound: A source has no rows anywhere.
        MissingExtra: duckdb or pyarrow is not installed.
    """

    def __init__(self, view: View, sources: Sources) -> None:
        self.view = view
        table = _read(view, sources)
        self._known_us = table["known_us"].to_numpy()
        self._rows = table.drop_columns(["known_us"])

    def between(self, after_us: int, until_us: int) -> list[dict[str, Any]]:
        """Return the rows that became known after one moment and by another, as JSON values."""
        first, last = np.searchsorted(self._known_us, (after_us, until_us), side="right")
        return plain_rows(self.view, self._rows.slice(first, max(last - first, 0)).to_pylist())


def _read(view: View, sources: Sources) -> Any:
    try:
        with open_sources(sources[name] for name in view.sources) as connection:
            return as_arrow(connection, _query(view))
    except duckdb.Error as error:
        raise failed_read(error, view.id) from error


def _query(view: View) -> str:
    """Return the view's rows under the names of its author, with when each became known."""
    names = [
        *_named([c.name for c in view.entity], "k"),
        *_named([c.name for c in view.features], "f"),
        f"event_time AS {quoted(view.event_time)}",
    ]
    if view.created_time != view.event_time:
        names.append(f"created_time AS {quoted(view.created_time)}")
    known = "epoch_us(GREATEST(event_time, created_time)) AS known_us"
    order = "known_us, event_time, created_time"
    return f"SELECT {known}, {', '.join(names)} FROM ({prepared(view)}) ORDER BY {order}"


def _named(columns: Sequence[str], prefix: str) -> list[str]:
    return [f"{prefix}{place} AS {quoted(name)}" for place, name in enumerate(columns)]
