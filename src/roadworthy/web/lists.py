"""What lists say of themselves: one sentence that is true without the rows below it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from ..store.rollups import Summary
from . import numbers

if TYPE_CHECKING:
    from .shapes import KeyShown, ReleaseRow

Side = Literal["", "older", "newer"]
"""Where a page lies from the one it was reached from."""

SOON_DAYS = 7
"""A key that ends within this many days is told of."""

MOST_SAID = 3
"""Things that a sentence tells of: more would not be read."""


def counted(summary: Summary, span: str) -> str:
    """Return how many requests there were in a span, and the worst that happened to them.

    >>> counted(Summary(requests=1200, answered=1195, failed=3, refused=2, late=8), "today")
    '1,200 requests today: 3 failed, 8 were late, 2 were refused.'
    >>> counted(Summary(requests=1, answered=1), "in the last 24 hours")
    '1 request in the last 24 hours: answered in time.'
    """
    n = summary.requests
    head = f"{numbers.count(n)} request{'' if n == 1 else 's'} {span}"
    said = [
        _of(summary.failed, "failed", "failed"),
        _of(summary.late, "was late", "were late"),
        _of(summary.refused, "was refused", "were refused"),
        _of(summary.fallback, "fell back", "fell back"),
        _of(summary.review, "waits for a person", "wait for a person"),
    ]
    deviating = [part for part in said if part]
    if deviating:
        return f"{head}: {', '.join(deviating[:MOST_SAID])}."
    return f"{head}: {'answered' if n == 1 else 'all answered'} in time."


def matching(n: int, *, has_more: bool, side: Side = "") -> str:
    """Return how many requests match a filter, as far as one page knows it.

    >>> matching(40, has_more=True), matching(1, has_more=False)
    ('More than 40 requests match.', '1 request matches.')
    >>> matching(0, has_more=False, side="older")
    'No older request matches.'
    """
    which = f"{side} " if side else ""
    if not n:
        return f"No {which}request matches."
    if has_more:
        return f"More than {n} {which}requests match."
    return f"{n} {which}request{' matches' if n == 1 else 's match'}."


def span_of(since: datetime | None, until: datetime | None, now: datetime) -> str:
    """Return a span in words; without its beginning and its end it is the last 24 hours.

    >>> now = datetime(2026, 11, 23, 14)
    >>> span_of(None, None, now), span_of(datetime(2026, 11, 23, 9), None, now)
    ('in the last 24 hours', 'since 09:00')
    """
    if since and until:
        return f"from {numbers.at(since, now)} to {numbers.at(until, now)}"
    if since:
        return f"since {numbers.at(since, now)}"
    return f"in the 24 hours before {numbers.at(until, now)}" if until else "in the last 24 hours"


def releases(rows: Sequence[ReleaseRow]) -> str:
    """Return which services serve something older than their newest release.

    >>> releases([])
    'There is no release yet.'
    """
    if not rows:
        return "There is no release yet."
    newest: dict[str, ReleaseRow] = {}
    for row in rows:
        newest.setdefault(row.service, row)
    older = [service for service, row in newest.items() if not row.is_champion]
    if not older:
        return "Every service serves its newest release." if len(newest) > 1 else _one(newest)
    verb = "serves an older" if len(older) == 1 else "serve older"
    noun = "release than its newest" if len(older) == 1 else "releases than their newest"
    return f"{' and '.join(older[:3])} {verb} {noun}."


def _one(newest: Mapping[str, ReleaseRow]) -> str:
    return f"{next(iter(newest))} serves its newest release."


def keys(rows: Sequence[KeyShown], now: datetime) -> str:
    """Return how many keys are valid, and which end soon.

    >>> keys([], datetime(2026, 11, 23))
    'There is no key yet.'
    """
    if not rows:
        return "There is no key yet."
    valid = [row for row in rows if row.state == "valid"]
    ending = [row for row in valid if row.expires and (row.expires - now).days < SOON_DAYS]
    head = f"{_of(len(valid), 'key is valid', 'keys are valid') or 'No key is valid'}"
    soon = _of(len(ending), "ends", "end")
    return f"{head}; {soon} within {SOON_DAYS} days." if ending else f"{head}."


def _of(n: int, one: str, many: str) -> str:
    return f"{numbers.count(n)} {one if n == 1 else many}" if n else ""
