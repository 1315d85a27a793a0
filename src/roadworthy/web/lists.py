"""What lists say of themselves: one sentence that is true without the rows below it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
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
    >>> counted(Summary(), "in the last 24 hours")
    'No request in the last 24 hours.'
    """
    n = summary.requests
    if not n:
        return f"No request {span}."
    head = f"{numbers.count(n)} request{'' if n == 1 else 's'} {span}"
    if deviating := _deviating(summary):
        return f"{head}: {deviating}."
    return f"{head}: {'answered' if n == 1 else 'all answered'} in time."


def _deviating(summary: Summary) -> str:
    """Return the worst that happened to requests; empty where nothing did."""
    said = [
        _of(summary.failed, "failed", "failed"),
        _of(summary.late, "was late", "were late"),
        _of(summary.refused, "was refused", "were refused"),
        _of(summary.fallback, "fell back", "fell back"),
        _of(summary.review, "waits for a person", "wait for a person"),
    ]
    return ", ".join([part for part in said if part][:MOST_SAID])


def matching(
    n: int,
    *,
    has_more: bool,
    side: Side = "",
    matched: Summary | None = None,
    total: Summary | None = None,
    span: str = "",
) -> str:
    """Return how many requests match a filter, as far as that is known.

    Args:
        n: Those on the page.
        has_more: Whether there are more on its far side.
        side: Where the page lies from the one it was reached from.
        matched: All that match, counted; None where they are not.
        total: All of the filter's span; None where they are not counted.
        span: That span in words.

    >>> matching(40, has_more=True), matching(1, has_more=False)
    ('More than 40 requests match.', '1 request matches.')
    >>> matching(9, has_more=False, side="older")
    'The oldest 9 requests that match.'
    >>> some, all = Summary(requests=36, answered=17, fallback=19), Summary(requests=953)
    >>> matching(36, has_more=False, matched=some, total=all, span="since 09:00")
    '36 of 953 requests since 09:00 match: 19 fell back.'
    """
    # Counts that do not fit each other are of a moment at which not all was summed up.
    if matched and total and n <= matched.requests <= total.requests:
        return _of_all(matched, total, span)
    if not n:
        return f"No {side + ' ' if side else ''}request matches."
    if side == "older" and not has_more:
        return (
            f"The oldest {n} requests that match." if n > 1 else "The oldest request that matches."
        )
    if has_more or side:
        return f"More than {n} requests match."
    return f"{n} request{' matches' if n == 1 else 's match'}."


def _of_all(matched: Summary, total: Summary, span: str) -> str:
    """Return how many of the requests of a span match, and the worst that happened to them."""
    n, all = matched.requests, numbers.count(total.requests)
    if not total.requests:
        return f"No request {span}."
    if not n:
        return f"None of {all} requests {span} matches."
    head = numbers.count(n) if n == total.requests else f"{numbers.count(n)} of {all}"
    where = "" if n == total.requests else f" {span}"
    noun = "request" if n == total.requests == 1 else "requests"
    said = f"{head} {noun}{where} {'matches' if n == 1 else 'match'}"
    deviating = _deviating(matched)
    return f"{said}: {deviating}." if deviating else f"{said}."


def span_of(since: datetime | None, until: datetime | None, now: datetime) -> str:
    """Return a span in words; without its beginning and its end it is the last 24 hours.

    A span back from now begins with a whole hour, as on Home.

    >>> now = datetime(2026, 11, 23, 14, 32)
    >>> span_of(datetime(2026, 11, 22, 14), None, now)
    'in the last 24 hours'
    >>> span_of(None, None, now), span_of(datetime(2026, 11, 23, 9), None, now)
    ('in the last 24 hours', 'since 09:00')
    """
    if since and until:
        return f"from {numbers.at(since, now)} to {numbers.at(until, now)}"
    if since and not until:
        for back, words in ((timedelta(hours=24), "24 hours"), (timedelta(days=7), "7 days")):
            if since == (now - back).replace(minute=0, second=0, microsecond=0):
                return f"in the last {words}"
        return f"since {numbers.at(since, now)}"
    return f"in the 24 hours before {numbers.at(until, now)}" if until else "in the last 24 hours"


def releases(rows: Sequence[ReleaseRow], service: str = "", known: Collection[str] = ()) -> str:
    """Return which services serve something older than their newest release.

    Args:
        rows: The releases, newest first.
        service: The one they were asked of; empty for all.
        known: The services there are.

    >>> releases([])
    'There is no release yet.'
    >>> releases([], "nope", ["risk"])
    'No service is called nope.'
    """
    if not rows and service and service not in known:
        return f"No service is called {service:.60}."
    if not rows:
        return "There is no release yet."
    newest: dict[str, ReleaseRow] = {}
    for row in rows:
        newest.setdefault(row.service, row)
    waiting = [service for service, row in newest.items() if not row.champion]
    older = [service for service, row in newest.items() if row.champion and not row.is_champion]
    if waiting:
        nothing = f"Nothing serves {' and '.join(waiting[:3])} yet."
        return f"{_older(older)} {nothing}" if older else nothing
    if not older:
        return "Every service serves its newest release." if len(newest) > 1 else _one(newest)
    return _older(older)


def _older(older: Sequence[str]) -> str:
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
