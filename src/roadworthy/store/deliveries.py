"""What webhooks are to be told: queued with the act it tells of, kept until it is delivered.

A row is written in the transaction of the act, so that neither is there without the other. Whoever
sends it notes the result; a process that dies in between leaves the row as it was, and the notice
is sent again with the same id. Of one subject only the oldest that waits is due: a receiver hears
of a subject in the order of what happened.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from typing import Any

import msgspec
from sqlalchemy import (
    Connection,
    Engine,
    Row,
    and_,
    case,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from ..declare.project import ProjectDeclaration
from ..types import DAY_US, MICRO, Clock
from .tables import deliveries

FIRST_WAIT_S = 10
LONGEST_WAIT_S = 3600
LONGEST_ASKED_WAIT_S = 86_400
"""How long a receiver may ask us to wait (`Retry-After`)."""
AGAIN_WITHIN_S = 30
"""Once a receiver answers again, what it was not there for is sent within this time."""
GIVE_UP_AFTER_US = 3 * DAY_US

_encode = msgspec.json.Encoder().encode
_IS_OPEN = and_(deliveries.c.delivered_at_us.is_(None), deliveries.c.given_up_at_us.is_(None))


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One notice for one webhook, and how sending it went.

    Attributes:
        seq: Its place in the order in which they were queued.
        id: The same in every try, by which a receiver knows a repeat.
        body: The facts, as JSON.
        created_at_us: When it happened, in the project's time, like all times here.
        last_status: The HTTP status of the last try; None where no answer came.
        last_error: Why it is not delivered; empty when it is, or was never tried.
        given_up_at_us: When it was decided not to try again.
    """

    seq: int
    id: str
    webhook: str
    event: str
    subject: str
    body: str
    created_at_us: int
    next_try_us: int
    tries: int = 0
    last_try_us: int | None = None
    last_status: int | None = None
    last_error: str = ""
    delivered_at_us: int | None = None
    given_up_at_us: int | None = None


