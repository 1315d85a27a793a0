"""The page of what waits for people: queues, and the cases of one of them, due first on top."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType
from sqlalchemy.exc import SQLAlchemyError

from ..declare.review import ReviewPolicy
from ..review.queue import is_blind
from ..store.clock import time_of
from ..store.review_lists import count_queues, find_reviews
from ..store.reviews import Waiting
from ..store.waiting import count_open
from ..types import ReviewKind
from . import review_words as words
from .control import Ask
from .review_figures import CaseRow, Hold, QueueLine, QueuePage
from .review_shapes import Before
from .shapes import Given, Name, OfService, Page

State = Literal["open", "decided", "expired", "withdrawn"]


class QueueQuery(Given, frozen=True):
    """Which cases to list."""

    queue: Annotated[Name, Meta(description="Only this queue.")] = ""
    service: OfService = ""
    state: Annotated[State, Meta(description="By default those that wait.")] | UnsetType = UNSET
    before: Before = ""
    limit: Page = 40


def review_page(ask: Ask, query: QueueQuery) -> QueuePage:
    """Return what waits for people.

    Raises:
        Forbidden: The key is limited to other services.
        RequestError: `before` is none that a page gave.
    """
    state, now_us = ask.control.state, ask.control.clock.now_us()
    now, services = time_of(now_us), ask.services_of(query.service)
    policies = policies_of(ask, query.service)
    queues = queues_of(ask, now_us)
    asked: State = query.state or "open"
    found = find_reviews(
        state,
        state=asked,
        queue=query.queue,
        services=services,
        before=query.before,
        limit=query.limit,
    )
    rows = tuple(row_of(waits, ask.by, now_us) for waits in found.found)
    counted = [
        one
        for one in queues
        if query.queue in ("", one.queue) and query.service in ("", one.service)
    ]
    waiting, late = sum(one.waiting for one in counted), sum(one.late for one in counted)
    first = min((one.first for one in counted if one.first), default=None)
    has_queue = bool(policies or waiting)
    says = words.queue(waiting, late, first, now, place=query.queue, has_queue=has_queue)
    is_open = asked == "open"
    return QueuePage(
        says=says if is_open else words.ended(len(rows), asked, has_more=bool(found.before)),
        ends=words.ends(policies) if waiting and is_open else (),
        as_of=now,
        queue=query.queue,
        service=query.service,
        state=query.state or "",
        waiting=waiting,
        late=late,
        first=first,
        queues=queues,
        rows=rows,
        before=found.before or None,
        services=tuple(sorted(policies_of(ask))),
    )


def asks_people(ask: Ask) -> bool:
    """Whether some service that the key sees has a queue."""
    return bool(policies_of(ask))


def waiting_for(ask: Ask) -> int:
    """Return how much waits for whoever looks, counted up to a thousand; none if that fails.

    Every page says it, also the one that says that the store does not answer.
    """
    try:
        return count_open(ask.control.state, ask.key.services)
    except SQLAlchemyError:
        return 0


def queues_of(ask: Ask, now_us: int) -> tuple[QueueLine, ...]:
    """Return how each queue stands that the key may see; those in which nothing waits, too."""
    counted = count_queues(ask.control.state, now_us, tuple(sorted(ask.key.services)))
    found = [
        QueueLine(
            queue=one.queue,
            service=one.service,
            owner=one.owner,
            waiting=one.open,
            late=one.late,
            escalated=one.escalated,
            first=time_of(one.next_due_us),
        )
        for one in counted
    ]
    known = {(one.queue, one.service) for one in counted}
    for name, policy in policies_of(ask).items():
        if policy.queue and (policy.queue, name) not in known:
            found.append(_empty(ask, policy.queue, name))
    return tuple(sorted(found, key=_due_first))


def _due_first(one: QueueLine) -> tuple[float, str, str]:
    due = float("inf") if one.first is None else one.first.timestamp()
    return due, one.queue, one.service


def _empty(ask: Ask, queue: str, service: str) -> QueueLine:
    declared = ask.control.declaration.queues.get(queue)
    return QueueLine(
        queue=queue,
        service=service,
        owner="" if declared is None else declared.owner,
        waiting=0,
        late=0,
        escalated=0,
        first=None,
    )


def policies_of(ask: Ask, service: str = "") -> dict[str, ReviewPolicy]:
    """Return the `[review]` of each service that asks people, as far as the key sees it."""
    opened = ask.control.engine.releases.items()
    found = {name: release.declaration.review for name, release in opened if ask.sees(name)}
    return {
        name: policy
        for name, policy in found.items()
        if policy is not None and policy.queue and service in ("", name)
    }


def row_of(waits: Waiting, by: str, now_us: int) -> CaseRow:
    """Return a case as a list shows it to somebody."""
    review = waits.review
    return CaseRow(
        id=review.id,
        service=review.service,
        queue=review.queue,
        kind=kind_shown(review.kind),
        at=time_of(review.at_us),
        due=time_of(review.due_us),
        says=words.title(read_json(review.input)),
        why=words.why(review.reasons, review.kind),
        confidence=None if is_blind(waits) else review.confidence,
        hold=hold_of(waits, by, now_us),
        held_by=waits.taken_by if hold_of(waits, by, now_us) != "nobody" else "",
        is_late=waits.state == "open" and review.due_us < now_us,
        decision=waits.decision,
        decided_by=waits.decided_by,
    )


def hold_of(waits: Waiting, by: str, now_us: int) -> Hold:
    """Return who is at work on a case."""
    if waits.state != "open" or not waits.taken_by or waits.taken_until_us <= now_us:
        return "nobody"
    return "you" if waits.taken_by == by else "other"


def kind_shown(kind: ReviewKind) -> ReviewKind:
    """Return a kind as people are told it: who knew that a case is planted would look twice."""
    return "review" if kind == "planted" else kind


def read_json(body: bytes) -> Any:
    """Return a stored body as a JSON value: None where there is none, else text if it is none."""
    if not body:
        return None
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError:
        return body.decode(errors="replace")
