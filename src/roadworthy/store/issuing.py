"""How certificates come into force and end: with what is pointed at, and in the audit chain.

All of it is part of a transaction that began by advancing or closing the epoch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection

from ..types import Clock
from . import certificates as store
from .actions import append_action
from .certificates import Certificate, Epoch
from .switchboard import certificate_stop, move_pointer


class Pointer(NamedTuple):
    """What is put in force: the pointer's name, and what it says from then on."""

    name: str
    value: msgspec.Struct

    def move(self, connection: Connection) -> None:
        """Put it in force, from the next request on."""
        move_pointer(connection, self.name, msgspec.json.encode(self.value).decode())


class Hand(NamedTuple):
    """Who acts, and by which time."""

    clock: Clock
    by: str


class Why(NamedTuple):
    """Why a certificate is switched off.

    Attributes:
        text: In words.
        audits, wrong: Since the error is likeliest to have risen.
        group: Whose audits showed it; empty where those of all did.
        audit: How the running audit ended, for the certificate.
    """

    text: str
    audits: int
    wrong: int
    group: str
    audit: dict[str, Any]


def issue(
    connection: Connection,
    hand: Hand,
    issued: Certificate,
    before: Certificate | None,
    now: Pointer,
) -> None:
    """Put a certificate in force, in the place of a stricter one if there is one."""
    now.move(connection)
    if before is not None:
        why = f"superseded by `{issued.id}`, which lets more pass"
        store.end_certificate(connection, before.id, "superseded", issued.issued_at_us, why)
    decision: Any = issued.decision
    stop = store.last_stop(connection, issued.service, decision)
    if stop:  # whoever stopped the last one has not let another answer
        move_pointer(connection, certificate_stop(issued.service, issued.id), stop)
    store.add_certificate(connection, issued)
    detail = {
        "service": issued.service,
        "decision": issued.decision,
        "release": issued.release,
        "epoch": issued.epoch,
        "max_error": issued.max_error,
        "sure": issued.sure,
        "threshold": issued.threshold,
        "n": issued.n,
        "wrong": issued.wrong,
        "supersedes": before.id if before is not None else "",
    }
    append_action(connection, hand.clock, hand.by, "certificate.issue", issued.id, detail)


def switch_off(
    connection: Connection, hand: Hand, epoch: Epoch, held: Certificate, why: Why, now: Pointer
) -> None:
    """Switch an automatic decision off: it is not taken any more from the next request on."""
    now_us = hand.clock.now_us()
    now.move(connection)
    store.end_certificate(connection, held.id, "off", now_us, why.text)
    store.write_audit(connection, held.id, why.audit)
    store.close_epoch(connection, epoch, now_us, f"switched off: {why.text}")
    detail = {
        "service": held.service,
        "decision": held.decision,
        "why": why.text,
        "audits": why.audits,
        "wrong": why.wrong,
        "group": why.group,
        "max_error": held.max_error,
    }
    append_action(connection, hand.clock, hand.by, "certificate.off", held.id, detail)


def end(connection: Connection, hand: Hand, held: Certificate, why: str) -> None:
    """Let a certificate end with its epoch."""
    store.end_certificate(connection, held.id, "ended", hand.clock.now_us(), why)
    detail = {"service": held.service, "decision": held.decision, "why": why}
    append_action(connection, hand.clock, hand.by, "certificate.end", held.id, detail)


def what_changed(before: msgspec.Struct, now: msgspec.Struct, chosen: Collection[str]) -> str:
    """Return what of an epoch's terms is declared otherwise now, in words; empty where nothing is.

    Args:
        before: The terms of the epoch.
        now: The same, as it is declared now.
        chosen: Fields that nobody declares.
    """
    changed = [
        f"{name} was {_shown(getattr(before, name))}, is {_shown(getattr(now, name))}"
        for name in before.__struct_fields__
        if name not in chosen and getattr(before, name) != getattr(now, name)
    ]
    return "; ".join(changed)


def text_of(terms: msgspec.Struct) -> str:
    """Return terms as the JSON that is stored and hashed."""
    return msgspec.json.encode(terms).decode()


def id_of(text: str) -> str:
    """Return the id of the epoch of these terms."""
    return f"ep_{hashlib.sha256(text.encode()).hexdigest()[:24]}"


def _shown(value: object) -> str:
    return msgspec.json.encode(value).decode()
