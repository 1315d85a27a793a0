"""Budgets that hold: money is set aside before a call and settled once, exactly, per UTC day.

The ledger lives in the one process that serves a project. A lock makes each of its operations one
step, so that between the check and the hold nothing else can spend, and a job may run in a thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from ..errors import BudgetExhausted
from ..types import DAY_US, MICRO, Clock, Hold
from .prices import format_usd

_NEVER_US = 1 << 62
_NOTHING = (0, 0)


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

    Args:
        clock: Says which day it is.
        append: Writes a hold to the spool, so that it still counts after a crash.
        spent_on: Day (Unix microseconds of its midnight) → scope → micro-dollars settled that day.
            It must know everything recorded before it is called, what waits in the spool included.
        holds: Holds that an earlier process left unsettled; they count until their lease ends.
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
        self._open = {hold.id: hold for hold in holds}
        self._lapsed: set[str] = set()
        self._first_lease_us = min((hold.lease_us for hold in holds), default=_NEVER_US)
        self._day_us = self._day_end_us = 0
        self._counters: dict[str, list[int]] = {}  # scope -> [settled, held]
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
    ) -> Hold:
        """Set `micro` aside in every scope of `ceilings`, or in none.

        Args:
            request_id: The id of the request, which settles the hold once.
            ceilings: What the request counts against; no scope twice.
            micro: The most the request may cost, in micro-dollars. Zero always fits.
            lease_us: Unix microseconds after which the hold stops counting if it is never settled.
            service: Whose request it is, for the record.
            key: Whose key asked, for the record.

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
            hold = Hold(request_id, now_us, scopes, micro, lease_us, service, key)
            if micro:
                self._append(hold)
                self._add(hold, 0, micro)
            self._open[request_id] = hold
            if lease_us < self._first_lease_us:
                self._first_lease_us = lease_us
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
            if self._open.pop(hold.id, None) is not None:
                held = hold.micro
            elif hold.id in self._lapsed:
                self._lapsed.remove(hold.id)
                held = 0
            else:
                raise ValueError(f"expected an open hold, got {hold.id}, which is not, or no more")
            if held or micro:
                self._add(hold, micro, -held)

    def expire(self) -> int:
        """Let holds whose lease has ended count no longer; returns how many there were."""
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
        counters = {scope: [micro, 0] for scope, micro in self._spent_on(day_us).items()}
        # From here on nothing can fail: a store that is away leaves the old day as it was.
        self._counters = counters
        self._day_us, self._day_end_us = day_us, day_us + DAY_US
        for hold in self._open.values():
            self._add(hold, 0, hold.micro)

    def _add(self, hold: Hold, settled: int, held: int) -> None:
        """Add to every scope of `hold`, if it was placed on the day that is counted."""
        if self._day_us <= hold.at_us < self._day_end_us:
            counters = self._counters
            for scope in hold.scopes:
                if scope in counters:
                    counter = counters[scope]
                    counter[0] += settled
                    counter[1] += held
                else:
                    counters[scope] = [settled, held]

    def _expire(self, now_us: int) -> int:
        if now_us < self._first_lease_us:
            return 0
        ended = [hold for hold in self._open.values() if hold.lease_us <= now_us]
        for hold in ended:
            del self._open[hold.id]
            self._lapsed.add(hold.id)
            self._add(hold, 0, -hold.micro)
        leases = (hold.lease_us for hold in self._open.values())
        self._first_lease_us = min(leases, default=_NEVER_US)
        return len(ended)

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
            again_us, advice = self._first_lease_us, "requests in flight to settle"
        else:
            again_us, advice = self._day_end_us, "the next day (UTC)"
        raise BudgetExhausted(
            f"budget of `{ceiling.scope}` is spent: {format_usd(settled)} spent and"
            f" {format_usd(held)} held of {top}, and this request may cost {format_usd(micro)};"
            f" raise `{ceiling.what}` or wait for {advice}",
            retry_after_s=(min(again_us, self._day_end_us) - now_us) / MICRO,
        )
