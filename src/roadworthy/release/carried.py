"""What is certified for a release goes with it, and comes back with it.

A certificate holds for one release alone. When that stops serving, its evidence is closed where it
stands; when it serves again, the same epoch goes on from there: what comes after is judged together
with what was seen before, and the audit is where it was. Going away and coming back is no look at
outcomes that could favour it, so nothing of what was promised is spent. What its own audit switched
off stays off, and so does what a person stopped.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec
from sqlalchemy import Connection

from ..review.desk import InForce
from ..store import certificates as store
from ..store.actions import append_action
from ..store.moves import Carried, last_left
from ..store.switchboard import move_pointer, read_pointer
from ..types import Clock

_LEARNED = ("calibration", "scorer", "scope")


class _Terms(msgspec.Struct):
    """Of the terms of an epoch, whose evidence it is."""

    release: str


_in_force = msgspec.json.Decoder(InForce).decode
_terms = msgspec.json.Decoder(_Terms).decode


def leave(
    connection: Connection, clock: Clock, service: str, release: str, to: str, by: str
) -> Carried:
    """Close what was in force for a release that serves no more, and return it.

    The transaction must hold the service's epochs and the pointers.
    """
    why, now_us = f"`{to}` serves instead", clock.now_us()
    said = read_pointer(connection, f"automation:{service}")
    now = _in_force(said) if said else InForce()
    closed = store.close_epochs(connection, service, now_us, why)
    for certificate in store.end_certificates(connection, service, now_us, why):
        detail = {"service": service, "why": why}
        append_action(connection, clock, by, "certificate.end", certificate, detail)
    if said:
        _point(connection, service, InForce(ask_share=now.ask_share))
    return Carried(
        automation=said if now.release == release else "",
        epochs=tuple(epoch.id for epoch in closed if _terms(epoch.terms).release == release),
        **{part: read_pointer(connection, f"{part}:{service}") for part in _LEARNED},
    )


def restore(connection: Connection, clock: Clock, service: str, release: str, by: str) -> None:
    """Put in force again what was in force for a release when it was left, if it ever was."""
    left = last_left(connection, service, release)
    if left is None:
        return
    carried = left.carried
    for part in _LEARNED:
        name, value = f"{part}:{service}", getattr(carried, part)
        if read_pointer(connection, name) != value:
            move_pointer(connection, name, value)
    epochs = [id for id in carried.epochs if store.reopen_epoch(connection, id)]
    if carried.automation:
        _restore_automation(connection, clock, service, _in_force(carried.automation), epochs, by)


def _restore_automation(
    connection: Connection,
    clock: Clock,
    service: str,
    was: InForce,
    epochs: Collection[str],
    by: str,
) -> None:
    """Let the certificate hold again where its evidence goes on."""
    if not was.certificate or not store.restore_certificate(connection, was.certificate, epochs):
        return
    said = read_pointer(connection, f"automation:{service}")
    ask = _in_force(said).ask_share if said else was.ask_share
    _point(connection, service, msgspec.structs.replace(was, ask_share=ask))
    detail = {"service": service, "release": was.release, "threshold": was.threshold}
    append_action(connection, clock, by, "certificate.restore", was.certificate, detail)


def _point(connection: Connection, service: str, now: InForce) -> None:
    move_pointer(connection, f"automation:{service}", msgspec.json.encode(now).decode())
