from __future__ import annotations

import asyncio
import logging
import multiprocessing
import threading
from collections.abc import Iterator
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path

import pytest
from sqlalchemy import Engine

from roadworthy.errors import NotFound, StoreBusy
from roadworthy.store.jobs import Job, JobRunner, JobState, list_jobs
from roadworthy.store.state import open_state
from roadworthy.types import MICRO, SystemClock

SPAWN = multiprocessing.get_context("spawn")
START_US = 1_365_000_000 * MICRO


class HandClock(SystemClock):
    """Stands still until it is moved."""

    def __init__(self, now_us: int = START_US) -> None:
        self.at_us = now_us

    def now_us(self) -> int:
        return self.at_us

    def advance(self, seconds: float) -> None:
        self.at_us += int(seconds * MICRO)


class Counter:
    """Work that counts its runs, and fails while it is told to."""

    def __init__(self) -> None:
        self.runs = 0
        self.is_failing = False

    def __call__(self) -> str:
        self.runs += 1
        if self.is_failing:
            raise OSError("disk full\nand more that may hold anything")
        return f"did it {self.runs} times"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_state(f"sqlite:///{tmp_path / 'state.db'}")
    yield engine
    engine.dispose()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def machine() -> HandClock:
    return HandClock()


@pytest.fixture
def work() -> Counter:
    return Counter()


@pytest.fixture
def runner(engine: Engine, clock: HandClock, machine: HandClock, work: Counter) -> JobRunner:
    return JobRunner(engine, clock, [Job("sweep", 60, work)], machine)


def state_of(engine: Engine, name: str = "sweep") -> JobState:
    return next(state for state in list_jobs(engine) if state.name == name)


def test_a_job_runs_at_once_and_then_once_per_interval(
    runner: JobRunner, clock: HandClock, work: Counter
) -> None:
    assert runner.run_due() == ["sweep"]
    clock.advance(59)
    assert runner.run_due() == []
    clock.advance(1)
    assert runner.run_due() == ["sweep"]
    assert work.runs == 2


def test_a_run_leaves_when_it_ran_and_what_it_found(
    runner: JobRunner, engine: Engine, clock: HandClock
) -> None:
    runner.run_due()
    state = state_of(engine)
    assert (state.last_run_us, state.every_s) == (clock.now_us(), 60)
    assert (state.last_result, state.last_error, state.failures) == ("did it 1 times", "", 0)
    assert state.last_ms is not None
    assert (state.lease_owner, state.lease_until_us) == ("", None)


def test_a_job_that_waits_for_its_first_run_is_listed(runner: JobRunner, engine: Engine) -> None:
    assert state_of(engine).last_run_us is None
    assert state_of(engine).due_us == 0


def test_a_failure_shows_in_one_line_beside_the_last_good_result(
    runner: JobRunner, engine: Engine, clock: HandClock, work: Counter
) -> None:
    runner.run_due()
    clock.advance(60)
    work.is_failing = True
    assert runner.run_due() == ["sweep"]
    state = state_of(engine)
    assert (state.last_error, state.failures) == ("OSError: disk full", 1)
    assert state.last_result == "did it 1 times"
    assert state.lease_owner == ""


