"""The ledger against a model of it: requests, crashes and clock changes in any order."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from roadworthy.cost.ledger import Ceiling, Ledger
from roadworthy.errors import BudgetExhausted, StoreError
from roadworthy.types import DAY_US, MICRO, Hold

TOPS = {"service:s": 100, "user:s/a": 40, "user:s/b": 40, "key:k": 70, "provider:p": 25}
MONTH_TOPS = {"service:s": 180, "user:s/a": 60, "user:s/b": 90, "key:k": 150, "provider:p": 45}
PART = 3
"""Of what is held and spent, a third is the provider's."""
USERS = ("user:s/a", "user:s/b")
START_US = 20_000 * DAY_US


def share_of(scope: str, micro: int) -> int:
    return micro // PART if scope.startswith("provider:") else micro


def parts_of(scopes: tuple[str, ...], micro: int) -> dict[str, int]:
    return {scope: micro // PART for scope in scopes if scope.startswith("provider:")}


class LedgerMachine(RuleBasedStateMachine):
    """`stored` is what the database would know.

    `open` holds all that may yet settle, and `left` what died with an earlier process.
    """

    requests: Bundle[Hold] = Bundle("requests")

    @initialize()
    def start(self) -> None:
        self.us = START_US + DAY_US // 2
        self.stored: dict[int, dict[str, int]] = {}
        self.open: dict[str, Hold] = {}
        self.left: dict[str, Hold] = {}
        self.count = 0
        self.disk_is_full = False
        self.appended: list[str] = []
        self.restart()

    # The ledger's surroundings.

    def now_us(self) -> int:
        return self.us

    def monotonic(self) -> float:
        return self.us / MICRO

    def append(self, hold: Hold) -> None:
        if self.disk_is_full:
            raise StoreError("the disk is full")
        self.appended.append(hold.id)

    def restart(self) -> None:
        self.ledger = Ledger(
            self,
            self.append,
            lambda day: self.stored.get(day, {}),
            list(self.left.values()),
            self.month,
        )
        self.let_leases_end()

    # What should be true.

    def day(self, at_us: int) -> int:
        return at_us - at_us % DAY_US

    def month(self, month_us: int) -> dict[str, int]:
        months = [day for day in self.stored if self.name_of(day) == self.name_of(month_us)]
        scopes = {scope for day in months for scope in self.stored[day]}
        return {s: sum(self.stored[day].get(s, 0) for day in months) for s in scopes}

    def name_of(self, at_us: int) -> str:
        return f"{datetime.fromtimestamp(at_us / MICRO, UTC):%Y-%m}"

    def settled(self, scope: str, *, of_month: bool = False) -> int:
        today = self.day(self.us)
        known = self.month(today) if of_month else self.stored.get(today, {})
        return known.get(scope, 0)

    def held(self, scope: str, *, of_month: bool = False) -> int:
        held = (*self.open.values(), *self.left.values())
        when = self.name_of if of_month else self.day
        now = (h for h in held if when(h.at_us) == when(self.us) and scope in h.scopes)
        return sum(share_of(scope, hold.micro) for hold in now)

    def fits(self, scopes: tuple[str, ...], micro: int) -> bool:
        return all(self.fits_in(scope, share_of(scope, micro)) for scope in scopes)

    def fits_in(self, scope: str, micro: int) -> bool:
        if not micro:
            return True
        month = self.settled(scope, of_month=True) + self.held(scope, of_month=True)
        return (
            self.settled(scope) + self.held(scope) + micro <= TOPS[scope]
            and month + micro <= MONTH_TOPS[scope]
        )

    def let_leases_end(self) -> None:
        self.left = {k: h for k, h in self.left.items() if h.lease_us > self.us}

    # What happens.

    @rule(
        target=requests,
        user=st.sampled_from(USERS),
        with_key=st.booleans(),
        micro=st.integers(0, 60),
        lease_s=st.integers(1, 7200),
        disk_is_full=st.sampled_from([False, False, False, True]),
    )
    def reserve(
        self, user: str, with_key: bool, micro: int, lease_s: int, disk_is_full: bool
    ) -> Any:
        scopes = ("service:s", user, *(("key:k", "provider:p") if with_key else ()))
        if micro and not self.fits(scopes, micro):
            self.let_leases_end()
        should_fit = not micro or self.fits(scopes, micro)
        self.count += 1
        self.disk_is_full = disk_is_full
        ceilings = [Ceiling(s, TOPS[s], "cost", MONTH_TOPS[s], "cost") for s in scopes]
        try:
            hold = self.ledger.reserve(
                f"rq_{self.count}",
                ceilings,
                micro,
                self.us + lease_s * MICRO,
                parts=parts_of(scopes, micro),
            )
        except BudgetExhausted:
            assert not should_fit
            return multiple()
        except StoreError:
            assert disk_is_full
            return multiple()
        assert should_fit
        assert (hold.id in self.appended) == (micro > 0)
        self.open[hold.id] = hold
        return hold

    @rule(hold=consumes(requests), share=st.floats(0, 1))
    def settle(self, hold: Hold, share: float) -> None:
        if hold.id not in self.open:
            self.fail_to_settle(hold)  # its process crashed: it is nobody's any more
            return
        micro = int(hold.micro * share)
        self.ledger.settle(hold, micro, parts_of(hold.scopes, micro))
        del self.open[hold.id]
        day = self.stored.setdefault(self.day(hold.at_us), {})
        for scope in hold.scopes:
            day[scope] = day.get(scope, 0) + share_of(scope, micro)

    @rule(hold=requests)
    def settle_again(self, hold: Hold) -> None:
        if hold.id in self.open:
            self.settle(hold, 1.0)
            self.fail_to_settle(hold)

    def fail_to_settle(self, hold: Hold) -> None:
        try:
            self.ledger.settle(hold, hold.micro)
        except ValueError:
            return
        raise AssertionError("a hold was settled twice, or by another process than its own")

    @rule()
    def expire(self) -> None:
        before = len(self.left)
        self.let_leases_end()
        assert self.ledger.expire() == before - len(self.left)

    @rule(seconds=st.integers(0, 3600))
    def wait(self, seconds: int) -> None:
        self.us += seconds * MICRO

    @rule(days=st.integers(-2, 2) | st.integers(-40, 40))
    def set_clock(self, days: int) -> None:
        self.us += days * DAY_US

    @rule()
    def crash(self) -> None:
        self.left |= {k: hold for k, hold in self.open.items() if hold.micro}
        self.open = {}
        self.restart()

    @invariant()
    def every_counter_is_exact_and_none_is_above_its_ceiling(self) -> None:
        for scope, top in TOPS.items():
            settled, held = self.ledger.spent(scope)
            assert (settled, held) == (self.settled(scope), self.held(scope))
            assert settled + held <= top
            settled, held = self.ledger.spent(scope, "month")
            assert settled == self.settled(scope, of_month=True)
            assert held == self.held(scope, of_month=True)
            assert settled + held <= MONTH_TOPS[scope]

    def teardown(self) -> None:
        for hold in list(self.open.values()):
            self.settle(hold, 1.0)
        self.us += 1000 * DAY_US  # past every lease, however the clock was set
        self.expire()
        self.us -= 1000 * DAY_US
        for scope in TOPS:
            assert self.ledger.spent(scope)[1] == self.ledger.spent(scope, "month")[1] == 0


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
