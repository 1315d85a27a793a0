"""Pacing: limits that are kept, turns in order, and waiters that leave no hole."""

from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.serve.pacing import Minute, Pace, Turn


def soon(seconds: float = 1.0) -> float:
    return time.monotonic() + seconds


async def turn_of(pace: Pace, tokens: int = 0, seconds: float = 1.0) -> Turn:
    turn = await pace.enter(tokens, soon(seconds))
    assert turn is not None
    return turn


@given(
    st.integers(1, 50),
    st.lists(st.tuples(st.integers(1, 20), st.floats(0, 30)), min_size=1, max_size=80),
)
def test_no_minute_ever_holds_more_than_its_limit(
    most: int, asked: list[tuple[int, float]]
) -> None:
    minute, now = Minute(most), 100.0
    given_at: list[tuple[float, int]] = []
    for amount, later in asked:
        now += later
        wait_s = minute.wait_s(amount, now)
        now += wait_s
        assert minute.wait_s(amount, now) == 0, "what was said to be enough is enough"
        used = min(amount, most)
        minute.add(used, now)
        given_at.append((now, used))
        assert sum(n for at, n in given_at if now - 60 < at <= now) <= most


def test_what_was_not_used_after_all_makes_room_and_what_was_more_takes_it() -> None:
    minute = Minute(100)
    second = minute.add(80, 10.0)
    minute.correct(-50, second, 20.0)
    assert minute.used(20.0) == 30
    assert minute.used(10.0 + 61) == 0, "what was taken back does not count below nothing"
    second = minute.add(10, 100.0)
    minute.correct(40, second, 130.0)
    assert minute.used(165.0) == 40
    minute.correct(-99, second, 500.0)
    assert minute.used(500.0) == 0


async def test_so_many_are_at_work_and_the_next_waits_for_one_to_end() -> None:
    pace = Pace(max_concurrent=2)
    first, _ = await turn_of(pace), await turn_of(pace)
    third = asyncio.create_task(turn_of(pace))
    await asyncio.sleep(0)
    assert (pace.at_work, pace.waiting, third.done()) == (2, 1, False)
    pace.leave(first)
    await third
    assert (pace.at_work, pace.waiting) == (2, 0)


async def test_turns_are_given_in_the_order_they_were_asked_for() -> None:
    pace, order = Pace(max_concurrent=1), list[int]()

    async def work(number: int) -> None:
        turn = await turn_of(pace)
        order.append(number)
        await asyncio.sleep(0)
        pace.leave(turn)

    await asyncio.gather(*(work(number) for number in range(50)))
    assert order == list(range(50))
    assert pace.at_work == 0


async def test_whoever_comes_later_does_not_overtake_a_large_one_that_waits() -> None:
    pace = Pace(tokens_per_minute=1_000)
    pace.leave(await turn_of(pace, 3_000), 950)
    large = asyncio.create_task(pace.enter(2_000, soon(0.05)))
    await asyncio.sleep(0)
    assert await pace.enter(1, soon(0.01)) is None or large.done()


async def test_there_is_no_turn_where_none_comes_in_time_and_that_is_known_at_once() -> None:
    pace = Pace(requests_per_minute=1)
    await turn_of(pace)
    started = time.monotonic()
    assert await pace.enter(0, soon(5)) is None
    assert time.monotonic() - started < 1, "it is known to take a minute"
    busy = Pace(max_concurrent=1)
    await turn_of(busy)
    assert await busy.enter(0, soon(0.02)) is None
    assert busy.waiting == 0


async def test_waiters_that_leave_leave_no_hole() -> None:
    pace = Pace(max_concurrent=1)
    held = await turn_of(pace)
    tasks = [asyncio.create_task(turn_of(pace)) for _ in range(10)]
    await asyncio.sleep(0)
    for task in tasks[:9]:
        task.cancel()
    await asyncio.gather(*tasks[:9], return_exceptions=True)
    pace.leave(held)
    await asyncio.wait_for(tasks[9], 1)
    assert (pace.at_work, pace.waiting) == (1, 0)


async def test_a_turn_that_comes_as_its_waiter_leaves_is_given_back() -> None:
    pace = Pace(max_concurrent=1, requests_per_minute=10)
    held = await turn_of(pace)
    gone, stays = (asyncio.create_task(turn_of(pace)) for _ in range(2))
    await asyncio.sleep(0)
    pace.leave(held)  # gives `gone` its turn, which it does not know of yet
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    pace.leave(await asyncio.wait_for(stays, 1))
    assert pace.at_work == 0
    assert pace.requests is not None
    assert pace.requests.used(time.monotonic()) == 2


async def test_tokens_are_held_to_their_limit_by_what_calls_turn_out_to_have() -> None:
    pace = Pace(tokens_per_minute=1_000)
    assert pace.tokens is not None
    turn = await turn_of(pace, 2_000)
    assert pace.tokens.used(time.monotonic()) == 600, "a share of the most it can have"
    pace.leave(turn, 100)
    assert pace.tokens.used(time.monotonic()) == 100
    for _ in range(30):
        pace.leave(await turn_of(pace, 2_000), 20)
    assert pace.tokens.used(time.monotonic()) == 700


async def test_what_was_refused_had_no_tokens_and_says_nothing_of_those_that_will() -> None:
    pace = Pace(tokens_per_minute=1_000)
    assert pace.tokens is not None
    for _ in range(20):
        pace.leave(await turn_of(pace, 3_000), was_refused=True)
    assert pace.tokens.used(time.monotonic()) == 0
    assert (await turn_of(pace, 3_000)).tokens == 900


async def test_a_call_larger_than_a_minute_is_let_through_when_nothing_else_is() -> None:
    pace = Pace(tokens_per_minute=10)
    assert await pace.enter(1_000_000, soon(0.01)) is not None
    assert await pace.enter(1, soon(0.01)) is None
