"""The page of one service's data: contracts, freshness, and what it sees against training."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import Engine

from ..serve.opened import OpenRelease
from ..store.clock import time_of
from ..store.data_versions import Validation, read_skew, read_validations
from ..store.jobs import list_jobs
from ..store.records import find_records
from ..store.rollups import read_hours, summarise
from ..types import Record
from . import data_words as words
from .control import Ask
from .data_figures import (
    Apart,
    AskedStatus,
    DifferenceShown,
    FeatureStatus,
    LookShown,
    PathBroken,
    RuleOverTime,
    ServiceData,
    SkewStatus,
    SourceStatus,
    ViewStatus,
)
from .data_standing import Standing, feature_standing, source_state, stale_of, view_state
from .home import since_of
from .rates import rates_of
from .registered_views import ViewFacts, views_of
from .served import served_states
from .states import worst
from .volume_shown import volume_status

if TYPE_CHECKING:
    from ..data.features import ViewState  # at work it would import all that reads data

LOOKS = 20
"""Validations of a source that are shown."""
MOST_BROKEN = 500
"""Requests that broke the contract of the input and are looked at, the newest."""
MOST_PATHS = 20
MOST_SERVED = 200
"""Requests of which it is counted what they found of each view, the newest."""
_STATES = ("fresh", "stale", "absent")
_JOBS = ("features", "skew")
_REASON = re.compile(r"contract_violation: (.{1,200}?): (expected .{1,200}?), got ", re.DOTALL)


def data_page(ask: Ask, release: OpenRelease) -> ServiceData:
    """Return what the page of a service's data shows."""
    state, now_us = ask.control.state, ask.control.clock.now_us()
    names, now = release.declaration.features.views, time_of(now_us)
    known = views_of(state, names)
    sources = tuple(_sources(ask, known.values(), now))
    states: Sequence[ViewState] = ask.control.open_features().states(names) if names else ()
    views = tuple(_views(ask, release, states, now))
    hours = read_hours(state, [release.name], since_of(now_us), now_us)
    rates = tuple(rates_of(release, states, hours[release.name]))
    skew = _skew(state, release.name) if names else None
    asked = _asked(ask, release)
    stands = (
        [Standing(row.source, row.state) for row in sources],
        [Standing(row.view, row.state) for row in views],
        [
            Standing(row.feature, row.state, row.unequal, row.far)
            for row in (skew.features if skew else ())
        ],
        [Standing(row.of, row.state) for row in rates],
    )
    return ServiceData(
        says=words.data(release.name, *stands, asked),
        as_of=now,
        service=release.name,
        state=worst(row.state for rows in stands for row in rows),
        todos=tuple(words.todos(release.name, *stands)),
        trouble=tuple(_trouble(state)) if names else (),
        asked=asked,
        sources=sources,
        views=views,
        rates=rates,
        skew=skew,
    )


def _trouble(state: Engine) -> Iterator[str]:
    for job in list_jobs(state):
        if job.name in _JOBS and job.last_error:
            yield words.job(job.name, job.last_error)


def _asked(ask: Ask, release: OpenRelease) -> AskedStatus | None:
    """Return what live requests broke of the input's contract; None where it has none."""
    file = release.declaration.contract.input
    if not file:
        return None
    state, now_us = ask.control.state, ask.control.clock.now_us()
    since_us = since_of(now_us)
    requests = summarise(state, release.name, since_us, now_us).requests
    broken = find_records(
        state,
        service=release.name,
        error_code="contract_violation",
        since_us=since_us,
        limit=MOST_BROKEN + 1,
    )
    paths = Counter(found for record in broken if (found := _path_of(record.reasons)))
    return AskedStatus(
        file=file,
        says=words.asked(requests, len(broken), MOST_BROKEN),
        since=time_of(since_us),
        requests=requests,
        refused=min(len(broken), MOST_BROKEN),
        paths=tuple(
            PathBroken(path=path, expected=expected, requests=n)
            for (path, expected), n in paths.most_common(MOST_PATHS)
        ),
    )


def _path_of(reasons: Iterable[str]) -> tuple[str, str] | None:
    """Return what of the input was wrong, and what was expected there."""
    for reason in reasons:
        if found := _REASON.match(reason):
            return found[1].replace("`", ""), found[2].removeprefix("expected ")
    return None


def _sources(ask: Ask, views: Iterable[ViewFacts], now: datetime) -> Iterator[SourceStatus]:
    state, declared = ask.control.state, ask.control.declaration.sources
    readers: dict[str, list[ViewFacts]] = {}
    for view in views:
        for source in view.sources:
            readers.setdefault(source, []).append(view)
    for name, by in sorted(readers.items()):
        contract, _, version = by[-1].contracts.get(name, "").rpartition("@")
        looks = read_validations(state, name, limit=LOOKS)[::-1]
        volume = declared[name].volume if name in declared else None
        shown = _source(name, (contract, version), tuple(view.id for view in by), looks, now)
        yield msgspec.structs.replace(shown, volume=volume_status(volume, looks))


