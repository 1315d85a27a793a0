"""Records, bodies and outcomes: how they lie in their tables, how they are found and forgotten."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Engine,
    Row,
    Select,
    and_,
    delete,
    func,
    literal_column,
    select,
    update,
)

from ..errors import NotFound
from ..types import SHOWN, Arm, Attempt, Disposition, Outcome, Record, Verdict
from .data_versions import forget_examples
from .examples import drop_examples_of
from .explanations import forget_explanations
from .met import forget_units_of
from .pairs import drop_pairs_before, forget_pairs_of
from .reviews import drop_reviews_before, drop_reviews_of, forget_reviews
from .tables import (
    bodies,
    outcomes,
    record_errors,
    record_tags,
    records,
    releases,
    rollups,
    spendings,
)

_TAG_ID, _ERROR_ID = record_tags.c.request_id, record_errors.c.request_id

_BATCH = 500
"""Rows that one transaction of `delete_user` and `drop_before` touches: the writer waits little."""

_ID_SLACK_US = 60_000_000
"""How far the time in an id may lie from its record's `at_us`."""

_SHOWN_OF_ID = (12, 9)
"""Where in an id those characters lie, counted from 1, that lists show of it, and how many."""

_COMMON = 100_000
"""Beyond so many records a tag is common: going through them all would take a page 80 ms."""

_COLUMNS = tuple(column.name for column in records.c if column.name != "detail")
_REST = [f for f in msgspec.structs.fields(Record) if f.name not in {*_COLUMNS, "input", "output"}]


def _with_default(field: msgspec.structs.FieldInfo) -> tuple[str, Any] | tuple[str, Any, Any]:
    if field.required:
        return field.name, field.type
    if field.default is not msgspec.NODEFAULT:
        return field.name, field.type, field.default
    return field.name, field.type, msgspec.field(default_factory=field.default_factory)


_Detail = msgspec.defstruct("_Detail", map(_with_default, _REST), frozen=True, omit_defaults=True)
_FIELDS = Record.__struct_fields__
_columns_of: Callable[..., tuple[Any, ...]] = itemgetter(*map(_FIELDS.index, _COLUMNS))
_rest_of: Callable[..., tuple[Any, ...]] = itemgetter(*(_FIELDS.index(f.name) for f in _REST))
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Detail).decode


