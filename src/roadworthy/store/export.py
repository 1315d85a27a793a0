"""Records as a Parquet file, for notebooks and warehouses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, get_origin

import msgspec
from sqlalchemy import Connection, Engine, select

from ..errors import MissingExtra, RequestError, StoreError
from ..types import Record
from .records import each_record
from .state import reading
from .tables import bodies, outcomes

END_US = 2**53
"""Later than any record: in the year 2255."""

_BODIES = ("input", "output")
_encode = msgspec.json.Encoder().encode

Row = dict[str, Any]


def export_records(
    engine: Engine,
    target: Path,
    *,
    service: str = "",
    since_us: int = 0,
    until_us: int = END_US,
    with_bodies: bool = False,
    replace: bool = False,
) -> int:
    """Write records, oldest first, with their outcomes to `target`, and return how many they are.

    The columns are a record's fields under their names and in their units, but for `at`, a
    timestamp in UTC in place of `at_us`. What has parts (attempts, verdicts, outcomes, timings) is
    JSON. Bodies are left out unless asked for: they hold what people wrote.

    Raises:
        RequestError: There is such a file, and it is not to be replaced.
        MissingExtra: pyarrow is not installed.
        StoreError: The file cannot be written.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtra("data", "an export to Parquet") from error
    if target.is_file() and not replace:
        raise RequestError(
            f"expected the name of a new file, got one that exists - {target}; choose another, or"
            " say `--replace`"
        )
    schema = _schema(pyarrow, with_bodies)
    unfinished = target.with_name(f".{target.name}.unfinished")
    count = 0
    try:
        with (
            reading(engine) as connection,
            parquet.ParquetWriter(unfinished, schema, compression="zstd") as writer,
        ):
            for found in each_record(connection, since_us, until_us, service=service):
                rows = _rows(connection, found, with_bodies)
                writer.write_table(pyarrow.Table.from_pylist(rows, schema))
                count += len(rows)
        unfinished.replace(target)
    except OSError as error:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise StoreError(
            f"expected a file that can be written, got `{error.strerror or error}` - {target};"
            " check the folder, its permissions and the free space"
        ) from error
    return count


def _kind(field: msgspec.structs.FieldInfo) -> str:
    """Return how a field of `Record` is written: as text, number or list of texts, or as JSON."""
    plain = {str: "string", bool: "bool", int: "int64", float: "float64", float | None: "float64"}
    if field.type == tuple[str, ...]:
        return "list"
    return "string" if get_origin(field.type) is Literal else plain.get(field.type, "json")


_KINDS = {f.name: _kind(f) for f in msgspec.structs.fields(Record) if f.name not in _BODIES}
_AS_JSON = (*(name for name, kind in _KINDS.items() if kind == "json"), "outcomes")


def _schema(pyarrow: Any, with_bodies: bool) -> Any:
    """Return the Arrow schema; a field that is added to `Record` gets its column by itself."""
    texts = pyarrow.list_(pyarrow.string())
    types = {"list": texts, "json": pyarrow.string(), "string": pyarrow.string()}
    types |= {"bool": pyarrow.bool_(), "int64": pyarrow.int64(), "float64": pyarrow.float64()}
    columns = [("at", pyarrow.timestamp("us", tz="UTC"))]
    columns += [(name, types[kind]) for name, kind in _KINDS.items() if name != "at_us"]
    names = ("outcomes", *(_BODIES if with_bodies else ()))
    return pyarrow.schema([*columns, *((name, pyarrow.string()) for name in names)])


def _rows(connection: Connection, found: Sequence[Record], with_bodies: bool) -> list[Row]:
    rows = {record.id: _row(record) for record in found}
    for name, row in _outcomes(connection, list(rows)):
        rows[name]["outcomes"].append(row)
    if with_bodies:
        query = select(bodies).where(bodies.c.request_id.in_(list(rows)))
        for name, *kept in connection.execute(query):
            rows[name] |= {k: v and v.decode() for k, v in zip(_BODIES, kept, strict=True)}
    for row in rows.values():
        parts = {name: row[name] for name in _AS_JSON}
        row |= {k: None if v is None else _encode(v).decode() for k, v in parts.items()}
    return list(rows.values())


def _row(record: Record) -> Row:
    row = msgspec.structs.asdict(record)
    return row | {"at": row.pop("at_us"), "outcomes": []}


def _outcomes(connection: Connection, ids: list[str]) -> Iterator[tuple[str, Row]]:
    query = select(outcomes).where(outcomes.c.request_id.in_(ids))
    for row in connection.execute(query.order_by(outcomes.c.known_at_us, outcomes.c.id)):
        fields = dict(row._mapping)
        fields["value"] = msgspec.json.decode(row.value)
        yield fields.pop("request_id"), fields
