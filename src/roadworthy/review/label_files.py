"""Files of labels: CSV, JSON lines or Parquet, one row a label."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from ..errors import MissingExtra, RequestError
from ..store.clock import micros_of
from .labels import Label

_OTHERS = ("label", "correct", "at")
_TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
Row = Mapping[str, Any]


def read_labels(path: Path, entity: Sequence[str] = ()) -> Iterator[Label]:
    """Yield the labels of a file.

    A row names its request as `request_id`, or its entity by the fields of `outcomes.entity`; then
    it has a `label`, or says in `correct` whether the answer was right; `at` is when it happened.
    Other columns do not count.

    Args:
        path: Its ending says what it is: .csv, .jsonl or .parquet.
        entity: The fields that name an entity.

    Raises:
        RequestError: It cannot be read, or a row says nothing.
        MissingExtra: pyarrow is not installed, for Parquet.
    """
    for number, row in enumerate(_rows(path), 1):
        yield _label(number, row, entity, path)


def _rows(path: Path) -> Iterator[Row]:
    readers = {".csv": _csv, ".jsonl": _jsonl, ".parquet": _parquet}
    reader = readers.get(path.suffix)
    if reader is None:
        endings = ", ".join(readers)
        raise RequestError(f"expected a file that ends in one of {endings}, got {path.name}")
    try:
        yield from reader(path)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise RequestError(f"expected a file of labels, got `{reason}` - {path}") from error


def _csv(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            yield {name: value for name, value in row.items() if name and value not in ("", None)}


def _jsonl(path: Path) -> Iterator[Row]:
    decoder = msgspec.json.Decoder(dict[str, Any])
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                yield decoder.decode(line)
            except msgspec.DecodeError as error:
                raise RequestError(
                    f"expected a JSON object a line, got something else - {path}:{number}"
                ) from error


def _parquet(path: Path) -> Iterator[Row]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtra("data", "reading Parquet") from error
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches():
                for row in batch.to_pylist():
                    yield {name: value for name, value in row.items() if value is not None}
    except pyarrow.ArrowInvalid as error:
        raise RequestError(f"expected a Parquet file, got something else - {path}") from error


def _label(number: int, row: Row, entity: Sequence[str], path: Path) -> Label:
    where = f"{path}, row {number}"
    request_id = str(row.get("request_id", ""))
    missing = [name for name in entity if name not in row]
    if not request_id and (not entity or missing):
        wants = f"`request_id`, or {', '.join(entity)}" if entity else "`request_id`"
        raise RequestError(f"expected {wants}, got neither - {where}")
    if ("label" in row) == ("correct" in row):
        raise RequestError(f"expected either `label` or `correct` - {where}")
    text = row["label"] if isinstance(row.get("label"), str) else ""
    return Label(
        row=number,
        request_id=request_id,
        entity={} if request_id else {name: _word(row[name]) for name in entity},
        label=_value(row["label"]) if "label" in row else msgspec.UNSET,
        correct=_truth(row["correct"], where) if "correct" in row else None,
        at_us=_time(row["at"], where) if "at" in row else None,
        text=text,
    )


def _value(value: Any) -> Any:
    """Return what a text says where it is JSON, such as `true` or `3`, and else the text."""
    if not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(value)
    except msgspec.DecodeError:
        return value


def _truth(value: Any, where: str) -> bool:
    found = _TRUTH.get(str(value).lower())
    if found is None:
        raise RequestError(f"correct: expected true or false, got another - {where}")
    return found


def _time(value: Any, where: str) -> int:
    """Return a moment in Unix microseconds; a time without a zone is UTC."""
    try:
        time = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError as error:
        raise RequestError(f"at: expected a date or time, got another - {where}") from error
    return micros_of(time if time.tzinfo else time.replace(tzinfo=UTC), "at")


def _word(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
