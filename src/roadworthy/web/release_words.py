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
    service: str,
    champion: str,
    newest: MoveShown | None,
    rollout: bool,
    now: datetime,
    serving: str = "",
) -> str:
    """Return what serves, since when, and whether something is on its way.

    Args:
        service: Of which service.
        champion: The release that should serve.
        newest: The last change of that.
        rollout: Whether a candidate is on its way.
        now: As of when.
        serving: What answers here; empty where nothing does.

    >>> timeline("risk", "", None, False, datetime(2026, 11, 23))
    'Nothing serves risk yet.'
    """
    if not champion:
        return f"Nothing serves {service} yet."
    if serving != champion:
        return instead(service, champion, serving)
    since = ""
    if newest is not None and newest.to_release == champion:
        since = f" since {numbers.at(newest.at, now)}"
    coming = " A candidate is on its way." if rollout else ""
    return f"{numbers.short(champion)} serves {service}{since}.{coming}"


def instead(service: str, champion: str, serving: str) -> str:
    """Return what serves in the place of a champion that cannot be opened.

    >>> instead("risk", "risk@8d2c51", "risk@f1a2b3")
    'f1a2b3 serves risk: 8d2c51, which should, cannot be opened.'
    >>> instead("risk", "risk@8d2c51", "")
    'Nothing serves risk: 8d2c51, which should, cannot be opened.'
    """
    head = f"{numbers.short(serving)} serves" if serving else "Nothing serves"
    return f"{head} {service}: {numbers.short(champion)}, which should, cannot be opened."


def release(id: str, service: str, champion: str, serving: str) -> str:
    """Return whether a release serves.

    >>> release("a@111111", "a", "a@111111", "a@111111"), release("a@2222", "a", "a@1", "a@1")
    ('111111 serves a.', '2222 does not serve a.')
    """
    if champion and serving != champion and id in (champion, serving):
        return instead(service, champion, serving)
    return f"{numbers.short(id)} {'serves' if id == champion else 'does not serve'} {service}."


def moved(move: MoveShown) -> str:
    """Return one change of what serves in words, and why it was made."""
    left = f" in place of {numbers.short(move.from_release)}" if move.from_release else ""
    did = DID.get(move.kind, move.kind)
    because = f": {why}" if (why := move.why.rstrip(". ")) else ""
    return f"{did[:1].upper()}{did[1:]} {numbers.short(move.to_release)}{left}{because}."