def _source(
    name: str,
    agreed: tuple[str, str],
    views: tuple[str, ...],
    looks: Sequence[Validation],
    now: datetime,
) -> SourceStatus:
    rules = [_rules_of(look) for look in looks]
    last = rules[-1] if rules else {}
    failed = [rule for rule in last.values() if rule["failed"]]
    broken = sum(rule["severity"] == "error" for rule in failed)
    shown = tuple(_look(look) for look in looks)
    state = source_state(rule["severity"] for rule in failed) if looks else "collecting"
    return SourceStatus(
        source=name,
        contract=agreed[0] or (looks[-1].contract if looks else ""),
        version=agreed[1],
        state=state,
        word=words.SOURCES[state],
        says=tuple(words.source(name, shown, broken, len(failed) - broken, agreed[1], now)),
        views=views,
        looks=shown,
        rules=len(last),
        broken=tuple(_broken(rules)),
        volume=None,
    )


def _rules_of(look: Validation) -> dict[str, dict[str, Any]]:
    """Return the rules of a validation by their names, as its report tells them."""
    return {rule["rule"]: rule for rule in look.detail.get("rules", ())}


def _look(look: Validation) -> LookShown:
    return LookShown(
        at=time_of(look.at_us),
        version=look.version,
        rows=look.rows,
        failed_rows=look.failed_rows,
        kept=look.is_kept,
    )


def _broken(looks: Sequence[Mapping[str, dict[str, Any]]]) -> list[RuleOverTime]:
    """Return the rules that broke in any of the looks, those of the newest first."""
    newest = {name: rule for rules in looks for name, rule in rules.items() if rule["failed"]}
    found = [
        RuleOverTime(
            rule=name,
            field=rule.get("field", ""),
            severity=rule["severity"],
            expected=rule.get("expected", ""),
            failed=tuple(rules[name]["failed"] if name in rules else None for rules in looks),
        )
        for name, rule in newest.items()
    ]
    return sorted(found, key=lambda rule: (-(rule.failed[-1] or 0), rule.rule))


def _views(
    ask: Ask, release: OpenRelease, states: Sequence[ViewState], now: datetime
) -> Iterator[ViewStatus]:
    if not states:
        return
    found = find_records(ask.control.state, service=release.name, limit=MOST_SERVED)
    for state in states:
        yield _view(state, _served(found, state.view), now)


def _served(records: Iterable[Record], view: str) -> dict[str, int]:
    """Return how often a view was fresh, stale and absent to these requests."""
    reads = [read for r in records for read in served_states(r.features) if read[0] == view]
    counted = Counter(state for _, state in reads)
    return {state: counted[state] for state in _STATES if counted[state]}


def _view(found: ViewState, served: dict[str, int], now: datetime) -> ViewStatus:
    fresh = found.freshness
    filled = None if fresh is None else time_of(fresh.watermark_us)
    newest_us = None if fresh is None else fresh.newest_event_us
    newest = None if newest_us is None else time_of(newest_us)
    stale_at, state = stale_of(found), view_state(found, now)
    counts = (fresh.rows, fresh.pushed) if fresh else (0, 0)
    return ViewStatus(
        view=found.view,
        owner=found.owner,
        state=state,
        word=words.VIEWS[state],
        says=tuple(words.view(filled, newest, stale_at, now, counts, found.ttl_s, served)),
        features=found.features,
        filled_until=filled,
        behind_s=found.behind_s,
        ttl_s=found.ttl_s,
        newest_event=newest,
        stale_at=stale_at,
        rows=counts[0],
        pushed=counts[1],
        served=served,
    )


def _skew(state: Engine, service: str) -> SkewStatus | None:
    for saved in read_skew(state, service):
        report = saved.detail
        return SkewStatus(
            at=time_of(saved.at_us),
            says=report["says"],
            requests=report["requests"],
            replayed=report["replayed"],
            trained=report["trained"],
            features=tuple(map(_feature, report["features"])),
        )
    return None


def _feature(row: dict[str, Any]) -> FeatureStatus:
    """Return one row of a report; a distance is stored as a list of three numbers."""
    apart = {
        name: None if row[name] is None else Apart(*row[name])
        for name in ("stability", "divergence", "gap")
    }
    examples = tuple(msgspec.convert(row["examples"], list[DifferenceShown]))
    stands = feature_standing(row["feature"], row["state"], row["unequal"])
    said = {"state": stands.state, "far": stands.far, "word": words.feature_word(stands)}
    return msgspec.convert({**row, **apart, **said, "examples": examples}, FeatureStatus)