def test_a_failed_job_is_tried_again_soon_then_less_and_less_often(
    runner: JobRunner, clock: HandClock, work: Counter
) -> None:
    work.is_failing = True
    started = clock.now_us()
    waits: list[int] = []
    for _ in range(2_000):
        if runner.run_due():
            waits.append((clock.now_us() - started) // MICRO)
            started = clock.now_us()
        clock.advance(1)
    assert waits == [0, 10, 20, 40, 80, 160, 320, 600, 600]


def test_a_rare_job_that_failed_does_not_wait_for_its_whole_interval(
    engine: Engine, clock: HandClock, work: Counter
) -> None:
    runner = JobRunner(engine, clock, [Job("sweep", 86_400, work)])
    work.is_failing = True
    runner.run_due()
    work.is_failing = False
    clock.advance(10)
    assert runner.run_due() == ["sweep"]
    clock.advance(86_399)
    assert runner.run_due() == []


def test_a_success_ends_the_count_of_failures(
    runner: JobRunner, engine: Engine, clock: HandClock, work: Counter
) -> None:
    work.is_failing = True
    runner.run_due()
    work.is_failing = False
    clock.advance(60)
    runner.run_due()
    assert (state_of(engine).failures, state_of(engine).last_error) == (0, "")


def test_one_failing_job_does_not_keep_the_next_from_running(
    engine: Engine, clock: HandClock, work: Counter
) -> None:
    bad = Counter()
    bad.is_failing = True
    runner = JobRunner(engine, clock, [Job("a-bad", 60, bad), Job("good", 60, work)])
    assert runner.run_due() == ["a-bad", "good"]
    assert work.runs == 1


def test_a_clock_that_was_set_back_does_not_silence_jobs(
    runner: JobRunner, clock: HandClock
) -> None:
    runner.run_due()
    clock.advance(-365 * 86_400)
    assert runner.run_due() == ["sweep"]


def test_a_clock_that_is_a_little_behind_does_not_run_a_job_twice(
    runner: JobRunner, clock: HandClock
) -> None:
    runner.run_due()
    clock.advance(-5)
    assert runner.run_due() == []


def test_a_job_another_process_holds_is_left_alone_until_its_lease_ends(
    engine: Engine, clock: HandClock, machine: HandClock, work: Counter
) -> None:
    job = Job("sweep", 60, work, lease_s=30)
    other = JobRunner(engine, clock, [job], machine)
    seen: list[list[str]] = []

    def while_it_runs() -> str:
        seen.append(other.run_due())
        machine.advance(31)
        seen.append(other.run_due())
        return "late"

    runner = JobRunner(engine, clock, [Job("sweep", 60, while_it_runs, lease_s=30)], machine)
    runner.run_due()
    assert seen == [[], ["sweep"]]
    assert state_of(engine).last_result == "did it 1 times", "what lost its lease must not report"


def test_setting_the_projects_clock_ends_no_lease(
    engine: Engine, clock: HandClock, machine: HandClock, work: Counter
) -> None:
    other = JobRunner(engine, clock, [Job("sweep", 60, work)], machine)

    def while_it_runs() -> str:
        clock.advance(365 * 86_400)
        assert other.run_due() == []
        return "done"

    JobRunner(engine, clock, [Job("sweep", 60, while_it_runs)], machine).run_due()
    assert state_of(engine).last_error == ""


def test_a_job_that_somebody_ran_since_it_was_seen_due_is_not_run_again(
    engine: Engine, clock: HandClock, work: Counter
) -> None:
    other = JobRunner(engine, clock, [Job("sweep", 60, work)])

    def take_the_next() -> str:
        other.run_due()
        return "first"

    first = Job("first", 60, take_the_next)
    assert JobRunner(engine, clock, [first, Job("sweep", 60, work)]).run_due() == ["first"]
    assert work.runs == 1


def test_a_job_runs_on_request_whether_or_not_it_is_due(runner: JobRunner, work: Counter) -> None:
    runner.run_due()
    assert runner.run_now("sweep").last_result == "did it 2 times"
    work.is_failing = True
    assert runner.run_now("sweep").last_error == "OSError: disk full"


def test_a_job_on_request_that_another_process_runs_is_refused(
    engine: Engine, clock: HandClock, work: Counter
) -> None:
    other = JobRunner(engine, clock, [Job("sweep", 60, work)])
    refusals: list[str] = []

    def while_it_runs() -> str:
        with pytest.raises(StoreBusy) as refused:
            other.run_now("sweep")
        refusals.append(str(refused.value))
        return "done"

    runner = JobRunner(engine, clock, [Job("sweep", 60, while_it_runs)])
    runner.run_due()
    assert runner.owner in refusals[0]
    assert work.runs == 0


def test_an_unknown_job_is_not_found(runner: JobRunner) -> None:
    with pytest.raises(NotFound, match="expected one of sweep"):
        runner.run_now("swep")


def test_a_job_only_another_process_knows_is_left_to_it(
    runner: JobRunner, engine: Engine, clock: HandClock
) -> None:
    JobRunner(engine, clock, [Job("elsewhere", 60, Counter())])
    assert runner.run_due() == ["sweep"]


def test_a_changed_interval_counts_from_the_next_start(
    runner: JobRunner, engine: Engine, clock: HandClock, work: Counter
) -> None:
    runner.run_due()
    faster = JobRunner(engine, clock, [Job("sweep", 5, work)])
    clock.advance(5)
    assert faster.run_due() == ["sweep"]


async def first_run_of(runner: JobRunner, ran: threading.Event) -> None:
    loop = asyncio.create_task(runner.run_forever(tick_s=0.01))
    assert await asyncio.to_thread(ran.wait, 10)
    loop.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loop


def test_the_loop_runs_jobs_beside_the_event_loop(engine: Engine, clock: HandClock) -> None:
    ran = threading.Event()
    threads: list[str] = []

    def work() -> str:
        threads.append(threading.current_thread().name)
        ran.set()
        return "done"

    asyncio.run(first_run_of(JobRunner(engine, clock, [Job("sweep", 60, work)]), ran))
    assert threads != [threading.main_thread().name]


def test_a_cancelled_loop_waits_for_the_job_that_runs_and_starts_no_other(
    engine: Engine, clock: HandClock, work: Counter
) -> None:
    started, go_on = threading.Event(), threading.Event()

    def first() -> str:
        started.set()
        assert go_on.wait(10)
        return "whole"

    jobs = [Job("first", 60, first), Job("second", 60, work)]

    async def cancel_while_it_runs() -> None:
        loop = asyncio.create_task(JobRunner(engine, clock, jobs).run_forever())
        assert await asyncio.to_thread(started.wait, 10)
        loop.cancel()
        _, waiting = await asyncio.wait([loop], timeout=0.05)
        assert waiting
        go_on.set()
        await asyncio.wait([loop])

    asyncio.run(cancel_while_it_runs())
    assert state_of(engine, "first").last_result == "whole"
    assert work.runs == 0


def test_the_loop_outlives_a_store_that_fails(
    engine: Engine, clock: HandClock, caplog: pytest.LogCaptureFixture
) -> None:
    ran = threading.Event()

    def work() -> str:
        ran.set()
        return "done"

    runner = JobRunner(engine, clock, [Job("sweep", 60, work)])
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE jobs RENAME TO lost")

    async def break_and_mend() -> None:
        loop = asyncio.create_task(runner.run_forever(tick_s=0.01))
        while not runner.trouble:
            await asyncio.sleep(0.01)
        assert "no such table" in runner.trouble
        with engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE lost RENAME TO jobs")
        assert await asyncio.to_thread(ran.wait, 10)
        while runner.trouble:
            await asyncio.sleep(0.01)
        loop.cancel()

    with caplog.at_level(logging.WARNING):
        asyncio.run(asyncio.wait_for(break_and_mend(), 20))
    assert "the job table cannot be used" in caplog.text


def test_a_job_that_waits_for_somebody_delays_no_job_of_another_lane(
    engine: Engine, clock: HandClock
) -> None:
    ran, go_on = threading.Event(), threading.Event()

    def wait() -> str:
        assert go_on.wait(20)
        return "answered"

    def work() -> str:
        ran.set()
        return "done"

    jobs = [Job("aaa", 60, wait, lane="aaa"), Job("sweep", 60, work)]

    async def run_both() -> None:
        loop = asyncio.create_task(JobRunner(engine, clock, jobs).run_forever(tick_s=0.01))
        assert await asyncio.to_thread(ran.wait, 10), "the one that waits came first by name"
        assert state_of(engine, "aaa").last_run_us is None
        loop.cancel()
        _, waiting = await asyncio.wait([loop], timeout=0.05)
        assert waiting, "what a job uses is still open"
        go_on.set()
        await asyncio.wait([loop])

    asyncio.run(run_both())
    assert state_of(engine, "aaa").last_result == "answered"


JOBS = 150


def race(url: str, log: Path, start: Barrier) -> None:
    engine = open_state(url)

    def job(number: int) -> Job:
        def run() -> str:
            with log.open("a") as file:
                file.write(f"{number}\n")
            return "done"

        return Job(f"job-{number}", 3_600, run)

    runner = JobRunner(engine, HandClock(), [job(number) for number in range(JOBS)])
    start.wait(30)
    for _ in range(3):
        runner.run_due()
    engine.dispose()


@pytest.mark.slow
def test_two_processes_share_the_jobs_and_run_none_twice(engine: Engine, tmp_path: Path) -> None:
    log, start = tmp_path / "log", SPAWN.Barrier(2)
    racers = [SPAWN.Process(target=race, args=(str(engine.url), log, start)) for _ in "ab"]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(60)
    assert [racer.exitcode for racer in racers] == [0, 0]
    assert sorted(map(int, log.read_text().split())) == list(range(JOBS))


def run_for_ever(url: str, running: Event) -> None:
    engine = open_state(url)

    def run() -> str:
        running.set()
        SPAWN.Event().wait()
        return "never"

    JobRunner(engine, HandClock(), [Job("sweep", 60, run, lease_s=30)], HandClock()).run_due()


@pytest.mark.slow
def test_a_killed_process_loses_its_job_when_the_lease_ends(
    engine: Engine, clock: HandClock, machine: HandClock, work: Counter
) -> None:
    running = SPAWN.Event()
    other = SPAWN.Process(target=run_for_ever, args=(str(engine.url), running))
    other.start()
    assert running.wait(30)
    other.kill()
    other.join(30)
    runner = JobRunner(engine, clock, [Job("sweep", 60, work, lease_s=30)], machine)
    machine.advance(29)
    assert runner.run_due() == []
    machine.advance(1)
    assert runner.run_due() == ["sweep"]
    assert state_of(engine).last_result == "did it 1 times"
