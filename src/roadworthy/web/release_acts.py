"""What people do with releases on their way: roll back, freeze, stop, approve, waive, replay."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from msgspec import Meta, Struct

from ..errors import Conflict, NotFound, RequestError
from ..release import registry
from ..store.clock import micros_of
from ..store.records import read_record
from .compare_page import find_release
from .control import Ask
from .release_replay import ReplayShown, replay_shown
from .shapes import Given, Name
from .units import Time

T = TypeVar("T")
Did = Literal["roll_back", "freeze", "unfreeze", "stop_rollout"]
Reason = Annotated[str, Meta(max_length=1000)]


class Because(Given, frozen=True):
    """Why; the reason is kept in the audit chain."""

    reason: Reason = ""


class BackWanted(Given, frozen=True):
    """Where to go back to; by default to the last good release."""

    to: Annotated[Name, Meta(description="An earlier champion.")] = ""
    reason: Reason = ""


class ApprovalWanted(Given, frozen=True):
    """Which owner approves, with a note."""

    owner: Annotated[Name, Meta(description="`product`, `model` or `platform`.")]
    note: Reason = ""


class WaiverWanted(Given, frozen=True):
    """Which gate is waived, why, and until when."""

    gate: Name
    reason: Annotated[str, Meta(min_length=1, max_length=1000, pattern=r"\S")]
    expires: Time


class ReplayWanted(Given, frozen=True):
    """Which release is asked; by default the one that answered."""

    release: Name = ""


class ServiceMoved(Struct, frozen=True, kw_only=True):
    """What an act did to a service; every process obeys it within 100 ms.

    Attributes:
        release: What serves then.
    """

    service: str
    did: Did
    release: str


class ReleaseActed(Struct, frozen=True, kw_only=True):
    """What a person did to a release."""

    release: str
    service: str
    did: Literal["approve", "waive", "measure_gates"]
    of: str


def roll_back(ask: Ask, name: str, body: BackWanted) -> ServiceMoved:
    """Let an earlier champion serve again, with all that was in force for it."""
    act = _there(ask.control.shipping.roll_back, "rolling back")
    service = ask.known(name)
    to = find_release(ask, service, body.to).id if body.to else ""
    release = act(service, to=to, by=ask.by, why=body.reason)
    return ServiceMoved(service=service, did="roll_back", release=release.id)


def freeze(ask: Ask, name: str, body: Because) -> ServiceMoved:
    """Let nothing else serve, and no rollout move, until it is thawed."""
    act = _there(ask.control.shipping.freeze, "freezing")
    service = ask.known(name)
    act(service, by=ask.by, reason=body.reason)
    return _moved(ask, service, "freeze")


def unfreeze(ask: Ask, name: str, body: Because) -> ServiceMoved:
    """Let releases be promoted again; a rollout that stood still goes on."""
    act = _there(ask.control.shipping.unfreeze, "thawing")
    service = ask.known(name)
    act(service, by=ask.by, reason=body.reason)
    return _moved(ask, service, "unfreeze")


def stop_rollout(ask: Ask, name: str, body: Because) -> ServiceMoved:
    """End a rollout: everybody meets the champion again."""
    act = _there(ask.control.shipping.stop_rollout, "stopping a rollout")
    service = ask.known(name)
    act(service, by=ask.by, why=body.reason)
    return _moved(ask, service, "stop_rollout")


def approve(ask: Ask, id: str, body: ApprovalWanted) -> ReleaseActed:
    """Write down that an owner lets a release ship."""
    release = _release(ask, id)
    act = _there(ask.control.shipping.approve, "approving")
    act(release.id, owner=body.owner, by=ask.by, note=body.note)
    return ReleaseActed(release=release.id, service=release.service, did="approve", of=body.owner)


def waive(ask: Ask, id: str, body: WaiverWanted) -> ReleaseActed:
    """Let a release ship although a gate does not hold, until a time."""
    release = _release(ask, id)
    act = _there(ask.control.shipping.waive, "waiving")
    expires_us = micros_of(body.expires, "expires")
    if expires_us <= ask.control.clock.now_us():
        raise RequestError(
            "expires: expected a time to come, got one that is over", param="expires"
        )
    act(release.id, body.gate, by=ask.by, reason=body.reason, expires_us=expires_us)
    return ReleaseActed(release=release.id, service=release.service, did="waive", of=body.gate)


def measure_gates(ask: Ask, id: str) -> ReleaseActed:
    """Measure how a release stands to its gates, from the evidence that there is."""
    release = _release(ask, id)
    act = _there(ask.control.shipping.measure_gates, "measuring gates")
    act(release.id)
    return ReleaseActed(release=release.id, service=release.service, did="measure_gates", of="")


def replay_request(ask: Ask, id: str, body: ReplayWanted) -> ReplayShown:
    """Ask a release again what was asked in a request, and compare; it leaves nothing behind."""
    service = _service_of(ask, id)
    act = _there(ask.control.shipping.replay, "replaying")
    wanted = find_release(ask, service, body.release).id if body.release else ""
    return replay_shown(ask, act(id, release_id=wanted))


def _moved(ask: Ask, service: str, did: Did) -> ServiceMoved:
    serves = registry.champion_id_of(ask.control.state, service)
    return ServiceMoved(service=service, did=did, release=serves)


def _release(ask: Ask, id: str) -> registry.Release:
    release = registry.read_release(ask.control.state, id)
    if not ask.sees(release.service):
        raise NotFound(f"no release `{id:.100}` that key `{ask.key.id}` may see")
    return release


def _service_of(ask: Ask, id: str) -> str:
    service: str = read_record(ask.control.state, id).service
    if not ask.sees(service):
        raise NotFound(f"no record `{id:.60}` that key `{ask.key.id}` may see")
    return service


def _there(act: T | None, what: str) -> T:
    """Return an act.

    Raises:
        Conflict: This process has none.
    """
    if act is None:
        raise Conflict(f"expected a process that knows {what}, got one that does not")
    return act
