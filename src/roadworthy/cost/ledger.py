"""Budgets that hold: money is set aside before a call and settled once, exactly, in every scope.

A scope has a ceiling per UTC day, per calendar month, or both. The ledger lives in the one process
that serves a project. A lock makes each of its operations one step, so that between the check and
the hold nothing else can spend, and a job may run in a thread.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, islice
from typing import NamedTuple

import msgspec

from ..errors import BudgetExhausted
from ..store.ceilings import Period, Raised
from ..store.periods import day_of, minute_text, month_of
from ..store.spending import USER
from ..types import MICRO, Clock, Hold, Kind
from .prices import format_usd

Spent = Callable[[int], Mapping[str, int]]
"""First moment (Unix microseconds) of a day or month → scope → micro-dollars settled in it."""

_NOTHING = (0, 0, 0, 0)
_NO_PARTS: Mapping[str, int] = {}
_Counter = list[int]
"""What a scope has settled today, and holds; then the same of the month's other days."""


def _zeros() -> _Counter:
    return [0, 0, 0, 0]


class Ceiling(NamedTuple):
    """The most that a scope may spend.

    Attributes:
        scope: Whose spending counts: `service:…`, `user:…/…`, `key:…`, `team:…`, `tag:…`,
            `provider:…`, `project`. No name in a scope can make it look like another's: what
            stands before the first colon is fixed, and of a user it is up to the first slash.
        micro: The most in a UTC day, in micro-dollars; None sets no limit to it.
        what: The declared key that sets it, such as `cost.per_day_usd`.
        month_micro: The most in a calendar month (UTC).
        month_what: The declared key that sets that.
        soft_micro, soft_month_micro: From which amount on it counts as soon spent.
    """

    scope: str
    micro: int | None
    what: str
    month_micro: int | None = None
    month_what: str = ""
    soft_micro: int | None = None
    soft_month_micro: int | None = None


class Standing(NamedTuple):
    """How a scope stands in one day or month.

    Attributes:
        top_micro: Its ceiling, with what it was raised to; None where there is none.
        ends_us: When the period ends, and its spending begins anew.
    """

    scope: str
    period: Period
    what: str
    top_micro: int | None
    soft_micro: int | None
    settled_micro: int
    held_micro: int
    starts_us: int
    ends_us: int

    @property
    def is_soft(self) -> bool:
        """Whether it is spent as far as its soft share."""
        return self.soft_micro is not None and self.settled_micro >= self.soft_micro


class Reached(msgspec.Struct, frozen=True):
    """A ceiling that was reached: as far as its soft share, or whole.

    Attributes:
        starts_us: When the day or month began that it was reached in.
        spent_micro: What was settled by then.
    """

    scope: str
    period: Period
    starts_us: int
    is_spent: bool
    top_micro: int
    spent_micro: int
    what: str


_Open = tuple[Hold, Sequence[Ceiling], Sequence[_Counter], int]
"""A hold that was placed here, its ceilings, and their counters as of one turn of the ledger.

A plain tuple: one with names takes as long to make as all else that is done for one ceiling.
"""


