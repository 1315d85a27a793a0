from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from roadworthy.cost.ledger import Ceiling, Ledger
from roadworthy.errors import BudgetExhausted, StoreError
from roadworthy.types import DAY_US, MICRO, Hold

NOON_US = 20_000 * DAY_US + DAY_US // 2
SERVICE = "service:support-reply"
USER = "user:support-reply/alice"
DAY_CEILING = Ceiling(SERVICE, 1_000_000, "cost.per_day_usd")
USER_CEILING = Ceiling(USER, 250_000, "cost.per_user_per_day_usd")
BOTH = (DAY_CEILING, USER_CEILING)


class FixedClock:
    def __init__(self, now_us: int = NOON_US) -> None:
        self.us = now_us

    def now_us(self) -> int:
        return self.us

    def monotonic(self) -> float:
        return self.us / MICRO


class Books:
    """A spool that can be full, and spending per day as the store would add it up."""

    def __init__(self) -> None:
        self.holds: list[Hold] = []
        self.days: dict[int, dict[str, int]] = {}
        self.trouble: StoreError | None = None

    def append(self, hold: Hold) -> None:
        if self.trouble:
            raise self.trouble
        self.holds.append(hold)

    def spent_on(self, day_us: int) -> Mapping[str, int]:
        if self.trouble:
            raise self.trouble
        return self.days.get(day_us, {})


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def books() -> Books:
    return Books()


@pytest.fixture
def ledger(clock: FixedClock, books: Books) -> Ledger:
    return Ledger(clock, books.append, books.spent_on, [])


def reserve(ledger: Ledger, micro: int, name: str = "rq_1", lease_s: float = 60) -> Hold:
    return ledger.reserve(name, BOTH, micro, NOON_US + int(lease_s * MICRO), "support-reply", "k_1")


def test_a_hold_counts_in_every_scope_until_it_is_settled(ledger: Ledger) -> None:
    hold = reserve(ledger, 100_000)
    assert ledger.spent(SERVICE) == ledger.spent(USER) == (0, 100_000)
    ledger.settle(hold, 30_000)
    assert ledger.spent(SERVICE) == ledger.spent(USER) == (30_000, 0)


def test_a_hold_is_in_the_spool_before_it_counts(ledger: Ledger, books: Books) -> None:
    hold = reserve(ledger, 100_000)
    assert books.holds == [hold]
    assert hold.scopes == (SERVICE, USER)
    assert (hold.at_us, hold.service, hold.key) == (NOON_US, "support-reply", "k_1")
    assert hold.kind == "generate"


def test_a_hold_says_of_which_kind_its_request_is(ledger: Ledger) -> None:
    hold = ledger.reserve("rq_1", BOTH, 1, NOON_US, "flight-delay", "k_1", kind="predict")
    assert hold.kind == "predict"


def test_a_hold_of_nothing_is_not_written_and_always_fits(ledger: Ledger, books: Books) -> None:
    ledger.settle(reserve(ledger, 250_000, "rq_0"), 250_000)
    hold = reserve(ledger, 0)
    assert [h.id for h in books.holds] == ["rq_0"]
    ledger.settle(hold, 0)


def test_what_fits_exactly_fits_and_a_micro_dollar_more_does_not(ledger: Ledger) -> None:
    reserve(ledger, 249_999, "rq_1")
    reserve(ledger, 1, "rq_2")
    with pytest.raises(BudgetExhausted):
        reserve(ledger, 1, "rq_3")


def test_one_scope_that_is_full_reserves_in_none(ledger: Ledger, books: Books) -> None:
    reserve(ledger, 200_000, "rq_1")
    with pytest.raises(BudgetExhausted):
        reserve(ledger, 100_000, "rq_2")
    assert ledger.spent(SERVICE) == ledger.spent(USER) == (0, 200_000)
    assert len(books.holds) == 1


