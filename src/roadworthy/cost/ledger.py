"""Budgets that hold: money is set aside before a call and settled once, exactly, per UTC day.

The ledger lives in the one process that serves a project. A lock makes each of its operations one
step, so that between the check and the hold nothing else can spend, and a job may run in a thread.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, islice
from typing import NamedTuple

from ..errors import BudgetExhausted
from ..types import DAY_US, MICRO, Clock, Hold, Kind
from .prices import format_usd

_NOTHING = (0, 0)


def _zeros() -> list[int]:
    return [0, 0]


class Ceiling(NamedTuple):
    """The most that a scope may spend in a day.

    Attributes:
        scope: Whose spending counts: `service:…`, `user:…/…`, `key:…`.
        micro: The ceiling in micro-dollars.
        what: The declared key that sets it, such as `cost.per_day_usd`.
    """

    scope: str
    micro: int
    what: str


class Ledger:
    """What every scope has settled and holds, in integer micro-dollars, for the clock's UTC day.

    Memory is bounded by the scopes of one day: when the day changes, in whichever direction, the
    counters are loaded anew, and open holds count against the day they were placed on only.

    A hold that was placed here counts until it is settled, whatever the clock says: its request is
    still at work and may still spend. Only one that an earlier process left has nobody to settle
    it, and counts until its lease ends.

    Args:
        clock: Says which day it is.
        append: Writes a hold to the spool, so that it still counts after a crash.
        spent_on: Day (Unix microseconds of its midnight) → scope → micro-dollars settled that day.
            It must know everything recorded before it is called, what waits in the spool included.
        holds: Holds that an earlier process left unsettled.
    """

    def __init__(
        self,
        clock: Clock,
        append: Callable[[Hold], None],
        spent_on: Callable[[int], Mapping[str, int]],
        holds: Sequence[Hold] = (),
    ) -> None:
        self._lock = threading.Lock()
        self._clock = clock
        self._append = append
        self._spent_on = spent_on
        self._open: dict[str, Hold] = {}
        self._left = sorted(holds, key=lambda hold: -hold.lease_us)  # the first to end is the last
        self._day_us = self._day_end_us = 0
        self._counters = defaultdict[str, list[int]](_zeros)  # scope -> [settled, held]
        self._turn_to(clock.now_us())
        self.expire()

    def reserve(
        self,
        request_id: str,
        ceilings: Sequence[Ceiling],
        micro: int,
        lease_us: int,
        service: str = "",
        key: str = "",
        kind: Kind = "generate",
        *,
        at_us: int | None = None,
    ) -> Hold:
        """Set `micro` aside in every scope of `ceilings`, or in none.

        Args:
            request_id: The id of the request, which settles the hold once.
            ceilings: What the request counts against; no scope twice.
            micro: The most the request may cost, in micro-dollars. Zero always fits.
            lease_us: Unix microseconds until which the hold counts if this process dies.
            service: Whose request it is, for the record.
            key: Whose key asked, for the record.
            kind: Of which kind the request is, for the record.
            at_us: When the request came, by default now; a time of another day is now.

        Raises:
            BudgetExhausted: A ceiling could be crossed; nothing is set aside.
            StoreError: The spool or the day's spending cannot be reached; nothing is set aside.
        """
        if micro < 0:
            raise ValueError(f"expected micro >= 0, got {micro} for {request_id}")
        with self._lock:
            now_us = self._clock.now_us()
            if not self._day_us <= now_us < self._day_end_us:
                self._turn_to(now_us)
            if request_id in self._open:
                raise ValueError(f"expected a new request, got {request_id}, which is open")
            if micro:
                self._check(ceilings, micro, now_us)
            scopes = tuple([ceiling.scope for ceiling in ceilings])
            placed_us = now_us
            if at_us is not None and self._day_us <= at_us < self._day_end_us:
                placed_us = at_us
            hold = Hold(request_id, placed_us, scopes, micro, lease_us, service, key, kind)
            if micro:
                self._append(hold)
                self._add(hold, 0, micro)
            self._open[request_id] = hold
            return hold

    def settle(self, hold: Hold, micro: int) -> None:
        """Release `hold` and count what the request really cost, in micro-dollars.

        It may be more than was held (an upstream that ignored its limit): what was spent is spent.

        Raises:
            ValueError: The hold was settled before, or was never placed here, or `micro` < 0.
        """
        if micro < 0:
            raise ValueError(f"expected a cost >= 0, got {micro} for {hold.id}")
        with self._lock:
            if self._open.pop(hold.id, None) is None:
                raise ValueError(f"expected an open hold, got {hold.id}, which is not, or no more")
            if hold.micro or micro:
                self._add(hold, micro, -hold.micro)

    def expire(self) -> int:
        """Let inherited holds whose lease has ended count no longer; returns how many there were.

        No hold that was placed here is among them.
        """
        with self._lock:
            return self._expire(self._clock.now_us())

    def spent(self, scope: str) -> tuple[int, int]:
        """Micro-dollars that `scope` has settled and holds today.

        Raises:
            StoreError: A new day has begun and its spending cannot be read.
        """
        with self._lock:
            now_us = self._clock.now_us()
            if not self._day_us <= now_us < self._day_end_us:
                self._turn_to(now_us)
            settled, held = self._counters.get(scope, _NOTHING)
            return settled, held

    def _turn_to(self, now_us: int) -> None:
        day_us = now_us - now_us % DAY_US
        settled = {scope: [micro, 0] for scope, micro in self._spent_on(day_us).items()}
        # From here on nothing can fail: a store that is away leaves the old day as it was.
        self._counters = defaultdict(_zeros, settled)
        self._day_us, self._day_end_us = day_us, day_us + DAY_US
        for hold in chain(self._open.values(), self._left):
            self._add(hold, 0, hold.micro)

    def _add(self, hold: Hold, settled: int, held: int) -> None:
        """Add to every scope of `hold`, if it was placed on the day that is counted."""
        if self._day_us <= hold.at_us < self._day_end_us:
            counters = self._counters
            for scope in hold.scopes:
                counter = counters[scope]
                counter[0] += settled
                counter[1] += held

    def _expire(self, now_us: int) -> int:
        left, before = self._left, len(self._left)
        while left and left[-1].lease_us <= now_us:
            hold = left.pop()
            self._add(hold, 0, -hold.micro)
        return before - len(left)

    def _check(self, ceilings: Sequence[Ceiling], micro: int, now_us: int) -> None:
        for ceiling in ceilings:
            settled, held = self._counters.get(ceiling.scope, _NOTHING)
            if settled + held + micro > ceiling.micro:
                self._check_again(ceiling, micro, now_us)

    def _check_again(self, ceiling: Ceiling, micro: int, now_us: int) -> None:
        """Refuse, unless holds whose lease has ended were all that stood in the way."""
        self._expire(now_us)
        settled, held = self._counters.get(ceiling.scope, _NOTHING)
        if settled + held + micro <= ceiling.micro:
            return
        top = format_usd(ceiling.micro)
        if micro > ceiling.micro:
            raise BudgetExhausted(
                f"budget of `{ceiling.scope}`: expected a request of at most {top}, got one that"
                f" may cost {format_usd(micro)}; ask for less output or raise `{ceiling.what}`"
            )
        if settled + micro <= ceiling.micro:
            again_us, advice = self._room_us(), "requests in flight to settle"
        else:
            again_us, advice = self._day_end_us, "the next day (UTC)"
        raise BudgetExhausted(
            f"budget of `{ceiling.scope}` is spent: {format_usd(settled)} spent and"
            f" {format_usd(held)} held of {top}, and this request may cost {format_usd(micro)};"
            f" raise `{ceiling.what}` or wait for {advice}",
            retry_after_s=max(min(again_us, self._day_end_us) - now_us, MICRO) / MICRO,
        )

    def _room_us(self) -> int:
        """Return when the oldest request at work, or the first that was left, is over for sure.

        The oldest has settled by its lease, unless somebody set the clock.
        """
        firsts = (*islice(self._open.values(), 1), *self._left[-1:])
        return min(hold.lease_us for hold in firsts)
