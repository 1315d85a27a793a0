"""The guard against poisoning: corrections of one day that come from one hand, or are alike. Pure.

Whoever wants a model to learn something wrong needs many corrections that say it. A day on which
one person makes most of them, or many of them are nearly the same, is looked at by somebody else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from math import ceil
from typing import Any, NamedTuple

from ..signals.text import normalised

BURST_SHARE = 0.5
"""Largest share of a day's corrections that may come from one person."""
BURST_LEAST = 20
"""Corrections of one person in a day from which on their share counts."""
LONE_MOST = 100
"""Corrections of a day that may all come from one person: small teams have one reviewer."""
ALIKE_LEAST = 10
"""Nearly identical inputs among a day's corrections from which on their share counts."""
ALIKE_SHARE = 0.2
"""Largest share of a day's corrections that may be alike."""
ALIKE = 0.8
"""Two inputs are alike whose words and rounded numbers overlap so far (Jaccard)."""
MOST_COMPARED = 5_000
"""Corrections of a day that are compared with each other; any beyond are held."""


_ROUNDED = 1e-9


class Correction(NamedTuple):
    """One correction of a day.

    Attributes:
        id: Of its example.
        by: Who made it; empty where a system reported it, as one key does for all.
        user: Who had asked; empty where the caller named nobody.
        input: What was asked, as JSON values.
    """

    id: str
    by: str
    user: str
    input: Any


def held_by_day(corrections: Sequence[Correction]) -> dict[str, dict[str, str]]:
    """Return what holds the corrections of one day: id → check (`burst`, `alike`) → why."""
    held: dict[str, dict[str, str]] = {}
    for id, why in (*_one_hand(corrections, "by"), *_one_hand(corrections, "user")):
        held.setdefault(id, {}).setdefault("burst", why)
    for id, why in _alike(corrections):
        held.setdefault(id, {})["alike"] = why
    return held


def _one_hand(corrections: Sequence[Correction], whose: str) -> Iterator[tuple[str, str]]:
    """Yield the corrections of whoever has more than their share of the day."""
    counts = Counter(name for one in corrections if (name := getattr(one, whose)))
    total = counts.total()
    what = "came from" if whose == "by" else "were of answers to"
    for name, count in sorted(counts.items()):
        if _is_burst(count, total, is_alone=count == total):
            why = f"{count} of {total} corrections of its day {what} {name}"
            yield from ((one.id, why) for one in corrections if getattr(one, whose) == name)


def _is_burst(count: int, total: int, *, is_alone: bool) -> bool:
    if is_alone:
        return count > LONE_MOST
    return count >= BURST_LEAST and count > BURST_SHARE * total


def _alike(corrections: Sequence[Correction]) -> Iterator[tuple[str, str]]:
    """Yield the corrections of inputs that too many others of the day are nearly identical to."""
    every = sorted(corrections, key=lambda one: one.id)
    compared = every[:MOST_COMPARED]
    beyond = f"its day has {len(every)} corrections, of which {MOST_COMPARED} are compared"
    yield from ((one.id, beyond) for one in every[MOST_COMPARED:])
    marks = [frozenset(_marks(one.input)) for one in compared]
    for group in groups_of(marks):
        if len(group) >= ALIKE_LEAST and len(group) > ALIKE_SHARE * len(compared):
            why = f"{len(group)} of {len(compared)} corrections of its day have nearly this input"
            yield from ((compared[n].id, why) for n in group)


def groups_of(sets: Sequence[frozenset[str]]) -> list[list[int]]:
    """Return the numbers of the sets in groups, each alike to the first of its group.

    Two sets that are alike share one of their rarest marks (the prefix filter of S. Chaudhuri,
    V. Ganti and R. Kaushik, 2006), so that few are compared: 1,000 texts of 20 words take 33 ms,
    against 1.1 s.

    >>> groups_of([frozenset("abcde"), frozenset("xyz"), frozenset("abcd")])
    [[0, 2], [1]]
    """
    counts = Counter(mark for found in sets for mark in found)
    groups: list[list[int]] = []
    with_mark: dict[str, list[int]] = {}
    for n, found in enumerate(sets):
        few = len(found) - ceil(ALIKE * len(found) - _ROUNDED) + 1
        rarest = sorted(found, key=lambda mark: (counts[mark], mark))[:few] or [""]
        near = sorted({group for mark in rarest for group in with_mark.get(mark, ())})
        group = next((g for g in near if _is_alike(sets[groups[g][0]], found)), None)
        if group is not None:
            groups[group].append(n)
            continue
        for mark in rarest:
            with_mark.setdefault(mark, []).append(len(groups))
        groups.append([n])
    return groups


def _is_alike(one: frozenset[str], other: frozenset[str]) -> bool:
    return len(one & other) >= ALIKE * len(one | other)


def _marks(value: Any, path: str = "") -> Iterator[str]:
    """Yield the words and rounded numbers of an input, each with its place.

    >>> sorted(_marks({"text": "Order 5512, please!", "usd": 123.4}))
    ['text=order', 'text=please', 'usd=1.2e+02']
    """
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _marks(part, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for part in value:
            yield from _marks(part, path)
    elif isinstance(value, str):
        yield from (f"{path}={word}" for word in normalised(value).split() if not word.isdigit())
    elif isinstance(value, bool) or value is None:
        yield f"{path}={value}"
    else:
        yield f"{path}={value:.1e}"
