"""The levers of an automatic decision: stop its certificate, ask people of everything, and back."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from ..errors import Conflict
from .bounds import in_force, service_of
from .control import Ask
from .shapes import Given

Pulled = Literal["stop", "resume", "ask_people", "trust_again"]


class LeverWanted(Given, frozen=True):
    """Why a lever is pulled; the reason is kept in the audit chain."""

    reason: Annotated[str, Meta(max_length=1000)] = ""


class LeverPulled(Struct, frozen=True, kw_only=True):
    """What a lever did; every process obeys it within 100 ms."""

    service: str
    certificate: str
    did: Pulled


def stop_certificate(ask: Ask, id: str, body: LeverWanted) -> LeverPulled:
    """Let a certificate let nothing pass, until it is resumed."""
    service, certificate = _certificate(ask, id)
    ask.control.switchboard.stop(service, certificate, by=ask.by, reason=body.reason)
    return LeverPulled(service=service, certificate=certificate, did="stop")


def resume_certificate(ask: Ask, id: str, body: LeverWanted) -> LeverPulled:
    """Let a certificate that a person stopped let answers pass again."""
    service, certificate = _certificate(ask, id)
    ask.control.switchboard.resume(service, certificate, by=ask.by, reason=body.reason)
    return LeverPulled(service=service, certificate=certificate, did="resume")


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


def _certificate(ask: Ask, id: str) -> tuple[str, str]:
    """Return the service and the certificate in force of a decision.

    Raises:
        Conflict: None is in force.
    """
    service = service_of(ask, id).name
    certificate = in_force(ask, service)
    if not certificate:
        raise Conflict(f"expected a certificate in force of `{service}`, got none")
    return service, certificate
