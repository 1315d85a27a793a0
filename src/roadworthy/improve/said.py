"""What people and systems said of requests, read from reviews, outcomes, drafts and records."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, Select, select

from ..store.examples import Kind
from ..store.records import record_of
from ..store.tables import bodies, drafts, outcomes, records, reviews
from ..types import SHOWN, Record

BY_PEOPLE = ("review", "audit", "second")
"""Reviews whose rulings make examples; a planted case measures the reviewer instead."""
KINDS = ("label", "correction", "correct")
"""Kinds of outcomes that say what is right; a rating does not."""

_BATCH = 400
_FORGOTTEN = "deleted-"
_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.decode


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """One decision about the answer of one request.

    Attributes:
        id: Of the review or the outcome.
        answer: The right answer as JSON; empty where the given one was only turned down.
        given: The answer that was decided about, as JSON; empty where there was none.
        is_correction: Whether it is not what the model said.
        review_id: Empty where no person reviewed it.
    """

    id: str
    request_id: str
    at_us: int
    by: str
    source: str
    kind: Kind = "output"
    answer: bytes = b""
    given: bytes = b""
    is_correction: bool = False
    review_id: str = ""
    severity: str = "none"
    reason: str = ""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One request, and all that was said of its answer.

    Attributes:
        record: Its record, without bodies.
        digest: By which the same input is known again.
        input: Its JSON bytes.
        share: The chance with which an outcome was asked for; 1 where none was recorded, or where
            none was asked for and one is known all the same.
        said: What was said of it, oldest first.
        seconds: `decided`, or else the state of each of its second reviews.
    """

    record: Record
    digest: str
    input: bytes
    share: float
    said: tuple[Said, ...]
    seconds: tuple[str, ...] = ()


def requests_decided_since(connection: Connection, since_us: int) -> list[str]:
    """Return the requests of which something was said since a time, oldest decision first."""
    ruled = select(reviews.c.request_id, reviews.c.decided_at_us).where(
        reviews.c.kind.in_(BY_PEOPLE), reviews.c.decided_at_us >= since_us
    )
    reported = select(outcomes.c.request_id, outcomes.c.known_at_us).where(
        outcomes.c.known_at_us >= since_us, outcomes.c.kind.in_(KINDS)
    )
    found = [*connection.execute(ruled).all(), *connection.execute(reported).all()]
    return list(dict.fromkeys(request for request, _ in sorted(found, key=lambda row: row[1])))


def read_asked(connection: Connection, requests: Iterable[str]) -> dict[str, Asked]:
    """Return what is known of these requests, by id.

    One without a record is left out, since what it was asked is gone; so is one whose user asked to
    be forgotten, and one whose answer nobody was shown.
    """
    ids = sorted(set(requests))

    def rows(query: Select[Any], of: Any) -> list[Row[Any]]:
        batches = (ids[start : start + _BATCH] for start in range(0, len(ids), _BATCH))
        return [row for some in batches for row in connection.execute(query.where(of.in_(some)))]

    kept = [record_of(row) for row in rows(select(records), records.c.id)]
    drafted = {row.request_id: row for row in rows(select(drafts), drafts.c.request_id)}
    body = {row.request_id: row for row in rows(select(bodies), bodies.c.request_id)}
    ruled = _by_request(rows(select(reviews), reviews.c.request_id))
    known = _by_request(rows(select(outcomes), outcomes.c.request_id))
    found = (
        _asked(
            record,
            drafted.get(record.id),
            body.get(record.id),
            ruled.get(record.id, ()),
            known.get(record.id, ()),
        )
        for record in kept
        if not record.user.startswith(_FORGOTTEN) and record.arm in SHOWN
    )
    return {one.record.id: one for one in found if one is not None}


def requests_reviewed(connection: Connection, inputs: Iterable[tuple[str, str]]) -> set[str]:
    """Return the requests with these inputs (service, digest) that people decided, ever.

    One that was only turned down made no example by which it would be found again.
    """
    found: set[str] = set()
    for service, digest in sorted(set(inputs)):
        decided = (reviews.c.decision != "", reviews.c.kind.in_(BY_PEOPLE))
        same = (reviews.c.service == service, reviews.c.input_digest == digest)
        newest = select(reviews.c.request_id).where(*same, *decided)
        query = newest.order_by(reviews.c.decided_at_us.desc()).limit(_BATCH)
        found |= set(connection.execute(query).scalars())
    return found


