"""Who decides, how much of it, and how alike two people decide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from ..plugins import load_plugin
from ..store.clock import time_of
from ..store.keys import list_keys
from ..store.waiting import count_decided
from ..types import DAY_US
from . import review_words as words
from .control import Ask
from .review_figures import LoadDay, PairFigures, ReviewerFigures, ReviewerPage
from .review_page import policies_of, waiting_for
from .states import wilson

if TYPE_CHECKING:
    from ..review.agreement import Pair, Reviewer  # it would import what computes intervals

DAYS = 14


def reviewers_page(ask: Ask) -> ReviewerPage:
    """Return how people decided in the last days; without the scope `admin`, only the asker."""
    state, now_us = ask.control.state, ask.control.clock.now_us()
    since_us = max(0, now_us - now_us % DAY_US - (DAYS - 1) * DAY_US)
    policies, is_whole = policies_of(ask), "admin" in ask.key.scopes
    services = tuple(sorted(policies)) or ("",)  # by name: of a service they are in an index
    found = load_plugin("review", "reviewers")(state, services, since_us)
    names = {f"key:{entry.key.id}": entry.key.name for entry in list_keys(state)}
    people = [one for one in found.reviewers if is_whole or one.by == ask.by]
    pairs = [one for one in found.pairs if is_whole or ask.by in (one.first, one.second)]
    days = count_decided(state, since_us, services)
    return ReviewerPage(
        says=words.reviewers(len(people), sum(one.decided for one in people), DAYS),
        as_of=time_of(now_us),
        days=DAYS,
        is_whole=is_whole,
        waiting=waiting_for(ask),
        load=tuple(_load(days, since_us, now_us)),
        capacity=words.capacity_of(policies.values()),
        people=tuple(_person(one, names, ask.by) for one in people),
        pairs=tuple(_pair(one, names, is_whole) for one in pairs),
    )


def _load(days: Mapping[int, int], since_us: int, now_us: int) -> Iterator[LoadDay]:
    for day_us in range(since_us, now_us + 1, DAY_US):
        yield LoadDay(day=time_of(day_us), decided=days.get(day_us // DAY_US, 0))


def _person(one: Reviewer, names: Mapping[str, str], you: str) -> ReviewerFigures:
    low, high = wilson(one.missed, one.planted) if one.planted else (None, None)
    return ReviewerFigures(
        by=one.by,
        name=names.get(one.by, ""),
        is_you=one.by == you,
        decided=one.decided,
        approved=one.approved,
        planted=one.planted,
        missed=one.missed,
        miss_low=low,
        miss_high=high,
        median_s=one.median_s,
    )


def _pair(one: Pair, names: Mapping[str, str], is_whole: bool) -> PairFigures:
    found = one.agreement
    return PairFigures(
        first=names.get(one.first) or one.first,
        second=names.get(one.second) or one.second,
        both=found.n,
        agreed=found.agreed,
        low=found.low,
        high=found.high,
    )
