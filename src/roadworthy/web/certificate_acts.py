"""The levers of an automatic decision: stop its certificate, ask people of everything, and back."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

from ..errors import Conflict
from .bounds import decision_of, in_force, service_of
from .control import Ask
from .shapes import Given

Pulled = Literal["stop", "resume", "ask_people", "trust_again"]


class LeverWanted(Given, frozen=True):
    """Why a lever is pulled; the reason is kept in the audit chain."""

    reason: Annotated[str, Meta(max_length=1000)] = ""


class LeverPulled(Struct, frozen=True, kw_only=True):
    """What a lever did; every process obeys it within 100 ms.

    Attributes:
        decision: Of which decision: `answer_alone`, `route` or `reuse`.
    """

    service: str
    certificate: str
    did: Pulled
    decision: str = "answer_alone"


def stop_certificate(ask: Ask, id: str, body: LeverWanted) -> LeverPulled:
    """Let a certificate let nothing pass, until it is resumed."""
    found = _certificate(ask, id)
    board = ask.control.switchboard
    board.stop(found.service, found.certificate, by=ask.by, reason=body.reason)
    return found


def resume_certificate(ask: Ask, id: str, body: LeverWanted) -> LeverPulled:
    """Let a certificate that a person stopped let answers pass again."""
    found = _certificate(ask, id)
    board = ask.control.switchboard
    board.resume(found.service, found.certificate, by=ask.by, reason=body.reason)
    return replace(found, did="resume")


def ask_of_everything(ask: Ask, id: str, body: LeverWanted) -> LeverPulled:
    """Let people decide every answer of a service."""
    service = service_of(ask, id).name
    ask.control.switchboard.ask_people(service, by=ask.by, reason=body.reason)
    return LeverPulled(service=service, certificate="", did="ask_people")


def trust_again(ask: Ask, id: str, body: LeverWanted) -> LeverPulled:
    """Let a service answer alone again, as far as it is certified."""
    service = service_of(ask, id).name
    ask.control.switchboard.trust_again(service, by=ask.by, reason=body.reason)
    return LeverPulled(service=service, certificate="", did="trust_again")


def _certificate(ask: Ask, id: str) -> LeverPulled:
    """Return the certificate in force of a decision, as a lever finds it.

    Raises:
        Conflict: None is in force.
    """
    release, decision = decision_of(ask, id)
    certificate = in_force(ask, release.name, decision)
    if not certificate:
        raise Conflict(f"expected a certificate in force of `{release.name}`, got none")
    return LeverPulled(service=release.name, certificate=certificate, did="stop", decision=decision)
