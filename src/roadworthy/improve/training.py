"""Accepted examples as a training set: what was asked, what was served, what was right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Engine

from ..data.snapshots import Snapshot, TrainingSet, row_hash, save_set, write_rows
from ..errors import MissingExtra
from ..store.artifacts import Artifacts
from ..types import Clock
from .exported import Leaving, check_new, classes_of

try:
    import pyarrow
except ImportError:  # the extra `data` is absent; `make_set` says which line installs it
    pyarrow = None

TIME = "known_at"
LINEAGE = ("example_id", "request_id", "release", "review_id", "source")
OURS = ("label", "output", "is_correction", "weight", TIME, *LINEAGE)
"""Columns that every training set has; an input or feature of such a name gets `input.` before."""

_SPINE = ["example_id", "request_id", TIME]
_encode = msgspec.json.Encoder(order="deterministic").encode


class TrainingWritten(msgspec.Struct, frozen=True):
    """What was written as a training set.

    Attributes:
        snapshot: What it is; its id gives it back, and the same rows have the same.
        classes: Label as JSON → rows with it; one class alone teaches nothing.
    """

    file: str
    snapshot: Snapshot
    classes: Mapping[str, int]


def make_set(service: str, rows: Sequence[Leaving]) -> TrainingSet:
    """Return examples as an Arrow table with what it was made of.

    The features are those that the record says were served: nothing is joined anew, so nothing can
    come in that was not known then.

    Raises:
        MissingExtra: pyarrow is not installed.
    """
    if pyarrow is None:
        raise MissingExtra("data", "writing a training set")
    made = [_row_of(one) for one in rows]
    names = sorted({name for row in made for name in row} - set(OURS))
    table = pyarrow.table({name: _column(name, made) for name in (*names, *OURS)})
    spine = table.select(_SPINE)
    facts: dict[str, Any] = {
        "spine": row_hash(spine),
        "time": TIME,
        "views": {},
        "contracts": {},
        "rows": table.num_rows,
        "columns": tuple(table.column_names),
        "row_hash": row_hash(table),
    }
    name = sha256(_encode([service, facts])).hexdigest()[:24]
    return TrainingSet(Snapshot(id=f"ts_{name}", **facts), table, spine)


def write_training(
    service: str,
    rows: Sequence[Leaving],
    path: Path,
    state: Engine,
    artifacts: Artifacts,
    clock: Clock,
    *,
    by: str,
    force: bool = False,
) -> TrainingWritten:
    """Write examples as Parquet, and keep them as a snapshot: the same examples, the same bytes.

    Args:
        service: Whose they are.
        rows: The examples.
        path: The file, or a folder that gets `<service>-<snapshot>.parquet`.
        state: Remembers the snapshot.
        artifacts: Keeps its rows.
        clock: The project's time.
        by: Who asked for it.
        force: Whether a file of this name may be replaced.

    Raises:
        RequestError: There is such a file, and `force` is not set.
        MissingExtra: pyarrow is not installed.
        StoreError: It cannot be written.
    """
    made = make_set(service, rows)
    if path.is_dir():
        path = path / f"{service}-{made.snapshot.id}.parquet"
    check_new(path, force=force)
    write_rows(made.rows, path)
    kept = save_set(made, state, artifacts, clock, by=by)
    return TrainingWritten(str(path), kept, classes_of(rows))


def _row_of(one: Leaving) -> dict[str, Any]:
    example, detail = one.example, one.example.detail
    asked = {_free(name): value for name, value in (one.served | one.input).items()}
    return asked | {
        "label": one.label,
        "output": None if detail.kind == "label" else _encode(one.output).decode(),
        "is_correction": detail.is_correction,
        "weight": example.weight,
        TIME: example.at_us,
        "example_id": example.id,
        "request_id": example.request_id,
        "release": detail.release,
        "review_id": detail.review_id,
        "source": example.source,
    }


def _free(name: str) -> str:
    return f"input.{name}" if name in OURS else name


def _column(name: str, rows: Sequence[Mapping[str, Any]]) -> Any:
    """Return one column; values of more than one kind become JSON."""
    values = [row.get(name) for row in rows]
    if name == TIME:
        return pyarrow.array(values, pyarrow.timestamp("us", tz="UTC"))
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return pyarrow.array(values, pyarrow.bool_())
    if kinds == {int} and _fit(values):
        return pyarrow.array(values, pyarrow.int64())
    if name == "weight" or (kinds and kinds <= {int, float}):
        return pyarrow.array([None if v is None else float(v) for v in values], pyarrow.float64())
    if kinds == {str}:
        return pyarrow.array(values, pyarrow.string())
    texts = [None if value is None else _encode(value).decode() for value in values]
    return pyarrow.array(texts, pyarrow.string())


def _fit(values: Sequence[int | None]) -> bool:
    """Whether whole numbers fit into 64 bits with a sign."""
    return all(value is None or -(2**63) <= value < 2**63 for value in values)
