"""How a release stands to its gates, as pages show it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from ..store.clock import time_of
from ..types import DAY_US
from . import gate_words, numbers
from .control import Ask
from .measures import word_of
from .release_figures import ApprovalShown, Gates, GateShown, WaiverShown
from .release_rows import Waived, approvals_of, gates_of, waivers_of
from .states import State, rank
from .units import show

SOON_US = 7 * DAY_US
"""A waiver that ends within this time puts its gate at risk."""
_OPEN = ("inconclusive", "not_measured")


def gates_page(ask: Ask, release_id: str, owners: Mapping[str, str]) -> Gates:
    """Return how a release stands to its gates, and who approved it.

    Args:
        ask: Who asks.
        release_id: The release.
        owners: Role → person, of those who may approve.
    """
    shown = sorted(_gates(ask, release_id), key=lambda gate: rank(gate.state))
    words = [gate.word for gate in shown]
    held, waived = words.count("holds"), words.count("waived")
    failing = words.count("fails")
    approvals = approvals_of(ask.control.state, release_id)
    return Gates(
        says=gate_words.gates(held, waived, failing, len(words) - held - waived - failing),
        release=release_id,
        gates=tuple(shown),
        approvals=tuple(show(ApprovalShown, one) for one in approvals),
        owners={role: who for role, who in owners.items() if who},
        failing=failing,
        open=len(words) - held - waived - failing,
        held=held,
        waived=waived,
    )


def counts_of(ask: Ask, releases: Sequence[str]) -> dict[str, tuple[int, int, int]]:
    """Return of each release how many of its gates fail, are open, and were measured."""
    found: dict[str, list[str]] = {}
    for row in gates_of(ask.control.state, releases):
        found.setdefault(row.release, []).append(row.state)
    return {
        release: (states.count("fails"), sum(map(states.count, _OPEN)), len(states))
        for release, states in found.items()
    }


def _gates(ask: Ask, release_id: str) -> Iterator[GateShown]:
    state, now_us = ask.control.state, ask.control.clock.now_us()
    waivers: dict[str, Waived] = {}
    for one in waivers_of(state, release_id):
        if one.expires_us > now_us:
            waivers.setdefault(one.gate, one)
    for found in _measured(ask, release_id):
        yield _gate(found, waivers.get(_text(found.get("gate"))), now_us)


def _measured(ask: Ask, release_id: str) -> Iterator[dict[str, Any]]:
    """Yield each gate as JSON values: from whoever measures them, else as they were written."""
    if ask.control.shipping.gates is not None:
        for gate in ask.control.shipping.gates(release_id):
            found = msgspec.to_builtins(gate)
            yield {**found, "gate": found.get("gate") or found.get("name", "")}
        return
    for row in gates_of(ask.control.state, [release_id]):
        fields = {"gate": row.gate, "state": row.state, "at_us": row.at_us, "digest": row.digest}
        yield {**_detail(row.detail), **fields}


def _detail(text: str) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(text or "{}")
    except msgspec.DecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _gate(found: Mapping[str, Any], waived: Waived | None, now_us: int) -> GateShown:
    said, name = _text(found.get("state")) or "not_measured", _text(found.get("gate"))
    if waived is not None and said != "holds":
        said = "waived"
    is_near = waived is not None and waived.expires_us - now_us < SOON_US
    state: State = gate_words.STATES.get(said, "collecting")
    if said == "waived" and is_near:
        state = "at_risk"
    at_us = found.get("at_us")
    return GateShown(
        gate=name,
        label=_text(found.get("label")) or word_of(name),
        value=_text(found.get("value")),
        bar=_text(found.get("bar")),
        why=_text(found.get("why")),
        word=gate_words.WORDS.get(said, word_of(said)),
        state=state,
        at=time_of(at_us) if isinstance(at_us, int) and at_us > 0 else None,
        digest=_text(found.get("digest")),
        evidence=_text(found.get("evidence")),
        link=_link(_text(found.get("evidence"))),
        waiver=None if waived is None else _waiver(waived, is_near),
    )


def _waiver(waived: Waived, is_near: bool) -> WaiverShown:
    return show(WaiverShown, waived, is_near=is_near)


def _link(evidence: str) -> str:
    """Return where evidence is seen; an evaluation has a page.

    >>> _link("ev_01"), _link("priced by the declaration")
    ('/evaluations/ev_01', '')
    """
    return f"/evaluations/{quote(evidence, safe='')}" if evidence.startswith("ev_") else ""


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool | int | float):
        return numbers.anything(value)
    return value[:300] if isinstance(value, str) else msgspec.json.encode(value).decode()[:300]