class End(msgspec.Struct, frozen=True, kw_only=True):
    """How one request ended: the part of a record that its cause and its models are known from."""

    id: str
    at_us: int
    service: str
    disposition: Disposition
    error_code: str
    model: str
    reasons: tuple[str, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    verdicts: tuple[Verdict, ...] = ()


class _EndDetail(msgspec.Struct, frozen=True):
    reasons: tuple[str, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    verdicts: tuple[Verdict, ...] = ()


_END = tuple(records.c[name] for name in End.__struct_fields__[:6])
_decode_end = msgspec.json.Decoder(_EndDetail).decode


class Forgotten(msgspec.Struct, frozen=True):
    """What `delete_user` removed.

    Attributes:
        pseudonym: What stands in the user's place; random, so that it does not lead back.
        records: How many records now bear it.
        bodies: How many requests had their input and output deleted.
        outcomes: How many outcomes were deleted.
    """

    pseudonym: str
    records: int = 0
    bodies: int = 0
    outcomes: int = 0


def record_row(record: Record) -> tuple[Any, ...]:
    """Return the row of `records` that holds all of `record` but its bodies.

    JSON has no word for NaN and infinity: in `features` and `cache` they come back as None.
    """
    values = msgspec.structs.astuple(record)  # with all fields at once: a third off the whole row
    return (*_columns_of(values), _encode(_Detail(*_rest_of(values))))


def record_of(row: Row[Any]) -> Record:
    """Return the record that a whole row of `records` holds, without its bodies."""
    *columns, detail = tuple(row)
    rest = msgspec.structs.asdict(_decode(detail))
    return Record(**dict(zip(_COLUMNS, columns, strict=True)), **rest)


def outcome_row(outcome: Outcome) -> tuple[Any, ...]:
    """Return the row of `outcomes` that holds all of `outcome`; its value becomes JSON."""
    fields = {**msgspec.structs.asdict(outcome), "value": _encode(outcome.value).decode()}
    return tuple(fields[column.name] for column in outcomes.c)


def read_record(engine: Engine, id: str) -> Record:
    """Return one record without its bodies.

    Raises:
        NotFound: There is none with this id, or not any more.
    """
    with engine.connect() as connection:
        row = connection.execute(select(records).where(records.c.id == id)).first()
    if row is None:
        raise NotFound(f"no record `{id:.60}`: it never was, or is older than `records.keep_days`")
    return record_of(row)


def read_bodies(engine: Engine, id: str) -> tuple[bytes | None, bytes | None]:
    """Return the input and the output of a request as JSON, each None where it was not kept."""
    query = select(bodies.c.input, bodies.c.output).where(bodies.c.request_id == id)
    with engine.connect() as connection:
        row = connection.execute(query).first()
    return (None, None) if row is None else (row.input, row.output)


def outcomes_of(engine: Engine, id: str) -> list[Outcome]:
    """Return what became known of a request, in the order it became known."""
    query = select(outcomes).where(outcomes.c.request_id == id)
    with engine.connect() as connection:
        rows = connection.execute(query.order_by(outcomes.c.known_at_us, outcomes.c.id)).all()
    return [Outcome(**{**row._mapping, "value": msgspec.json.decode(row.value)}) for row in rows]


def children_of(engine: Engine, parent: str, limit: int = 1000) -> list[Record]:
    """Return the first requests made on behalf of `parent`, oldest first."""
    query = select(records).where(records.c.parent == parent, records.c.parent != _literal(""))
    with engine.connect() as connection:
        return [
            record_of(row) for row in connection.execute(query.order_by(records.c.id).limit(limit))
        ]


def find_records(
    engine: Engine,
    *,
    service: str = "",
    services: Collection[str] = (),
    disposition: Disposition | None = None,
    release: str = "",
    model: str = "",
    user: str = "",
    key: str = "",
    team: str = "",
    error_code: str = "",
    tag: str = "",
    error: str = "",
    slower_than_us: int | None = None,
    id: str = "",
    id_part: str = "",
    arms: tuple[Arm, ...] = SHOWN,
    since_us: int | None = None,
    until_us: int | None = None,
    before_id: str = "",
    after_id: str = "",
    limit: int = 100,
) -> list[Record]:
    """Return one page of records without bodies, newest first; what is empty does not filter.

    `release` is an id, or the beginning of its digest, as lists show it; `id_part` what they show
    of a request's id. The next page begins `before_id`, the id of the last record of this one; the
    one before it ends `after_id`, the id of its first. `since_us` is included, `until_us` is not.
    `error` is found anywhere in a request's reasons, in either case. What nobody was shown is left
    out, unless `arms` names it.
    """
    conditions = _wanted(
        services=services,
        disposition=disposition,
        id=id,
        service=service,
        model=model,
        user=user,
        key=key,
        team=team,
        error_code=error_code,
    )
    if slower_than_us is not None:
        conditions.append(records.c.latency_us > slower_than_us)
    if id_part:
        conditions.append(func.substr(records.c.id, *_SHOWN_OF_ID) == id_part)
    span = _Span(since_us, until_us, before_id, after_id)
    with engine.connect() as connection:
        if release:
            conditions.append(records.c.release.in_(_releases_named(connection, release)))
        is_other = bool(error or user or (conditions and _is_common(connection, tag, span)))
        if not id:  # who names one is shown it, whoever was shown its answer
            conditions.append(records.c.arm.in_(sorted(arms)))
        page = _page(conditions, span, tag, error, goes_through_tag=not is_other).limit(limit)
        query = select(records).where(records.c.id.in_(page)).order_by(records.c.id.desc())
        return [record_of(row) for row in connection.execute(query)]


def find_ends(
    engine: Engine,
    *,
    service: str = "",
    services: Collection[str] = (),
    disposition: Disposition | None = None,
    since_us: int,
    limit: int,
) -> list[End]:
    """Return how the newest requests since a time ended, newest first.

    What is empty does not filter, and what nobody was shown is left out. They are found as
    `find_records` finds them, and of each a third is read.
    """
    conditions = _wanted(service=service, services=services, disposition=disposition)
    conditions.append(records.c.arm.in_(SHOWN))
    page = _page(conditions, _Span(since_us, None, "", ""), "", "", goes_through_tag=False)
    query = select(*_END, records.c.detail).where(records.c.id.in_(page.limit(limit)))
    with engine.connect() as connection:
        rows = connection.execute(query.order_by(records.c.id.desc())).all()
    return [_end_of(columns, detail) for *columns, detail in rows]


def _end_of(columns: Sequence[Any], detail: bytes) -> End:
    rest = _decode_end(detail)
    fields = dict(zip(End.__struct_fields__, columns, strict=False))
    return End(**fields, reasons=rest.reasons, attempts=rest.attempts, verdicts=rest.verdicts)


def _wanted(
    *, services: Collection[str], disposition: Disposition | None, **values: str
) -> list[ColumnElement[bool]]:
    """Return what holds for the records that are wanted; what is empty does not filter."""
    conditions: list[ColumnElement[bool]] = [
        records.c[name] == value for name, value in values.items() if value
    ]
    if services:
        conditions.append(records.c.service.in_(sorted(services)))
    if disposition is not None:
        conditions.append(records.c.disposition == disposition)
        if disposition != "answered":
            conditions.append(records.c.disposition != _literal("answered"))  # the partial index
    return conditions


def _releases_named(connection: Connection, name: str) -> list[str]:
    """Return the ids of the releases whose digest begins so; an id, or what is none, as it is."""
    if "@" in name:
        return [name]
    ids = select(releases.c.id).where(releases.c.id.contains(f"@{name}", autoescape=True))
    return list(connection.execute(ids).scalars()) or [name]


def _page(
    conditions: list[ColumnElement[bool]],
    span: _Span,
    tag: str,
    error: str,
    *,
    goes_through_tag: bool,
) -> Select[tuple[str]]:
    """Return a query for the ids of a page, in the order in which they are to be found.

    They are found in an index alone, the narrowest there is; only the page's own rows are read.
    """
    page, id, wanted = select(records.c.id), records.c.id, list(conditions)
    if error:
        page, id = page.join(record_errors, id == _ERROR_ID), _ERROR_ID
        wanted.append(record_errors.c.text.icontains(error, autoescape=True))
    if tag and goes_through_tag:
        page, id = page.join(record_tags, id == _TAG_ID), _TAG_ID
        wanted.append(record_tags.c.tag == tag)
    elif tag:
        wanted.append(_bears(tag, id))
    order = id.asc() if span.after_id else id.desc()
    return page.where(*wanted, *span.conditions(id)).order_by(order)


class _Span(NamedTuple):
    """From when to when, and between which ids, a page may lie."""

    since_us: int | None
    until_us: int | None
    before_id: str
    after_id: str

    def conditions(self, id: Column[str]) -> list[ColumnElement[bool]]:
        """Return what holds for the records in it; `id` is the column it is sorted by."""
        times = [] if self.since_us is None else [_since(self.since_us, id)]
        times += [] if self.until_us is None else [_until(self.until_us, id)]
        return times + self.between(id)

    def between(self, id: Column[str]) -> list[ColumnElement[bool]]:
        """Return what the two ids say of it."""
        ends = [id < self.before_id] if self.before_id else []
        return ends + ([id > self.after_id] if self.after_id else [])


def _bears(tag: str, id: Column[str]) -> ColumnElement[bool]:
    return select(record_tags.c.tag).where(record_tags.c.tag == tag, id == _TAG_ID).exists()


def _is_common(connection: Connection, tag: str, span: _Span) -> bool:
    """Whether so many records bear a tag that it is looked up for those that all else fits.

    Going through a tag reads 0.8 us for each of its records, going through `records_page` 0.07 us
    for each record that there is and 1 us for each that all else fits: of 1 M, 500,000 of them with
    the tag, those of a key that has none took 380 ms and take 70 ms.
    """
    if not tag:
        return False
    of_tag = select(_TAG_ID).where(record_tags.c.tag == tag, *span.between(_TAG_ID))
    return connection.execute(of_tag.offset(_COMMON).limit(1)).first() is not None


def each_record(
    connection: Connection, since_us: int, until_us: int, *, service: str = "", chunk: int = 2000
) -> Iterator[list[Record]]:
    """Yield all records of a span in chunks, oldest first, without their bodies."""
    span = [_since(since_us), _until(until_us)]
    if service:
        span.append(records.c.service == service)
    page = select(records).where(*span).order_by(records.c.id).limit(chunk)
    last = ""
    while True:
        rows = connection.execute(page.where(records.c.id > last)).all()
        if rows:
            yield [record_of(row) for row in rows]
            last = rows[-1].id
        if len(rows) < chunk:
            return


def drop_before(engine: Engine, service: str, at_us: int) -> int:
    """Delete the records of a service from before `at_us`, with all that hangs on them.

    These are bodies, outcomes, examples, drafts, pairs, reviews, and what those corrected. Rollups
    stay: what was counted and spent is not forgotten. Returns how many records there were.
    """
    old = select(records.c.id).where(records.c.service == service, _until(at_us))
    last, dropped = "", 0
    while True:
        with engine.connect() as connection:
            query = old.where(records.c.id > last).order_by(records.c.id).limit(_BATCH)
            ids = list(connection.execute(query).scalars())
        if not ids:
            drop_reviews_before(engine, service, at_us)
            drop_pairs_before(engine, service, at_us)
            return dropped
        with engine.begin() as connection:
            _drop_bodies_and_outcomes(connection, ids)
            drop_reviews_of(connection, ids)
            connection.execute(delete(records).where(records.c.id.in_(ids)))
            for table in record_tags, record_errors:
                connection.execute(delete(table).where(table.c.request_id.in_(ids)))
        last = ids[-1]
        dropped += len(ids)


def delete_user(engine: Engine, user: str) -> Forgotten:
    """Remove what is personal about `user`, and keep what was counted and spent.

    Bodies and outcomes of the user's requests are deleted, and reports of skew no longer give
    them as examples. Drafts and corrections go, and what a rollout keeps of the user until it
    has counted it; of reviews stays who decided how, and when, and of pairs what was lost.
    Their records stay, so that money, latency and errors still add up; in them a random
    pseudonym takes the user's place, and features, entity, conversation, cache source, the
    passages that were found (they tell what was asked about) and the free text of attempts and
    verdicts are emptied; of reasons, which may hold numbers of the input, only the codes stay.
    What reports of features tell of these requests goes too. Rollups and spendings per user
    move to the pseudonym. Tags, role, key and team stay: they say who pays.

    What has not been drained yet is not seen, and drained segments of the spool may still lie on
    the disk: before, call `Spool.rotate` and `Writer.drain`. A running ledger keeps what the user
    spent today in memory.
    """
    pseudonym = f"deleted-{os.urandom(6).hex()}"
    total = Forgotten(pseudonym)
    while True:
        with engine.begin() as connection:
            query = select(records).where(records.c.user == user).limit(_BATCH)
            found = [record_of(row) for row in connection.execute(query)]
            if not found:
                break
            ids = [record.id for record in found]
            gone = _drop_bodies_and_outcomes(connection, ids)
            forget_reviews(connection, ids)
            forget_pairs_of(connection, ids)
            forget_units_of(connection, found)
            _rename_spendings(connection, found, user, pseudonym)
            for record in found:
                _rewrite(connection, _without_person(record, user, pseudonym))
        total = Forgotten(
            pseudonym, total.records + len(found), total.bodies + gone[0], total.outcomes + gone[1]
        )
    with engine.begin() as connection:
        cells = and_(rollups.c.by == "user", rollups.c.value == user)
        connection.execute(update(rollups).where(cells).values(value=pseudonym))
    return total


def _without_person(record: Record, user: str, pseudonym: str) -> Record:
    return msgspec.structs.replace(
        record,
        user=pseudonym,
        reasons=tuple(code for reason in record.reasons if (code := _code_of(reason))),
        entity="",
        conversation="",
        features=None,
        cache=None,
        passages=None,
        attempts=tuple(msgspec.structs.replace(a, detail="") for a in record.attempts),
        verdicts=tuple(msgspec.structs.replace(v, reason="") for v in record.verdicts),
        scopes=tuple(_renamed(scope, user, pseudonym) for scope in record.scopes),
    )


def _rewrite(connection: Connection, record: Record) -> None:
    *_, detail = record_row(record)
    change = update(records).where(records.c.id == record.id)
    connection.execute(change.values(user=record.user, detail=detail))
    text = update(record_errors).where(record_errors.c.request_id == record.id)
    connection.execute(text.values(text="\n".join(record.reasons)))


def _code_of(reason: str) -> str:
    """Return what a reason begins with, if it is a word of ours or the name of a guard."""
    code = reason.partition(":")[0]
    return code if re.fullmatch(r"[a-z_]+|guard `[^`]*`", code) else ""


def _renamed(scope: str, user: str, pseudonym: str) -> str:
    """Return a ceiling's scope with the pseudonym; a user's is `user:<service>/<user>`."""
    is_theirs = scope.startswith("user:") and scope.endswith(f"/{user}")
    return scope.removesuffix(user) + pseudonym if is_theirs else scope


def _rename_spendings(
    connection: Connection, found: Iterable[Record], user: str, pseudonym: str
) -> None:
    for scope in {scope for record in found for scope in record.scopes}:
        new = _renamed(scope, user, pseudonym)
        if new != scope:
            connection.execute(
                update(spendings).where(spendings.c.scope == scope).values(scope=new)
            )


def _drop_bodies_and_outcomes(connection: Connection, ids: list[str]) -> tuple[int, int]:
    forget_examples(connection, ids)
    forget_explanations(connection, ids)
    drop_examples_of(connection, ids)
    dropped = connection.execute(delete(bodies).where(bodies.c.request_id.in_(ids))).rowcount
    known = connection.execute(delete(outcomes).where(outcomes.c.request_id.in_(ids))).rowcount
    return dropped, known


def _since(at_us: int, id: Column[str] = records.c.id) -> ColumnElement[bool]:
    return and_(records.c.at_us >= at_us, id >= _id_at(at_us - _ID_SLACK_US))


def _until(at_us: int, id: Column[str] = records.c.id) -> ColumnElement[bool]:
    return and_(records.c.at_us < at_us, id < _id_at(at_us + _ID_SLACK_US))


def _id_at(at_us: int) -> str:
    """Return what sorts before every id of this time and after every earlier one."""
    return f"rq_{max(at_us, 0) // 1000:012x}"


def _literal(value: str) -> ColumnElement[str]:
    """Write a value into the SQL itself, where the planner must see that a partial index fits."""
    return literal_column(f"'{value}'")
