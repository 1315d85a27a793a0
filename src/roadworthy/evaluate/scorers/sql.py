"""A scorer of SQL: two queries are alike where they give the same rows."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

from ...declare.evaluation import ScorerEntry
from ...errors import DeclarationError
from ..asked import Asked
from ..cases import Case
from ..scorer import Score, ScoringGround
from .reading import Compared, expected_of, no_answer, not_asked, rated, version_of

MOST_ROWS = 10_000
MOST_BYTES = 20_000_000
"""Of all texts of a result together: a query may make of little a great deal."""
MOST_STEPS = 2_000
STEP = 10_000
"""A query is stopped after `MOST_STEPS` times so many instructions of SQLite, about a second: that
is counted rather than timed, so that the same query always ends the same way."""
LONGEST_QUERY = 20_000
_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 1_000_000,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: LONGEST_QUERY * 4,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 200,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 200,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 50,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
}
_READS = frozenset(
    {
        sqlite3.SQLITE_SELECT,
        sqlite3.SQLITE_READ,
        sqlite3.SQLITE_FUNCTION,
        sqlite3.SQLITE_RECURSIVE,
    }
)
_FORBIDDEN = frozenset({"load_extension", "random", "randomblob", "writefile", "readfile", "edit"})
_FENCED = re.compile(r"```[a-zA-Z]*\s*\n(.*?)```", re.DOTALL)
_ORDER = re.compile(r"\border\s+by\b", re.IGNORECASE)
_ASIDE = re.compile(
    r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`|\[[^\]]*\]|--[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL
)

Rows = list[tuple[Any, ...]]


class Sql:
    """The answer's query gives the rows that the expected query gives, on a SQLite file: 1 or 0.

    Rows are compared as a bag, in order only where the expected query itself is ordered; names of
    columns make no difference, their order does. Both are only read: a query that writes, attaches,
    or changes a setting is refused, and one that takes too long or gives too much is stopped. Rows
    that are equal on this file may differ on another one.

    Raises:
        DeclarationError: There is no such file, or it is no SQLite database.
    """

    is_dear = False

    def __init__(self, entry: ScorerEntry, ground: ScoringGround) -> None:
        self.name = entry.name
        self._compared = Compared(entry)
        self._path = (ground.folder / (entry.database or "")).resolve()
        if not entry.database or not self._path.is_file():
            raise DeclarationError(
                f"scorer `{entry.name}`: expected `database`, a SQLite file beside the service, "
                f"got {f'`{entry.database:.80}`' if entry.database else 'none'}"
            )
        with self._path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").digest()
        self.version = version_of(entry, 1, digest)
        try:
            run_query(self._path, "SELECT 1 FROM sqlite_schema")
        except sqlite3.Error as error:
            raise DeclarationError(
                f"scorer `{entry.name}`: expected `{entry.database:.80}` to be a SQLite database, "
                f"got: {error}"
            ) from error

    def score(self, case: Case, asked: Asked) -> Score:
        """Return 1 where the rows are the same; nothing where the expected query fails itself."""
        expect = expected_of(case, self.name)
        if not isinstance(expect, str) or not expect.strip():
            return not_asked("a query")
        try:
            wanted = run_query(self._path, query_of(expect))
        except sqlite3.Error as error:
            return Score(None, None, f"the expected query fails: {error}"[:200])
        if (missing := no_answer(asked)) is not None:
            return missing
        try:
            got = run_query(self._path, query_of(self._compared.text(asked)))
        except sqlite3.Error as error:
            return Score(0.0, False, f"the query fails: {error}"[:200])
        is_right = is_same_result(wanted, got, is_ordered=is_ordered(expect))
        return rated(float(is_right), None, _difference(wanted, got))


def query_of(text: str) -> str:
    """Return the query in a text: what stands in its first block of code, else all of it."""
    fenced = _FENCED.search(text[:LONGEST_QUERY])
    query = fenced[1] if fenced else text
    return query.strip().rstrip("; \n").encode(errors="replace").decode()


def run_query(path: Path, query: str) -> Rows:
    """Return the rows of a query, which is given no way to write anything.

    Raises:
        sqlite3.Error: It fails, is none, does what it may not, takes too long or gives too much.
    """
    if not query or len(query) > LONGEST_QUERY or "\0" in query:
        raise sqlite3.ProgrammingError(f"expected a query of 1 to {LONGEST_QUERY} characters")
    uri = f"{path.as_uri()}?mode=ro&immutable=1"
    with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
        for limit, value in _LIMITS.items():
            connection.setlimit(limit, value)
        connection.text_factory = _text
        connection.set_authorizer(_authorise)
        steps = iter(range(MOST_STEPS))
        connection.set_progress_handler(lambda: next(steps, None) is None, STEP)
        return _read(connection.execute(query))


def _read(cursor: sqlite3.Cursor) -> Rows:
    rows: Rows = []
    size = 0
    for row in cursor:
        rows.append(row)
        size += sum(len(value) for value in row if isinstance(value, str | bytes))
        if len(rows) > MOST_ROWS or size > MOST_BYTES:
            raise sqlite3.DataError(f"expected at most {MOST_ROWS} rows of {MOST_BYTES} bytes")
    return rows


def _text(value: bytes) -> str:
    return value.decode(errors="replace")


def _authorise(
    action: int, first: str | None, second: str | None, database: str | None, inner: str | None
) -> int:
    """Let a statement read, and call functions that always say the same; nothing else."""
    if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _FORBIDDEN:
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK if action in _READS else sqlite3.SQLITE_DENY


def is_ordered(query: str) -> bool:
    """Return whether a query as a whole is ordered, not only a part of it in brackets.

    >>> is_ordered("SELECT a FROM t ORDER BY a"), is_ordered("SELECT * FROM (SELECT 1 ORDER BY 1)")
    (True, False)
    """
    bare = _ASIDE.sub(" ", query)
    depth, outside = 0, []
    for character in bare:
        depth += (character == "(") - (character == ")")
        if depth == 0:
            outside.append(character)
    return _ORDER.search("".join(outside)) is not None


def is_same_result(wanted: Rows, got: Rows, *, is_ordered: bool) -> bool:
    """Return whether two results are the same: 1 is 1.0, and sums may differ in the tenth digit."""
    one, other = ([tuple(map(_plain, row)) for row in rows] for rows in (wanted, got))
    return one == other if is_ordered else Counter(one) == Counter(other)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not value.is_integer():
        return float(f"{value:.9g}")
    return value


def _difference(wanted: Rows, got: Rows) -> str:
    widths = [len(rows[0]) if rows else 0 for rows in (wanted, got)]
    if len(wanted) != len(got):
        return f"expected {len(wanted)} rows, got {len(got)}"
    if widths[0] != widths[1]:
        return f"expected {widths[0]} columns, got {widths[1]}"
    return f"{len(got)} rows, but not the expected ones"
