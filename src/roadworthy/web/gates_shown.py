"""How a release stands to its gates, as pages show it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from urllib.parse import quote

import msgspec

from ..evaluate.report import Unit
from ..release.gates import held_up_by, standing_of
from ..release.measures import Gate
from ..store.approvals import Waiver, list_approvals, list_waivers
from ..store.clock import time_of
from ..types import DAY_US
from . import gate_words, measures
from .control import Ask
from .measures import word_of
from .release_figures import ApprovalShown, Gates, GateShown, WaiverShown
from .release_rows import gates_of, waived_of
from .states import State, rank
from .units import show

SOON_US = 7 * DAY_US
"""A waiver that ends within this time puts its gate at risk."""
_UNITS: Mapping[str, Unit] = {
    "latency": "ms",
    "cost_per_request": "usd",
    "cost_per_day": "usd",
    "worth": "usd",
    "approvals": "number",
}
"""The unit of a gate's value, where it is no share."""
_LEAST = ("suites", "approvals")
"""Gates whose bar is the least that is asked for."""


def gates_page(ask: Ask, release_id: str, owners: Mapping[str, str]) -> Gates:
    """Return how a release stands to its gates, and who approved it.

    Args:
        ask: Who asks.
        release_id: The release.
        owners: Role → person, of those who may approve.
    """
    state, now_us = ask.control.state, ask.control.clock.now_us()
    found = standing_of(state, release_id, now_us)
    risk = _risk(ask, release_id) if found else ""
    refusing = {gate.name for gate in held_up_by(found, risk)}
    waivers = {waiver.id: waiver for waiver in list_waivers(state, release_id)}
    shown = [
        _gate(gate, waivers.get(gate.waiver), now_us, refuses=gate.name in refusing)
        for gate in found
    ]
    held, waived, failing, opened = _counts([(g.state, g.name in refusing) for g in found])
    return Gates(
        says=gate_words.gates(held, waived, failing, opened, len(found)),
        release=release_id,
        gates=tuple(sorted(shown, key=lambda gate: (not gate.refuses, rank(gate.state)))),
        approvals=tuple(show(ApprovalShown, one) for one in list_approvals(state, release_id)),
        owners={role: who for role, who in owners.items() if who},
        failing=failing,
        open=opened,
        held=held,
        waived=waived,
        command=f"roadworthy release gates {release_id}",
    )


def counts_of(ask: Ask, releases: Collection[str]) -> dict[str, tuple[int, int, int, int, int]]:
    """Return of each release how many gates hold, are waived, fail, are open, and there are."""
    state, now_us = ask.control.state, ask.control.clock.now_us()
    waived = waived_of(state, releases, now_us)
    found: dict[str, list[tuple[str, bool]]] = {}
    risks: dict[str, str] = {}
    for row in gates_of(state, releases):
        is_waived = (row.release, row.gate) in waived and row.state != "holds"
        gate = msgspec.json.decode(row.detail, type=Gate)
        if row.release not in risks:
            risks[row.release] = _risk(ask, row.release)
        is_high = risks[row.release] == "high"
        refuses = row.state != "not_measured" or gate.is_declared or is_high
        stands = "waived" if is_waived else row.state
        found.setdefault(row.release, []).append((stands, refuses))
    counts = {release: _counts(gates) for release, gates in found.items()}
    return {release: (*one, len(found[release])) for release, one in counts.items()}


def _counts(gates: Collection[tuple[str, bool]]) -> tuple[int, int, int, int]:
    """Return how many hold, are waived, fail, and are open, of gates that refuse or do not."""
    states = [state for state, _ in gates]
    opened = [state for state, refuses in gates if refuses]
    missing = sum(state in ("inconclusive", "not_measured") for state in opened)
    return states.count("holds"), states.count("waived"), states.count("fails"), missing


def _risk(ask: Ask, release_id: str) -> str:
    """Return the risk by which a release is judged."""
    if ask.control.shipping.risk is not None:
        return ask.control.shipping.risk(release_id)
    serves = ask.control.engine.releases.get(release_id.partition("@")[0])
    return serves.declaration.risk if serves is not None else "high"


def _gate(gate: Gate, waived: Waiver | None, now_us: int, *, refuses: bool) -> GateShown:
    is_near = waived is not None and waived.expires_us - now_us < SOON_US
    state: State = "at_risk" if is_near else gate_words.STATES[gate.state]
    unit = _UNITS.get(gate.name, "share")
    bar, value = gate.bar, gate.value
    is_least = gate.name in _LEAST
    return GateShown(
        gate=gate.name,
        label=word_of(gate.name),
        value="" if value is None else measures.measure(value, unit, bar),
        bar="" if bar is None else measures.promised_bar(bar, unit, is_least),
        why=gate.why,
        word=gate_words.WORDS[gate.state],
        state=state,
        refuses=refuses,
        at=time_of(gate.at_us) if gate.at_us else None,
        digest=gate.digest,
        evidence=gate.evidence,
        link=_link(gate.evidence),
        command=gate.command,
        waiver=None if waived is None else show(WaiverShown, waived, is_near=is_near),
    )


def _link(evidence: str) -> str:
    """Return where evidence is seen; an evaluation has a page.

    >>> _link("ev_01"), _link("what owners said")
    ('/evaluations/ev_01', '')
    """
    return f"/evaluations/{quote(evidence, safe='')}" if evidence.startswith("ev_") else ""
