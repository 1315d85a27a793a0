"""Tells of providers that are left alone and that answer again, as acts in the audit chain."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from sqlalchemy import Engine

from ..serve.breaker import WHY, Standing
from ..serve.upstreams import Upstreams
from ..store.actions import append_action
from ..types import Clock

BY = "job:providers"
TOLD_AFTER_S = 10.0
"""A model that is left alone for less than this is not told of: that is no outage."""
LOOK_EVERY_S = 5
"""Seconds of the project's time between two looks at what is left alone."""


class Outages:
    """Writes down when a model of a provider went away, and when it came back.

    Args:
        upstreams: How each is doing.
        state: Where acts are written.
        clock: The project's time.
        monotonic: Seconds that no clock sets back.
    """

    def __init__(
        self,
        upstreams: Upstreams,
        state: Engine,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._upstreams = upstreams
        self._state = state
        self._clock = clock
        self._monotonic = monotonic
        self._told: dict[str, float] = {}
        self._lock = threading.Lock()

    def tell(self) -> str:
        """Write down what changed since the last look, and say how many that were."""
        now = self._monotonic()
        told = 0
        with self._lock:
            for standing in list(self._upstreams.standings(now)):
                subject = f"{standing.provider}/{standing.model}"
                if standing.state == "closed":
                    told += self._tell_up(subject, now)
                elif subject not in self._told and _is_outage(standing):
                    self._told[subject] = now - standing.since_s
                    facts = {
                        "cause": standing.cause,
                        "why": WHY.get(standing.cause, standing.cause),
                        "again_in_s": round(standing.for_s),
                    }
                    append_action(self._state, self._clock, BY, "provider.down", subject, facts)
                    told += 1
        return f"{told} changes told" if told else "nothing changed"

    def _tell_up(self, subject: str, now: float) -> int:
        since = self._told.pop(subject, None)
        if since is None:
            return 0
        facts = {"down_for_s": round(now - since)}
        append_action(self._state, self._clock, BY, "provider.up", subject, facts)
        return 1


def _is_outage(standing: Standing) -> bool:
    """Whether it has been, or will be, left alone for so long that somebody wants to know."""
    return standing.since_s + standing.for_s >= TOLD_AFTER_S
