"""States: computed from a promise and the interval of what was measured, never set by hand."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

State = Literal["healthy", "at_risk", "breached", "collecting", "off"]
Better = Literal["low", "high"]

LEAST = 20
"""Requests below which nothing is said about a share."""

WORDS: dict[State, str] = {
    "healthy": "Healthy",
    "at_risk": "At risk",
    "breached": "Breached",
    "collecting": "Collecting",
    "off": "Off",
}
CLASSES: dict[State, str] = {
    "healthy": "ok",
    "at_risk": "risk",
    "breached": "bad",
    "collecting": "wait",
    "off": "off",
}
"""State → the class of its colour and the name of its shape."""

_WORST_FIRST: tuple[State, ...] = ("breached", "at_risk", "collecting", "healthy", "off")
_Z95 = 1.959963984540054


def wilson(hits: int, n: int, z: float = _Z95) -> tuple[float, float]:
    """Return the 95 % score interval of a share (E. B. Wilson, 1927); of nothing, all there is.

    Unlike the textbook interval it stays within 0 and 1, and is honest when no request failed.

    >>> [round(end, 3) for end in wilson(8, 10)]
    [0.49, 0.943]
    >>> [round(end, 4) for end in wilson(0, 1000)]
    [0.0, 0.0038]
    >>> wilson(0, 0)
    (0.0, 1.0)
    """
    if n <= 0:
        return (0.0, 1.0)
    share, spread = hits / n, z * z / n
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / n + spread / (4 * n))
    # At the ends the half is exact, and only rounding would leave a trace beyond them.
    low = 0.0 if hits == 0 else max(0.0, middle - half)
    high = 1.0 if hits == n else min(1.0, middle + half)
    return (low, high)


def judge(promise: float, better: Better, hits: int, n: int) -> State:
    """Return how a promise stands: kept by the whole interval, broken by it, or neither.

    Where neither, and all is well so far, it is at risk only if more could have been known: with
    fewer than `needed` requests not even a record without fault would prove it. Until then it is
    healthy, and `is_proven` tells that apart.

    Args:
        promise: The share (0-1) that is promised.
        better: The side of it on which the promise is kept.
        hits: How many of the requests the share is of.
        n: How many requests there were.

    >>> judge(0.99, "high", 998, 1000), judge(0.99, "high", 989, 1000)
    ('healthy', 'at_risk')
    >>> judge(0.05, "low", 80, 1000), judge(0.05, "low", 0, 30), judge(0.05, "low", 3, 30)
    ('breached', 'healthy', 'at_risk')
    """
    if n < LEAST:
        return "collecting"
    if is_proven(promise, better, hits, n):
        return "healthy"
    low, high = wilson(hits, n)
    if high < promise if better == "high" else low > promise:
        return "breached"
    keeps = hits / n >= promise if better == "high" else hits / n <= promise
    return "healthy" if keeps and n < needed(promise, better) else "at_risk"


def is_proven(promise: float, better: Better, hits: int, n: int) -> bool:
    """Whether the whole interval keeps a promise.

    >>> is_proven(0.99, "high", 381, 381), is_proven(0.99, "high", 380, 380)
    (True, False)
    """
    low, high = wilson(hits, n)
    return n >= LEAST and (low >= promise if better == "high" else high <= promise)


def word_of(state: State, is_proven: bool) -> str:
    """Return what a state is called beside what it is known from.

    >>> word_of("healthy", True), word_of("healthy", False), word_of("breached", False)
    ('Healthy', 'Healthy so far', 'Breached')
    """
    return f"{WORDS[state]} so far" if state == "healthy" and not is_proven else WORDS[state]


def needed(promise: float, better: Better) -> int:
    """Return the requests after which a record without fault proves the promise.

    >>> needed(0.99, "high"), needed(0.999, "high"), needed(0.05, "low")
    (381, 3838, 73)
    """
    odds = promise / (1 - promise) if better == "high" else (1 - promise) / promise
    return max(LEAST, math.ceil(_Z95 * _Z95 * odds))


def worst(states: Iterable[State]) -> State:
    """Return the state that a service has when its promises have these; without any it is off.

    >>> worst(["healthy", "collecting"]), worst([])
    ('collecting', 'off')
    """
    return min(states, key=rank, default="off")


def rank(state: State) -> int:
    """Return where a state stands in a list: the worst first."""
    return _WORST_FIRST.index(state)
