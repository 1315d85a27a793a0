"""Queues as lists: what waits, what was decided, and which past cases are alike."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Row,
    Select,
    case,
    func,
    select,
    tuple_,
    update,
)

from ..errors import Conflict, Forbidden, NotFound, RequestError
from ..types import MICRO, Clock
from .clock import time_of
from .reviews import Waiting, lock_review, reviews_of, waiting_of
from .tables import drafts, reviews

TAKEN_FOR_S = 600
"""How long nobody else gets a case that somebody took, unless it is taken again."""
MOST_COMPARED = 500
"""Of how many past cases the similar ones are picked."""

_decode = msgspec.json.decode

NEED_ANOTHER = ("second", "planted")
"""Kinds of cases that somebody decided before, who is not asked again."""


class ReviewPage(NamedTuple):
    """One page of a list, and what the next one begins `before`; empty where it is the last."""

    found: tuple[Waiting, ...]
    before: str = ""


class QueueCount(msgspec.Struct, frozen=True, kw_only=True):
    """How a queue stands.

    Attributes:
        open: Cases that wait for a person.
        late: Those of them whose time is over.
        escalated: Those that were escalated.
        next_due_us: When the first of them is due.
    """

    queue: str
    service: str
    owner: str
    open: int
    late: int
    escalated: int
    next_due_us: int


class Similar(msgspec.Struct, frozen=True, kw_only=True):
    """A past case that resembles another, and what was decided of it.

    Attributes:
        is_same: Whether its input was the very same.
        groups: The values of the declared groups.
        predicted: What the model had predicted, as JSON values; None where it is no prediction.
    """

    id: str
    request_id: str
    at_us: int
    is_same: bool
    score: float | None
    groups: tuple[str, ...]
    predicted: Any
    input: bytes
    draft: bytes
    decision: str
    decided_by: str
    decided_at_us: int
    ruling: dict[str, Any]


def find_reviews(
    engine: Engine,
    *,
    state: str = "open",
    queue: str = "",
    services: Collection[str] = (),
    owner: str = "",
    due_before_us: int | None = None,
    before: str = "",
    limit: int = 50,
) -> ReviewPage:
    """Return one page of reviews; what is empty does not filter.

    Those that are open come as they are due, the others with what was due last in front. The next
    page begins `before` the last case of this one.

    Raises:
        RequestError: `before` is none that a page gave.
    """
    is_open = state == "open"
    place = tuple_(reviews.c.due_us, reviews.c.id)
    conditions = [reviews.c.state == state, *_wanted(queue, services, owner)]
    if due_before_us is not None:
        conditions.append(reviews.c.due_us < due_before_us)
    if before:
        here = tuple_(*_place_of(before))
        conditions.append(place > here if is_open else place < here)
    page = _ordered(select(reviews.c.id).where(*conditions), is_open=is_open).limit(limit)
    with engine.connect() as connection:
        ids = list(connection.execute(page).scalars())
        query = _ordered(select(reviews).where(reviews.c.id.in_(ids)), is_open=is_open)
        found = tuple(waiting_of(row) for row in connection.execute(query))
    return ReviewPage(found, place_of(found[-1]) if len(found) == limit else "")


def place_of(waiting: Waiting) -> str:
    """Return what the page after this case begins `before`."""
    return f"{waiting.review.due_us}-{waiting.review.id}"


def _place_of(before: str) -> tuple[int, str]:
    due, _, id = before.partition("-")
    if not id or not due.isascii() or not due.isdigit() or len(due) > 18:
        message = "before: expected the `before` of a page, got something else"
        raise RequestError(message, param="before")
    return int(due), id


def _ordered(query: Select[Any], *, is_open: bool) -> Select[Any]:
    places = (reviews.c.due_us, reviews.c.id)
    return query.order_by(*(c.asc() if is_open else c.desc() for c in places))


def _wanted(queue: str, services: Collection[str], owner: str) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if queue:
        conditions.append(reviews.c.queue == queue)
    if services:
        conditions.append(reviews.c.service.in_(sorted(services)))
    if owner:
        conditions.append(reviews.c.owner == owner)
    return conditions


def count_queues(engine: Engine, now_us: int, services: Collection[str] = ()) -> list[QueueCount]:
    """Return how each queue stands, by service and owner; those with nothing open are not there."""
    columns = (reviews.c.queue, reviews.c.service, reviews.c.owner)
    query = (
        select(
            *columns,
            func.count().label("open"),
            func.count(case((reviews.c.due_us <= now_us, 1))).label("late"),
            func.count(reviews.c.escalated_at_us).label("escalated"),
            func.min(reviews.c.due_us).label("next_due_us"),
        )
        .where(reviews.c.state == "open", *_wanted("", services, ""))
        .group_by(*columns)
        .order_by(*columns)
    )
    with engine.connect() as connection:
        return [QueueCount(**row._mapping) for row in connection.execute(query)]


def take_review(
    engine: Engine, clock: Clock, id: str, *, by: str, for_s: int = TAKEN_FOR_S
) -> Waiting:
    """Give one person a case for a while, so that nobody else works on it; again prolongs it.

    Raises:
        NotFound: There is none with this id.
        Conflict: Somebody else is at work on it, or nobody waits for it any more.
        Forbidden: It is the second look at what they decided themselves.
    """
    with engine.begin() as connection:
        waiting = lock_review(connection, id)
        now_us = clock.now_us()
        check_open(waiting)
        check_free(waiting, by, now_us)
        check_unseen(connection, waiting, by)
        taken = {"taken_by": by, "taken_until_us": now_us + for_s * MICRO}
        connection.execute(update(reviews).where(reviews.c.id == id).values(taken))
    return msgspec.structs.replace(waiting, **taken)


def take_next(
    engine: Engine, clock: Clock, *, by: str, queue: str = "", services: Collection[str] = ()
) -> Waiting | None:
    """Give a person the case that is due first and free, or None where none is.

    Of a second look, and of a planted case, whoever decided first gets none.
    """
    now_us = clock.now_us()
    first = reviews.alias()
    was_theirs = (
        select(first.c.id)
        .where(first.c.request_id == reviews.c.request_id, first.c.decided_by == by)
        .exists()
    )
    is_free = (reviews.c.taken_by.in_(("", by))) | (reviews.c.taken_until_us <= now_us)
    is_allowed = reviews.c.kind.not_in(NEED_ANOTHER) | ~was_theirs
    free = select(reviews.c.id).where(
        reviews.c.state == "open", is_free, is_allowed, *_wanted(queue, services, "")
    )
    query = free.order_by(reviews.c.due_us, reviews.c.id).limit(5)
    with engine.connect() as connection:
        ids = list(connection.execute(query).scalars())
    for id in ids:  # somebody else may be faster
        try:
            return take_review(engine, clock, id, by=by)
        except (Conflict, Forbidden, NotFound):
            continue
    return None


def check_open(waiting: Waiting) -> None:
    """Refuse a case that nobody waits for any more.

    Raises:
        Conflict: It was decided, its time is over, or it was withdrawn.
    """
    if waiting.state != "open":
        who = f" by {waiting.decided_by}" if waiting.decided_by else ""
        raise Conflict(f"review `{waiting.review.id}` is {waiting.state}{who}, not open")


def check_free(waiting: Waiting, by: str, now_us: int) -> None:
    """Refuse a case that somebody else is at work on.

    Raises:
        Conflict: It is theirs for now; the message says whose, and until when.
    """
    if waiting.taken_by not in ("", by) and waiting.taken_until_us > now_us:
        until = time_of(waiting.taken_until_us)
        raise Conflict(
            f"{waiting.taken_by} is at work on review `{waiting.review.id}` until"
            f" {until:%Y-%m-%d %H:%M:%SZ}; wait, or have it handed over"
        )


def check_unseen(connection: Connection, waiting: Waiting, by: str) -> None:
    """Refuse a second look, or a planted case, to whoever decided the same before.

    Raises:
        Forbidden: They did.
    """
    if waiting.review.kind not in NEED_ANOTHER:
        return
    if any(known.decided_by == by for known in reviews_of(connection, waiting.review.request_id)):
        raise Forbidden(
            f"review `{waiting.review.id}` needs another person: {by} decided the same case before"
        )


def similar_reviews(engine: Engine, waiting: Waiting, limit: int = 5) -> list[Similar]:
    """Return the past cases most like this one, nearest first, and what was decided of them.

    First those of the same input, newest first; then, of the last decided ones of its service,
    those with more of its groups, the same prediction, and the nearest score. What was decided of
    the same request is left out: a second look is blind.
    """
    with engine.connect() as connection:
        near = _nearest(connection, waiting, limit)
        query = select(reviews).where(reviews.c.id.in_([row.id for row in near]))
        cases = {row.id: row for row in connection.execute(query)}
    digest = waiting.review.input_digest
    return [_similar(cases[row.id], row, digest) for row in near if row.id in cases]


def _nearest(connection: Connection, waiting: Waiting, limit: int) -> list[Row[Any]]:
    """Return id, score, groups and prediction of the nearest past cases, nearest first."""
    query = select(drafts).where(drafts.c.request_id == waiting.review.request_id)
    draft = connection.execute(query).first()
    same = _decided(connection, waiting, limit, is_same=True)
    others = _decided(connection, waiting, MOST_COMPARED) if len(same) < limit else []
    others.sort(key=lambda row: _distance(row, draft, waiting.review.score))
    return [*same, *others][:limit]


def _decided(
    connection: Connection, waiting: Waiting, limit: int, *, is_same: bool = False
) -> list[Row[Any]]:
    """Return past cases of the service, last decided first, by what makes them alike."""
    review, digest = waiting.review, reviews.c.input_digest
    is_it = digest == review.input_digest if is_same else digest != review.input_digest
    query = (
        select(reviews.c.id, drafts.c.score, drafts.c.groups, drafts.c.predicted)
        .join(drafts, drafts.c.request_id == reviews.c.request_id, isouter=True)
        .where(
            reviews.c.service == review.service,
            reviews.c.decided_at_us > 0,
            reviews.c.request_id != review.request_id,
            reviews.c.kind != "planted",
            is_it,
        )
        .order_by(reviews.c.decided_at_us.desc())
        .limit(limit)
    )
    return [*connection.execute(query)]


def _distance(row: Row[Any], draft: Row[Any] | None, score: float | None) -> tuple[Any, ...]:
    """Return what sorts the nearest case first."""
    theirs, ours = _groups_of(row), _groups_of(draft)
    others = sum(a != b for a, b in zip(theirs, ours, strict=False))
    is_other = draft is None or row.predicted != draft.predicted
    known = score is not None and row.score is not None
    return others, is_other, abs(row.score - score) if known else 2.0


def _groups_of(row: Row[Any] | None) -> tuple[str, ...]:
    return () if row is None or not row.groups else tuple(_decode(row.groups))


def _similar(case: Row[Any], near: Row[Any], digest: str) -> Similar:
    return Similar(
        id=case.id,
        request_id=case.request_id,
        at_us=case.at_us,
        is_same=case.input_digest == digest,
        score=near.score,
        groups=_groups_of(near),
        predicted=_decode(near.predicted) if near.predicted else None,
        input=case.input,
        draft=case.draft,
        decision=case.decision,
        decided_by=case.decided_by,
        decided_at_us=case.decided_at_us,
        ruling=_decode(case.ruling) if case.ruling else {},
    )