def test_the_refusal_names_scope_amounts_and_the_key_to_raise(ledger: Ledger) -> None:
    ledger.settle(reserve(ledger, 200_000, "rq_1"), 200_000)
    reserve(ledger, 40_000, "rq_2")
    with pytest.raises(BudgetExhausted) as caught:
        reserve(ledger, 60_000, "rq_3")
    assert str(caught.value) == (
        "budget of `user:support-reply/alice` is spent: $0.20 spent and $0.04 held of $0.25, and"
        " this request may cost $0.06; raise `cost.per_user_per_day_usd` or wait until"
        " 2024-10-05 00:00 UTC"
    )
    assert caught.value.retry_after_s == 12 * 3600


def test_a_budget_that_is_only_held_is_worth_another_try_when_leases_end(ledger: Ledger) -> None:
    reserve(ledger, 200_000, "rq_1", lease_s=5)
    with pytest.raises(BudgetExhausted, match="wait for requests in flight") as caught:
        reserve(ledger, 100_000, "rq_2")
    assert caught.value.retry_after_s == 5


def test_a_request_above_the_whole_ceiling_is_never_worth_a_retry(ledger: Ledger) -> None:
    with pytest.raises(
        BudgetExhausted, match=r"at most \$0\.25, got one that may cost \$0\.30"
    ) as e:
        reserve(ledger, 300_000)
    assert e.value.retry_after_s is None


def test_nothing_stays_reserved_when_the_spool_cannot_be_written(
    ledger: Ledger, books: Books
) -> None:
    books.trouble = StoreError("the disk is full")
    with pytest.raises(StoreError):
        reserve(ledger, 100_000)
    assert ledger.spent(SERVICE) == (0, 0)
    books.trouble = None
    ledger.settle(reserve(ledger, 100_000), 100_000)
    assert ledger.spent(SERVICE) == (100_000, 0)


@pytest.mark.parametrize("micro", [0, 100_000])
def test_settling_twice_is_an_error_and_counts_once(ledger: Ledger, micro: int) -> None:
    hold = reserve(ledger, micro)
    ledger.settle(hold, 100_000)
    with pytest.raises(ValueError, match="rq_1"):
        ledger.settle(hold, 100_000)
    assert ledger.spent(SERVICE) == (100_000, 0)


def test_an_id_cannot_be_reserved_twice(ledger: Ledger) -> None:
    reserve(ledger, 1)
    with pytest.raises(ValueError, match="rq_1"):
        reserve(ledger, 1)
    assert ledger.spent(SERVICE) == (0, 1)


def test_money_never_comes_back_through_a_negative_amount(ledger: Ledger) -> None:
    hold = reserve(ledger, 1)
    with pytest.raises(ValueError, match="-5"):
        ledger.settle(hold, -5)
    with pytest.raises(ValueError, match="-5"):
        reserve(ledger, -5, "rq_2")


def test_what_cost_more_than_was_held_is_counted_in_full(ledger: Ledger) -> None:
    ledger.settle(reserve(ledger, 200_000), 300_000)
    assert ledger.spent(USER) == (300_000, 0)


@pytest.mark.parametrize("ahead_us", [61 * MICRO, 3 * 3600 * MICRO])
def test_a_request_that_is_still_at_work_counts_past_its_lease_until_it_is_settled(
    ledger: Ledger, clock: FixedClock, ahead_us: int
) -> None:
    hold = reserve(ledger, 200_000, lease_s=60)
    clock.us += ahead_us
    assert ledger.expire() == 0
    with pytest.raises(BudgetExhausted, match="wait for requests in flight") as caught:
        reserve(ledger, 100_000, "rq_2")
    assert caught.value.retry_after_s == 1
    assert ledger.spent(USER) == (0, 200_000)
    ledger.settle(hold, 150_000)
    assert ledger.spent(USER) == (150_000, 0)
    reserve(ledger, 100_000, "rq_2")


def test_a_clock_that_goes_to_another_day_and_back_lets_no_request_at_work_lapse(
    ledger: Ledger, clock: FixedClock
) -> None:
    hold = reserve(ledger, 200_000)
    for days in (3, -3):
        clock.us += days * DAY_US
        assert ledger.expire() == 0
    assert ledger.spent(USER) == (0, 200_000)
    ledger.settle(hold, 200_000)
    assert ledger.spent(USER) == (200_000, 0)


