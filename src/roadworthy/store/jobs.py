"""All periodic work in one place: what runs, how often and how it went, in one process at a time.

A job is never part of a request. Its row says when it ran last, what it found or why it failed, and
who holds it now; the lease in that row lets one of several processes run it and ends when that one
dies.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Any, Literal

import msgspec
from sqlalchemy import Engine, Row, insert, or_, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from ..errors import NotFound, StoreBusy
from ..types import MICRO, Clock, SystemClock
from .tables import jobs

FIRST_RETRY_S = 10
LONGEST_RETRY_S = 600
_MOST_FAILURES = 32_767

_log = logging.getLogger("roadworthy.jobs")
_MACHINE = SystemClock()


class Job(msgspec.Struct, frozen=True):
    """Periodic work.

    Attributes:
        name: Unique among all jobs.
        every_s: Seconds of the project's time from one start to the next.
        run: Does the work once and returns what it did as one sentence. If a process dies within
            it, another runs it again: it must bear that.
        lease_s: Seconds of real time after which a run counts as dead and another may begin.
        lane: Jobs of one lane run one after the other. What waits for somebody else, like a
            receiver on the network, has a lane of its own, so that no other job waits with it.
    """

    name: str
    every_s: int
    run: Callable[[], str]
    lease_s: int = 300
    lane: str = ""


class JobState(msgspec.Struct, frozen=True):
    """How a job stands.

    Attributes:
        last_run_us: When it started last, in the project's time; None if it never did.
        last_result: What the last run that succeeded said.
        last_error: Why the last run failed; empty when it did not.
        failures: Runs that failed since one succeeded.
        lease_owner: The process that runs it now, as host:pid:random.
        lease_until_us: Until when, in the machine's time.
    """

    name: str
    every_s: int
    last_run_us: int | None
    last_ms: int | None
    last_result: str
    last_error: str
    failures: int
    lease_owner: str
    lease_until_us: int | None

    @property
    def due_us(self) -> int:
        """When it runs next: a failed run is tried again sooner, then less and less often."""
        if self.last_run_us is None:
            return 0
        wait_s = self.every_s
        if self.failures:
            first_s = min(self.every_s, FIRST_RETRY_S)
            longest_s = max(self.every_s, LONGEST_RETRY_S)
            wait_s = min(first_s * 2 ** min(self.failures - 1, 20), longest_s)
        return self.last_run_us + wait_s * MICRO

    def is_due(self, now_us: int) -> bool:
        """Whether it should run now; also when the clock was set back by more than one interval."""
        was_set_back = now_us < (self.last_run_us or 0) - self.every_s * MICRO
        return now_us >= self.due_us or was_set_back


class JobRunner:
    """Runs the jobs of this process, each in at most one process at a time.

    Intervals follow `clock`, the project's time. Leases follow `machine`, real time: setting the
    project's clock must not end the lease of a run that is under way.

    Attributes:
        owner: What this runner writes into a lease.
    """

    def __init__(
        self, engine: Engine, clock: Clock, work: Iterable[Job], machine: Clock = _MACHINE
    ) -> None:
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._troubles: dict[str, str] = {}
        self._is_stopping = False
        self._engine = engine
        self._clock = clock
        self._machine = machine
        self._jobs = {job.name: job for job in work}
        self._lanes = {job.lane: threading.Lock() for job in self._jobs.values()}
        self._register()

    @property
    def trouble(self) -> str:
        """Why the last look at the table failed; empty when it did not."""
        return next(filter(None, self._troubles.values()), "")

    def run_due(self, lane: str | None = None) -> list[str]:
        """Run every job whose time has come, one after the other, and return their names.

        Args:
            lane: The only lane whose jobs run; without it all do.
        """
        now_us = self._clock.now_us()
        due = [state for state in list_jobs(self._engine) if state.is_due(now_us)]
        ours = [(self._jobs[state.name], state) for state in due if state.name in self._jobs]
        here = [(job, state) for job, state in ours if lane is None or job.lane == lane]
        return [job.name for job, state in here if not self._is_stopping and self._run(job, state)]

    def run_now(self, name: str) -> JobState:
        """Run one job whether or not it is due, and return how it stands then.

        Raises:
            NotFound: No such job.
            StoreBusy: Another process is running it.
        """
        job = self._jobs.get(name)
        if job is None:
            known = ", ".join(sorted(self._jobs)) or "none"
            raise NotFound(f"no job `{name}`; expected one of {known}")
        with self._lanes[job.lane]:  # what this runner runs itself is waited for, not refused
            seen = _read(self._engine, name)
            has_run = self._claim(job, seen) and self._run_claimed(job, seen)
        if not has_run:
            owner = _read(self._engine, name).lease_owner or "another process"
            raise StoreBusy(f"job `{name}` is being run by {owner}; try again when it is done")
        return _read(self._engine, name)

    async def run_forever(self, tick_s: float = 1.0) -> None:
        """Look every `tick_s` seconds what is due and run it in a thread, until cancelled.

        When cancelled it first waits for the jobs that are running: what a job uses is still open.
        """
        async with asyncio.TaskGroup() as lanes:
            for lane in self._lanes:
                lanes.create_task(self._run_lane(lane, tick_s))

    async def _run_lane(self, lane: str, tick_s: float) -> None:
        while True:
            look = asyncio.create_task(asyncio.to_thread(self._look, lane))
            try:
                await asyncio.shield(look)
            except asyncio.CancelledError:
                self._is_stopping = True
                await asyncio.wait([look])
                raise
            await asyncio.sleep(tick_s)

    def _look(self, lane: str) -> None:
        try:
            self.run_due(lane)
            self._troubles[lane] = ""
        except SQLAlchemyError as error:
            self._troubles[lane] = _describe(error)
            _log.warning("the job table cannot be used: %s", self._troubles[lane])

    def _register(self) -> None:
        for job in self._jobs.values():
            try:
                with self._engine.begin() as connection:
                    here = jobs.c.name == job.name
                    change = update(jobs).where(here).values(every_s=job.every_s)
                    if not connection.execute(change).rowcount:
                        row = {"name": job.name, "every_s": job.every_s, "failures": 0}
                        connection.execute(insert(jobs).values(row))
            except IntegrityError:
                # Another process registered it in the same moment.
                continue

    def _run(self, job: Job, seen: JobState) -> bool:
        """Run a job unless another process does, or did since it was seen; say whether it ran."""
        with self._lanes[job.lane]:
            return self._claim(job, seen) and self._run_claimed(job, seen)

    def _run_claimed(self, job: Job, seen: JobState) -> Literal[True]:
        started_us, started_s = self._clock.now_us(), self._clock.monotonic()
        outcome: dict[str, Any]
        try:
            outcome = {"last_result": job.run(), "last_error": None, "failures": 0}
        except Exception as error:  # noqa: BLE001 - outer edge: whatever a job raises, others run
            _log.warning("job `%s` failed", job.name, exc_info=True)
            failures = min(seen.failures + 1, _MOST_FAILURES)
            outcome = {"last_error": _describe(error), "failures": failures}
        outcome["last_run_us"] = started_us
        outcome["last_ms"] = round((self._clock.monotonic() - started_s) * 1000)
        done = update(jobs).where(jobs.c.name == job.name, jobs.c.lease_owner == self.owner)
        with self._engine.begin() as connection:
            connection.execute(done.values(**outcome, lease_owner=None, lease_until_us=None))
        return True

    def _claim(self, job: Job, seen: JobState) -> bool:
        """Take the lease if it is free and nobody ran the job since it was seen."""
        now_us = self._machine.now_us()
        claim = update(jobs).where(
            jobs.c.name == job.name,
            jobs.c.last_run_us.is_not_distinct_from(seen.last_run_us),
            or_(jobs.c.lease_until_us.is_(None), jobs.c.lease_until_us <= now_us),
        )
        lease = {"lease_owner": self.owner, "lease_until_us": now_us + job.lease_s * MICRO}
        with self._engine.begin() as connection:
            return connection.execute(claim.values(lease)).rowcount == 1


def list_jobs(engine: Engine) -> list[JobState]:
    """Return how every job stands, by name."""
    with engine.connect() as connection:
        rows = connection.execute(select(jobs).order_by(jobs.c.name))
        return [_state(row) for row in rows]


def _read(engine: Engine, name: str) -> JobState:
    with engine.connect() as connection:
        return _state(connection.execute(select(jobs).where(jobs.c.name == name)).one())


def _state(row: Row[Any]) -> JobState:
    fields = dict(row._mapping)
    for name in ("last_result", "last_error", "lease_owner"):
        fields[name] = fields[name] or ""
    return JobState(**fields)


def _describe(error: Exception) -> str:
    """Name an error in one line; database errors go on with the values of the statement."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0][:300]}"