class Ledger:
    """What every scope has settled and holds, in integer micro-dollars, per UTC day and month.

    Memory is bounded by the scopes of one month: when the day changes, in whichever direction, the
    counters are loaded anew, and open holds count against the day and month they were placed in.

    A hold that was placed here counts until it is settled, whatever the clock says: its request is
    still at work and may still spend. Only one that an earlier process left has nobody to settle
    it, and counts until its lease ends.

    Args:
        clock: Says which day it is.
        append: Writes a hold to the spool, so that it still counts after a crash.
        spent_on: What was settled on the day that begins at a time. It must know everything
            recorded before it is called, what waits in the spool included.
        holds: Holds that an earlier process left unsettled.
        spent_in_month: Likewise of a month. Without it only the day is known: of a ledger that
            lives no longer than one.

    Attributes:
        raised: Ceilings that were raised for now, by scope and period; replaced as a whole.
    """

    def __init__(
        self,
        clock: Clock,
        append: Callable[[Hold], None],
        spent_on: Spent,
        holds: Sequence[Hold] = (),
        spent_in_month: Spent | None = None,
    ) -> None:
        self.raised: Mapping[tuple[str, Period], Raised] = {}
        self._lock = threading.Lock()
        self._clock = clock
        self._append = append
        self._spent_on = spent_on
        self._spent_in_month = spent_in_month
        self._open: dict[str, _Open] = {}
        self._turn = 0
        self._left = sorted(holds, key=lambda hold: -hold.lease_us)  # the first to end is the last
        self._day_us = self._day_end_us = self._month_us = self._month_end_us = 0
        self._counters = defaultdict[str, _Counter](_zeros)
        self._reached: dict[tuple[str, Period, bool], int] = {}
        self._untold: list[Reached] = []
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
        parts: Mapping[str, int] = _NO_PARTS,
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
            parts: Scopes that only a part of `micro` counts against, each with that.

        Raises:
            BudgetExhausted: A ceiling could be crossed; nothing is set aside.
            StoreError: The spool or the day's spending cannot be reached; nothing is set aside.
        """
        if micro < 0:
            raise ValueError(f"expected micro >= 0, got {micro} for {request_id}")
        with self._lock:
            now_us = self._now_us()
            if request_id in self._open:
                raise ValueError(f"expected a new request, got {request_id}, which is open")
            counters = [self._counters[ceiling[0]] for ceiling in ceilings]
            if micro:
                self._check(ceilings, counters, micro, now_us, parts)
            scopes = tuple([ceiling[0] for ceiling in ceilings])
            placed_us = now_us
            if at_us is not None and self._day_us <= at_us < self._day_end_us:
                placed_us = at_us
            own = dict(parts) if parts else None
            hold = Hold(request_id, placed_us, scopes, micro, lease_us, service, key, kind, own)
            if micro:
                self._append(hold)
                if parts:
                    self._add(hold, 0, micro, _NO_PARTS)
                else:
                    for counter in counters:
                        counter[1] += micro
            self._open[request_id] = (hold, ceilings, counters, self._turn)
            return hold

    def settle(self, hold: Hold, micro: int, parts: Mapping[str, int] = _NO_PARTS) -> None:
        """Release `hold` and count what the request really cost, in micro-dollars.

        It may be more than was held (an upstream that ignored its limit): what was spent is spent.

        Args:
            hold: As it was placed.
            micro: What the request cost.
            parts: Scopes that only a part of it counts against, each with that.

        Raises:
            ValueError: The hold was settled before, or was never placed here, or `micro` < 0.
        """
        if micro < 0:
            raise ValueError(f"expected a cost >= 0, got {micro} for {hold.id}")
        with self._lock:
            known = self._open.pop(hold.id, None)
            if known is None:
                raise ValueError(f"expected an open hold, got {hold.id}, which is not, or no more")
            if not (hold.micro or micro):
                return
            _, ceilings, counters, turn = known
            if turn != self._turn or hold.parts:
                self._add(hold, micro, -hold.micro, parts)
            else:  # the most usual case: they are those it was placed in
                held = hold.micro
                for counter in counters:
                    counter[0] += micro
                    counter[1] -= held
            if micro:
                self._note_reached(ceilings, counters if turn == self._turn else None)

    def expire(self) -> int:
        """Let inherited holds whose lease has ended count no longer; returns how many there were.

        No hold that was placed here is among them.
        """
        with self._lock:
            return self._expire(self._clock.now_us())

    def renew(self) -> None:
        """Read anew what was spent: other scopes are asked for from now on.

        Call it where requests are settled: between a settlement and its record it would miss one.

        Raises:
            StoreError: It cannot be read; what was known stays.
        """
        with self._lock:
            self._turn_to(self._clock.now_us())

    def spent(self, scope: str, period: Period = "day") -> tuple[int, int]:
        """Micro-dollars that `scope` has settled and holds today, or in this month.

        Raises:
            StoreError: A new day has begun and its spending cannot be read.
        """
        with self._lock:
            self._now_us()
            settled, held, before, held_before = self._counters.get(scope, _NOTHING)
            if period == "day":
                return settled, held
            return settled + before, held + held_before

    def is_soft(self, ceilings: Iterable[Ceiling]) -> bool:
        """Whether one of these ceilings is spent as far as its soft share."""
        with self._lock:
            for scope, _, _, _, _, soft, soft_month in ceilings:
                settled, _, before, _ = self._counters.get(scope, _NOTHING)
                if soft is not None and settled >= soft:
                    return True
                if soft_month is not None and settled + before >= soft_month:
                    return True
            return False

    def standings(self, ceilings: Iterable[Ceiling]) -> list[Standing]:
        """Return how each of these ceilings stands: one for its day, one for its month.

        Raises:
            StoreError: A new day has begun and its spending cannot be read.
        """
        with self._lock:
            self._now_us()
            return [
                standing._replace(top_micro=self._top_of(standing))
                for ceiling in ceilings
                for standing in self._standings_of(ceiling)
            ]

    def take_reached(self) -> list[Reached]:
        """Return the ceilings that were reached since the last time, each once in its period.

        Those of single users are not among them: what is told of a ceiling names nobody.
        """
        with self._lock:
            taken, self._untold = self._untold, []
            return taken

    def keep_reached(self, reached: Sequence[Reached]) -> None:
        """Return them again the next time: they could not be told."""
        with self._lock:
            self._untold[:0] = reached

    def _now_us(self) -> int:
        """Return the time, with the counters of its day and month."""
        now_us = self._clock.now_us()
        if not self._day_us <= now_us < self._day_end_us:
            self._turn_to(now_us)
        return now_us

    def _turn_to(self, now_us: int) -> None:
        (day_us, day_end_us), (month_us, month_end_us) = day_of(now_us), month_of(now_us)
        days = self._spent_on(day_us)
        months = days if self._spent_in_month is None else self._spent_in_month(month_us)
        counters = {scope: [0, 0, micro, 0] for scope, micro in months.items()}
        # From here on nothing can fail: a store that is away leaves the old day as it was.
        self._counters = defaultdict(_zeros, counters)
        for scope, micro in days.items():
            of_month = self._counters[scope][2]
            self._counters[scope][:] = (micro, 0, max(of_month - micro, 0), 0)
        self._turn += 1
        self._day_us, self._day_end_us = day_us, day_end_us
        self._month_us, self._month_end_us = month_us, month_end_us
        self._reached = {
            what: starts_us
            for what, starts_us in self._reached.items()
            if starts_us == (day_us if what[1] == "day" else month_us)
        }
        for hold in chain((known[0] for known in self._open.values()), self._left):
            self._add(hold, 0, hold.micro, _NO_PARTS)

    def _add(self, hold: Hold, settled: int, held: int, settled_parts: Mapping[str, int]) -> None:
        """Add to every scope of `hold`, for the day and month that are counted, if it is of them.

        Where a scope holds but a part, `held` says only the direction.
        """
        at_us = hold.at_us
        if not self._month_us <= at_us < self._month_end_us:
            return
        first = 0 if self._day_us <= at_us < self._day_end_us else 2
        counters, held_parts = self._counters, hold.parts
        for scope in hold.scopes:
            counter, spends, holds = counters[scope], settled, held
            if held_parts and scope in held_parts:
                part = held_parts[scope]
                spends, holds = settled_parts.get(scope, 0), part if held > 0 else -part
            counter[first] += spends
            counter[first + 1] += holds

    def _expire(self, now_us: int) -> int:
        left, before = self._left, len(self._left)
        while left and left[-1].lease_us <= now_us:
            hold = left.pop()
            self._add(hold, 0, -hold.micro, _NO_PARTS)
        return before - len(left)

    def _check(
        self,
        ceilings: Sequence[Ceiling],
        counters: Sequence[list[int]],
        micro: int,
        now_us: int,
        parts: Mapping[str, int],
    ) -> None:
        wanted = micro
        for ceiling, counter in zip(ceilings, counters):  # noqa: B905 - made of each other above
            settled, held, before, held_before = counter
            if parts:
                wanted = parts.get(ceiling[0], micro)
            used, day, month = settled + held + wanted, ceiling[1], ceiling[3]
            if (day is not None and used > day) or (
                month is not None and used + before + held_before > month
            ):
                self._check_again(ceiling, wanted, now_us)

    def _check_again(self, ceiling: Ceiling, micro: int, now_us: int) -> None:
        """Refuse, unless what stood in the way are holds whose lease ended, or it was raised."""
        if not micro:
            return
        self._expire(now_us)
        for standing in self._standings_of(ceiling):
            top = self._top_of(standing)
            used = standing.settled_micro + standing.held_micro
            if top is not None and used + micro > top:
                raise self._refusal(standing._replace(top_micro=top), top, micro, now_us)

    def _refusal(self, of: Standing, top: int, micro: int, now_us: int) -> BudgetExhausted:
        most, month = format_usd(top), " a month" if of.period == "month" else ""
        if micro > top:
            return BudgetExhausted(
                f"budget of `{of.scope}`: expected a request of at most {most}, got one that"
                f" may cost {format_usd(micro)}; ask for less output or raise `{of.what}`",
                scope=of.scope,
            )
        if of.settled_micro + micro <= top:
            again_us, advice = min(self._room_us(), of.ends_us), "for requests in flight to settle"
        else:
            again_us, advice = of.ends_us, f"until {minute_text(of.ends_us)}"
            self._note(of, top, is_spent=True)
        return BudgetExhausted(
            f"budget of `{of.scope}` is spent: {format_usd(of.settled_micro)} spent and"
            f" {format_usd(of.held_micro)} held of {most}{month}, and this request may cost"
            f" {format_usd(micro)}; raise `{of.what}` or wait {advice}",
            scope=of.scope,
            retry_after_s=max(again_us - now_us, MICRO) / MICRO,
        )

    def _standings_of(self, ceiling: Ceiling) -> list[Standing]:
        scope, day, what, month, month_what, soft, soft_month = ceiling
        settled, held, before, held_before = self._counters.get(scope, _NOTHING)
        found = []
        if day is not None:
            ends = (self._day_us, self._day_end_us)
            found.append(Standing(scope, "day", what, day, soft, settled, held, *ends))
        if month is not None:
            settled, held = settled + before, held + held_before
            ends = (self._month_us, self._month_end_us)
            found.append(
                Standing(scope, "month", month_what, month, soft_month, settled, held, *ends)
            )
        return found

    def _top_of(self, of: Standing) -> int | None:
        raised = self.raised.get((of.scope, of.period))
        if raised is None or of.top_micro is None or raised.until_us != of.ends_us:
            return of.top_micro
        return max(of.top_micro, raised.micro)

    def _note_reached(
        self, ceilings: Sequence[Ceiling], counters: Sequence[_Counter] | None
    ) -> None:
        """Note the ceilings that are spent now, whole or as far as their soft share."""
        if counters is None:
            counters = [self._counters[ceiling[0]] for ceiling in ceilings]
        for ceiling, counter in zip(ceilings, counters):  # noqa: B905 - made of each other
            soft, soft_month = ceiling[5], ceiling[6]
            if (soft is not None and counter[0] >= soft) or (
                soft_month is not None and counter[0] + counter[2] >= soft_month
            ):
                self._note_each(ceiling)

    def _note_each(self, ceiling: Ceiling) -> None:
        for standing in self._standings_of(ceiling):
            top = self._top_of(standing)
            if top is not None and standing.is_soft:
                self._note(standing, top, is_spent=False)
                if standing.settled_micro >= top:
                    self._note(standing, top, is_spent=True)

    def _note(self, of: Standing, top: int, *, is_spent: bool) -> None:
        what = (of.scope, of.period, is_spent)
        if what in self._reached or of.scope.startswith(USER):
            return
        self._reached[what] = of.starts_us
        self._untold.append(
            Reached(of.scope, of.period, of.starts_us, is_spent, top, of.settled_micro, of.what)
        )

    def _room_us(self) -> int:
        """Return when the oldest request at work, or the first that was left, is over for sure.

        The oldest has settled by its lease, unless somebody set the clock.
        """
        firsts = (*(known[0] for known in islice(self._open.values(), 1)), *self._left[-1:])
        return min((hold.lease_us for hold in firsts), default=0)
