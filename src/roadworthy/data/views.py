"""Feature views: features of an entity, defined once in SQL, for training and for serving.

A view is one file `features/<view>.sql`: comment lines `-- key = value` are its head in TOML, then
comes one SELECT in DuckDB's dialect. What it means is hashed; a registered version never changes.
"""

# ruff: noqa: S608 - names are quoted by `quoted`, texts by `text_of`

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from pydantic import Field as Declared

from ..declare.expressions import Expression, ExpressionError, compile_expression
from ..declare.keys import Words, keep_known
from ..declare.source import Finding, Source, refuse
from ..declare.validate import StandIns, validate
from ..declare.values import File, LengthOfTime, Text, seconds_of
from ..errors import DeclarationError
from ..types import Problem
from .known_when import KnownWhen
from .relations import (
    SQL_TYPES,
    Connection,
    Sources,
    SourceTable,
    empty_sources,
    open_duck,
    quoted,
)
from .sql_lineage import Lineage, Reads, Tracer, reads_of
from .view_sql import SqlProblem, normalised, parse_select, problems_of

try:
    import duckdb
except ImportError:  # the extra `data` is absent; `parse_select` says which line installs it
    duckdb = None  # type: ignore[assignment]

FOLDER = "features"
NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")

FeatureType = Literal["integer", "number", "string", "boolean", "date", "timestamp"]