def users_of(connection: Connection, requests: Iterable[str]) -> dict[str, str]:
    """Return who had asked, by request; where the caller named nobody it is left out."""
    ids = sorted(set(requests))
    found: dict[str, str] = {}
    for start in range(0, len(ids), _BATCH):
        some = records.c.id.in_(ids[start : start + _BATCH])
        rows = connection.execute(select(records.c.id, records.c.user, records.c.key).where(some))
        found |= {id: user for id, user, key in rows if user != f"key:{key}"}
    return found


def _by_request(rows: Iterable[Row[Any]]) -> dict[str, list[Row[Any]]]:
    found: dict[str, list[Row[Any]]] = {}
    for row in rows:
        found.setdefault(row.request_id, []).append(row)
    return found


def _asked(
    record: Record,
    draft: Row[Any] | None,
    body: Row[Any] | None,
    ruled: Collection[Row[Any]],
    known: Collection[Row[Any]],
) -> Asked | None:
    """Return what is known of a request; None where what it was asked was not kept."""
    input = next((row.input for row in ruled if row.input), None) or (body and body.input)
    if not input:
        return None
    given = body.output if body is not None and body.output else b""
    said = [one for row in ruled if (one := _of_review(row)) is not None]
    said += [one for row in known if (one := _of_outcome(row, draft, given)) is not None]
    seconds = ["decided" if row.decision else row.state for row in ruled if row.kind == "second"]
    propensity = min((row.propensity for row in known), default=1.0)
    return Asked(
        record=record,
        digest=_digest(draft, ruled, input),
        input=input,
        share=propensity if draft is None else _share_of(draft),
        said=tuple(sorted(said, key=lambda one: (one.at_us, one.id))),
        seconds=tuple(seconds),
    )


def _share_of(draft: Row[Any]) -> float:
    """Return the chance with which a request was drawn; what was not came by another way."""
    return float(draft.share) if draft.is_drawn else 1.0


def _digest(draft: Row[Any] | None, ruled: Collection[Row[Any]], input: bytes) -> str:
    """Return the digest that the service's desk gave, or one of the body where it has no desk."""
    if draft is not None and draft.digest:
        return str(draft.digest)
    given = next((row.input_digest for row in ruled if row.input_digest), "")
    return given or hashlib.sha256(_encode(_decode(input))).hexdigest()


def _of_review(row: Row[Any]) -> Said | None:
    if not row.decision or row.kind not in BY_PEOPLE or not row.ruling:
        return None  # one that was decided after it had expired counts
    ruling = _decode(row.ruling)
    kind, answer = _answer_of(ruling, row.draft)
    return Said(
        id=row.id,
        request_id=row.request_id,
        at_us=row.decided_at_us,
        by=row.decided_by,
        source=row.kind,
        kind=kind,
        answer=answer,
        given=canonical(row.draft) if row.draft else b"",
        is_correction=bool(answer) and ruling["decision"] != "approve",
        review_id=row.id,
        severity=ruling.get("severity") or "none",
        reason=ruling.get("reason_code") or "",
    )


def _answer_of(ruling: dict[str, Any], draft: bytes) -> tuple[Kind, bytes]:
    """Return what a ruling says is right; nothing where a draft was only turned down."""
    if ruling["decision"] == "approve":
        return "output", canonical(draft) if draft else b""
    if ruling.get("output") is not None:
        return "output", _encode(ruling["output"])
    if ruling.get("label") is not None:
        return "label", _encode(ruling["label"])
    return "output", b""


def _of_outcome(row: Row[Any], draft: Row[Any] | None, given: bytes) -> Said | None:
    """Return what a reporting system said; what a ruling left among the outcomes is its own."""
    if row.source in (*BY_PEOPLE, "planted") or row.kind not in KINDS:
        return None
    value = canonical(row.value.encode())
    kind: Kind = "label" if row.kind == "label" else "output"
    if row.kind == "correct":
        if value == b"true" and not given:
            return None
        value = canonical(given) if value == b"true" else b""
    return Said(
        id=row.id,
        request_id=row.request_id,
        at_us=row.known_at_us,
        by=row.by,
        source=row.source,
        kind=kind,
        answer=value,
        given=canonical(given) if given else b"",
        is_correction=row.kind == "correction" or (kind == "label" and _differs(value, draft)),
        reason=row.reason,
    )


def _differs(label: bytes, draft: Row[Any] | None) -> bool:
    """Whether a label is not what the model predicted; unknown counts as different."""
    return draft is None or not draft.predicted or canonical(draft.predicted) != label


def canonical(value: bytes) -> bytes:
    """Return JSON with its keys sorted and no space, so that equal values are equal bytes."""
    return _encode(_decode(value))
