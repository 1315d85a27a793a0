"""Every act of a person or of Roadworthy, chained by hashes so that a changed row shows.

The chain proves that rows were not edited, removed or put in between by someone who can write the
table but does not redo everything after. Whoever can rewrite the whole table can rewrite the chain:
keep `Chain.head` somewhere else from time to time, and compare.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, Row, insert, select

from ..types import Clock
from .sequence import last_number, next_number
from .tables import actions

GENESIS = "0" * 64
"""What the first action names as the hash before it."""

_PAGE = 1000


class Action(msgspec.Struct, frozen=True):
    """One act.

    Attributes:
        seq: Its place in the chain, from 1.
        by: Who did it: `key:<id>`, `cli:<user of the machine>`, `job:<name>` or `up`.
        action: What was done, as `room.verb`: `keys.create`, `release.promote`.
        subject: To what: a key's id, a release, a pointer.
        hash: SHA-256 of everything above and of `previous`, the hash before it; both hex.
    """

    seq: int
    at_us: int
    by: str
    action: str
    subject: str
    detail: dict[str, Any]
    previous: str
    hash: str


class Chain(msgspec.Struct, frozen=True):
    """What a walk along the chain found.

    Attributes:
        length: Actions that hold, counted from the first.
        head: The hash of the last that holds.
        broken_at: The number of the first action that does not; None when all do.
        problem: What is wrong there; empty when nothing is.
    """

    length: int
    head: str
    broken_at: int | None = None
    problem: str = ""


def append_action(
    where: Connection | Engine,
    clock: Clock,
    by: str,
    action: str,
    subject: str,
    detail: Mapping[str, Any] | None = None,
) -> Action:
    """Add one act to the chain, in the caller's transaction or in its own.

    Give the connection on which the act itself is written, so that both happen or neither does. The
    detail holds facts as JSON values, never a secret or a user's text.
    """
    if isinstance(where, Engine):
        with where.begin() as connection:
            return append_action(connection, clock, by, action, subject, detail)
    facts = dict(detail or {})
    text = msgspec.json.encode(facts, order="sorted").decode()
    seq = next_number(where, "actions")
    before = select(actions.c.hash).where(actions.c.seq < seq).order_by(actions.c.seq.desc())
    previous: str = where.execute(before.limit(1)).scalar() or GENESIS
    at_us = clock.now_us()
    digest = _hash(seq, at_us, by, action, subject, text, previous)
    done = Action(seq, at_us, by, action, subject, facts, previous, digest)
    where.execute(insert(actions).values(**{**msgspec.structs.asdict(done), "detail": text}))
    return done


def list_actions(
    engine: Engine,
    *,
    before: int | None = None,
    limit: int = 100,
    action: str = "",
    subject: str = "",
) -> list[Action]:
    """Return the latest actions, newest first, only of one kind or subject if given.

    The next page begins `before` the last `seq` of this one.
    """
    query = select(actions).order_by(actions.c.seq.desc()).limit(limit)
    if before is not None:
        query = query.where(actions.c.seq < before)
    if action:
        query = query.where(actions.c.action == action)
    if subject:
        query = query.where(actions.c.subject == subject)
    with engine.connect() as connection:
        return [_action(row) for row in connection.execute(query)]


def verify_chain(engine: Engine) -> Chain:
    """Walk the chain from its first action and say where it breaks, if it does."""
    taken = last_number(engine, "actions")
    chain = Chain(0, GENESIS)
    for row in _rows(engine):
        problem = _problem(row, chain)
        if problem:
            return Chain(chain.length, chain.head, chain.length + 1, problem)
        chain = Chain(row.seq, row.hash)
    if chain.length < taken:
        problem = f"expected {taken} actions, got {chain.length}: the last ones are missing"
        return Chain(chain.length, chain.head, chain.length + 1, problem)
    return chain


def _rows(engine: Engine) -> Iterator[Row[Any]]:
    """Yield all rows in order, a page per transaction, so that no reader holds the log back."""
    page = select(actions).order_by(actions.c.seq).limit(_PAGE)
    query = page
    while True:
        with engine.connect() as connection:
            rows = connection.execute(query).all()
        yield from rows
        if len(rows) < _PAGE:
            return
        query = page.where(actions.c.seq > rows[-1].seq)


def _problem(row: Row[Any], chain: Chain) -> str:
    expected = chain.length + 1
    if row.seq != expected:
        return f"expected action {expected}, got action {row.seq}: one was removed or put in"
    if row.previous != chain.head:
        return f"action {row.seq} does not follow from action {chain.length}: one was replaced"
    content = (row.at_us, row.by, row.action, row.subject, row.detail)
    if row.hash != _hash(row.seq, *content, row.previous):
        return f"action {row.seq} was changed: its content does not give its hash"
    return ""


def _hash(*fields: Any) -> str:
    return hashlib.sha256(msgspec.json.encode(fields)).hexdigest()


def _action(row: Row[Any]) -> Action:
    fields = dict(row._mapping)
    return Action(**{**fields, "detail": msgspec.json.decode(row.detail)})
