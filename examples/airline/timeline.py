"""What happens in a replay, and when: questions two hours before, truths when planes have left."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from flights import Flight

FLIGHTS_PER_QUESTION = 25


class Ask(NamedTuple):
    """Two hours before a departure: will it be late?"""

    at: datetime
    number: int
    flight: Flight


class Tell(NamedTuple):
    """A flight has left: now its truth is known."""

    at: datetime
    number: int
    is_late: bool


class Question(NamedTuple):
    """A passenger asks something."""

    at: datetime
    text: str


Event = Ask | Tell | Question


def timeline(flights: Iterator[Flight], questions: list[str]) -> Iterator[Event]:
    """Yield everything that happens, in order of time.

    A truth comes at least an hour after its question: no plane leaves that much too early.
    """
    due: list[Tell] = []
    for number, flight in enumerate(flights):
        while due and due[0].at <= flight.asked_at:
            yield heapq.heappop(due)
        yield Ask(flight.asked_at, number, flight)
        if flight.departed_at is not None and flight.is_late is not None:
            heapq.heappush(due, Tell(flight.departed_at, number, flight.is_late))
        if questions and number % FLIGHTS_PER_QUESTION == 0:
            turn = number // FLIGHTS_PER_QUESTION
            yield Question(flight.asked_at, questions[turn % len(questions)])
    while due:
        yield heapq.heappop(due)


def end_of_step(at: datetime, step: timedelta) -> datetime:
    """Return the end of the step of simulated time that `at` lies in."""
    seconds = step.total_seconds()
    return datetime.fromtimestamp((at.timestamp() // seconds + 1) * seconds, UTC)
