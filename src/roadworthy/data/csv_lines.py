"""Reads a CSV file line by line where a fast reader gives up: one broken line costs one line.

A quote that nobody closes would swallow the rest of a file, and one byte of another encoding would
end it. Here such a line is set aside as it was, with its number and what is wrong with it, and the
next line is a line again.
"""

from __future__ import annotations

import csv
import gzip
import re
from collections import deque
from collections.abc import Iterator, Sequence
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ..errors import MissingExtra, StoreError

try:
    import pyarrow
except ImportError:  # the extra `data` is absent; `_open` says which line installs it
    pyarrow = None

DELIMITERS = ",;\t|"
MOST_LINES_OF_A_VALUE = 100
MOST_BYTES_OF_A_LINE = 2_000_000


class BadLine(NamedTuple):
    r"""A line that holds no row.

    Attributes:
        line: Its number in the file, from 1.
        column: The column in which it breaks, from 1.
        expected, got: What is wrong with it.
        text: The line as it was; bytes that are not UTF-8 as `\xe9`.
    """

    file: str
    line: int
    column: int
    expected: str
    got: str
    text: str


class Header(NamedTuple):
    """The first line of a CSV file."""

    delimiter: str
    names: tuple[str, ...]


def read_header(path: Path, wanted: Sequence[str]) -> Header:
    """Return the names of a file's columns, separated by what finds most of the `wanted` ones.

    Raises:
        StoreError: The file cannot be read, is empty, or names a column twice.
    """
    try:
        with _open(path) as file:
            first = file.readline(MOST_BYTES_OF_A_LINE)
            if first.startswith((b"\xff\xfe", b"\xfe\xff")):
                raise _unreadable(path, "text in UTF-8", "UTF-16; save it as UTF-8")
            text = first.decode("utf-8-sig").rstrip("\r\n")
            if "\r" in text:
                got = "carriage returns alone; save it with line feeds"
                raise _unreadable(path, "lines that end with a line feed", got)
    except UnicodeDecodeError:
        raise _unreadable(path, "a header in UTF-8", "other bytes; save it as UTF-8") from None
    except (OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or "a file that is cut off"
        raise _unreadable(path, "a file that can be read", reason) from error
    if not text.strip():
        raise _unreadable(path, "a header line that names the columns", "an empty file")
    known = set(wanted)
    try:
        ways = [Header(mark, _names(text, mark)) for mark in DELIMITERS]
    except csv.Error:
        got = f"one of {len(text)} characters"
        raise _unreadable(path, "a header line that names the columns", got) from None
    header = max(ways, key=lambda way: (len(known & set(way.names)), len(way.names)))
    _check_names(path, header.names)
    return header


def sift(path: Path, header: Header, target: Path) -> list[BadLine]:
    """Write the good lines of a file to `target`, and return the others.

    Raises:
        StoreError: The file cannot be read.
    """
    bad: list[BadLine] = []
    try:
        with _open(path) as file, target.open("wb") as good:
            lines = _Lines(path.name, file, header)
            for text in lines.rows(bad):
                good.write(text + b"\n")
    except (OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or "a file that is cut off"
        raise _unreadable(path, "a file that can be read", reason) from error
    return bad


class _Lines:
    """The lines of a file, joined where a value in quotes goes on in the next line."""

    def __init__(self, name: str, file: BinaryIO, header: Header) -> None:
        self._name = name
        self._file = enumerate(file, 1)
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._width = len(header.names)
        self._mark = header.delimiter.encode()
        mark = re.escape(header.delimiter).encode()
        self._field = re.compile(
            rb'(?:"(?:[^"]|"")*"|[^"' + mark + rb"][^" + mark + rb"]*|)(?:" + mark + rb"|$)(?s:)"
        )

    def rows(self, bad: list[BadLine]) -> Iterator[bytes]:
        """Yield each row as it stands, the header first, and add the others to `bad`."""
        while (line := self._next()) is not None:
            number, content = line
            if not content:
                continue
            problem = self._problem(content)
            if problem is None:
                yield content
            elif problem[0] == "open" and (whole := self._joined(content)):
                yield whole
            else:
                bad.append(self._bad(number, content, problem))

    def _next(self) -> tuple[int, bytes] | None:
        if self._waiting:
            return self._waiting.popleft()
        for number, content in self._file:
            return number, content.rstrip(b"\r\n")
        return None

    def _joined(self, content: bytes) -> bytes:
        """Return a row that spans lines; empty, with its lines put back, if it is none."""
        taken: list[tuple[int, bytes]] = []
        while len(taken) < MOST_LINES_OF_A_VALUE and (line := self._next()) is not None:
            taken.append(line)
            content += b"\n" + line[1]
            problem = self._problem(content)
            if problem is None:
                return content
            if problem[0] != "open" or len(content) > MOST_BYTES_OF_A_LINE:
                break
        self._waiting.extendleft(reversed(taken))
        return b""

    def _problem(self, content: bytes) -> tuple[str, int, str] | None:
        """Return what is wrong with a row: a kind, the column, and what is there."""
        if len(content) > MOST_BYTES_OF_A_LINE:
            return "long", 1, f"one of {len(content)} bytes"
        try:
            content.decode("utf-8")
        except UnicodeDecodeError as error:
            return "bytes", content.count(self._mark, 0, error.start) + 1, "bytes that are not"
        count, at = 0, 0
        while True:
            found = self._field.match(content, at)
            if found is None:
                is_open = content[at : at + 1] == b'"' and _is_open(content[at:])
                return ("open" if is_open else "quote"), count + 1, "a quote that is not closed"
            count, at = count + 1, found.end()
            if not found[0].endswith(self._mark) or found[0] == b"":
                break
        if count != self._width:
            return "width", min(count, self._width) + 1, f"{count}"
        return None

    def _bad(self, number: int, content: bytes, problem: tuple[str, int, str]) -> BadLine:
        kind, column, got = problem
        expected = {
            "long": f"a line of <= {MOST_BYTES_OF_A_LINE} bytes",
            "bytes": "text in UTF-8",
            "open": "quotes in pairs",
            "quote": "quotes in pairs",
            "width": f"{self._width} columns",
        }[kind]
        text = content[:MOST_BYTES_OF_A_LINE].decode("utf-8", errors="backslashreplace")
        return BadLine(self._name, number, column, expected, got, text)


def _is_open(content: bytes) -> bool:
    """Return whether the value in quotes that starts here has no end."""
    return re.match(rb'"(?:[^"]|"")*$', content) is not None


def _open(path: Path) -> BinaryIO:
    kind = compression_of(path)
    if kind == "gzip":
        return gzip.open(path, "rb")  # type: ignore[return-value]
    if kind == "zstd":
        if pyarrow is None:
            raise MissingExtra("data", "a file compressed with zstd")
        # Lines are asked of what gathers bytes: the stream of Arrow gives them one by one.
        return BufferedReader(pyarrow.input_stream(str(path), compression="zstd"))
    return path.open("rb")


def compression_of(path: Path) -> str:
    """Return how a file is compressed, by its name, as DuckDB calls it."""
    return {".gz": "gzip", ".zst": "zstd"}.get(path.suffix.lower(), "none")


def _names(text: str, delimiter: str) -> tuple[str, ...]:
    rows = list(csv.reader([text], delimiter=delimiter))
    return tuple(rows[0]) if rows else ()


def _check_names(path: Path, names: Sequence[str]) -> None:
    seen: dict[str, int] = {}
    for at, name in enumerate(names, 1):
        # SQL does not tell `Temp` from `temp`.
        first = seen.setdefault(name.casefold(), at)
        if first != at:
            got = f"`{name}` in columns {first} and {at}"
            raise _unreadable(path, "columns with names of their own", got)
        if not name:
            raise _unreadable(path, f"a name for column {at}", "none")


def _unreadable(path: Path, expected: str, got: str) -> StoreError:
    return StoreError(f"expected {expected}, got {got} - {path}")
