"""The sentences of the pages about candidates on their way."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Literal

from ..store.rollouts import Figure, Rollout
from . import measures, numbers
from .states import State
from .words import exactly

METRICS = {
    "errors": "errors",
    "late": "late answers",
    "cost": "cost",
    "denials": "guard denials",
    "doubt": "doubt",
    "wrong": "wrong answers",
    "brier": "Brier score",
}
"""What a metric of a rollout is called."""
STATES: dict[str, State] = {
    "running": "collecting",
    "frozen": "off",
    "promoted": "healthy",
    "rolled_back": "breached",
    "stopped": "off",
}
WORDS = {
    "running": "Running",
    "frozen": "Frozen",
    "promoted": "Promoted",
    "rolled_back": "Rolled back",
    "stopped": "Stopped",
}
"""What a rollout is called by how it stands."""
_ARMS = {"canary": "Canary", "shadow": "Shadow"}


def headline(rollout: Rollout, now: datetime) -> str:
    """Return how a rollout stands, in one line."""
    candidate = numbers.short(rollout.candidate)
    match rollout.state:
        case "promoted":
            return f"{candidate} was promoted."
        case "rolled_back":
            return f"{candidate} was rolled back: {_why(rollout)}."
        case "stopped":
            return f"The rollout of {candidate} was stopped: {_why(rollout)}."
    where = "beside what serves" if rollout.judge == "shadow" else "of the users"
    head = f"{candidate} meets {numbers.promised(rollout.share)} {where}."
    if rollout.judge == "shadow":
        head = f"{candidate} answers {numbers.promised(rollout.share)} of the requests {where}."
    return f"{head} {_so_far(rollout)}" if rollout.state == "running" else f"{head} It is frozen."


def none(service: str) -> str:
    """Return that a service has no candidate on its way."""
    return f"{service} has no candidate on its way."


def _so_far(rollout: Rollout) -> str:
    harmed = [one for one in rollout.verdict.figures if is_harm(one)]
    if harmed:
        return f"It has more {METRICS.get(harmed[0].name, harmed[0].name)}."
    if not rollout.verdict.figures:
        return "No look at it yet."
    return "No harm is found."


def _why(rollout: Rollout) -> str:
    return (rollout.why or rollout.verdict.why or "no reason was given").rstrip(". ")


def arm(judge: str) -> str:
    """Return what a way of judging is called."""
    return _ARMS.get(judge, judge)


def is_harm(figure: Figure) -> bool:
    """Whether a metric shows that the candidate is worse."""
    return 0 < figure.worse_needed <= figure.worse


def is_fine(figure: Figure) -> bool:
    """Whether a metric shows that the candidate is not worse than allowed."""
    return 0 < figure.better_needed <= figure.better


def says(rollout: Rollout) -> Iterator[str]:
    """Yield what the evidence says by now.

    The first figure is the one that decides.
    """
    figures = rollout.verdict.figures
    if not figures:
        yield "No look at it yet: evidence counts once users are closed."
        return
    first = figures[0]
    name = METRICS.get(first.name, first.name)
    if first.difference is not None:
        difference = measures.difference(first.difference, unit_of(first.name))
        side = "worse" if first.difference > 0 else "no worse"
        users = exactly(first.units, "closed user")
        yield f"In {users} it is {side} by {name}: {difference}."
    if first.low is not None and first.high is not None:
        span = measures.difference_span(first.low, first.high, unit_of(first.name))
        yield f"The band is {span}, and holds at every look."
    if first.needed is not None and rollout.state == "running":
        yield f"About {exactly(first.needed, 'more user')} decide it."
    if why := rollout.verdict.why.strip():
        yield f"{why[:1].upper()}{why[1:].rstrip('. ')}."


def next_of(
    rollout: Rollout, shares: tuple[float, ...], expected: datetime | None, now: datetime
) -> str:
    """Return what happens next, and when."""
    if rollout.state == "frozen":
        return "Nothing, until somebody lets it go on."
    if rollout.state != "running":
        return "Nothing: it has ended."
    later = [share for share in shares[rollout.step + 1 :] if share < 1]
    good = f"meets {numbers.promised(later[0])}" if later else "is promoted"
    when = ""
    if expected is not None:
        when = f", expected at about {numbers.at(expected, now)}"
    return f"It {good} once the evidence suffices{when}. Harm rolls it back by itself."


def unit_of(name: str) -> Literal["share", "score"]:
    """Return in which unit a metric of a rollout is told: shares of users, or a score from 0 to 1.

    >>> unit_of("errors"), unit_of("brier")
    ('share', 'score')
    """
    return "score" if name in ("cost", "doubt", "brier") else "share"


def frozen(by: str, reason: str, since: datetime, now: datetime) -> str:
    """Return who lets nothing else serve, since when and why."""
    because = f": {reason.rstrip('. ')}" if reason.rstrip(". ") else ""
    return f"Frozen since {numbers.at(since, now)} by {by or 'somebody'}{because}."
