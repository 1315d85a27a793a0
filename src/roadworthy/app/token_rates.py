"""Lets counters learn what a token of a model is, from what its provider counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sqlalchemy import Engine

from ..serve.opened import OpenRelease
from ..signals.tokens import rate_of
from ..store.jobs import Job
from ..store.token_hours import read_token_hours
from ..types import DAY_US, Clock
from .ground import Ground

LEARN_EVERY_S = 3_600
"""Seconds of the project's time between two looks at what providers counted."""
LEARN_FROM_US = 30 * DAY_US
"""What is older may be of another model of that name, or of users of another language."""


def learn_rates(state: Engine, clock: Clock, releases: Iterable[OpenRelease]) -> str:
    """Set what a token is for models without a vocabulary, and say how it went, as a job does."""
    since_us = clock.now_us() - LEARN_FROM_US
    learned = 0
    for opened in releases:
        by_bytes = {k: c for k, c in opened.counters.items() if not c.is_exact}
        if not by_bytes or opened.kind != "generate":
            continue
        hours = read_token_hours(state, opened.name, since_us)
        for name, counter in by_bytes.items():
            rate = rate_of(hours.get(name, ()))
            if rate is not None:
                counter.learn(rate.safe)
                learned += 1
    return f"{learned} models learned"


def job_of_token_rates(ground: Ground, releases: Callable[[], Iterable[OpenRelease]]) -> Job:
    """Return the job that lets what serves learn anew."""
    return Job("tokens", LEARN_EVERY_S, lambda: learn_rates(ground.state, ground.clock, releases()))
