"""Records as a Parquet file, for whatever a team analyses its data with."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect
from sqlalchemy import Engine

from ..errors import MissingExtra, StoreError
from ..types import Record
from .records import each_record

try:
    import pyarrow
    from pyarrow import parquet
except ModuleNotFoundError:
    pyarrow = None

_CHUNK = 10_000
_END_US = 1 << 62
_BODIES = ("input", "output")


def export_records(
    engine: Engine,
    path: Path,
    *,
    service: str = "",
    since_us: int = 0,
    until_us: int = _END_US,
) -> int:
    """Write the records of a span to one Parquet file, oldest first, and return how many.

    `at` is a timestamp in UTC, money is int64 micro-dollars, lists and structs stay what they are,
    and what has no fixed shape (features, contracts, cache) is JSON. Bodies are left out. The file
    appears under its name when it is complete.

    Raises:
        MissingExtra: pyarrow is not installed.
        StoreError: The file cannot be written.
    """
    if pyarrow is None:
        raise MissingExtra("data", "writing Parquet")
    partial = path.with_name(f"{path.name}.partial")
    try:
        with engine.connect() as connection:
            chunks = each_record(connection, since_us, until_us, service=service, chunk=_CHUNK)
            count = _write(partial, chunks)
        partial.replace(path)
    except OSError as error:
        raise StoreError(
            f"expected a file that can be written, got `{error.strerror or error}` - {path}"
        ) from error
    finally:
        partial.unlink(missing_ok=True)
    return count


def _write(path: Path, chunks: Iterable[list[Record]]) -> int:
    schema = _schema()
    count = 0
    with parquet.ParquetWriter(path, schema, compression="zstd") as file:
        for chunk in chunks:
            file.write_table(pyarrow.Table.from_pylist([_row(r) for r in chunk], schema=schema))
            count += len(chunk)
    return count


def _schema() -> Any:
    """Derive the columns from `Record`, so that a field that is added there appears here."""
    kept = (field for field in _fields(Record) if field.name not in ("at_us", *_BODIES))
    at = ("at", pyarrow.timestamp("us", tz="UTC"))
    return pyarrow.schema([at, *((field.name, _arrow_type(field.type)) for field in kept)])


def _fields(struct: type[msgspec.Struct]) -> tuple[inspect.Field, ...]:
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    return info.fields


def _arrow_type(type_: inspect.Type) -> Any:
    match type_:
        case inspect.UnionType(types=types):
            return _arrow_type(next(t for t in types if not isinstance(t, inspect.NoneType)))
        case inspect.BoolType():
            return pyarrow.bool_()
        case inspect.IntType():
            return pyarrow.int64()
        case inspect.FloatType():
            return pyarrow.float64()
        case inspect.VarTupleType(item_type=item):
            return pyarrow.list_(_arrow_type(item))
        case inspect.StructType(fields=fields):
            return pyarrow.struct([(field.name, _arrow_type(field.type)) for field in fields])
        case inspect.DictType(value_type=inspect.IntType()):
            return pyarrow.map_(pyarrow.string(), pyarrow.int64())
    return pyarrow.string()


def _row(record: Record) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(record, name) for name in record.__struct_fields__}
    row["at"] = row.pop("at_us")
    row["timings"] = list(record.timings.items())
    row["attempts"] = msgspec.to_builtins(record.attempts)
    row["verdicts"] = msgspec.to_builtins(record.verdicts)
    for name in ("features", "contracts", "cache"):
        if row[name] is not None:
            row[name] = msgspec.json.encode(row[name]).decode()
    return row
