"""What is in force for the automatic decisions of a service, and how many people look at."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, Engine, select

from ..store import certificates as store
from ..store.certificates import Certificate, Epoch
from ..store.issuing import Pointer
from ..store.tables import switchboard
from ..types import DAY_US, Clock
from . import audits
from .capacity import ask_share
from .desk import InForce
from .terms import Subject, Terms, read_terms

_MOST_DAYS = 1_000
_SHARE_MOVES = 0.1
"""A share is set anew when it has moved by so much of itself: each time is a change for all."""

_in_force = msgspec.json.Decoder(InForce).decode


class Work(msgspec.Struct, frozen=True):
    """What certifying works on.

    Attributes:
        state: The database.
        clock: The project's time.
        unsure: Service and day → how many answers no bound let pass, and how many a rule asked for.
    """

    state: Engine
    clock: Clock
    unsure: dict[tuple[str, int], tuple[int, int]] = msgspec.field(default_factory=dict)


def keep_shares(work: Work, subject: Subject, epoch: Epoch | None) -> None:
    """Set how many are audited and asked, by what was let pass and by yesterday's number."""
    ask = _ask_share(work, subject)
    in_force = store.certificate_in_force(work.state, subject.service, subject.decision)
    audit = 1.0
    if in_force is not None and epoch is not None:
        audit = _audit_share(work.state, subject, read_terms(epoch.terms), in_force)
    with work.state.connect() as connection:
        if not _is_to_move(read_in_force(connection, subject.service), ask, audit):
            return
    with work.state.begin() as connection:
        if epoch is not None and not store.advance_epoch(
            connection, epoch, epoch.seen_us, epoch.state
        ):
            return
        now = read_in_force(connection, subject.service)
        point(
            connection,
            subject.service,
            msgspec.structs.replace(now, ask_share=ask, audit_share=audit),
        )


def _is_to_move(now: InForce, ask: float, audit: float) -> bool:
    return _has_moved(now.ask_share, ask) or _has_moved(now.audit_share, audit)


def _ask_share(work: Work, subject: Subject) -> float:
    """Return how many of the unsure answers of today people are asked: by yesterday's number."""
    if subject.policy.capacity_per_day is None:
        return 1.0
    key = (subject.service, work.clock.now_us() // DAY_US - 1)
    if key not in work.unsure:
        if len(work.unsure) > _MOST_DAYS:
            work.unsure.clear()
        from_us = key[1] * DAY_US
        found = store.count_below(work.state, subject.service, from_us, from_us + DAY_US)
        work.unsure[key] = found
    return ask_share(subject.policy.capacity_per_day, *work.unsure[key])


def _audit_share(state: Engine, subject: Subject, terms: Terms, in_force: Certificate) -> float:
    declared = subject.policy.audit_share
    most = round(100 / declared) + 1
    alone = store.count_alone(
        state, subject.service, in_force.release, in_force.detail["since_us"], most
    )
    return audits.audit_share(declared, alone, terms)


def _has_moved(before: float, now: float) -> bool:
    return abs(now - before) > _SHARE_MOVES * before or (now == 1.0) != (before == 1.0)


def read_in_force(connection: Connection, service: str) -> InForce:
    """Return what is in force for a service."""
    here = switchboard.c.name == f"automation:{service}"
    said = connection.execute(select(switchboard.c.value).where(here)).scalar()
    return _in_force(said) if said else InForce()


def point(connection: Connection, service: str, now: InForce) -> None:
    """Put something else in force, from the next request on."""
    pointer_of(service, now).move(connection)


def pointer_of(service: str, now: InForce) -> Pointer:
    """Return what is to be pointed at for a service."""
    return Pointer(f"automation:{service}", now)
