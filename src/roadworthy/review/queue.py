"""Working a queue: cases that go to somebody else, and cases that are planted among the others."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta
from sqlalchemy import Connection, Engine, func, select, update

from ..declare.project import Queue
from ..errors import RequestError
from ..store.actions import append_action
from ..store.review_lists import check_free, check_open
from ..store.reviews import (
    Waiting,
    as_planted,
    change_review,
    lock_review,
    plant_review,
    waiting_of,
)
from ..store.tables import reviews
from ..types import DAY_US, Clock, Ids, Key, Review
from .notices import Tell, tell_nobody
from .rulings import check_reviewer

HELD = "held"
"""State of a planted case that nobody sees yet."""
_SPAN_US = DAY_US
_MOST_LIKE = 50
_encode = msgspec.json.Encoder().encode


class HandOver(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """To whom a case goes.

    Attributes:
        queue: Another queue; by default it stays in its own.
        to: The person who sees to it from now on; by default the queue's owner.
        reason: Why; kept with who and when.
    """

    queue: Annotated[str, Meta(max_length=200)] = ""
    to: Annotated[str, Meta(max_length=200)] = ""
    reason: Annotated[str, Meta(max_length=1000)] = ""


def hand_over(
    engine: Engine,
    clock: Clock,
    review_id: str,
    hand: HandOver,
    queues: Mapping[str, Queue],
    *,
    by: str,
    key: Key | None = None,
    tell: Tell = tell_nobody,
) -> Waiting:
    """Give a case to another queue or person; whoever was at work on it is not any more.

    Raises:
        NotFound: There is no such case.
        Forbidden: The key may not work on it.
        Conflict: Somebody else is at work on it, or nobody waits for it any more.
        RequestError: There is no such queue, or nobody is named.
    """
    with engine.begin() as connection:
        waiting = lock_review(connection, review_id)
        check_reviewer(waiting.review, key)
        check_open(waiting)
        check_free(waiting, by, clock.now_us())
        queue, owner = _where_to(waiting, hand, queues)
        change = {"queue": queue, "owner": owner, "taken_by": "", "taken_until_us": 0}
        change_review(connection, review_id, **change)
        facts = {
            "service": waiting.review.service,
            "from": waiting.review.queue,
            "queue": queue,
            "owner": owner,
        }
        append_action(
            connection, clock, by, "review.hand_over", review_id, {**facts, "reason": hand.reason}
        )
        tell(connection, queue, "review.hand_over", review_id, facts)
        row = connection.execute(select(reviews).where(reviews.c.id == review_id)).one()
    return waiting_of(row)


def _where_to(waiting: Waiting, hand: HandOver, queues: Mapping[str, Queue]) -> tuple[str, str]:
    if not hand.queue and not hand.to:
        raise RequestError("expected a `queue` or a person in `to`, got neither")
    queue = hand.queue or waiting.review.queue
    declared = queues.get(queue)
    if declared is None and hand.queue:
        known = ", ".join(f"`{name}`" for name in queues) or "none"
        raise RequestError(f"queue: expected one of {known}, got another", param="queue")
    return queue, hand.to or ("" if declared is None else declared.owner)


class Planted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An answer that is known to be wrong, to see whether people find that.

    Attributes:
        input: What was asked, as the service takes it.
        draft: The wrong answer that is shown.
        expect: What a person should decide; either is as good, and approving it is a miss.
        label: The right label, if it is known.
    """

    service: str
    input: dict[str, Any]
    draft: Any
    expect: Literal["correct", "reject"] = "reject"
    label: Any = UNSET


def plant(
    engine: Engine,
    clock: Clock,
    found: Sequence[Planted],
    queue_of: Mapping[str, str],
    *,
    by: str,
) -> int:
    """Hold known cases ready to be put among what people are asked; return how many.

    Args:
        engine: The state database.
        clock: The project's time.
        found: The cases.
        queue_of: Service → its queue.
        by: Who does.

    Raises:
        RequestError: A case is of a service without a queue.
    """
    ids = Ids(clock)
    for case in found:
        if not queue_of.get(case.service):
            known = ", ".join(f"`{name}`" for name in queue_of) or "none"
            raise RequestError(
                f"service: expected one with a queue ({known}), got `{case.service:.80}`"
            )
    with engine.begin() as connection:
        for case in found:
            draft = _encode(case.draft)
            review = Review(
                id=ids.new("rv"),
                request_id=ids.new("rq"),
                at_us=clock.now_us(),
                due_us=clock.now_us() + _SPAN_US,
                service=case.service,
                release="",
                queue=queue_of[case.service],
                kind="planted",
                input=_encode(case.input),
                draft=draft,
                digest=hashlib.sha256(draft).hexdigest(),
            )
            expected = {"decision": case.expect}
            expected |= {} if case.label is UNSET else {"label": case.label}
            _hold(connection, review, expected)
        facts = {"cases": len(found), "from": "file"}
        append_action(connection, clock, by, "review.plant", "file", facts)
    return len(found)


