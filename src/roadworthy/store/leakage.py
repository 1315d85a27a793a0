"""What is remembered of audits for leakage: they are what a release's gate is measured by."""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec
from sqlalchemy import Engine, delete, insert, select

from ..types import Clock
from .actions import append_action
from .release_tables import leakage_reports as table

KEPT = 200
"""Of each service the newest that differ: the same finding is kept once, as of its last time."""

Way = Literal["declared", "label", "test"]

_encode = msgspec.json.Encoder(order="deterministic").encode


class LeakageFound(msgspec.Struct, frozen=True, kw_only=True):
    """What one audit of a service's features looked at, and what it found.

    Attributes:
        views: The views that were looked at, each with its version.
        contracts: SHA-256 of each contract by which that was judged, by source.
        input: SHA-256 of the file that says what a request brings; empty without one.
        measured: The training set that was measured: a snapshot's id or a file; empty without.
        leaks: How many there are, by each way in which it looked: by what is declared, by the
            label of a training set, by the rows of a test set.
        untraced: How many views nothing can be said of by what is declared.
        says: That in a sentence.
    """

    views: tuple[str, ...]
    contracts: dict[str, str]
    input: str
    measured: str
    leaks: dict[Way, int]
    untraced: int
    says: str

    @property
    def digest(self) -> str:
        """SHA-256 of all of it."""
        return hashlib.sha256(_encode(self)).hexdigest()


class SavedLeakage(msgspec.Struct, frozen=True):
    """An audit, when it was made last with this outcome, and the SHA-256 of that."""

    at_us: int
    digest: str
    found: LeakageFound


def record_leakage(
    engine: Engine, clock: Clock, service: str, found: LeakageFound, *, by: str
) -> None:
    """Remember an audit, write down who made it, and forget what is older than the newest."""
    of_service = table.c.service == service
    newest = (
        select(table.c.id)
        .where(of_service)
        .order_by(table.c.at_us.desc(), table.c.id.desc())
        .limit(KEPT)
    )
    digest = found.digest
    row = {"service": service, "at_us": clock.now_us(), "digest": digest}
    told = {"digest": digest, "leaks": sum(found.leaks.values())}
    with engine.begin() as connection:
        connection.execute(delete(table).where(of_service, table.c.digest == digest))
        connection.execute(insert(table).values(row | {"detail": _encode(found).decode()}))
        append_action(connection, clock, by, "features.leakage", service, told)
        kept = connection.execute(newest).scalars().all()
        connection.execute(delete(table).where(of_service, table.c.id.not_in(kept)))


def read_leakage(engine: Engine, service: str) -> list[SavedLeakage]:
    """Return the audits of a service, newest first."""
    query = (
        select(table.c.at_us, table.c.digest, table.c.detail)
        .where(table.c.service == service)
        .order_by(table.c.at_us.desc(), table.c.id.desc())
    )
    with engine.connect() as connection:
        rows = connection.execute(query).all()
    decode = msgspec.json.Decoder(LeakageFound).decode
    return [SavedLeakage(row.at_us, row.digest, decode(row.detail)) for row in rows]
