"""What an act did, said once on the next page, with the way back where there is one."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import quote

import msgspec

from .. import shapes
from ..case_acts import CaseActed
from ..certificate_acts import LeverPulled
from ..numbers import at, short
from ..release_acts import ReleaseActed, ServiceMoved

SENT_BEFORE = "This form had been sent before; nothing was made again."


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What an act did.

    Attributes:
        says: What, when, and who did it.
        undo: The word on the button that takes it back; empty where none does.
        path: Where that button posts to.
        model: The field that it sends along.
    """

    says: str
    undo: str = ""
    path: str = ""
    model: str = ""


def switched(value: shapes.Switched, who: str, now: datetime) -> Done:
    """Return what a stop or a resume did; only a stop is taken back by a click."""
    what = f"model {value.model} of {value.service}" if value.model else value.service
    if not value.is_stopped:
        return Done(says=f"Resumed {what} at {at(now, now)} by {who}.")
    return Done(
        says=f"Stopped {what} at {at(now, now)} by {who}.",
        undo="Resume",
        path=f"/services/{quote(value.service, safe='')}/resume",
        model=value.model or "",
    )


def promoted(value: shapes.ReleasePromoted, who: str, now: datetime) -> Done:
    """Return what a promotion did: it serves, or a rollout judges it first, and how long."""
    did = f"Promoted {short(value.release)} for {value.service}"
    if not value.is_champion:
        did = f"Began the rollout of {short(value.release)} for {value.service}"
    why = "" if value.forecast is None else value.forecast.why
    then = f" {why[:1].upper()}{why[1:]}." if why else ""
    return Done(says=f"{did} at {at(now, now)} by {who}.{then}")


_DID = {
    "approve": "Approved",
    "correct": "Corrected",
    "reject": "Rejected",
    "hand_over": "Handed over",
}


def acted(value: CaseActed, who: str, now: datetime) -> Done | None:
    """Return what was done with a case; that one was taken, its page shows."""
    if value.did == "taken":
        return None
    if value.did == "none":
        return Done(says="Every case that waits is in somebody's hands.")
    if value.did == "refused":
        return Done(says=f"Not done: {value.why}.")
    then = "This is the next one." if value.next else "No other case is free."
    then = "" if value.did == "hand_over" else f" {then}"
    return Done(says=f"{_DID[value.did]} case {value.id} at {at(now, now)} by {who}.{then}")


_PULLED = {
    "stop": "Nothing of {} is given alone by this certificate",
    "resume": "{} answers alone again, as far as it is certified",
    "ask_people": "People are asked of every answer of {}",
    "trust_again": "{} answers alone again, as far as it is certified",
}
_PULLED_OF_PAIRS = {
    "stop": "{} decides nothing by this certificate",
    "resume": "{} decides by this certificate again",
}
_BACK = {"stop": ("Resume", "resume"), "ask_people": ("Trust it again", "trust")}


def pulled(value: LeverPulled, who: str, now: datetime) -> Done:
    """Return what a lever of a decision did; what was switched off, a click takes back."""
    undo, act = _BACK.get(value.did, ("", ""))
    is_alone = value.decision == "answer_alone"
    key = value.service if is_alone else f"{value.service}:{value.decision}"
    said = (_PULLED if is_alone else _PULLED_OF_PAIRS)[value.did].format(value.service)
    return Done(
        says=f"{said}, since {at(now, now)}, by {who}.",
        undo=undo,
        path=f"/certificates/{quote(key, safe='')}/{act}" if act else "",
    )


_MOVED = {
    "roll_back": "Rolled {service} back to {release}",
    "freeze": "Froze {service}: nothing else serves, and no rollout moves",
    "unfreeze": "Let {service} go on",
    "stop_rollout": "Stopped the rollout: everybody meets {release}",
}
_THAW = {"freeze": ("Let it go on", "unfreeze")}


def moved(value: ServiceMoved, who: str, now: datetime) -> Done:
    """Return what was done to what serves; a freeze is taken back by a click."""
    undo, act = _THAW.get(value.did, ("", ""))
    said = _MOVED[value.did].format(service=value.service, release=short(value.release))
    return Done(
        says=f"{said}, at {at(now, now)} by {who}.",
        undo=undo,
        path=f"/services/{quote(value.service, safe='')}/{act}" if act else "",
    )


def let_ship(value: ReleaseActed, who: str, now: datetime) -> Done:
    """Return what was written down of a release."""
    did = f"Approved {short(value.release)} for {value.of}"
    if value.did == "waive":
        did = f"Waived the gate {value.of} of {short(value.release)}"
    if value.did == "measure_gates":
        did = f"Measured the gates of {short(value.release)}"
    return Done(says=f"{did}, at {at(now, now)} by {who}.")


def revoked(value: shapes.KeyRevoked, who: str, now: datetime) -> Done:
    """Return what a revocation did."""
    return Done(says=f"Revoked key {value.id} at {at(now, now)} by {who}.")
