"""From pairs to evidence: one of each unit and window, and of a cached answer one ever.

Which of a unit's pairs counts falls by a coin that knows of no loss. A pair is drawn with the
chance that it records, and then picked among the drawn of its unit: so each request stands for a
weight that depends on what else the unit asked, and on nothing that was answered. The error is that
of the mean request, but requests of one who asks a lot count less.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from ..risk.coin import coin_of
from ..risk.schedule import Schedule
from ..types import Pair


def by_window(pairs: Sequence[Pair], schedule: Schedule) -> Iterator[tuple[int, list[Pair]]]:
    """Yield the pairs of each window that has some, in order."""
    for window, group in groupby(pairs, lambda pair: schedule.window_of(pair.at_us)):
        yield window, list(group)


def picked(pairs: Sequence[Pair], taken: set[str]) -> list[Pair]:
    """Return one pair of each unit and of each cached answer, in the order of requests.

    Args:
        pairs: Of one window.
        taken: Cached answers of which one counted before; those that count now are added.

    >>> pairs = [Pair(id=f"pr_{k}", at_us=k, decision="reuse", service="s", release="r",
    ...     request_id=f"rq_{k}", unit="ada", entry=entry) for k, entry in enumerate("xyz")]
    >>> taken = {"x"}
    >>> len(picked(pairs, taken)), len(taken)
    (1, 2)
    """
    found: list[Pair] = []
    units: set[str] = set()
    for pair in sorted(pairs, key=lambda pair: (coin_of(pair.request_id, "unit"), pair.id)):
        if pair.unit in units or (pair.entry and pair.entry in taken):
            continue
        units.add(pair.unit)
        if pair.entry:
            taken.add(pair.entry)
        found.append(pair)
    return sorted(found, key=_order)


def audited(pairs: Iterable[Pair], schedule: Schedule, from_us: int) -> list[Pair]:
    """Return the first pair of each unit, cached answer and window, of those from a time on.

    An alarm does not wait for a window to end: which pair counts is known once it is there.

    Args:
        pairs: From the beginning of the window on in which that time lies.
        schedule: Of the epoch.
        from_us: What came before was counted already.
    """
    found: list[Pair] = []
    seen: set[tuple[int, str, str]] = set()
    for pair in sorted(pairs, key=_order):
        window = schedule.window_of(pair.at_us)
        keys = {(window, "unit", pair.unit)}
        keys |= {(window, "entry", pair.entry)} if pair.entry else set()
        if seen.isdisjoint(keys) and pair.at_us >= from_us:
            found.append(pair)
        seen |= keys
    return found


def _order(pair: Pair) -> tuple[int, str]:
    return pair.at_us, pair.id