def test_a_new_day_starts_at_what_the_store_knows_of_it(
    ledger: Ledger, clock: FixedClock, books: Books
) -> None:
    ledger.settle(reserve(ledger, 250_000), 250_000)
    clock.us += DAY_US
    books.days[clock.us - DAY_US // 2] = {SERVICE: 7}
    assert ledger.spent(SERVICE) == (7, 0)
    assert ledger.spent(USER) == (0, 0)


@pytest.mark.parametrize("days", [1, -1])
def test_a_request_of_another_day_meets_the_budget_of_that_day(
    ledger: Ledger, clock: FixedClock, days: int
) -> None:
    ledger.settle(reserve(ledger, 250_000, "rq_1"), 250_000)
    clock.us += days * DAY_US
    hold = ledger.reserve("rq_2", BOTH, 250_000, clock.us + MICRO)
    ledger.settle(hold, 250_000)
    assert ledger.spent(USER) == (250_000, 0)


def test_a_request_over_midnight_counts_on_the_day_it_began(
    ledger: Ledger, clock: FixedClock
) -> None:
    hold = reserve(ledger, 250_000, lease_s=90_000)
    clock.us += DAY_US
    assert ledger.spent(USER) == (0, 0)
    other = ledger.reserve("rq_2", BOTH, 250_000, clock.us + MICRO)
    ledger.settle(hold, 200_000)
    assert ledger.spent(USER) == (0, 250_000)
    ledger.settle(other, 0)
    assert ledger.spent(USER) == (0, 0)


def test_a_request_is_held_at_the_time_it_came_unless_that_is_another_day(
    ledger: Ledger, clock: FixedClock
) -> None:
    came_us = clock.us - MICRO
    assert ledger.reserve("rq_1", BOTH, 1, NOON_US, at_us=came_us).at_us == came_us
    for other_us in (clock.us - DAY_US, clock.us + DAY_US):
        hold = ledger.reserve(f"rq_{other_us}", BOTH, 1, NOON_US, at_us=other_us)
        assert hold.at_us == clock.us
    assert ledger.spent(SERVICE) == (0, 3)


def test_a_clock_that_is_set_back_finds_the_holds_of_that_day_again(
    ledger: Ledger, clock: FixedClock
) -> None:
    hold = reserve(ledger, 200_000, lease_s=90_000)
    clock.us += DAY_US
    assert ledger.spent(USER) == (0, 0)
    clock.us -= DAY_US
    assert ledger.spent(USER) == (0, 200_000)
    ledger.settle(hold, 0)
    assert ledger.spent(USER) == (0, 0)


def test_a_day_that_cannot_be_read_is_refused_until_it_can(
    ledger: Ledger, clock: FixedClock, books: Books
) -> None:
    hold = reserve(ledger, 200_000)
    clock.us += DAY_US
    books.trouble = StoreError("the store is away")
    for _ in range(2):
        with pytest.raises(StoreError):
            ledger.reserve("rq_2", BOTH, 1, clock.us + MICRO)
    ledger.settle(hold, 200_000)
    books.trouble = None
    ledger.reserve("rq_2", BOTH, 250_000, clock.us + MICRO)


def test_counters_are_bounded_by_the_users_of_a_day(ledger: Ledger, clock: FixedClock) -> None:
    for day in range(3):
        for n in range(50):
            scope = f"user:support-reply/{day}-{n}"
            hold = ledger.reserve(scope, [Ceiling(scope, 10, "x")], 5, clock.us + 1)
            ledger.settle(hold, 5)
        assert sum(ledger.spent(f"user:support-reply/{d}-0")[0] for d in range(3)) == 5
        clock.us += DAY_US


def after_a_crash(clock: FixedClock, books: Books, *holds: tuple[str, int, float]) -> Ledger:
    """Return the ledger of a process whose predecessor left holds: id, micro, lease in seconds."""
    before = Ledger(clock, books.append, books.spent_on, [])
    for name, micro, lease_s in holds:
        reserve(before, micro, name, lease_s)
    return Ledger(clock, books.append, books.spent_on, books.holds)


def test_after_a_crash_unsettled_holds_count_until_their_lease_ends(
    clock: FixedClock, books: Books
) -> None:
    ledger = after_a_crash(clock, books, ("rq_1", 150_000, 60))
    clock.us += 60 * MICRO - 1
    assert ledger.expire() == 0
    with pytest.raises(BudgetExhausted):
        reserve(ledger, 150_000, "rq_2")
    clock.us += 1
    assert ledger.expire() == 1
    assert ledger.spent(USER) == (0, 0)
    assert ledger.expire() == 0


def test_each_inherited_hold_has_its_own_lease(clock: FixedClock, books: Books) -> None:
    holds = [(f"rq_{n}", n * 10_000, n) for n in (2, 1, 3)]
    ledger = after_a_crash(clock, books, *holds)
    held = []
    for _ in range(3):
        clock.us += MICRO
        ledger.expire()
        held.append(ledger.spent(USER)[1])
    assert held == [50_000, 30_000, 0]


def test_a_full_budget_is_checked_for_ended_leases_before_it_refuses(
    clock: FixedClock, books: Books
) -> None:
    ledger = after_a_crash(clock, books, ("rq_1", 250_000, 60))
    clock.us += 61 * MICRO
    reserve(ledger, 250_000, "rq_2", lease_s=180)
    assert ledger.spent(USER) == (0, 250_000)


def test_what_an_earlier_process_left_is_not_settled_here(clock: FixedClock, books: Books) -> None:
    ledger = after_a_crash(clock, books, ("rq_1", 150_000, 60))
    with pytest.raises(ValueError, match="rq_1"):
        ledger.settle(books.holds[0], 150_000)
    assert ledger.spent(USER) == (0, 150_000)


@pytest.mark.parametrize(("left_s", "own_s", "expected_s"), [(30, 90, 30), (90, 30, 30)])
def test_the_retry_is_for_when_the_first_lease_ends_whoever_placed_it(
    clock: FixedClock, books: Books, left_s: int, own_s: int, expected_s: int
) -> None:
    ledger = after_a_crash(clock, books, ("rq_1", 100_000, left_s), ("rq_2", 1, 95))
    reserve(ledger, 100_000, "rq_3", lease_s=own_s)
    with pytest.raises(BudgetExhausted) as caught:
        reserve(ledger, 100_000, "rq_4")
    assert caught.value.retry_after_s == expected_s


def test_holds_whose_lease_ended_before_the_start_never_count(
    clock: FixedClock, books: Books
) -> None:
    old = Hold("rq_1", NOON_US - 9, (USER,), 5, NOON_US - 1)
    assert Ledger(clock, books.append, books.spent_on, [old]).spent(USER) == (0, 0)


def test_a_thousand_requests_against_money_for_a_hundred_spend_exactly_that(
    ledger: Ledger,
) -> None:
    held = []
    refused = 0
    for n in range(1_000):
        try:
            held.append(reserve(ledger, 2_500, f"rq_{n}"))
        except BudgetExhausted:
            refused += 1
    assert (len(held), refused) == (100, 900)
    for hold in held:
        ledger.settle(hold, 2_500)
    assert ledger.spent(USER) == (250_000, 0)


def test_threads_never_spend_more_together_than_the_ceiling(
    clock: FixedClock, books: Books
) -> None:
    def append_and_yield(_: Hold) -> None:
        time.sleep(0)  # lets another thread run between the check and the hold

    ledger = Ledger(clock, append_and_yield, books.spent_on, [])

    def spend(thread: int) -> int:
        spent = 0
        for n in range(300):
            try:
                hold = reserve(ledger, 500, f"rq_{thread}_{n}", lease_s=n % 7)
            except BudgetExhausted:
                continue
            ledger.settle(hold, 400)
            spent += 400
            clock.us += 1
            ledger.expire()
        return spent

    with ThreadPoolExecutor(4) as pool:
        total = sum(pool.map(spend, range(4)))
    assert ledger.spent(USER) == (total, 0)
    assert 249_500 < total <= 250_000
