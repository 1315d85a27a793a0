"""Drafts and reviews: how they lie in their tables, and how they are read."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, Row, func, select

from ..errors import NotFound
from ..types import Draft, Review
from .state import insert_rows
from .tables import corrections, drafts, reviews

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


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A review as it stands.

    Attributes:
        review: What was asked.
        state: `open`, `decided`, `expired` or `withdrawn`.
        owner: Who sees to it that it is decided in time.
        taken_by, taken_until_us: Who is at work on it, and until when nobody else gets it.
        decision: `approve`, `correct` or `reject`; empty until decided.
        ruling: What was decided, as JSON values; empty until then.
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
        raise NotFound(f"no review `{id:.60}`: it never was, or is older than its record is kept")
    return waiting_of(row)


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
        ruling=msgspec.json.decode(row.ruling) if row.ruling else {},
    )
