"""May a candidate ship? One answer for Home, its service and the comparison, from what is known."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from . import evaluation_words, gate_words, numbers
from .evaluation_figures import EvaluationRow
from .gate_words import MAY, MAY_STATES
from .release_figures import Decides, Gates, GateShown, RolloutShown
from .rollout_words import arm
from .states import State

NO_CANDIDATE = "There is no candidate."


class Known(NamedTuple):
    """What is known of a candidate.

    Attributes:
        champion: What serves.
        evaluation: Its newest one; None while there is none.
        needed: How many more cases that one needs; None where it is decided, or nobody knows.
        rollout: The rollout that it is in; None while it is in none.
        says_frozen: Who lets nothing else serve; empty while anything may.
        taken_back: Why its last rollout took it back; empty where none did.
    """

    candidate: str
    champion: str
    gates: Gates
    evaluation: EvaluationRow | None = None
    needed: int | None = None
    rollout: RolloutShown | None = None
    says_frozen: str = ""
    taken_back: str = ""


def may_of(known: Known) -> str:
    """Return whether a candidate may ship: `yes`, `on_its_way`, `not_yet`, `no`, or `none`."""
    if not known.candidate:
        return "none"
    if known.candidate == known.champion:
        return "yes"
    if known.rollout is not None and known.rollout.progress == "running":
        harmed = any(one.state == "breached" for one in known.rollout.figures)
        return "no" if harmed else "on_its_way"
    if known.gates.failing or known.taken_back or _verdict(known) == "fail":
        return "no"
    is_gated = bool(known.gates.gates)
    is_open = known.gates.open or known.says_frozen or _verdict(known) == "inconclusive"
    if is_open or not (is_gated or _verdict(known) == "pass"):
        return "not_yet"
    return "yes"


def decides(known: Known, now: datetime) -> Decides:
    """Return the answer with what it stands on."""
    may, release = may_of(known), numbers.short(known.candidate)
    return Decides(
        may=may,
        says=_headline(may, known, release, now),
        word=MAY[may] or "Nothing to ship",
        state=state_of(may),
        known=tuple(_known(known)),
        unknown=tuple(_unknown(known)),
        decided_by=_decided_by(may, known, now),
        who=_who(may, known),
    )


def state_of(may: str) -> State:
    """Return the colour and shape of an answer."""
    return MAY_STATES[may]


def brief(known: Known, now: datetime) -> str:
    """Return why a candidate may ship or may not, in few words; Home says it beside the answer."""
    match may_of(known):
        case "none":
            return NO_CANDIDATE
        case "on_its_way":
            return _on_its_way(known, now)
        case "no":
            return f"{_against(known)}."
        case "not_yet":
            return _not_yet(known)
    return known.gates.says if known.gates.gates else "Its evaluation passed."


def _headline(may: str, known: Known, release: str, now: datetime) -> str:
    if may == "none":
        return NO_CANDIDATE
    if known.candidate == known.champion:
        return f"{release} serves already."
    if may == "yes":
        return f"Yes, {release} may ship."
    if may == "on_its_way":
        assert known.rollout is not None
        when = known.rollout.expected
        ends = f"decides at about {numbers.at(when, now)}" if when else "has not decided yet"
        return f"Yes, {release} may ship. The {known.rollout.judge} {ends}."
    if may == "no":
        return f"No, {release} may not ship. {_against(known)}."
    return f"Not yet. {_not_yet(known)}"


def _against(known: Known) -> str:
    """Return what speaks against a candidate: the failing gate, value against bar."""
    failing = [gate for gate in known.gates.gates if gate.word == "fails"]
    if failing:
        return evaluation_words.capital(gate_words.failing(failing[0]))
    if known.rollout is not None and known.rollout.progress == "running":
        harmed = [one for one in known.rollout.figures if one.state == "breached"]
        return f"Users of it meet more {harmed[0].label}" if harmed else "It does harm"
    if known.taken_back:
        return evaluation_words.capital(known.taken_back)
    return "Its evaluation failed"


def _not_yet(known: Known) -> str:
    """Return what is missing, and how much of it."""
    release = numbers.short(known.candidate)
    if known.says_frozen:
        return known.says_frozen
    if known.rollout is not None and known.rollout.progress == "frozen":
        return "Its rollout is frozen."
    if known.needed is not None and _verdict(known) == "inconclusive":
        return f"Inconclusive: {gate_words.needed(known.needed, release)}."
    if opened := _opened(known):
        return f"{evaluation_words.capital(gate_words.missing(opened))}."
    if _verdict(known) == "inconclusive":
        return f"The evaluation of {release} is inconclusive."
    return f"Nothing has compared {release} with what serves."


def _on_its_way(known: Known, now: datetime) -> str:
    rollout = known.rollout
    assert rollout is not None
    units = max((one.units for one in rollout.figures), default=0)
    seen = f"no harm found in {numbers.count(units)} users" if units else "no user counted yet"
    when = f" Decides at about {numbers.at(rollout.expected, now)}." if rollout.expected else ""
    return f"{arm(rollout.judge)} at {numbers.promised(rollout.share)}: {seen}.{when}"


def _known(known: Known) -> Iterator[str]:
    if known.gates.gates:
        yield known.gates.says
    if known.evaluation is not None and _verdict(known) != "inconclusive":
        did = {"pass": "passed", "fail": "failed"}.get(known.evaluation.verdict, "ended")
        yield f"Its evaluation {did}."
    if known.rollout is not None:
        yield from known.rollout.says[:1]


def _unknown(known: Known) -> Iterator[str]:
    if opened := _opened(known):
        yield f"{evaluation_words.capital(gate_words.missing(opened))}."
    if _verdict(known) == "inconclusive":
        yield "Its evaluation is inconclusive."
    if known.evaluation is None:
        yield "It has no evaluation."
    if known.rollout is not None and known.rollout.progress == "running":
        yield from known.rollout.says[1:2]


def _decided_by(may: str, known: Known, now: datetime) -> str:
    rollout = known.rollout
    if rollout is not None and rollout.progress == "running":
        needed = [one.needed for one in rollout.figures if one.needed is not None]
        if needed:
            return f"About {numbers.count(needed[0])} more users in its arm decide it."
        return "The evidence of its users decides it, at every look."
    if known.needed is not None and _verdict(known) == "inconclusive":
        return f"{numbers.count(known.needed)} more cases decide it."
    failing = [gate.gate for gate in known.gates.gates if gate.word == "fails"]
    if may == "no" and failing == ["approvals"]:
        return "Its owners decide it."
    if may == "no":
        return "A repaired candidate decides it, or a waiver."
    if may == "yes":
        return "Nothing is open."
    return "The gates decide it." if known.candidate else "The next release decides it."


def _who(may: str, known: Known) -> str:
    if may == "on_its_way":
        return "Nobody needs to do anything: it promotes or rolls back by itself."
    if known.says_frozen:
        return "Whoever froze it lets it go on."
    asked = set(known.gates.owners) - {one.owner for one in known.gates.approvals}
    waits = any(gate.gate == "approvals" and gate.word != "holds" for gate in known.gates.gates)
    if asked and waits:
        return f"Owners must approve: {', '.join(sorted(asked))}."
    if may == "yes" and known.candidate != known.champion:
        return "Somebody with the scope release promotes it."
    if may == "no":
        return "Its owner repairs it; only an owner may waive a gate."
    if may == "not_yet":
        return "Its owner measures what is open."
    return "Nobody needs to do anything."


def _opened(known: Known) -> list[GateShown]:
    gates = known.gates.gates
    return [g for g in gates if g.refuses and g.word in ("inconclusive", "not measured")]


def _verdict(known: Known) -> str:
    return known.evaluation.verdict if known.evaluation is not None else ""
