"""The job that tells when the answers of a service cost more than they are worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from ..cost.worth import DAYS, LEAST_ACCEPTED, read_yield
from ..release.registry import trainings
from ..serve.opened import OpenRelease
from ..store.actions import append_action, list_actions
from ..store.jobs import Job
from ..types import DAY_US
from .ground import Ground

Releases = Callable[[], Mapping[str, OpenRelease]]

EVERY_S = 3_600
EVENT = "value.lost"
BY = "job:worth"


def worth_job(ground: Ground, releases: Releases) -> Job:
    """Return the job that looks at what serves, and tells once a day what is not worth it."""

    def look() -> str:
        lost = [name for name in sorted(releases()) if _is_told(ground, releases, name)]
        return f"not worth it: {', '.join(lost)}" if lost else "nothing costs more than it is worth"

    return Job("worth", EVERY_S, look)


def _is_told(ground: Ground, releases: Releases, name: str) -> bool:
    declared = releases()[name].declaration
    if declared.value_per_answer_usd is None:
        return False
    now_us = ground.clock.now_us()
    trained = trainings(ground.state, name, now_us - DAYS * DAY_US, now_us + 1)
    live = read_yield(ground.state, declared, now_us, trained=trained)
    if live is None or live.accepted < LEAST_ACCEPTED or not live.is_lost:
        return False
    told = list_actions(ground.state, action=EVENT, subject=name, limit=1)
    if not told or now_us - told[0].at_us >= DAY_US:
        detail = msgspec.to_builtins(live) | {"service": name, "days": DAYS}
        append_action(ground.state, ground.clock, BY, EVENT, name, detail)
    return True
