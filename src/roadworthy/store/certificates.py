"""Epochs, certificates and what they stand on: how they lie in their tables, and how they are read.

An epoch is advanced by whoever finds it where it was left: of two that saw the same state, one
writes, and the other is told that it came too late. So each outcome is counted exactly once.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, Engine, Row, func, insert, select, update

from .switchboard import certificate_stop
from .tables import certificates, drafts, epochs, outcomes, releases, reviews, switchboard

Decision = Literal["answer_alone", "route", "reuse"]
State = Literal["certified", "superseded", "ended", "off"]

ANSWER_ALONE: Decision = "answer_alone"


class Epoch(msgspec.Struct, frozen=True, kw_only=True):
    """What evidence is gathered on; any change of its terms closes it and opens another.

    Attributes:
        id: `ep_` and the beginning of the SHA-256 of its terms.
        number: Of the epochs of this decision of the service, from 1.
        seen_us: All windows that end before are counted, and no other.
        terms: What it stands on, as JSON; never changed.
        state: How far the evidence has come, as JSON.
    """

    id: str
    service: str
    decision: str
    number: int
    opened_at_us: int
    closed_at_us: int | None = None
    why_closed: str = ""
    seen_us: int
    terms: str
    state: str


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """A certified threshold.

    Attributes:
        id: `ct_` and a time-ordered id.
        epoch: What it stands on.
        decision: What may be done from the threshold on.
        state: `certified`; `superseded` by a looser one; `ended` with its epoch; `off` when its
            audit raised an alarm.
        max_error: Share of what it lets pass that may be wrong, as promised.
        sure: How sure that is.
        n, wrong: The units that it stands on, and how many of them were wrong.
        bound: What is shown of the share that is wrong: at most this, and at most `max_error`.
        from_us, to_us: The requests of which time it stands on.
        detail: What else it stands on, as JSON values.
        audit: How its running audit stands, as JSON values.
    """

    id: str
    epoch: str
    service: str
    decision: str
    release: str
    state: State
    max_error: float
    sure: float
    threshold: float
    n: int
    wrong: int
    bound: float
    from_us: int
    to_us: int
    issued_at_us: int
    ended_at_us: int | None = None
    why_ended: str = ""
    detail: dict[str, Any] = {}
    audit: dict[str, Any] = {}


def open_epoch_of(engine: Engine, service: str, decision: Decision = ANSWER_ALONE) -> Epoch | None:
    """Return the epoch of a decision that is open, if one is."""
    is_it = (epochs.c.service == service, epochs.c.decision == decision)
    query = select(epochs).where(*is_it, epochs.c.closed_at_us.is_(None))
    with engine.connect() as connection:
        row = connection.execute(query.order_by(epochs.c.number.desc()).limit(1)).first()
    return None if row is None else Epoch(**row._mapping)


def list_epochs(engine: Engine, service: str, decision: str = ANSWER_ALONE) -> list[Epoch]:
    """Return all epochs of a decision, newest first."""
    is_it = (epochs.c.service == service, epochs.c.decision == decision)
    query = select(epochs).where(*is_it).order_by(epochs.c.number.desc())
    with engine.connect() as connection:
        return [Epoch(**row._mapping) for row in connection.execute(query)]


def add_epoch(connection: Connection, epoch: Epoch) -> None:
    """Store an epoch that was just opened."""
    connection.execute(insert(epochs).values(**msgspec.structs.asdict(epoch)))


def close_epoch(connection: Connection, epoch: Epoch, at_us: int, why: str) -> bool:
    """Close an epoch; say whether it was still as it is given here."""
    done = update(epochs).where(*_is_as_given(epoch)).values(closed_at_us=at_us, why_closed=why)
    return connection.execute(done).rowcount == 1


def advance_epoch(connection: Connection, epoch: Epoch, seen_us: int, state: str) -> bool:
    """Write how far an epoch has come; say whether it was still as it is given here.

    Call it first in a transaction: until the commit nobody else can advance it.
    """
    done = update(epochs).where(*_is_as_given(epoch)).values(seen_us=seen_us, state=state)
    return connection.execute(done).rowcount == 1


def _is_as_given(epoch: Epoch) -> tuple[Any, ...]:
    here = epochs.c
    return here.id == epoch.id, here.seen_us == epoch.seen_us, here.closed_at_us.is_(None)


def hold_epochs(connection: Connection, service: str) -> None:
    """Let nobody else advance the open epochs of a service before the transaction ends.

    Who changes epochs and pointers in one transaction calls it first: whoever certifies takes them
    in this order, too.
    """
    is_open = (epochs.c.service == service, epochs.c.closed_at_us.is_(None))
    connection.execute(select(epochs.c.id).where(*is_open).with_for_update()).all()


def close_epochs(connection: Connection, service: str, at_us: int, why: str) -> list[Epoch]:
    """Close the epochs of a service that are open, and return them as they were."""
    is_open = (epochs.c.service == service, epochs.c.closed_at_us.is_(None))
    found = [Epoch(**row._mapping) for row in connection.execute(select(epochs).where(*is_open))]
    if found:
        done = update(epochs).where(*is_open).values(closed_at_us=at_us, why_closed=why)
        connection.execute(done)
    return found


def reopen_epoch(connection: Connection, id: str) -> bool:
    """Let an epoch go on where it was closed, and say whether it may.

    One whose bound was broken is over for good: what comes after an alarm is new evidence.
    """
    is_off = (certificates.c.epoch == id, certificates.c.state == "off")
    if connection.execute(select(certificates.c.id).where(*is_off).limit(1)).first() is not None:
        return False
    done = update(epochs).where(epochs.c.id == id).values(closed_at_us=None, why_closed="")
    return connection.execute(done).rowcount == 1


def end_certificates(connection: Connection, service: str, at_us: int, why: str) -> list[str]:
    """Let no certificate of a service hold longer, and return the ids of those that did."""
    held = (certificates.c.service == service, certificates.c.state == "certified")
    ids = list(connection.execute(select(certificates.c.id).where(*held)).scalars())
    for id in ids:
        end_certificate(connection, id, "ended", at_us, why)
    return ids


def restore_certificate(connection: Connection, id: str, epochs_open: Collection[str]) -> bool:
    """Let a certificate hold again that ended with its release, and say whether it does.

    Args:
        connection: Of the transaction.
        id: The certificate.
        epochs_open: What goes on: a certificate is worth as much as the audit behind it.
    """
    is_it = (
        certificates.c.id == id,
        certificates.c.state == "ended",
        certificates.c.epoch.in_(epochs_open),
    )
    values = {"state": "certified", "ended_at_us": None, "why_ended": ""}
    return connection.execute(update(certificates).where(*is_it).values(**values)).rowcount == 1


def list_certificates(
    engine: Engine, service: str = "", limit: int = 100, decision: str = ""
) -> list[Certificate]:
    """Return the certificates that were issued last, newest first; of one service if named."""
    order = (certificates.c.issued_at_us.desc(), certificates.c.id.desc())
    query = select(certificates).order_by(*order).limit(limit)
    if service:
        query = query.where(certificates.c.service == service)
    if decision:
        query = query.where(certificates.c.decision == decision)
    with engine.connect() as connection:
        return [_certificate(row) for row in connection.execute(query)]


def read_certificate(engine: Engine, id: str) -> Certificate | None:
    """Return one certificate, or None where there is none of this id."""
    with engine.connect() as connection:
        row = connection.execute(select(certificates).where(certificates.c.id == id)).first()
    return None if row is None else _certificate(row)


def certificate_in_force(
    engine: Engine, service: str, decision: Decision = ANSWER_ALONE
) -> Certificate | None:
    """Return the certificate that holds, whether or not a person stopped it."""
    is_it = (certificates.c.service == service, certificates.c.decision == decision)
    query = select(certificates).where(*is_it, certificates.c.state == "certified")
    with engine.connect() as connection:
        order = (certificates.c.issued_at_us.desc(), certificates.c.id.desc())
        row = connection.execute(query.order_by(*order).limit(1)).first()
    return None if row is None else _certificate(row)


def add_certificate(connection: Connection, certificate: Certificate) -> None:
    """Store a certificate that was just issued."""
    fields = msgspec.structs.asdict(certificate)
    fields |= {name: _text(fields[name]) for name in ("detail", "audit")}
    connection.execute(insert(certificates).values(**fields))


def end_certificate(connection: Connection, id: str, state: State, at_us: int, why: str) -> None:
    """Let a certificate hold no longer."""
    values = {"state": state, "ended_at_us": at_us, "why_ended": why}
    connection.execute(update(certificates).where(certificates.c.id == id).values(**values))


def write_audit(connection: Connection, id: str, audit: dict[str, Any]) -> None:
    """Write how the running audit of a certificate stands."""
    done = update(certificates).where(certificates.c.id == id)
    connection.execute(done.values(audit=_text(audit)))


def is_asked_by_a_person(engine: Engine, service: str) -> bool:
    """Whether a person wants to decide every answer of a service."""
    here = switchboard.c.name == f"ask:{service}"
    with engine.connect() as connection:
        return bool(connection.execute(select(switchboard.c.value).where(here)).scalar())


def is_stopped_by_a_person(engine: Engine, service: str, id: str) -> bool:
    """Whether a person wants a certificate to let nothing pass."""
    with engine.connect() as connection:
        return is_stopped(connection, service, id)


def is_stopped(connection: Connection, service: str, id: str) -> bool:
    """Whether a person wants a certificate to let nothing pass, as a transaction sees it."""
    here = switchboard.c.name == certificate_stop(service, id)
    return bool(connection.execute(select(switchboard.c.value).where(here)).scalar())


def last_stop(connection: Connection, service: str, decision: Decision = ANSWER_ALONE) -> str:
    """Return by what the last certificate of a decision is stopped; empty where it is not."""
    is_it = (certificates.c.service == service, certificates.c.decision == decision)
    order = (certificates.c.issued_at_us.desc(), certificates.c.id.desc())
    query = select(certificates.c.id).where(*is_it).order_by(*order).limit(1)
    last = connection.execute(query).scalar()
    if last is None:
        return ""
    here = switchboard.c.name == certificate_stop(service, last)
    return connection.execute(select(switchboard.c.value).where(here)).scalar() or ""


def released_at(engine: Engine, release: str, now_us: int) -> int:
    """Return from when on there may be drafts of a release; 0 where that is not known.

    A clock that was set back since it was built, as for a replay, says nothing of that.
    """
    with engine.connect() as connection:
        query = select(releases.c.created_at_us).where(releases.c.id == release)
        built_us: int = connection.execute(query).scalar() or 0
    return built_us if built_us <= now_us else 0


def read_scores(
    engine: Engine, service: str, release: str, scorer: str, since_us: int, limit: int
) -> list[tuple[int, float | None]]:
    """Return time and score of the last drafts that a bound could let pass, oldest first."""
    is_one = _is_up_for_a_bound(service, release, scorer)
    query = select(drafts.c.at_us, drafts.c.score).where(*is_one, drafts.c.at_us >= since_us)
    with engine.connect() as connection:
        rows = connection.execute(query.order_by(drafts.c.at_us.desc()).limit(limit)).all()
    return [(row.at_us, row.score) for row in reversed(rows)]


def read_drafts_with_outcomes(
    engine: Engine, service: str, release: str, scorer: str, from_us: int, until_us: int
) -> Sequence[Any]:
    """Return drafts with what became known of each: a row an outcome, in the order of requests.

    What was asked for by a rule is not among them: no bound is ever of it. `kind` is None where
    nothing became known.
    """
    said = (outcomes.c.kind, outcomes.c.value, outcomes.c.source, outcomes.c.known_at_us)
    query = (
        select(
            drafts.c.request_id,
            drafts.c.at_us,
            drafts.c.path,
            drafts.c.score,
            drafts.c.share,
            drafts.c.is_drawn,
            drafts.c.unit,
            drafts.c.groups,
            drafts.c.predicted,
            drafts.c.signals,
            *said,
        )
        .join(outcomes, outcomes.c.request_id == drafts.c.request_id, isouter=True)
        .where(
            *_is_up_for_a_bound(service, release, scorer),
            drafts.c.at_us >= from_us,
            drafts.c.at_us < until_us,
        )
        .order_by(drafts.c.at_us, drafts.c.request_id, outcomes.c.id)
    )
    with engine.connect() as connection:
        return connection.execute(query).all()


def count_below(engine: Engine, service: str, from_us: int, until_us: int) -> tuple[int, int]:
    """Return how many drafts of a time no bound let pass, and how many a rule asked a person of."""
    query = (
        select(drafts.c.path, func.count())
        .where(drafts.c.service == service, drafts.c.at_us >= from_us, drafts.c.at_us < until_us)
        .group_by(drafts.c.path)
    )
    with engine.connect() as connection:
        found: dict[str, int] = {row[0]: row[1] for row in connection.execute(query)}
    return found.get("person", 0) + found.get("ladder", 0), found.get("rule", 0)


def count_alone(engine: Engine, service: str, release: str, since_us: int, most: int) -> int:
    """Return how many answers a release gave alone since a time, counted up to `most`."""
    is_one = (
        drafts.c.service == service,
        drafts.c.release == release,
        drafts.c.at_us >= since_us,
        drafts.c.path == "alone",
    )
    some = select(drafts.c.request_id).where(*is_one)
    with engine.connect() as connection:
        return connection.execute(
            select(func.count()).select_from(some.limit(most).subquery())
        ).scalar_one()


def read_planted(engine: Engine, service: str) -> list[tuple[int, bool]]:
    """Return of each planted wrong answer when it was decided, and whether it was let pass."""
    is_one = (reviews.c.service == service, reviews.c.kind == "planted", reviews.c.decision != "")
    query = select(reviews.c.decided_at_us, reviews.c.decision, reviews.c.expected)
    query = query.where(*is_one, reviews.c.decided_at_us > 0)
    with engine.connect() as connection:
        rows = connection.execute(query.order_by(reviews.c.decided_at_us)).all()
    wrong = [row for row in rows if _is_known_wrong(row.expected)]
    return [(row.decided_at_us, row.decision == "approve") for row in wrong]


def _is_known_wrong(expected: bytes | None) -> bool:
    return bool(expected) and msgspec.json.decode(expected or b"{}").get("decision") != "approve"


def _is_up_for_a_bound(service: str, release: str, scorer: str) -> tuple[Any, ...]:
    return (
        drafts.c.service == service,
        drafts.c.release == release,
        drafts.c.scorer == scorer,
        drafts.c.path != "rule",
    )


def _certificate(row: Row[Any]) -> Certificate:
    fields = dict(row._mapping)
    fields |= {name: msgspec.json.decode(fields[name]) for name in ("detail", "audit")}
    return Certificate(**fields)


def _text(value: dict[str, Any]) -> str:
    return msgspec.json.encode(value).decode()
