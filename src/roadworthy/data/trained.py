"""The training set that a service's features are held against: where it is found, and how much."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Engine

from ..errors import NotFound
from ..store.artifacts import Artifacts
from ..store.data_versions import read_snapshot, read_snapshots
from .history import TIME, read_rows, thinned
from .snapshots import Snapshot, read_set
from .views import View

MOST_TRAINED = 20_000
"""Rows of a training set that a regular look takes: as many say how a feature is distributed, and
it stays out of the way of requests."""

HOW_TO_SAVE = "a training set is saved by `roadworthy features history SERVICE --spine FILE --save`"


class Trained(msgspec.Struct, frozen=True):
    """A training set and where it is from.

    Attributes:
        name: A snapshot's id or a file; "" where there is none.
        rows: An Arrow table, or None.
        time: Its column that says as of when each row is.
    """

    name: str
    rows: Any
    time: str = TIME


def find_trained(
    views: Sequence[View],
    state: Engine,
    artifacts: Artifacts,
    file: Path | None = None,
    time: str = TIME,
) -> Trained:
    """Return the training set of a file, or the newest that was saved with all of these views.

    Raises:
        NotFound, StoreError, DeclarationError: The file or the artifact cannot be read.
    """
    if file is not None:
        return Trained(str(file), read_rows(file.absolute(), {}), time)
    wanted = {view.id: view.hash for view in views}
    for saved in read_snapshots(state):
        snapshot = msgspec.convert(saved.detail, Snapshot)
        if snapshot.artifact and wanted.items() <= snapshot.views.items():
            return Trained(snapshot.id, read_set(snapshot, artifacts), snapshot.time)
    return Trained("", None)


def named_set(training: str, state: Engine, artifacts: Artifacts) -> Trained | None:
    """Return a training set by its id; None where it is not saved here with its rows."""
    if not training:
        return None
    try:
        saved = read_snapshot(state, training)
    except NotFound:
        return None
    snapshot = msgspec.convert(saved.detail, Snapshot)
    if not snapshot.artifact:
        return None
    return Trained(snapshot.id, read_set(snapshot, artifacts), snapshot.time)


def thinned_set(trained: Trained) -> Trained:
    """Return a training set with every n-th row, where it has more than are looked at."""
    if trained.rows is None:
        return trained
    return msgspec.structs.replace(trained, rows=thinned(trained.rows, MOST_TRAINED))


def columns_of(rows: Any, names: Iterable[str]) -> dict[str, list[Any]]:
    """Return each column of an Arrow table as a list; empty where it, or the table, is absent."""
    if rows is None:
        return {name: [] for name in names}
    there = set(rows.column_names)
    return {name: rows[name].to_pylist() if name in there else [] for name in names}