class Tried(msgspec.Struct, frozen=True):
    """How one try went.

    Attributes:
        status: The HTTP status; None where no answer came.
        error: Why it is not delivered; empty when it is.
        is_final: Whether another try makes no sense.
        retry_after_s: How long the receiver asked us to wait.
    """

    status: int | None
    error: str = ""
    is_final: bool = False
    retry_after_s: float | None = None


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a webhook stands.

    Attributes:
        waiting: Notices that are still to be delivered.
        oldest_us: When the oldest of those happened; None when none waits.
        next_try_us: When the first of those is tried next.
        last_error: Why the last of those that are not delivered is not; empty when all are.
        last_status: The HTTP status that went with it, if one came.
    """

    webhook: str
    waiting: int = 0
    delivered: int = 0
    given_up: int = 0
    oldest_us: int | None = None
    next_try_us: int | None = None
    last_error: str = ""
    last_status: int | None = None


def queue_delivery(
    connection: Connection,
    clock: Clock,
    webhook: str,
    event: str,
    subject: str,
    payload: Mapping[str, Any],
) -> str:
    """Queue a notice as part of the caller's transaction, and return its id.

    Args:
        connection: In the transaction of the act that the notice tells of.
        clock: The project's time.
        webhook: Its declared name.
        event: What happened, as `room.verb`.
        subject: To what; notices of one subject are sent in order.
        payload: Facts that JSON can hold; no secret, and nothing of a user's, for what was sent
            cannot be deleted. `link` is a page of the console, like `/services/reply`.
    """
    now_us = clock.now_us()
    id = new_id()
    row = _row(id, webhook, event, subject, payload, now_us)
    connection.execute(insert(deliveries).values(row))
    return id


def announce(
    connection: Connection,
    clock: Clock,
    project: ProjectDeclaration,
    event: str,
    subject: str,
    payload: Mapping[str, Any],
) -> list[str]:
    """Queue a notice for every webhook that takes this event, as `queue_delivery` does for one."""
    return [
        queue_delivery(connection, clock, webhook, event, subject, payload)
        for webhook in project.webhooks_for(event)
    ]


def new_id() -> str:
    """Return an id that nobody can guess, without the full stop that ends it in what is signed."""
    return f"wh_{secrets.token_hex(16)}"


def _row(
    id: str, webhook: str, event: str, subject: str, payload: Mapping[str, Any], now_us: int
) -> dict[str, Any]:
    return {
        "id": id,
        "webhook": webhook,
        "event": event,
        "subject": subject,
        "body": _encode(payload).decode(),
        "created_at_us": now_us,
        "next_try_us": now_us,
        "tries": 0,
        "last_error": "",
    }


def keep_tried(engine: Engine, delivery: Delivery, tried: Tried, now_us: int) -> None:
    """Write down a notice that was sent without having waited, and that is not tried again."""
    row = msgspec.structs.asdict(delivery) | _last(delivery, tried, now_us)
    del row["seq"]
    row["given_up_at_us" if tried.error else "delivered_at_us"] = now_us
    with engine.begin() as connection:
        connection.execute(insert(deliveries).values(row))
        if not tried.error:
            _hasten(connection, delivery.webhook, now_us)


def next_due(engine: Engine, webhook: str, now_us: int) -> Delivery | None:
    """Return the oldest notice whose time has come and that no other of its subject comes before.

    A time further off than any wait was set before the clock was set back: it has come too.
    """
    earlier = deliveries.alias()
    comes_before = (
        select(earlier.c.seq)
        .where(
            earlier.c.webhook == deliveries.c.webhook,
            earlier.c.subject == deliveries.c.subject,
            earlier.c.seq < deliveries.c.seq,
            earlier.c.delivered_at_us.is_(None),
            earlier.c.given_up_at_us.is_(None),
        )
        .exists()
    )
    has_come = or_(
        deliveries.c.next_try_us <= now_us,
        deliveries.c.next_try_us > now_us + LONGEST_ASKED_WAIT_S * MICRO,
    )
    query = (
        select(deliveries)
        .where(deliveries.c.webhook == webhook, _IS_OPEN, has_come, ~comes_before)
        .order_by(deliveries.c.seq)
        .limit(1)
    )
    with engine.connect() as connection:
        row = connection.execute(query).first()
    return None if row is None else _delivery(row)


def note_result(engine: Engine, delivery: Delivery, tried: Tried, now_us: int, draw: float) -> None:
    """Write down how a try went: delivered, given up, or when it is tried next.

    Args:
        engine: The state database.
        delivery: What was tried.
        tried: How it went.
        now_us: The project's time.
        draw: A random number in [0, 1), so that not all that failed together comes back together.
    """
    change = _last(delivery, tried, now_us)
    is_late = now_us - delivery.created_at_us >= GIVE_UP_AFTER_US
    if not tried.error:
        change["delivered_at_us"] = now_us
    elif tried.is_final or is_late:
        change["given_up_at_us"] = now_us
    else:
        change["next_try_us"] = now_us + int(wait_s(delivery.tries + 1, tried, draw) * MICRO)
    with engine.begin() as connection:
        here = deliveries.c.seq == delivery.seq
        connection.execute(update(deliveries).where(here).values(change))
        if not tried.error:
            _hasten(connection, delivery.webhook, now_us)


def wait_s(tries: int, tried: Tried, draw: float) -> float:
    """Return how long to wait after the `tries`-th try: as asked, or twice as long as before.

    >>> [wait_s(n, Tried(500, "no"), 1.0) for n in (1, 2, 3, 20)]
    [10.0, 20.0, 40.0, 3600.0]
    >>> wait_s(1, Tried(429, "no", retry_after_s=120), 0.5)
    120
    """
    if tried.retry_after_s is not None:
        return min(max(tried.retry_after_s, 1), LONGEST_ASKED_WAIT_S)
    whole_s = float(min(FIRST_WAIT_S << min(tries - 1, 20), LONGEST_WAIT_S))
    return whole_s * (0.5 + draw / 2)


def _last(delivery: Delivery, tried: Tried, now_us: int) -> dict[str, Any]:
    return {
        "tries": delivery.tries + 1,
        "last_try_us": now_us,
        "last_status": tried.status,
        "last_error": tried.error,
    }


def _hasten(connection: Connection, webhook: str, now_us: int) -> None:
    """Let what no answer came to be tried soon, now that the receiver answers.

    Not at once: what makes a receiver hang would be tried again after every success.
    """
    soon_us = now_us + AGAIN_WITHIN_S * MICRO
    got_none = (
        deliveries.c.webhook == webhook,
        _IS_OPEN,
        deliveries.c.tries > 0,
        deliveries.c.last_status.is_(None),
        deliveries.c.next_try_us > soon_us,
    )
    connection.execute(update(deliveries).where(*got_none).values(next_try_us=soon_us))


def send_again(engine: Engine, clock: Clock, webhook: str) -> int:
    """Queue again what was given up, in its old order, and return how many that were."""
    now_us = clock.now_us()
    given_up = (deliveries.c.webhook == webhook, deliveries.c.given_up_at_us.is_not(None))
    change = {"given_up_at_us": None, "next_try_us": now_us, "tries": 0}
    with engine.begin() as connection:
        return connection.execute(update(deliveries).where(*given_up).values(change)).rowcount


def standings(engine: Engine, webhooks: Collection[str]) -> list[Standing]:
    """Return how each of these webhooks stands, and each other one that was ever told something."""
    is_open = case((_IS_OPEN, 1))
    query = select(
        deliveries.c.webhook,
        func.count(is_open).label("waiting"),
        func.count(deliveries.c.delivered_at_us).label("delivered"),
        func.count(deliveries.c.given_up_at_us).label("given_up"),
        func.min(case((_IS_OPEN, deliveries.c.created_at_us))).label("oldest_us"),
        func.min(case((_IS_OPEN, deliveries.c.next_try_us))).label("next_try_us"),
    ).group_by(deliveries.c.webhook)
    with engine.connect() as connection:
        found = {row.webhook: row._asdict() for row in connection.execute(query)}
        for name, facts in found.items():
            facts |= _last_error(connection, name)
    known = dict.fromkeys([*webhooks, *sorted(found)])
    return [Standing(**found.get(name, {"webhook": name})) for name in known]


def _last_error(connection: Connection, webhook: str) -> dict[str, Any]:
    query = (
        select(deliveries.c.last_error, deliveries.c.last_status)
        .where(deliveries.c.webhook == webhook, deliveries.c.last_error != "")
        .order_by(deliveries.c.last_try_us.desc())
        .limit(1)
    )
    row = connection.execute(query).first()
    return {} if row is None else row._asdict()


def oldest_failing(engine: Engine, webhook: str) -> Delivery | None:
    """Return the oldest notice that waits although it was tried."""
    query = (
        select(deliveries)
        .where(deliveries.c.webhook == webhook, _IS_OPEN, deliveries.c.tries > 0)
        .order_by(deliveries.c.created_at_us)
        .limit(1)
    )
    with engine.connect() as connection:
        row = connection.execute(query).first()
    return None if row is None else _delivery(row)


def last_done(engine: Engine, webhook: str) -> Delivery | None:
    """Return the newest notice that was delivered or given up."""
    query = (
        select(deliveries)
        .where(deliveries.c.webhook == webhook, ~_IS_OPEN)
        .order_by(deliveries.c.seq.desc())
        .limit(1)
    )
    with engine.connect() as connection:
        row = connection.execute(query).first()
    return None if row is None else _delivery(row)


def list_deliveries(engine: Engine, webhook: str, limit: int = 100) -> list[Delivery]:
    """Return the latest notices for one webhook, newest first."""
    query = select(deliveries).where(deliveries.c.webhook == webhook)
    with engine.connect() as connection:
        rows = connection.execute(query.order_by(deliveries.c.seq.desc()).limit(limit))
        return [_delivery(row) for row in rows]


def drop_deliveries(connection: Connection, before_us: int) -> int:
    """Drop what happened before that time, delivered or not, and return how many that were."""
    old = delete(deliveries).where(deliveries.c.created_at_us < before_us)
    return connection.execute(old).rowcount


def _delivery(row: Row[Any]) -> Delivery:
    return Delivery(**row._mapping)
