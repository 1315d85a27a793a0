"""The ledger against a model of it: requests, crashes and clock changes in any order."""

from __future__ import annotations

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

TOPS = {"service:s": 100, "user:s/a": 40, "user:s/b": 40, "key:k": 70}
USERS = ("user:s/a", "user:s/b")
START_US = 20_000 * DAY_US


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
            self, self.append, lambda day: self.stored.get(day, {}), list(self.left.values())
        )
        self.let_leases_end()

    # What should be true.

    def day(self, at_us: int) -> int:
        return at_us - at_us % DAY_US

    def settled(self, scope: str) -> int:
        return self.stored.get(self.day(self.us), {}).get(scope, 0)

    def held(self, scope: str) -> int:
        held = (*self.open.values(), *self.left.values())
        today = (h for h in held if self.day(h.at_us) == self.day(self.us))
        return sum(hold.micro for hold in today if scope in hold.scopes)

    def fits(self, scopes: tuple[str, ...], micro: int) -> bool:
        return all(self.settled(s) + self.held(s) + micro <= TOPS[s] for s in scopes)

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
        scopes = ("service:s", user, "key:k") if with_key else ("service:s", user)
        if micro and not self.fits(scopes, micro):
            self.let_leases_end()
        should_fit = not micro or self.fits(scopes, micro)
        self.count += 1
        self.disk_is_full = disk_is_full
        ceilings = [Ceiling(scope, TOPS[scope], "cost") for scope in scopes]
        try:
            hold = self.ledger.reserve(
                f"rq_{self.count}", ceilings, micro, self.us + lease_s * MICRO
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
        self.ledger.settle(hold, micro)
        del self.open[hold.id]
        day = self.stored.setdefault(self.day(hold.at_us), {})
        for scope in hold.scopes:
            day[scope] = day.get(scope, 0) + micro

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

    @rule(days=st.integers(-2, 2))
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

    def teardown(self) -> None:
        for hold in list(self.open.values()):
            self.settle(hold, 1.0)
        self.us += DAY_US
        self.expire()
        self.us -= DAY_US
        for scope in TOPS:
            assert self.ledger.spent(scope)[1] == 0


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
