"""What a service gives alone and what people decide, in few words: for Home and its page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from urllib.parse import quote

from msgspec import structs

from ..serve.opened import OpenRelease
from ..store.clock import time_of
from ..store.waiting import count_paths
from . import certificate_words as words
from .bounds import certificate_rows
from .control import Ask
from .figures import Automation
from .numbers import at, count
from .review_page import policies_of, queues_of
from .states import State
from .todo import Todo
from .words import exactly

MOST_LOOKED_AT = 2000
"""Answers whose path is counted, the newest."""


def automations_of(ask: Ask, opened: Sequence[OpenRelease], since_us: int) -> dict[str, Automation]:
    """Return how answers are decided, by service; one that asks nobody of anything has none."""
    now_us = ask.control.clock.now_us()
    rows = certificate_rows(ask, opened)
    asking = policies_of(ask)
    names = [release.name for release in opened if release.name in rows or release.name in asking]
    lines = queues_of(ask, now_us) if names else ()
    found = {}
    for name in names:
        row, mine = rows.get(name), [line for line in lines if line.service == name]
        paths = count_paths(ask.control.state, name, since_us, MOST_LOOKED_AT)
        waiting, late = sum(line.waiting for line in mine), sum(line.late for line in mine)
        first = min((line.first for line in mine if line.first), default=None)
        link = f"/certificates/{quote(name, safe='')}" if row else _queue(name)
        state: State = row.state if row else "off"
        found[name] = Automation(
            state=state,
            word="" if row is None else words.STANDINGS[row.standing],
            says="" if row is None else row.says[0],
            split=split(paths),
            alone=paths.get("alone", 0),
            people=paths.get("person", 0) + paths.get("rule", 0),
            ladder=paths.get("ladder", 0),
            waiting=waiting,
            late=late,
            link=link,
            queue=_queue(name) if name in asking else "",
            todos=tuple(_todos(name, waiting, late, first, now_us)),
        )
        if row is not None:
            found[name] = _with_certificate(found[name], row.standing, row.says, link)
    return found


def _with_certificate(
    found: Automation, standing: str, says: Sequence[str], link: str
) -> Automation:
    """Return it with what a person must do about its certificate."""
    orders = {
        "off": "Find out why it is switched off.",
        "collecting": "Label more answers, or allow more error.",
    }
    if standing not in orders:
        return found
    todo = Todo(says=orders[standing], why=says[0], link=link, by=None)
    return structs.replace(found, todos=(*found.todos, todo))


def split(paths: dict[str, int]) -> str:
    """Return how many answers were given alone, decided by people, and left to the ladder.

    >>> split({"alone": 3118, "person": 40, "rule": 2, "ladder": 7})
    'Of the newest 3,167 answers 3,118 were given alone, 42 went to people, 7 down the ladder.'
    >>> split({})
    'No answer was up for a decision in the last 24 hours.'
    """
    n = sum(paths.values())
    if not n:
        return "No answer was up for a decision in the last 24 hours."
    alone, ladder = count(paths.get("alone", 0)), count(paths.get("ladder", 0))
    people = count(paths.get("person", 0) + paths.get("rule", 0))
    newest = f"Of the newest {exactly(n, 'answer')}"
    return f"{newest} {alone} were given alone, {people} went to people, {ladder} down the ladder."


def _queue(service: str) -> str:
    return f"/review?service={quote(service, safe='')}"


def _todos(
    service: str, waiting: int, late: int, first: datetime | None, now_us: int
) -> Iterator[Todo]:
    if not waiting or first is None:
        return
    now = time_of(now_us)
    why = f"{count(late)} of them late." if late else f"The first is due at {at(first, now)}."
    order = f"Decide {exactly(waiting, 'case')}."
    yield Todo(says=order, why=why, link=_queue(service), by=first)
