"""Drafts and reviews: how they lie in their tables, and how they are read."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, Row, Select, delete, func, select, update

from ..errors import NotFound
from ..types import Draft, Review
from .state import insert_rows
from .switchboard import move_pointer
from .tables import corrections, drafts, reviews

_BATCH = 500
"""Rows that one transaction of `drop_reviews_before` touches: the writer waits little."""

_encode = msgspec.json.Encoder().encode


class _Detail(msgspec.Struct, frozen=True, omit_defaults=True):
    reasons: tuple[str, ...] = ()
    score: float | None = None
    confidence: float | None = None
    content: dict[str, Any] = {}
    key: str = ""
    user: str = ""
    role: str = ""


_decode = msgspec.json.Decoder(_Detail).decode
_NOT_PERSONAL = ("decision", "reason_code", "severity")
"""What stays of a ruling when a user is forgotten."""


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A review as it stands.

    Attributes:
        review: What was asked.
        state: `open`, `decided`, `expired` or `withdrawn`.
        owner: Who sees to it that it is decided in time.
        taken_by, taken_until_us: Who is at work on it, and until when nobody else gets it.
        decision: `approve`, `correct` or `reject`; empty until decided.
        ruling: What was decided, as JSON values; empty until then.
        given: What whoever waited got, as JSON values: `disposition`, `output`, `model`, `reasons`;
            empty where nobody waits, or still does.
        expected: What is known of a planted case, as JSON values; for nobody's eyes before it is
            decided.
    """

    review: Review
    state: str
    owner: str
    taken_by: str = ""
    taken_until_us: int = 0
    escalated_at_us: int | None = None
    decided_at_us: int | None = None
    decided_by: str = ""
    decision: str = ""
    ruling: dict[str, Any] = {}
    given: dict[str, Any] = {}
    expected: dict[str, Any] = {}


def add_drafts(connection: Connection, found: list[Draft]) -> None:
    """Store drafts; one that is there already is left as it is."""
    insert_rows(connection, drafts, [_draft_row(draft) for draft in found], "ignore")


def add_reviews(connection: Connection, found: list[Review]) -> None:
    """Store reviews as open; one that is there already is left as it is."""
    insert_rows(connection, reviews, [_review_row(review) for review in found], "ignore")


def read_review(engine: Engine, id: str) -> Waiting:
    """Return one review as it stands.

    Raises:
        NotFound: There is none with this id, or not any more.
    """
    with engine.connect() as connection:
        row = connection.execute(select(reviews).where(reviews.c.id == id)).first()
    if row is None:
        raise _unknown(id)
    return waiting_of(row)


def lock_review(connection: Connection, id: str) -> Waiting:
    """Return one review that nobody else changes until the caller's transaction ends.

    Raises:
        NotFound: There is none with this id, or not any more.
    """
    here = update(reviews).where(reviews.c.id == id)
    row = connection.execute(here.values(state=reviews.c.state).returning(reviews)).first()
    if row is None:
        raise _unknown(id)
    return waiting_of(row)


def change_review(connection: Connection, id: str, **values: Any) -> None:
    """Write columns of a review that the caller has locked; JSON values become bytes."""
    for name in ("ruling", "given"):
        if name in values:
            values[name] = _encode(values[name])
    connection.execute(update(reviews).where(reviews.c.id == id).values(values))


def plant_review(connection: Connection, review: Review, expected: dict[str, Any]) -> None:
    """Store a case of which it is known what a person should find."""
    add_reviews(connection, [review])
    here = update(reviews).where(reviews.c.id == review.id)
    connection.execute(here.values(expected=_encode(expected)))


def as_planted(detail: bytes) -> bytes | None:
    """Return what a planted case shows of why it is asked, after that of another case.

    None where that has no score: what a guard said of it may be personal.
    """
    like = _decode(detail)
    if like.score is None:
        return None
    content = {"model": like.content["model"]} if "model" in like.content else {}
    return _encode(_Detail(like.reasons, like.score, like.confidence, content))


