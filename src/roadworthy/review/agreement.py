"""How people decide: what they miss of planted cases, and how far two of them agree.

It is there to be talked about, not to rank anybody: names come in alphabetical order, and each
figure with how little it may say.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from statistics import median

import msgspec
from sqlalchemy import Connection, Engine, Row, select

from ..risk.agreement import Agreement, agreement
from ..risk.evidence import upper_bound
from ..store.review_lists import TAKEN_FOR_S
from ..store.state import reading
from ..store.tables import reviews
from ..types import MICRO

SURE = 0.95
"""How sure the bound of a reviewer's misses is."""


class Reviewer(msgspec.Struct, frozen=True, kw_only=True):
    """How one person decides.

    Attributes:
        by: Who, as the chain names them.
        decided: Cases they decided.
        approved: Those of them they approved.
        planted: Planted wrong answers that they decided.
        missed: Those of them they approved.
        most_missed: The share of wrong answers that they miss is at most this, 95 % sure (exact,
            at any number of looks); 1 where none was planted.
        median_s: Seconds from taking a case to its decision, in the median; None where none was
            taken.
    """

    by: str
    decided: int
    approved: int
    planted: int
    missed: int
    most_missed: float
    median_s: float | None = None


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """How far two people agree on whether an answer is right, of what both decided."""

    first: str
    second: str
    agreement: Agreement


class Reviewers(msgspec.Struct, frozen=True):
    """All who decided something, and each two who decided the same cases."""

    reviewers: tuple[Reviewer, ...]
    pairs: tuple[Pair, ...]


class Misses(msgspec.Struct, frozen=True):
    """How many planted wrong answers were decided, and how many of them were approved."""

    missed: int
    planted: int


_COLUMNS = (
    reviews.c.request_id,
    reviews.c.kind,
    reviews.c.decision,
    reviews.c.decided_by,
    reviews.c.decided_at_us,
    reviews.c.taken_by,
    reviews.c.taken_until_us,
)


def read_reviewers(engine: Engine, services: Collection[str] = (), since_us: int = 0) -> Reviewers:
    """Return how people decided since a time."""
    with reading(engine) as connection:
        rows = _decided(connection, services, since_us)
    theirs: dict[str, list[Row[tuple[object, ...]]]] = defaultdict(list)
    for row in rows:
        theirs[row.decided_by].append(row)
    people = tuple(_reviewer(by, theirs[by]) for by in sorted(theirs))
    return Reviewers(people, tuple(_pairs(rows)))


def read_misses(engine: Engine, service: str, since_us: int = 0) -> Misses:
    """Return what the people who decide for a service missed, all together."""
    with engine.connect() as connection:
        rows = _decided(connection, (service,), since_us)
    planted = [row for row in rows if row.kind == "planted"]
    return Misses(sum(row.decision == "approve" for row in planted), len(planted))


def _decided(
    connection: Connection, services: Collection[str], since_us: int
) -> list[Row[tuple[object, ...]]]:
    query = select(*_COLUMNS).where(reviews.c.decided_at_us >= max(since_us, 1))
    if services:
        query = query.where(reviews.c.service.in_(sorted(services)))
    return [*connection.execute(query.order_by(reviews.c.decided_at_us, reviews.c.id))]


def _reviewer(by: str, rows: list[Row[tuple[object, ...]]]) -> Reviewer:
    planted = [row for row in rows if row.kind == "planted"]
    missed = sum(row.decision == "approve" for row in planted)
    took_s = [_took_s(row) for row in rows if row.taken_by == by]
    return Reviewer(
        by=by,
        decided=len(rows),
        approved=sum(row.decision == "approve" for row in rows),
        planted=len(planted),
        missed=missed,
        most_missed=upper_bound(missed, len(planted), SURE),
        median_s=median(took_s) if took_s else None,
    )


def _took_s(row: Row[tuple[object, ...]]) -> float:
    taken_us = row.taken_until_us - TAKEN_FOR_S * MICRO
    return max(float(row.decided_at_us - taken_us) / MICRO, 0.0)


def _pairs(rows: list[Row[tuple[object, ...]]]) -> list[Pair]:
    """Return how far each two people agree, by their names."""
    first = {row.request_id: row for row in rows if row.kind in ("review", "audit")}
    cells: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for row in rows:
        other = first.get(row.request_id) if row.kind == "second" else None
        if other is None:
            continue
        one, two = sorted((other, row), key=lambda found: str(found.decided_by))
        cell = 2 * (one.decision != "approve") + (two.decision != "approve")
        cells[one.decided_by, two.decided_by][cell] += 1
    return [
        Pair(first=one, second=two, agreement=agreement(*cells[one, two]))
        for one, two in sorted(cells)
    ]