_TYPES: Mapping[str, FeatureType] = {
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"), "integer"),
    **dict.fromkeys(("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"), "integer"),
    **dict.fromkeys(("FLOAT", "DOUBLE", "DECIMAL"), "number"),
    **dict.fromkeys(("VARCHAR", "ENUM", "UUID"), "string"),
    **dict.fromkeys(("TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "TIMESTAMP_NS"), "timestamp"),
    **dict.fromkeys(("TIMESTAMP_MS", "TIMESTAMP_S"), "timestamp"),
    "BOOLEAN": "boolean",
    "DATE": "date",
}
_LAST_WORDS = re.compile(r";\s*(?:--[^\n]*\s*)*$")
_encode = msgspec.json.Encoder(order="deterministic").encode
_HEAD_LINE = re.compile(r"\s*--\s?(.*)$")


class Head(File):
    """What the comment lines of a view's file say."""

    version: int = Declared(ge=1, le=1_000_000)
    entity: Annotated[tuple[Text, ...], Declared(strict=False, min_length=1, max_length=8)]
    event_time: Text
    created_time: Text
    ttl: LengthOfTime | None = None
    owner: Text
    description: str = Declared("", max_length=4000)
    sources: Annotated[tuple[Text, ...], Declared(strict=False, min_length=1)]
    request: dict[Text, FeatureType] = Declared({})
    computed: dict[Text, Text] = Declared({})


_STAND_INS = StandIns(
    parts={
        "version": 1,
        "entity": ("stand-in",),
        "event_time": "stand-in",
        "created_time": "stand-in",
        "owner": "stand-in",
        "sources": ("stand-in",),
    },
    items={"entity": "stand-in", "sources": "stand-in"},
)


class Column(msgspec.Struct, frozen=True):
    """One column that a view puts out, and what its values mean."""

    name: str
    type: FeatureType


class View(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a feature view.

    Attributes:
        entity: The columns that say whose features a row holds.
        event_time: The column of when what a row tells happened.
        created_time: The column of when it was known here; the same as `event_time` where at once.
        ttl_s: Seconds after its event time for which a row counts; None for ever.
        features: The columns that a model gets.
        request: Fields of a request that computed features read.
        computed: Feature → the expression that computes it for each request.
        sources: The sources that the SQL reads.
        sql: The SELECT as its author wrote it.
        contracts: Source → the contract version it is held to.
        reads: Which fields of sources each column is made of.
        text: The whole file.
        fields_hash: SHA-256 of what the contracts say of the fields that it reads.
        hash: SHA-256 of what it means: normalised SQL, head, and those fields.
    """

    name: str
    version: int
    entity: tuple[Column, ...]
    event_time: str
    created_time: str
    ttl_s: int | None
    owner: str
    description: str
    features: tuple[Column, ...]
    request: tuple[Column, ...]
    computed: Mapping[str, str]
    sources: tuple[str, ...]
    sql: str
    contracts: Mapping[str, str]
    reads: Reads
    text: str
    fields_hash: str
    hash: str

    @property
    def id(self) -> str:
        """The name and version, as services name them: `weather_now@2`."""
        return f"{self.name}@{self.version}"

    @property
    def names(self) -> tuple[str, ...]:
        """Every feature, stored ones first."""
        return (*(feature.name for feature in self.features), *self.computed)


def online_key(view: View) -> str:
    """Return under what a view is kept online: other content is never read as this one's."""
    return f"{view.id}:{view.hash[:16]}"


def lineage(view: View) -> Lineage:
    """Return which fields of sources each stored feature is made of, as `source.field`."""
    return {feature.name: view.reads.outputs[feature.name] for feature in view.features}


def made_of(view: View) -> Lineage:
    """Return which fields of sources each feature is made of, the computed ones through theirs."""
    stored = lineage(view)
    read = {
        n: frozenset[str]().union(*map(stored.__getitem__, stored_in(view, n)))
        for n in view.computed
    }
    return {**stored, **read}


def stored_in(view: View, computed: str) -> list[str]:
    """Return the stored features that a computed one may read."""
    words = set(re.findall(r"\w+", view.computed[computed]))
    return [feature.name for feature in view.features if feature.name in words]


def load_views(folder: Path, sources: Sources) -> dict[str, View]:
    """Return every view of a project by name, checked against the contracts of its sources.

    Args:
        folder: The project's folder; views are in `features/` below it.
        sources: What views may read, by name.

    Raises:
        DeclarationError: With every problem of every file.
        MissingExtra: What reads views is not installed.
    """
    views: dict[str, View] = {}
    problems: list[Problem] = []
    for path in sorted((folder / FOLDER).glob("*.sql")):
        try:
            view = load_view(path, sources)
        except DeclarationError as error:
            problems += error.problems
        else:
            views[view.name] = view
    refuse(problems)
    return views


def load_view(path: Path, sources: Sources) -> View:
    """Return the view in one file.

    Raises:
        DeclarationError: With every problem of the file.
    """
    name, file = path.stem, f"{FOLDER}/{path.name}"
    try:
        text = path.read_text(encoding="utf-8-sig").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        problem = Problem(name, "a file of UTF-8 text", type(error).__name__, file)
        raise DeclarationError(str(problem), (problem,)) from error
    return read_view(name, text, sources, file)


def read_view(name: str, text: str, sources: Sources, file: str = "") -> View:
    """Return the view that `text` is.

    Raises:
        DeclarationError: With every problem of the text.
    """
    source, sql = _split(name, text, file or f"{FOLDER}/{name}.sql")
    sql = _LAST_WORDS.sub("", sql)
    findings: list[Finding] = []
    if not NAME.fullmatch(name):
        findings.append(Finding(name, "a name of a-z, 0-9, `_` and `-`", f"`{name[:80]}`"))
    data = keep_known(Words(Head, lambda _: True, frozenset()), source.data, findings)
    draft = validate(Head, data, _STAND_INS, findings)
    head = draft.value
    if draft.is_judged("sources"):
        findings += _unknown_sources(head, sources)
    refuse(source.problems(findings))
    return _checked(name, head, sql, text, source, {n: sources[n] for n in head.sources})


def _split(name: str, text: str, file: str) -> tuple[Source, str]:
    """Return the head as a TOML source whose lines are those of the file, and the SQL."""
    lines = text.split("\n")
    heads: list[str] = []
    for line in lines:
        found = _HEAD_LINE.match(line)
        if found is None:
            break
        heads.append(found[1])
    keys = {
        key[1]: number
        for number, line in enumerate(heads, 1)
        if (key := re.match(r"\s*\[?\s*(\w+)\s*[=\]]", line))
    }
    try:
        data = tomllib.loads("\n".join(heads))
    except tomllib.TOMLDecodeError as error:
        advice = "a remark in the head starts with `-- #`; the head ends with the first other line"
        got = f"a syntax error ({str(error)[:120]})"
        problem = Problem(name, "a head in TOML, each line after `--`", got, file, advice)
        raise DeclarationError(str(problem), (problem,)) from None
    return Source(file, data, keys), "\n".join(lines[len(heads) :]).strip()


def _unknown_sources(head: Head, sources: Sources) -> Iterator[Finding]:
    known = ", ".join(f"`{name}`" for name in sources) or "none"
    for number, name in enumerate(head.sources):
        if name not in sources:
            advice = f"sources of roadworthy.toml: {known}"
            yield Finding(f"sources[{number}]", "a declared source", f"`{name[:80]}`", advice)


def _checked(name: str, head: Head, sql: str, text: str, source: Source, sources: Sources) -> View:
    def stop(problems: Iterable[SqlProblem]) -> None:
        refuse([Problem(name, p.expected, p.got, source.file, p.advice) for p in problems])

    try:
        query = parse_select(sql)
        stop(problems_of(query, frozenset(sources)))
        columns = _columns_of(sql, sources.values())
        tracer = _traced(query, sources, columns)
        reads = reads_of(tracer)
    except SqlProblem as problem:
        stop([problem])
        raise
    refuse(source.problems(_wrong_columns(name, head, columns)))
    stop(KnownWhen(tracer, head.event_time, head.created_time).looks_ahead())
    kinds = dict(columns)
    fields_hash = _hash_of_fields(reads, sources)
    kept = {*head.entity, head.event_time, head.created_time}
    features = tuple(Column(n, _TYPES[_plain(k)]) for n, k in columns if n not in kept)
    refuse(source.problems(_wrong_computed(head, features)))
    return View(
        name=name,
        version=head.version,
        entity=tuple(Column(n, _TYPES[_plain(kinds[n])]) for n in head.entity),
        event_time=head.event_time,
        created_time=head.created_time,
        ttl_s=None if head.ttl is None else seconds_of(head.ttl),
        owner=head.owner,
        description=head.description,
        features=features,
        request=tuple(Column(n, kind) for n, kind in head.request.items()),
        computed=dict(head.computed),
        sources=head.sources,
        sql=sql,
        contracts={n: s.version for n, s in sources.items()},
        reads=reads,
        text=text,
        fields_hash=fields_hash,
        hash=_hash(head, normalised(query), fields_hash),
    )


def _traced(query: Any, sources: Sources, columns: Sequence[tuple[str, str]]) -> Tracer:
    return Tracer(query, {n: s.schema for n, s in sources.items()}, [n for n, _ in columns])


def known_when(view: View, sources: Sources) -> KnownWhen:
    """Return what the times of a view are not before, by what its sources have now.

    Raises:
        SqlProblem: It cannot be traced.
    """
    read = {name: sources[name] for name in view.sources if name in sources}
    columns = _columns_of(view.sql, read.values())
    tracer = _traced(parse_select(view.sql), read, columns)
    return KnownWhen(tracer, view.event_time, view.created_time)


def _columns_of(sql: str, sources: Iterable[SourceTable]) -> list[tuple[str, str]]:
    """Return the columns that a query has and their SQL types, as DuckDB sees them without data."""
    connection: Connection = open_duck(threads=1)
    try:
        empty_sources(connection, sources)
        found = connection.execute(f"DESCRIBE ({sql}\n)").fetchall()
    except duckdb.Error as error:
        got = re.sub(r"\s+", " ", str(error).partition("\nLINE")[0]).strip()
        raise SqlProblem("columns and types that its sources have", f"`{got[:300]}`") from error
    finally:
        connection.close()
    return [(str(row[0]), str(row[1])) for row in found]


def _plain(kind: str) -> str:
    return re.sub(r"\(.*", "", kind, flags=re.DOTALL)


def _wrong_columns(view: str, head: Head, columns: Sequence[tuple[str, str]]) -> Iterator[Finding]:
    kinds, there = dict(columns), ", ".join(f"`{name}`" for name, _ in columns)
    advice = f"the SELECT gives {there}"
    for number, name in enumerate(head.entity):
        if name not in kinds:
            yield Finding(f"entity[{number}]", "a column of the SELECT", f"`{name}`", advice)
    for key in ("event_time", "created_time"):
        name = getattr(head, key)
        if name not in kinds:
            yield Finding(key, "a column of the SELECT", f"`{name}`", advice)
        elif _TYPES.get(_plain(kinds[name])) not in ("timestamp", "date"):
            yield Finding(key, "a column of times", f"`{name}` of {kinds[name]}")
        if name in head.entity:
            yield Finding(key, "a column beside the entity", f"`{name}`")
    if not kinds.keys() - {*head.entity, head.event_time, head.created_time}:
        yield Finding(view, "at least one feature", "a SELECT of keys and times alone")
    yield from _unfit_columns(view, columns)


def _unfit_columns(view: str, columns: Sequence[tuple[str, str]]) -> Iterator[Finding]:
    if len({name.lower() for name, _ in columns}) < len(columns):
        there = ", ".join(f"`{name}`" for name, _ in columns)
        yield Finding(view, "columns of different names", f"the SELECT gives {there}")
    for name, kind in columns:
        if _plain(kind) not in _TYPES or kind.endswith("]"):
            wanted = "numbers, texts, booleans, dates or times"
            yield Finding(view, wanted, f"`{name}` of {kind[:60]}", "cast it in the SELECT")


def _wrong_computed(head: Head, features: Sequence[Column]) -> Iterator[Finding]:
    known = {feature.name for feature in features} | set(head.entity)
    for name, text in head.computed.items():
        path = f"computed.{name}"
        if name in known:
            yield Finding(path, "a name of its own", f"`{name}`, a column of the SELECT")
        try:
            expression = compile_expression(text, "computed")
        except ExpressionError as error:
            yield Finding(path, "an expression (CEL)", error.got, error.advice)
            continue
        for field in sorted(fields_read(expression, "input") - head.request.keys()):
            advice = f'add `{field} = "number"`, or what it is, to `[request]`'
            yield Finding(path, "fields that `[request]` declares", f"`input.{field}`", advice)
        stored = {feature.name for feature in features}
        for field in sorted(fields_read(expression, "features") - stored):
            yield Finding(path, "stored features of this view", f"`features.{field}`")


def fields_read(expression: Expression, name: str) -> frozenset[str]:
    """Return the fields of `name` that an expression reads, as far as it reads them by name."""
    pattern = rf"(?<![.\w]){name}\s*\.\s*([A-Za-z_]\w*)"
    return frozenset(re.findall(pattern, expression.source))


def _hash_of_fields(reads: Reads, sources: Sources) -> str:
    """Hash what a view knows of the fields that it reads; what it does not read does not count."""
    fields = {}
    for path in sorted(reads.everything):
        source, _, name = path.partition(".")
        field = sources[source].table.field(name)
        if field is not None:
            known = (field.type, field.column, field.unit, field.has_timezone, field.available_at)
            fields[path] = known
    return _digest(fields)


def _hash(head: Head, sql: str, fields_hash: str) -> str:
    """Hash what a view means; words for people do not count."""
    meaning = head.model_dump(mode="json", exclude={"version", "owner", "description"})
    return _digest({"head": meaning, "sql": sql, "fields": fields_hash})


def _digest(value: Any) -> str:
    return hashlib.sha256(_encode(value)).hexdigest()


def prepared(view: View) -> str:
    """Return the query that gives a view's rows in the types that training and serving share.

    Its columns are `k0…` (the entity), `event_time`, `created_time` and `f0…` (the features), so
    that no name of an author's can meet a name of ours. Rows that are nobody's, or that have no
    time, are left out; what is no finite number is null.
    """
    columns = [_cast(c, f"k{i}") for i, c in enumerate(view.entity)]
    for ours, name in (("event_time", view.event_time), ("created_time", view.created_time)):
        columns.append(f"CAST({quoted(name)} AS TIMESTAMP) AS {ours}")
    columns += [_cast(c, f"f{i}") for i, c in enumerate(view.features)]
    needed = [*(f"k{i}" for i in range(len(view.entity))), "event_time", "created_time"]
    there = " AND ".join(f"{name} IS NOT NULL" for name in needed)
    return f"FROM (SELECT {', '.join(columns)} FROM ({view.sql}\n) AS v) AS r WHERE {there}"


def _cast(column: Column, alias: str) -> str:
    value = f"CAST({quoted(column.name)} AS {SQL_TYPES[column.type]})"
    if column.type == "number":
        value = f"CASE WHEN isfinite({value}) THEN {value} END"
    return f"{value} AS {alias}"
