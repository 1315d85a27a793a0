"""Pacing: a provider's limits are kept here, before it has to refuse anything."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import NamedTuple

MINUTE = 61
"""Cells of a second that make a whole minute whenever it begins."""
FIRST_RATIO = 0.3
"""Tokens of a call as a share of the most it can have, before any was counted."""
NEWS = 0.1


class Minute:
    """What was used in the last minute, by the second: never more than `most` in any minute.

    Args:
        most: What may be used in a minute.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._cells = [0] * MINUTE
        self._used = 0
        self._second = 0

    def used(self, now: float) -> int:
        """Return what was used in the minute before `now`, in monotonic seconds."""
        self._turn(now)
        return self._used

    def add(self, amount: int, now: float) -> int:
        """Use some of it, and return the second in which that was."""
        self._turn(now)
        self._cells[self._second % MINUTE] += amount
        self._used += amount
        return self._second

    def correct(self, amount: int, second: int, now: float) -> None:
        """Add what was used beyond what was thought in some second, or take away what was not."""
        self._turn(now)
        if amount > 0:
            self.add(amount, now)
        elif self._second - second < MINUTE:
            self._cells[second % MINUTE] += amount
            self._used += amount

    def wait_s(self, amount: int, now: float) -> float:
        """Return in how many seconds there is room for so much; 0 where that is now."""
        self._turn(now)
        room = self.most - self._used
        wanted = min(amount, self.most)
        if room >= wanted:
            return 0.0
        for ago in range(MINUTE - 1, -1, -1):
            room += self._cells[(self._second - ago) % MINUTE]
            if room >= wanted:
                return self._second - ago + MINUTE - now
        return float(MINUTE)

    def _turn(self, now: float) -> None:
        second = int(now)
        gone = min(second - self._second, MINUTE)
        if gone <= 0:
            return
        for later in range(1, gone + 1):
            place = (self._second + later) % MINUTE
            self._used -= self._cells[place]
            self._cells[place] = 0
        self._second = second


class Turn(NamedTuple):
    """A place that was given: the second it was given in, and the tokens that it counts as."""

    second: int
    tokens: int
    most_tokens: int


class _Waiter(NamedTuple):
    most_tokens: int
    turn: asyncio.Future[Turn | None]


class Pace:
    """The limits of one provider, and who waits for a turn, first come first served.

    Args:
        max_concurrent: Most calls at work at once; None sets no limit, here and below.
        requests_per_minute: Most calls in any minute.
        tokens_per_minute: Most tokens in any minute, in and out together. What a call will have is
            learned from what calls had.

    Attributes:
        at_work: Calls at work now.
    """

    def __init__(
        self,
        max_concurrent: int | None = None,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
    ) -> None:
        self.at_work = 0
        self.max_concurrent = max_concurrent
        self.requests = None if requests_per_minute is None else Minute(requests_per_minute)
        self.tokens = None if tokens_per_minute is None else Minute(tokens_per_minute)
        self._waiting: deque[_Waiter] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._ratio = FIRST_RATIO

    @property
    def waiting(self) -> int:
        """How many wait for a turn."""
        return sum(not waiter.turn.done() for waiter in self._waiting)

    async def enter(self, most_tokens: int, until: float) -> Turn | None:
        """Wait for a turn; None where there is none in time.

        Whoever got one gives it back with `leave`.

        Args:
            most_tokens: The most the call can have, in and out together.
            until: Monotonic seconds up to which to wait.
        """
        now = time.monotonic()
        self._drop_gone()
        if not self._waiting:
            wait_s = self._wait_s(most_tokens, now)
            if wait_s == 0.0:
                return self._give(most_tokens, now)
            if wait_s is not None and now + wait_s > until:
                return None
        loop = asyncio.get_running_loop()
        waiter = _Waiter(most_tokens, loop.create_future())
        self._waiting.append(waiter)
        ends = loop.call_later(max(until - now, 0.0), _end, waiter.turn)
        self._serve()
        try:
            return await waiter.turn
        except asyncio.CancelledError:
            turn = waiter.turn
            if turn.done() and not turn.cancelled() and (given := turn.result()) is not None:
                self._undo(given)
            raise
        finally:
            ends.cancel()
            self._serve()

    def leave(
        self, turn: Turn, used_tokens: int | None = None, *, was_refused: bool = False
    ) -> None:
        """Give a turn back, with the tokens that the call had.

        Args:
            turn: What was given.
            used_tokens: None where nobody counted them: then what was expected counts.
            was_refused: Whether nothing was made of the call, so that it had none.
        """
        self.at_work -= 1
        used_tokens = 0 if was_refused else used_tokens
        if self.tokens is not None and used_tokens is not None:
            now = time.monotonic()
            self.tokens.correct(used_tokens - turn.tokens, turn.second, now)
            if turn.most_tokens and not was_refused:
                ratio = min(used_tokens / turn.most_tokens, 1.0)
                self._ratio += NEWS * (ratio - self._ratio)
        if self._waiting:
            self._serve()

    def _undo(self, turn: Turn) -> None:
        """Take back a turn of which nothing was made."""
        now = time.monotonic()
        if self.requests is not None:
            self.requests.correct(-1, turn.second, now)
        self.leave(turn, was_refused=True)

    def _drop_gone(self) -> None:
        while self._waiting and self._waiting[0].turn.done():
            self._waiting.popleft()

    def _serve(self) -> None:
        """Give turns to who waits, in order, as far as there is room; look again when there is."""
        self._drop_gone()
        while self._waiting:
            now = time.monotonic()
            wait_s = self._wait_s(self._waiting[0].most_tokens, now)
            if wait_s != 0.0:
                self._look_again(wait_s)
                return
            waiter = self._waiting.popleft()
            waiter.turn.set_result(self._give(waiter.most_tokens, now))
            self._drop_gone()

    def _look_again(self, wait_s: float | None) -> None:
        """Look again when time makes room; where only another's end does, that is when it ends."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if wait_s is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(wait_s + 0.001, self._serve)

    def _wait_s(self, most_tokens: int, now: float) -> float | None:
        """Return in how many seconds there is room; None where that depends on who is at work."""
        if self.max_concurrent is not None and self.at_work >= self.max_concurrent:
            return None
        wait_s = 0.0
        if self.requests is not None:
            wait_s = self.requests.wait_s(1, now)
        if self.tokens is not None:
            wait_s = max(wait_s, self.tokens.wait_s(self._expected(most_tokens), now))
        return wait_s

    def _expected(self, most_tokens: int) -> int:
        return int(most_tokens * self._ratio)

    def _give(self, most_tokens: int, now: float) -> Turn:
        self.at_work += 1
        expected = 0
        if self.requests is not None:
            self.requests.add(1, now)
        if self.tokens is not None:
            expected = self._expected(most_tokens)
            self.tokens.add(expected, now)
        return Turn(int(now), expected, most_tokens)


def _end(turn: asyncio.Future[Turn | None]) -> None:
    if not turn.done():
        turn.set_result(None)
