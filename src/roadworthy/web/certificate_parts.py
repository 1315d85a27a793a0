"""What the pages of all automatic decisions have in common."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ..store import certificates as store
from ..store.clock import time_of
from ..store.standing import Standing
from ..store.switchboard import Stop
from .certificate_figures import CertificateRow, HistoryShown
from .control import Ask
from .shapes import Stopped
from .states import State
from .units import show

MOST_HISTORY = 20
NEAR = 20
"""From this part of its alarm level on (one in so many) an audit puts its certificate at risk."""
_STATES: dict[str, State] = {"certified": "healthy", "collecting": "collecting", "off": "off"}
_WORST = ("off", "collecting", "certified")


def is_near(level: float, run_length: float) -> bool:
    """Whether an audit stands above a twentieth of its alarm level.

    >>> is_near(0.6, 10_000), is_near(0.7, 10_000), is_near(0.0, 0)
    (False, True, False)
    """
    return level > 0 and level >= 1 - math.log(NEAR) / math.log(max(run_length, math.e))


def state_of(stands: str, audit: Mapping[str, Any]) -> State:
    """Return how a decision stands as a state of the pages."""
    state = _STATES[stands]
    level, length = float(audit.get("level", 0.0)), float(audit.get("run_length", 0))
    return "at_risk" if state == "healthy" and is_near(level, length) else state


def worst_first(row: CertificateRow) -> tuple[int, float, str, str]:
    """Return by what the rows of a list are sorted."""
    return _WORST.index(row.standing), -row.level, row.service, row.decision


def since(ask: Ask, stands: Standing, stop: Stop | None) -> datetime | None:
    """Return from when on a decision stands as it does."""
    if stop is not None:
        return time_of(stop.since_us)
    if stands.issued_us is not None:
        return time_of(stands.issued_us)
    found = store.list_certificates(ask.control.state, stands.service, 1, stands.decision)
    last = next(iter(found), None)
    if last is not None and last.ended_at_us is not None:
        return time_of(last.ended_at_us)
    return None if stands.opened_us is None else time_of(stands.opened_us)


def stopped_by(stop: Stop | None) -> Stopped | None:
    """Return who stopped something, as pages show it."""
    return None if stop is None else show(Stopped, stop)


def history_of(ask: Ask, service: str, decision: str) -> list[HistoryShown]:
    """Return what happened to a decision, newest first."""
    found: list[HistoryShown] = []
    for one in store.list_certificates(ask.control.state, service, MOST_HISTORY, decision):
        issued = f"From {one.threshold:.3f} on, n {one.n:,}, {one.wrong:,} wrong."
        found.append(_event(one.issued_at_us, "certified", issued, one.id))
        if one.ended_at_us is not None and one.state != "superseded":
            found.append(_event(one.ended_at_us, one.state, f"{one.why_ended}.", one.id))
    for epoch in store.list_epochs(ask.control.state, service, decision)[:MOST_HISTORY]:
        says = f"Epoch {epoch.number}: evidence starts anew."
        found.append(_event(epoch.opened_at_us, "collecting", says, epoch.id))
    return sorted(found, key=lambda event: event.at, reverse=True)[:MOST_HISTORY]


def _event(at_us: int, what: str, says: str, id: str) -> HistoryShown:
    return HistoryShown(at=time_of(at_us), what=what, says=f"{says[:1].upper()}{says[1:]}", id=id)
