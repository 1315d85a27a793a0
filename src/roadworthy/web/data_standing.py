"""How the data of services stand, in few words: the same on Home, a service's page and its data's.

A page of data shows everything that is known; here is only what its state and its to-dos follow
from, read for all services at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from ..errors import RoadworthyError
from ..serve.opened import OpenRelease
from ..store.clock import time_of
from ..store.data_versions import read_latest_skew, read_latest_validations
from ..store.rollups import Hour, read_hours
from ..types import DAY_US, HOUR_US
from . import data_words as words
from .control import Ask
from .figures import DataBrief
from .rates import rates_of
from .registered_views import ViewFacts, views_of
from .states import State, worst

if TYPE_CHECKING:
    from ..data.features import ViewState  # at work it would import all that reads data

NEARLY_STALE = 0.1
"""Share of the ttl that is left when a view is said to be at risk."""


class Standing(NamedTuple):
    """A source, a view, a feature or a rate, and how it stands.

    Attributes:
        unequal: How often a feature was served another value than its view says.
        far: Whether a feature is far from training.
    """

    name: str
    state: State
    unequal: int = 0
    far: bool = False


class _Rule(msgspec.Struct, frozen=True):
    severity: str
    failed: int


class _Report(msgspec.Struct, frozen=True):
    rules: tuple[_Rule, ...] = ()


class _Feature(msgspec.Struct, frozen=True):
    feature: str
    state: State
    unequal: int


class _Skew(msgspec.Struct, frozen=True):
    features: tuple[_Feature, ...]


class _Known(NamedTuple):
    """What was read for all services at once."""

    facts: Mapping[str, ViewFacts]
    views: Mapping[str, ViewState]
    reports: Mapping[str, _Report]
    skews: Mapping[str, _Skew]
    hours: Mapping[str, Sequence[Hour]]


def briefs_of(ask: Ask, releases: Iterable[OpenRelease], now: datetime) -> dict[str, DataBrief]:
    """Return how the data of each service stand that reads feature views."""
    reading = [release for release in releases if release.declaration.features.views]
    if not reading:
        return {}
    try:
        known = _read(ask, reading)
    except RoadworthyError:
        # Home says what it knows; the page of the data says what is wrong.
        return {release.name: _unknown(release.name) for release in reading}
    return {release.name: _brief(release, known, now) for release in reading}


def _read(ask: Ask, reading: Sequence[OpenRelease]) -> _Known:
    state = ask.control.state
    names = sorted({name for release in reading for name in release.declaration.features.views})
    facts = views_of(state, names)
    services, now_us = [release.name for release in reading], ask.control.clock.now_us()
    since_us = max(0, now_us - DAY_US) // HOUR_US * HOUR_US
    sources = sorted({source for view in facts.values() for source in view.sources})
    return _Known(
        facts=facts,
        views={view.view: view for view in ask.control.open_features().states(names)},
        reports=read_latest_validations(state, sources, _Report),
        skews=read_latest_skew(state, services, _Skew),
        hours=read_hours(state, services, since_us, now_us),
    )


def _brief(release: OpenRelease, known: _Known, now: datetime) -> DataBrief:
    names = release.declaration.features.views
    read = {source for name in names if name in known.facts for source in known.facts[name].sources}
    sources = [Standing(name, _state_of_report(known.reports.get(name))) for name in sorted(read)]
    views = [Standing(name, view_state(known.views[name], now)) for name in names]
    found = known.skews.get(release.name, _Skew(()))
    features = [feature_standing(row.feature, row.state, row.unequal) for row in found.features]
    measured = rates_of(release, [known.views[name] for name in names], known.hours[release.name])
    rates = [Standing(row.of, row.state) for row in measured]
    return DataBrief(
        state=worst(row.state for row in (*sources, *views, *features, *rates)),
        says=words.brief(sources, views, features, rates),
        todos=tuple(words.todos(release.name, sources, views, features, rates)),
        link=words.page_of(release.name),
    )


def _unknown(service: str) -> DataBrief:
    return DataBrief(
        state="at_risk",
        says="How its data stand cannot be read.",
        todos=(),
        link=words.page_of(service),
    )


def _state_of_report(report: _Report | None) -> State:
    if report is None:
        return "collecting"
    return source_state({rule.severity for rule in report.rules if rule.failed})


def source_state(failed: Iterable[str]) -> State:
    """Return how a source stands whose rules of these severities did not hold."""
    severities = set(failed)
    if "error" in severities:
        return "breached"
    return "at_risk" if severities else "healthy"


def view_state(found: ViewState, now: datetime) -> State:
    """Return how a view stands by its newest event."""
    stale_at = stale_of(found)
    if found.freshness is None or found.freshness.newest_event_us is None:
        return "collecting"
    if stale_at is None or found.ttl_s is None:
        return "healthy"
    left_s = (stale_at - now).total_seconds()
    if left_s < 0:
        return "breached"
    return "at_risk" if left_s < NEARLY_STALE * found.ttl_s else "healthy"


def stale_of(found: ViewState) -> datetime | None:
    """Return when the newest row of a view goes stale; None where it never does, or none is."""
    newest_us = None if found.freshness is None else found.freshness.newest_event_us
    if newest_us is None or found.ttl_s is None:
        return None
    return time_of(newest_us) + timedelta(seconds=found.ttl_s)


def feature_standing(name: str, state: State, unequal: int) -> Standing:
    """Return how a feature stands by the verdict that a report holds.

    Where the world has moved away from training nothing is broken: whoever serves it serves what
    the view says. That is at risk; only a value that the view does not say breaks a promise.
    """
    far = state == "breached" and not unequal
    return Standing(name, "at_risk" if far else state, unequal, far)
