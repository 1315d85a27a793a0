"""May each service ship its candidate? What Home and the page of a service say of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from urllib.parse import urlencode

from ..serve.opened import OpenRelease
from ..store.built import Built, read_built, read_latest
from ..store.clock import time_of
from ..store.evaluations import EvaluationHead
from ..store.rollouts import Rollout, open_rollouts
from .control import Ask
from .evaluation_page import row_of
from .figures import ReleaseBrief, Ship
from .gate_words import MAY
from .gates_shown import gates_page
from .release_rows import newest_evaluations, read_report
from .rollout_page import frozen_of, rollout_shown, says_frozen, why_taken_back
from .ship import NO_CANDIDATE, Known, brief, may_of, state_of


def ships_of(ask: Ask, opened: Sequence[OpenRelease], now: datetime) -> dict[str, Ship]:
    """Return of each service whether its candidate may ship; what is stored is read at once."""
    state, board = ask.control.state, ask.control.switchboard
    names = [release.name for release in opened]
    rollouts = {one.service: one for one in open_rollouts(state)}
    judged = {name: board.get(f"candidate:{name}") for name in names}
    judged |= {name: rollouts[name].candidate for name in names if name in rollouts}
    named = [release.id for release in opened]
    built = read_built(state, [*named, *filter(None, judged.values())])
    latest = read_latest(state, names)
    candidates = {release.name: _candidate(release, built, latest, judged) for release in opened}
    wanted = [found.release for found in candidates.values() if found]
    evaluated = newest_evaluations(state, wanted) if wanted else {}
    return {
        release.name: _ship(
            ask,
            release,
            built.get(release.id),
            candidates[release.name],
            rollouts.get(release.name),
            evaluated,
            now,
        )
        for release in opened
    }


def _candidate(
    release: OpenRelease,
    built: Mapping[str, Built],
    latest: Mapping[str, Built],
    judged: Mapping[str, str],
) -> Built | None:
    """Return what is being judged, else the latest release if it is later than what serves."""
    if found := built.get(judged.get(release.name, "")):
        return found
    champion, newest = built.get(release.id), latest.get(release.name)
    if not champion or not newest or newest.release == champion.release:
        return None
    return newest if newest.at_us > champion.at_us else None


def _ship(
    ask: Ask,
    release: OpenRelease,
    champion: Built | None,
    candidate: Built | None,
    rollout: Rollout | None,
    evaluated: Mapping[str, EvaluationHead],
    now: datetime,
) -> Ship:
    if candidate is None:
        return Ship(
            may="none",
            word="",
            state="off",
            says=NO_CANDIDATE,
            champion=_brief(champion),
            candidate=None,
            is_folder=False,
            link="",
        )
    known = _known(ask, release, candidate.release, rollout, evaluated, now)
    may = may_of(known)
    query = urlencode({"a": release.id, "b": candidate.release})
    return Ship(
        may=may,
        word=MAY[may],
        state=state_of(may),
        says=brief(known, now),
        champion=_brief(champion),
        candidate=_brief(candidate),
        is_folder=not ask.control.differences(release, candidate.release),
        link=f"/services/{release.name}/releases/compare?{query}",
    )


def _known(
    ask: Ask,
    release: OpenRelease,
    candidate: str,
    rollout: Rollout | None,
    evaluated: Mapping[str, EvaluationHead],
    now: datetime,
) -> Known:
    """Return what is known of a candidate."""
    found = evaluated.get(candidate)
    is_open = found is not None and found.verdict == "inconclusive"
    report = read_report(ask.control.state, found.id)[1] if found and is_open else None
    is_its = rollout is not None and rollout.candidate == candidate
    return Known(
        candidate=candidate,
        champion=release.id,
        gates=gates_page(ask, candidate, release.declaration.owners.model_dump()),
        evaluation=None if found is None else row_of(found),
        needed=report.needed if report else None,
        rollout=rollout_shown(ask, rollout) if rollout and is_its else None,
        taken_back=why_taken_back(ask, release.name, candidate),
        says_frozen=says_frozen(frozen_of(ask, release.name), now),
    )


def _brief(built: Built | None) -> ReleaseBrief | None:
    if built is None:
        return None
    return ReleaseBrief(release=built.release, built_at=time_of(built.at_us), by=built.by)
