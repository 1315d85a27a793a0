"""The sentences of the pages about reviews."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from ..declare.review import ReviewPolicy
from ..review.rulings import REASON_CODES as REASON_CODES
from ..types import ReviewKind
from . import bodies, numbers
from .words import exactly, some

MOST_OF_A_TITLE = 90
SEVERITIES: Mapping[str, str] = {
    "none": "harmless",
    "minor": "annoying",
    "major": "costs money",
    "critical": "dangerous",
}
KINDS: Mapping[ReviewKind, str] = {
    "review": "waits for an answer",
    "audit": "audit: it was given already",
    "second": "blind second review",
    "planted": "waits for an answer",
}
"""What a person is told of a kind; a planted case looks like any other."""
DECISIONS = {"approve": "approved", "correct": "corrected", "reject": "rejected"}
_ENDS = {
    "fallback": "the ladder answers in its place",
    "refuse": "the request is refused",
    "answer": "the model's own answer is given",
}
_STATES = {"decided": "decided", "expired": "expired", "withdrawn": "withdrawn"}


def queue(
    waiting: int, late: int, first: datetime | None, now: datetime, *, place: str, has_queue: bool
) -> str:
    """Return what waits, in one line.

    >>> now = datetime(2026, 11, 23, 14, 32)
    >>> soon = datetime(2026, 11, 23, 14, 38)
    >>> queue(7, 0, soon, now, place="desk", has_queue=True)
    '7 cases wait in desk. The first is due at 14:38, in 6 min.'
    >>> queue(2, 1, datetime(2026, 11, 23, 14, 2), now, place="", has_queue=True)
    '2 cases wait. 1 is late, the first since 14:02.'
    >>> queue(0, 0, None, now, place="", has_queue=True)
    'Nothing waits for a person.'
    """
    where = f" in {place}" if place else ""
    if not has_queue:
        return "No service asks people yet."
    if not waiting or first is None:
        return f"Nothing waits{where}." if where else "Nothing waits for a person."
    said = f"{exactly(waiting, 'case')} {'waits' if waiting == 1 else 'wait'}{where}."
    if late:
        are = "is" if late == 1 else "are"
        return f"{said} {numbers.count(late)} {are} late, the first since {numbers.at(first, now)}."
    return f"{said} The first is due at {numbers.at(first, now)}, {ahead(first, now)}."


def ended(n: int, state: str, *, has_more: bool) -> str:
    """Return how many cases of a state a page shows.

    >>> ended(3, "decided", has_more=False), ended(40, "expired", has_more=True)
    ('3 cases were decided.', 'The last 40 cases that expired.')
    """
    if has_more:
        verb = "expired" if state == "expired" else f"were {_STATES.get(state, state)}"
        return f"The last {numbers.count(n)} cases that {verb}."
    if not n:
        return (
            f"No case was {_STATES.get(state, state)}." if state != "expired" else "None expired."
        )
    was = "" if state == "expired" else "was " if n == 1 else "were "
    return f"{exactly(n, 'case')} {was}{_STATES.get(state, state)}."


def ahead(at: datetime, now: datetime) -> str:
    """Write how long it is to a time, or since.

    >>> now = datetime(2026, 11, 23, 14, 32)
    >>> ahead(datetime(2026, 11, 23, 14, 38), now), ahead(datetime(2026, 11, 25, 14, 32), now)
    ('in 6 min', 'in 2 days')
    >>> ahead(datetime(2026, 11, 23, 14, 2), now)
    '30 min ago'
    """
    seconds = (at - now).total_seconds()
    # To the whole minute, or the tenth of an hour: nobody plans by less.
    far = abs(seconds) if abs(seconds) < 60 else round(abs(seconds) / 60) * 60
    return f"in {numbers.span(far)}" if seconds >= 0 else f"{numbers.span(far)} ago"


def ends(policies: Mapping[str, ReviewPolicy]) -> tuple[str, ...]:
    """Return what becomes of a case that nobody decides, by service; once where all do alike."""
    kinds = {policy.on_expiry for policy in policies.values()}
    if len(kinds) == 1:
        return (f"When a case expires, {_ENDS[kinds.pop()]}.",)
    return tuple(
        f"When a case of {name} expires, {_ENDS[policy.on_expiry]}."
        for name, policy in sorted(policies.items())
    )


def case(state: str, due: datetime, now: datetime, *, kind: ReviewKind, decision: str) -> str:
    """Return what is to be done with a case, or what was.

    >>> now, due = datetime(2026, 11, 23, 14, 32), datetime(2026, 11, 23, 14, 38)
    >>> case("open", due, now, kind="review", decision="")
    'May this answer go out? Decide by 14:38, in 6 min.'
    >>> case("open", due, now, kind="audit", decision="")
    'Was this answer right? Decide by 14:38, in 6 min.'
    >>> case("decided", due, now, kind="review", decision="correct")
    'This answer was corrected.'
    """
    if state == "decided":
        return f"This answer was {DECISIONS.get(decision, 'decided')}."
    if state == "expired":
        return f"Nobody decided this in time; it expired at {numbers.at(due, now)}."
    if state == "withdrawn":
        return "This case was withdrawn: nobody needs to decide it."
    asks = "Was this answer right?" if kind in ("audit", "second") else "May this answer go out?"
    if due < now:
        return f"{asks} It was due at {numbers.at(due, now)}, {ahead(due, now)}."
    return f"{asks} Decide by {numbers.at(due, now)}, {ahead(due, now)}."


def title(input: Any) -> str:
    """Return what is asked in few words: the last that was said, or the first values.

    >>> title({"messages": [{"role": "user", "content": "May I?"}]})
    'May I?'
    >>> title({"wind": 3, "at": "EWR"}), title(None)
    ('wind 3, at EWR', 'nothing is kept of it')
    """
    if input is None:
        return "nothing is kept of it"
    if isinstance(input, str):
        return short(input)
    said = bodies.turns(input)
    if said:
        text = next((turn.text for turn in reversed(said) if turn.who == "user"), said[-1].text)
        return short(text)
    if isinstance(input, dict):
        return short(", ".join(f"{name} {bodies.given(value)}" for name, value in input.items()))
    return short(msgspec.json.encode(input).decode())


def short(text: str) -> str:
    """Return the beginning of a text on one line."""
    line = " ".join(text[: 4 * MOST_OF_A_TITLE].split())
    return line if len(line) <= MOST_OF_A_TITLE else f"{line[: MOST_OF_A_TITLE - 1]}…"


def why(reasons: Sequence[str], kind: ReviewKind) -> str:
    """Return in few words why a person is asked: the last reason is what decided it."""
    if kind in ("audit", "second"):
        return KINDS[kind]
    return reasons[-1].removeprefix("not_sure: ") if reasons else "no reason was recorded"


def reviewers(people: int, decided: int, days: int) -> str:
    """Return who decided how much, in one line.

    >>> reviewers(2, 118, 7), reviewers(0, 0, 7)
    ('Two reviewers decided 118 cases in 7 days.', 'Nobody decided a case in 7 days.')
    """
    if not decided:
        return f"Nobody decided a case in {days} days."
    who = some(people, "reviewer")
    return f"{who[0].upper()}{who[1:]} decided {exactly(decided, 'case')} in {days} days."


def capacity_of(policies: Iterable[ReviewPolicy]) -> int | None:
    """Return how many requests of a day people are asked at most; None where one has no limit."""
    found = [policy.capacity_per_day for policy in policies]
    known = [per_day for per_day in found if per_day is not None]
    return sum(known) if known and len(known) == len(found) else None
