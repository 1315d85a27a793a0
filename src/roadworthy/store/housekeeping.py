"""The standing jobs: check the rollups, drop what is old, let go of holds nobody settled."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from sqlalchemy import Engine

from ..types import DAY_US, HOUR_US, Clock, Hold
from .attempt_hours import drop_attempts, rebuild_attempts
from .deliveries import drop_deliveries
from .evaluations import drop_cached
from .jobs import Job
from .records import drop_before
from .rollups import rebuild_hours
from .spending import expire_holds, prune_spending
from .spool import Spool

KEEP_SPENDINGS_DAYS = 400
KEEP_DELIVERIES_DAYS = 30
KEEP_ATTEMPTS_DAYS = 400
"""How long the hourly sums of tries are kept, as long as what they cost."""
KEEP_CACHED_DAYS = 90
"""How long answers to cases are known; the reports made of them stay with their releases."""


def standing_jobs(
    engine: Engine,
    clock: Clock,
    spool: Spool,
    keep_days: Callable[[], Mapping[str, int]],
    holds: Iterable[Hold],
    expire: Callable[[], int],
) -> list[Job]:
    """Return the jobs that every serving process runs.

    Args:
        engine: The state database.
        clock: The project's time.
        spool: Where records of lost requests are written.
        keep_days: Service → days that its records are kept.
        holds: Holds that an earlier process left unsettled. Those of this process are its own
            business, however long they are open and whatever the clock says.
        expire: Lets them count no longer once their lease has ended; returns how many that were.
    """
    left = list(holds)

    def rollup() -> str:
        """Compare the last hours with their records, and repair what differs."""
        now_us = clock.now_us()
        since_us, until_us = now_us - 3 * HOUR_US, now_us - now_us % HOUR_US
        repaired = rebuild_hours(engine, since_us, until_us)
        repaired += rebuild_attempts(engine, since_us, until_us)
        return f"{repaired} cells repaired"

    def retention() -> str:
        """Drop what is older than it is kept: records, spendings, notices, answers to cases."""
        now_us = clock.now_us()
        dropped = sum(
            drop_before(engine, service, now_us - days * DAY_US)
            for service, days in keep_days().items()
        )
        days = prune_spending(engine, now_us - KEEP_SPENDINGS_DAYS * DAY_US)
        with engine.begin() as connection:
            told = drop_deliveries(connection, now_us - KEEP_DELIVERIES_DAYS * DAY_US)
            known = drop_cached(connection, now_us - KEEP_CACHED_DAYS * DAY_US)
            drop_attempts(connection, now_us - KEEP_ATTEMPTS_DAYS * DAY_US)
        parts = f"{dropped} records, {days} spendings, {told} notices"
        return f"{parts} and {known} answers to cases dropped"

    def leases() -> str:
        """Let go of holds whose process ended before it could settle them."""
        ended = expire()
        lost = expire_holds(left, clock.now_us(), spool.append)
        return f"{ended} holds let go, {lost} requests recorded as lost"

    return [
        Job("leases", 30, leases),
        Job("rollup", 3600, rollup),
        Job("retention", 3600, retention),
    ]