def reviews_of(connection: Connection, request_id: str) -> list[Waiting]:
    """Return all reviews of one request, oldest first."""
    query = select(reviews).where(reviews.c.request_id == request_id).order_by(reviews.c.id)
    return [waiting_of(row) for row in connection.execute(query)]


def share_of(connection: Connection, request_id: str) -> float:
    """Return the chance with which an outcome of a request was asked for; 1 where none was kept."""
    query = select(drafts.c.share).where(drafts.c.request_id == request_id)
    share: float | None = connection.execute(query).scalar()
    return 1.0 if share is None else share


def put_correction(connection: Connection, review: Review, at_us: int, output: Any) -> None:
    """Let what a person said be given wherever the same is asked again, in every process."""
    move_pointer(connection, f"corrections:{review.service}", review.id)
    key = (review.service, review.input_digest, review.role)
    columns = (corrections.c.service, corrections.c.input_digest, corrections.c.role)
    same = [column == value for column, value in zip(columns, key, strict=True)]
    connection.execute(delete(corrections).where(*same))
    insert_rows(connection, corrections, [(*key, review.id, at_us, _encode(output))])


def turn_down(connection: Connection, service: str, review_id: str) -> None:
    """Let every process know that a person turned an answer of a service down."""
    move_pointer(connection, f"corrections:{service}", review_id)


def answers_turned_down(engine: Engine, service: str, since_us: int) -> list[tuple[str, int]]:
    """Return requests of whose answers a person said otherwise, with when; at most 1,000.

    Args:
        engine: The state database.
        service: Whose.
        since_us: From this time on; what was decided in that microsecond comes again.
    """
    query = (
        select(reviews.c.request_id, reviews.c.decided_at_us)
        .where(
            reviews.c.service == service,
            reviews.c.decision.in_(("correct", "reject")),
            reviews.c.decided_at_us >= since_us,
        )
        .order_by(reviews.c.decided_at_us.desc())
        .limit(1_000)
    )
    with engine.connect() as connection:
        return [(row.request_id, row.decided_at_us) for row in connection.execute(query)]


def asked_since(engine: Engine, service: str, since_us: int) -> int:
    """Return how many requests of a service people were asked since a time; audits do not count."""
    is_one = (reviews.c.service == service, reviews.c.at_us >= since_us)
    query = select(func.count()).where(*is_one, reviews.c.kind == "review")
    with engine.connect() as connection:
        return connection.execute(query).scalar_one()


def read_corrections(engine: Engine, service: str) -> list[Row[Any]]:
    """Return what people said instead of a service's answers: `input_digest`, `role`, and so on."""
    with engine.connect() as connection:
        query = select(corrections).where(corrections.c.service == service)
        return list(connection.execute(query).all())


def forget_reviews(connection: Connection, ids: list[str]) -> None:
    """Empty what is personal in the reviews of these requests, and drop drafts and corrections.

    Who decided how, and when, stays. A correction of theirs is given to nobody any more.
    """
    theirs = reviews.c.request_id.in_(ids)
    _drop_corrections(connection, select(reviews.c.id).where(theirs))
    connection.execute(delete(drafts).where(drafts.c.request_id.in_(ids)))
    for row in connection.execute(select(reviews.c.id, reviews.c.ruling).where(theirs)).all():
        here = update(reviews).where(reviews.c.id == row.id)
        connection.execute(
            here.values(
                input=b"",
                draft=b"",
                detail=b"{}",
                digest="",
                input_digest="",
                given=None,
                expected=None,
                ruling=_without_words(row.ruling),
            )
        )
    undecided = update(reviews).where(theirs, reviews.c.decision == "")
    connection.execute(undecided.values(state="withdrawn"))


def empty_reviews(engine: Engine, service: str, before_us: int) -> int:
    """Empty the content of a service's cases that ended, for one that keeps no bodies.

    How they were decided stays. What a person corrected stays too: it is given to who asks again.
    Returns how many cases that were.

    Args:
        engine: The state database.
        service: Whose cases.
        before_us: Only of cases that ended before: who waited may still ask for what was given.
    """
    ended = (
        reviews.c.service == service,
        reviews.c.state != "open",
        func.coalesce(reviews.c.decided_at_us, reviews.c.due_us) < before_us,
        reviews.c.input != b"",
    )
    with engine.begin() as connection:
        rows = connection.execute(select(reviews.c.id, reviews.c.ruling).where(*ended)).all()
        for row in rows:
            here = update(reviews).where(reviews.c.id == row.id)
            ruling = _without_words(row.ruling)
            connection.execute(
                here.values(input=b"", draft=b"", detail=b"{}", given=None, ruling=ruling)
            )
    return len(rows)


