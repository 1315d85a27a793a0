"""The sentences about gates, and about whether a release may ship."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from . import numbers
from .states import State
from .words import exactly, few, listed

if TYPE_CHECKING:
    from .release_figures import GateShown

WORDS = {
    "holds": "holds",
    "fails": "fails",
    "inconclusive": "inconclusive",
    "not_measured": "not measured",
    "waived": "waived",
}
"""What a gate is called by how a release stands to it."""
STATES: dict[str, State] = {
    "holds": "healthy",
    "fails": "breached",
    "inconclusive": "collecting",
    "not_measured": "off",
    "waived": "off",
}
MAY = {
    "yes": "Yes",
    "on_its_way": "Yes, it is on its way",
    "not_yet": "Not yet",
    "no": "No",
    "none": "",
}
"""What stands beside the shape, by whether a candidate may ship."""
MAY_STATES: dict[str, State] = {
    "yes": "healthy",
    "on_its_way": "collecting",
    "not_yet": "collecting",
    "no": "breached",
    "none": "off",
}
MOST_NAMED = 3


def gates(held: int, waived: int, failing: int, open: int, whole: int) -> str:
    """Return how a release stands to its gates, in one line.

    >>> gates(10, 1, 0, 0, 11), gates(3, 0, 1, 0, 4)
    ('Ten of 11 gates hold; one is waived.', 'Three of 4 gates hold; one fails.')
    >>> gates(0, 0, 0, 0, 0), gates(2, 0, 0, 0, 2), gates(1, 0, 0, 1, 3)
    ('No gate is measured.', 'Every gate holds, 2 of 2.', 'One of 3 gates holds; one is open.')
    >>> gates(2, 0, 0, 0, 4)
    'Two of 4 gates hold; two are not asked for.'
    """
    if not whole:
        return "No gate is measured."
    if held == whole:
        return f"Every gate holds, {numbers.count(whole)} of {numbers.count(whole)}."
    head = f"{few(held)} of {numbers.count(whole)} gates {'holds' if held == 1 else 'hold'}"
    idle = whole - held - waived - failing - open
    rest = [
        f"{few(failing)} {'fails' if failing == 1 else 'fail'}" if failing else "",
        f"{few(open)} {'is' if open == 1 else 'are'} open" if open else "",
        f"{few(waived)} {'is' if waived == 1 else 'are'} waived" if waived else "",
    ]
    if not any(rest) and idle:
        rest = [f"{few(idle)} {'is' if idle == 1 else 'are'} not asked for"]
    said = "; ".join([head, *(part for part in rest if part)])
    return f"{said[:1].upper()}{said[1:]}."


def failing(gate: GateShown) -> str:
    """Return why a gate fails: value against bar, as far as they are known."""
    if gate.value and gate.bar:
        return f"{gate.label}: {gate.value} against {gate.bar}"
    return f"{gate.label}: {gate.why.rstrip('. ')}" if gate.why else f"{gate.label} fails"


def missing(gates: Sequence[GateShown]) -> str:
    """Return which gates are open, and why."""
    named = listed([gate.label for gate in gates], MOST_NAMED)
    unmeasured = all(gate.word == WORDS["not_measured"] for gate in gates)
    head = f"the gate {named} is" if len(gates) == 1 else f"the gates {named} are"
    return f"{head} {'not measured' if unmeasured else 'open'}"


def needed(n: int, release: str) -> str:
    """Return how many more cases a release needs."""
    return f"{numbers.short(release)} needs {exactly(n, 'more case')}"
