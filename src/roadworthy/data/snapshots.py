"""A training set as a value: what it was made of gives its id, and its id gives it back.

Its parts are the spine, the versions of the views and of the contracts behind them, and the rows
that came out. Whoever rebuilds it from its id gets rows of the same hash, or is told which part has
changed since.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Engine

from ..errors import DeclarationError, MissingExtra, StoreError
from ..store.artifacts import Artifacts
from ..store.data_versions import SavedSnapshot, read_snapshot, save_snapshot
from ..types import Clock
from .history import TIME, Spine, history, read_spine
from .relations import Sources
from .views import View

try:
    import pyarrow
    from pyarrow import compute, parquet
except ImportError:  # the extra `data` is absent; `write_rows` says which line installs it
    pyarrow = None

_encode = msgspec.json.Encoder(order="deterministic").encode


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A training set.

    Attributes:
        id: Made of everything below but the artifacts: the same training set has the same id.
        spine: Hash of the spine's rows.
        time: The column of the spine that says as of when.
        views: Version of each view → its hash.
        contracts: Source → the contract version that it was held to.
        rows, columns: How large it is.
        row_hash: Hash of its rows, in order.
        spine_artifact, artifact: Digests of the Parquet files of both, where it was saved.
    """

    id: str
    spine: str
    time: str
    views: Mapping[str, str]
    contracts: Mapping[str, str]
    rows: int
    columns: tuple[str, ...]
    row_hash: str
    spine_artifact: str = ""
    artifact: str = ""


class TrainingSet(msgspec.Struct, frozen=True):
    """Rows with what they were made of; `rows` is an Arrow table."""

    snapshot: Snapshot
    rows: Any
    spine: Any


def build_set(
    views: Sequence[View], spine: Spine, sources: Sources, *, time: str = TIME
) -> TrainingSet:
    """Return the spine with the features of `views` as they were known, and what it was made of.

    Raises:
        DeclarationError: As `history` does.
    """
    given = read_spine(spine, views, time)
    rows = history(views, given, sources, time=time)
    named = {name: sources[name].version for view in views for name in view.sources}
    facts: dict[str, Any] = {
        "spine": row_hash(given),
        "time": time,
        "views": {view.id: view.hash for view in views},
        "contracts": dict(sorted(named.items())),
        "rows": rows.num_rows,
        "columns": tuple(rows.column_names),
        "row_hash": row_hash(rows),
    }
    name = hashlib.sha256(_encode(facts)).hexdigest()[:24]
    return TrainingSet(Snapshot(id=f"ts_{name}", **facts), rows, given)


def save_set(
    made: TrainingSet, engine: Engine, artifacts: Artifacts, clock: Clock, *, by: str
) -> Snapshot:
    """Keep a training set as Parquet among the artifacts, and remember it; more than once is one.

    Raises:
        StoreError: The artifacts cannot be written.
    """
    kept = msgspec.structs.replace(
        made.snapshot,
        spine_artifact=_put(made.spine, artifacts),
        artifact=_put(made.rows, artifacts),
    )
    saved = SavedSnapshot(
        id=kept.id, at_us=clock.now_us(), by=by, rows=kept.rows, detail=msgspec.to_builtins(kept)
    )
    save_snapshot(engine, saved)
    return kept


def open_set(engine: Engine, snapshot: str) -> Snapshot:
    """Return what is remembered of a saved training set.

    Raises:
        NotFound: There is none of this id.
    """
    return msgspec.convert(read_snapshot(engine, snapshot).detail, Snapshot)


def read_set(saved: Snapshot, artifacts: Artifacts) -> Any:
    """Return the rows of a saved training set as an Arrow table.

    Raises:
        NotFound, StoreError: The artifact is gone or damaged.
    """
    return parquet.read_table(artifacts.path(saved.artifact))


def rebuild_set(
    saved: Snapshot, artifacts: Artifacts, views: Sequence[View], sources: Sources
) -> TrainingSet:
    """Make a saved training set anew from its spine, its views and the sources as they are now.

    Args:
        saved: What it was made of.
        artifacts: Where its spine is.
        views: The same versions of the same views.
        sources: What they read.

    Raises:
        DeclarationError: The rows are not those of then; the message says what else changed.
    """
    spine = parquet.read_table(artifacts.path(saved.spine_artifact))
    made = build_set(views, spine, sources, time=saved.time)
    if made.snapshot.id != saved.id:
        raise DeclarationError(
            f"expected the rows of snapshot {saved.id}, got others ({made.snapshot.id}); what "
            f"changed: {', '.join(_changes(saved, made.snapshot)) or 'rows of a source'}"
        )
    return made


def _changes(then: Snapshot, now: Snapshot) -> list[str]:
    parts = [
        f"{what} `{name}`"
        for what, before, after in (
            ("view", then.views, now.views),
            ("contract of source", then.contracts, now.contracts),
        )
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]
    return [*parts, *(["the spine"] if then.spine != now.spine else [])]


def write_rows(table: Any, path: Path) -> None:
    """Write rows as Parquet; half a file is never seen.

    Raises:
        StoreError: The file cannot be written.
        MissingExtra: pyarrow is not installed.
    """
    if pyarrow is None:
        raise MissingExtra("data", "writing a training set")
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        parquet.write_table(table, unfinished, compression="zstd")
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise StoreError(
            f"expected a file that can be written, got `{error.strerror or error}` - {path}; "
            "check the folder, its permissions and the free space"
        ) from error


def _put(table: Any, artifacts: Artifacts) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        write_rows(table, path)
        return artifacts.put(path)


def row_hash(table: Any) -> str:
    """Return the SHA-256 of an Arrow table's rows in order, with names and types of its columns.

    It depends on values alone: not on how rows lie in memory or in a file. All texts are one type,
    all times count microseconds, and a NaN is a null.
    """
    digest = hashlib.sha256(_encode([table.num_rows, *table.column_names]))
    for column in table.columns:
        kind, parts = _canonical(column)
        digest.update(f"\0{kind}\0".encode())
        for part in parts:
            digest.update(part)
    return digest.hexdigest()


def _canonical(column: Any) -> tuple[str, list[bytes]]:
    """Return the type of a column and the bytes of its values, nulls first and then all values."""
    kind = column.type
    if pyarrow.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pyarrow.types.is_timestamp(kind) or pyarrow.types.is_date(kind):
        column = column.cast(pyarrow.timestamp("us", getattr(kind, "tz", None)), safe=False)
        column, kind = column.cast(pyarrow.int64()), pyarrow.timestamp("us")
    if pyarrow.types.is_floating(kind):
        column = compute.if_else(compute.is_nan(column), None, column)
    there = column.is_valid().cast(pyarrow.uint8())
    if pyarrow.types.is_boolean(kind):
        column = column.cast(pyarrow.uint8())
    elif not (pyarrow.types.is_integer(column.type) or pyarrow.types.is_floating(column.type)):
        texts = column.cast(pyarrow.large_string()).fill_null("").cast(pyarrow.large_binary())
        lengths = compute.binary_length(texts)
        return "text", [_bytes_of(there), _bytes_of(lengths), b"".join(texts.to_pylist())]
    return str(kind), [_bytes_of(there), _bytes_of(column.fill_null(0))]


def _bytes_of(column: Any) -> bytes:
    """Return the values of a column of numbers without nulls, as they lie behind each other."""
    values: bytes = column.to_numpy().tobytes()
    return values
