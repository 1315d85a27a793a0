"""What becomes of cases that nobody decides in time: told, escalated, answered otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Engine, func, insert, select, update

from ..declare.project import Queue
from ..store.actions import append_action
from ..store.reviews import Waiting, change_review, lock_review, waiting_of
from ..store.tables import reviews, switchboard
from ..types import MICRO, Clock
from .notices import Tell

JOB = "reviews"
BY = f"job:{JOB}"
MOST_AT_ONCE = 100
"""Cases that one transaction escalates, or one round answers otherwise."""
LONGEST_RUN_S = 60.0
"""After so long a look ends, and the next goes on: a rung of the ladder may take its time."""
WRITTEN_WITHIN_US = 2 * MICRO
"""How soon a case is in the store after it was asked, unless the writer is behind."""
TOLD = "reviews:told"
_MOST_NAMED = 50

GiveInstead = Callable[[Waiting], Mapping[str, Any]]
"""What whoever waited for a case gets in place of a decision: `disposition`, `output`, `model`,
`reasons`."""


class Looked(msgspec.Struct, frozen=True):
    """What one look at the queues did, in cases.

    Attributes:
        told: New cases that a webhook was told of.
    """

    escalated: int
    expired: int
    told: int = 0


def look_at_times(
    engine: Engine,
    clock: Clock,
    queues: Mapping[str, Queue],
    instead: GiveInstead,
    tell: Tell,
) -> Looked:
    """Escalate what has used three quarters of its time, and end what has used all of it.

    A case that is decided while this looks at it stays decided. What is left when the process ends
    in between is found by the next look.
    """
    until = clock.monotonic() + LONGEST_RUN_S

    def each(one: Callable[[], int]) -> int:
        done = 0
        while (found := one()) == MOST_AT_ONCE and clock.monotonic() < until:
            done += found
        return done + found

    expired = each(lambda: _expire(engine, clock, instead, tell))
    escalated = each(lambda: _escalate(engine, clock, queues, tell))
    return Looked(escalated, expired, _tell_new(engine, clock, queues, tell))


def _tell_new(engine: Engine, clock: Clock, queues: Mapping[str, Queue], tell: Tell) -> int:
    """Tell each webhook how many new cases wait, once a queue and look.

    What it has told of is a row of the switchboard's table. A case that was written later than it
    came is told of only when it is late.
    """
    named = [name for name, queue in queues.items() if queue.webhook is not None]
    until = clock.now_us() - WRITTEN_WITHIN_US
    with engine.begin() as connection:
        since = _told_until(connection, until) if named else until
        is_new = (reviews.c.at_us > since, reviews.c.at_us <= until, reviews.c.queue.in_(named))
        query = select(reviews.c.queue, reviews.c.service, func.count().label("cases"))
        query = query.where(reviews.c.state == "open", *is_new).group_by(
            *query.selected_columns[:2]
        )
        told = 0
        for row in connection.execute(query).all():
            tell(connection, row.queue, "review.ask", row.queue, row._asdict())
            told += row.cases
    return told


def _told_until(connection: Connection, until: int) -> int:
    """Move the mark up to which new cases were told of to `until`, and return where it was."""
    here = switchboard.c.name == TOLD
    value = connection.execute(select(switchboard.c.value).where(here)).scalar()
    if value is None:
        row = {"name": TOLD, "value": str(until), "epoch": 0}
        connection.execute(insert(switchboard).values(row))
        return until
    connection.execute(update(switchboard).where(here).values(value=str(until)))
    return int(value)


def _escalate(engine: Engine, clock: Clock, queues: Mapping[str, Queue], tell: Tell) -> int:
    """Give the late cases of each queue to whom it names; say so once a queue, not once a case."""
    now_us = clock.now_us()
    is_late = 4 * (now_us - reviews.c.at_us) >= 3 * (reviews.c.due_us - reviews.c.at_us)
    waits = (is_late, reviews.c.due_us > now_us, reviews.c.escalated_at_us.is_(None))
    with engine.begin() as connection:
        found = _open_cases(connection, *waits)
        for queue, cases in _by_queue(found):
            declared = queues.get(queue)
            to = None if declared is None else declared.escalate_to
            change: dict[str, Any] = {"escalated_at_us": now_us}
            if to is not None:
                change["owner"] = to
            ids = [case.review.id for case in cases]
            here = update(reviews).where(reviews.c.id.in_(ids), reviews.c.state == "open")
            connection.execute(here.values(change))
            _say(connection, clock, tell, "review.escalate", queue, cases, to=to or "")
    return len(found)


def _expire(engine: Engine, clock: Clock, instead: GiveInstead, tell: Tell) -> int:
    now_us = clock.now_us()
    with engine.connect() as connection:
        found = _open_cases(connection, reviews.c.due_us <= now_us)
    # Found before any lock is held: a rung of the ladder may take its time.
    given = {case.review.id: _given(case, instead) for case in found}
    with engine.begin() as connection:
        ended = [case for case in found if _end(connection, case.review.id, given[case.review.id])]
        for queue, cases in _by_queue(ended):
            _say(connection, clock, tell, "review.expire", queue, cases)
    return len(found)


def _given(case: Waiting, instead: GiveInstead) -> Mapping[str, Any] | None:
    """Return what whoever waited gets; None where nobody waits."""
    return instead(case) if case.review.kind == "review" else None


def _end(connection: Connection, id: str, given: Mapping[str, Any] | None) -> bool:
    """End one case, unless somebody was faster; say whether it was ended."""
    if lock_review(connection, id).state != "open":
        return False
    change: dict[str, Any] = {"state": "expired"}
    if given is not None:
        change["given"] = dict(given)
    change_review(connection, id, **change)
    return True


def _open_cases(connection: Connection, *conditions: ColumnElement[bool]) -> list[Waiting]:
    page = select(reviews.c.id).where(reviews.c.state == "open", *conditions)
    page = page.order_by(reviews.c.due_us, reviews.c.id).limit(MOST_AT_ONCE)
    query = select(reviews).where(reviews.c.id.in_(page)).order_by(reviews.c.due_us)
    return [waiting_of(row) for row in connection.execute(query)]


def _by_queue(found: Iterable[Waiting]) -> list[tuple[str, list[Waiting]]]:
    ordered = sorted(found, key=lambda case: case.review.queue)
    return [(queue, list(cases)) for queue, cases in groupby(ordered, lambda c: c.review.queue)]


def _say(
    connection: Connection,
    clock: Clock,
    tell: Tell,
    event: str,
    queue: str,
    cases: list[Waiting],
    **more: str,
) -> None:
    """Write down what was done to the cases of one queue, and tell its webhook."""
    facts = {
        "queue": queue,
        "services": sorted({case.review.service for case in cases}),
        "cases": len(cases),
        "reviews": [case.review.id for case in cases[:_MOST_NAMED]],
        **more,
    }
    append_action(connection, clock, BY, event, queue, facts)
    tell(connection, queue, event, queue, facts)