def _without_words(ruling: bytes | None) -> bytes | None:
    """Return a ruling without what it says of the case."""
    said = msgspec.json.decode(ruling) if ruling else None
    kept = {name: said[name] for name in _NOT_PERSONAL if name in said} if said else None
    return None if kept is None else _encode(kept)


def drop_reviews_of(connection: Connection, ids: list[str]) -> None:
    """Delete drafts and reviews of these requests, and what those corrected."""
    theirs = reviews.c.request_id.in_(ids)
    _drop_corrections(connection, select(reviews.c.id).where(theirs))
    connection.execute(delete(reviews).where(theirs))
    connection.execute(delete(drafts).where(drafts.c.request_id.in_(ids)))


def drop_reviews_before(engine: Engine, service: str, at_us: int) -> None:
    """Delete a service's drafts, reviews and corrections from before `at_us`."""
    for table, key in ((reviews, reviews.c.id), (drafts, drafts.c.request_id)):
        old = select(key).where(table.c.service == service, table.c.at_us < at_us).limit(_BATCH)
        while True:
            with engine.begin() as connection:
                ids = list(connection.execute(old).scalars())
                if table is reviews and ids:
                    _drop_corrections(connection, select(reviews.c.id).where(reviews.c.id.in_(ids)))
                connection.execute(delete(table).where(key.in_(ids)))
            if len(ids) < _BATCH:
                break


def _drop_corrections(connection: Connection, ids: Select[tuple[str]]) -> None:
    """Drop what these reviews corrected, and let every process know."""
    found = select(corrections.c.service).where(corrections.c.review_id.in_(ids)).distinct()
    for service in connection.execute(found).scalars().all():
        move_pointer(connection, f"corrections:{service}", "")
    connection.execute(delete(corrections).where(corrections.c.review_id.in_(ids)))


def _unknown(id: str) -> NotFound:
    return NotFound(f"no review `{id:.60}`: it never was, or is older than its record is kept")


def _draft_row(draft: Draft) -> tuple[Any, ...]:
    fields = msgspec.structs.asdict(draft)
    fields["groups"] = _encode(draft.groups).decode()
    fields["signals"] = _encode(draft.signals).decode()
    fields["is_drawn"] = int(draft.is_drawn)
    return tuple(fields[column.name] for column in drafts.c)


def _review_row(review: Review) -> tuple[Any, ...]:
    fields = msgspec.structs.asdict(review)
    detail = _Detail(*(fields[name] for name in _Detail.__struct_fields__))
    fields |= {
        "detail": _encode(detail),
        "state": "open",
        "taken_by": "",
        "taken_until_us": 0,
        "escalated_at_us": None,
        "decided_at_us": None,
        "decided_by": "",
        "decision": "",
        "ruling": None,
        "given": None,
        "expected": None,
    }
    return tuple(fields[column.name] for column in reviews.c)


def waiting_of(row: Row[Any]) -> Waiting:
    """Return the review that a whole row of `reviews` holds."""
    fields = dict(row._mapping)
    fields |= msgspec.structs.asdict(_decode(row.detail))
    review = Review(**{name: fields[name] for name in Review.__struct_fields__})
    return Waiting(
        review=review,
        state=row.state,
        owner=row.owner,
        taken_by=row.taken_by,
        taken_until_us=row.taken_until_us,
        escalated_at_us=row.escalated_at_us,
        decided_at_us=row.decided_at_us,
        decided_by=row.decided_by,
        decision=row.decision,
        ruling=_values_of(row.ruling),
        given=_values_of(row.given),
        expected=_values_of(row.expected),
    )


def _values_of(raw: bytes | None) -> dict[str, Any]:
    return msgspec.json.decode(raw) if raw else {}
