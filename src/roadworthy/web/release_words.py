"""The sentences of the pages about what serves when."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from . import numbers

if TYPE_CHECKING:
    from .release_figures import MoveShown

DID = {"promote": "promoted", "rollback": "rolled back to"}
"""What was done, by the kind of a move."""


def timeline(
    service: str, champion: str, newest: MoveShown | None, rollout: bool, now: datetime
) -> str:
    """Return what serves, since when, and whether something is on its way.

    >>> timeline("risk", "", None, False, datetime(2026, 11, 23))
    'Nothing serves risk yet.'
    """
    if not champion:
        return f"Nothing serves {service} yet."
    since = ""
    if newest is not None and newest.to_release == champion:
        since = f" since {numbers.at(newest.at, now)}"
    coming = " A candidate is on its way." if rollout else ""
    return f"{numbers.short(champion)} serves {service}{since}.{coming}"


def moved(move: MoveShown) -> str:
    """Return one change of what serves in words, and why it was made."""
    left = f" in place of {numbers.short(move.from_release)}" if move.from_release else ""
    did = DID.get(move.kind, move.kind)
    because = f": {why}" if (why := move.why.rstrip(". ")) else ""
    return f"{did[:1].upper()}{did[1:]} {numbers.short(move.to_release)}{left}{because}."