def plant_corrections(
    engine: Engine, clock: Clock, *, by: str, service: str = "", limit: int = 20
) -> int:
    """Hold answers that people found wrong ready to be asked again; return how many.

    Each is planted once, as it was then; the newest come first.
    """
    again = reviews.alias()
    was_planted = (
        select(again.c.id)
        .where(again.c.request_id == reviews.c.request_id, again.c.kind == "planted")
        .exists()
    )
    wrong = (reviews.c.decision.in_(("correct", "reject")), reviews.c.draft != b"", ~was_planted)
    query = select(reviews).where(
        *wrong, reviews.c.kind.in_(("review", "audit")), reviews.c.decided_at_us > 0
    )
    if service:
        query = query.where(reviews.c.service == service)
    query = query.order_by(reviews.c.decided_at_us.desc()).limit(limit)
    ids = Ids(clock)
    with engine.begin() as connection:
        found = [waiting_of(row) for row in connection.execute(query)]
        for case in found:
            review = msgspec.structs.replace(
                case.review, id=ids.new("rv"), kind="planted", input_digest="", key=""
            )
            _hold(connection, review, _expected_of(case))
        facts = {"cases": len(found), "from": "corrections"}
        append_action(connection, clock, by, "review.plant", service or "all", facts)
    return len(found)


def _expected_of(case: Waiting) -> dict[str, Any]:
    label = {name: case.ruling[name] for name in ("label",) if name in case.ruling}
    return {"decision": case.decision, **label}


def _hold(connection: Connection, review: Review, expected: dict[str, Any]) -> None:
    plant_review(connection, review, expected)
    here = update(reviews).where(reviews.c.id == review.id)
    connection.execute(here.values(state=HELD))


def release_planted(engine: Engine, clock: Clock, queues: Mapping[str, Queue]) -> int:
    """Put as many held cases among the others as each queue's share says; return how many.

    It counts what was asked in the last day. A case comes with a new id and time, so that nothing
    tells it from the others.
    """
    now_us, done, ids = clock.now_us(), 0, Ids(clock)
    with engine.begin() as connection:
        for name, queue in queues.items():
            if not queue.planted_share:
                continue
            for row in _next_held(connection, name, _missing(connection, name, queue, now_us)):
                change = {
                    **({} if row.release else _as_others(connection, row.service)),
                    "id": ids.new("rv", now_us),
                    "at_us": now_us,
                    "due_us": now_us + max(row.due_us - row.at_us, 1),
                    "owner": queue.owner,
                    "state": "open",
                }
                here = update(reviews).where(reviews.c.id == row.id)
                connection.execute(here.values(change))
                done += 1
    return done


def _missing(connection: Connection, queue: str, declared: Queue, now_us: int) -> int:
    """Return how many planted cases a queue is short of."""
    recent = (reviews.c.at_us >= now_us - _SPAN_US, reviews.c.queue == queue)
    query = (
        select(reviews.c.kind, func.count())
        .where(*recent, reviews.c.state != HELD)
        .group_by(reviews.c.kind)
    )
    counts: dict[str, int] = dict(tuple(row) for row in connection.execute(query))
    planted = counts.pop("planted", 0)
    share = declared.planted_share
    return int(sum(counts.values()) * share / (1 - share)) - planted


def _next_held(connection: Connection, queue: str, wanted: int) -> Sequence[Any]:
    if wanted <= 0:
        return ()
    # One that was emptied, where no bodies are kept, can be decided by nobody.
    held = (reviews.c.state == HELD, reviews.c.queue == queue, reviews.c.draft != b"")
    columns = (reviews.c.id, reviews.c.at_us, reviews.c.due_us)
    query = select(*columns, reviews.c.release, reviews.c.service).where(*held)
    return connection.execute(query.order_by(reviews.c.id).limit(wanted)).all()


def _as_others(connection: Connection, service: str) -> dict[str, Any]:
    """Return what a case from a file has not, as the newest case of its service has it.

    Without a release and a reason it would tell that it is planted.
    """
    query = select(reviews.c.release, reviews.c.detail)
    newest = query.where(reviews.c.service == service, reviews.c.kind == "review")
    for row in connection.execute(newest.order_by(reviews.c.at_us.desc()).limit(_MOST_LIKE)):
        detail = as_planted(row.detail)
        if detail is not None:
            return {"release": row.release, "detail": detail}
    return {}


def is_blind(waiting: Waiting) -> bool:
    """Whether a person is to see neither confidence nor an earlier decision of this case.

    So it is with a second look, and with an audit: what was given already is judged by itself.
    """
    return not waiting.decision and waiting.review.kind in ("second", "audit")


def shown_kind(waiting: Waiting) -> Literal["review", "audit", "second", "planted"]:
    """Return the kind that a person is shown: until it is decided, a planted case is like any."""
    is_hidden = waiting.review.kind == "planted" and not waiting.decision
    return "review" if is_hidden else waiting.review.kind
