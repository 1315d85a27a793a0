"""Ceilings of months, parts of providers, soft shares, and ceilings that were raised for now."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from roadworthy.cost.ledger import Ceiling, Ledger, Reached
from roadworthy.errors import BudgetExhausted
from roadworthy.store.ceilings import Raised
from roadworthy.store.periods import day_of, month_of
from roadworthy.types import DAY_US, MICRO, Hold

FIRST_US = 19_997 * DAY_US  # 2024-10-01
NOON_US = FIRST_US + 20 * DAY_US + DAY_US // 2
NOVEMBER_US = FIRST_US + 31 * DAY_US
SERVICE = Ceiling("service:s", 100, "cost.per_day_usd", 150, "cost.per_month_usd", 80, 120)
ACME = Ceiling("provider:acme", 30, "budgets.providers.acme.per_day_usd")


class Books:
    """The clock and the store that a ledger stands on."""

    def __init__(self, now_us: int = NOON_US) -> None:
        self.us = now_us
        self.days: dict[int, dict[str, int]] = {}

    def now_us(self) -> int:
        return self.us

    def monotonic(self) -> float:
        return self.us / MICRO

    def spent_on(self, day_us: int) -> Mapping[str, int]:
        return self.days.get(day_us, {})

    def spent_in_month(self, month_us: int) -> Mapping[str, int]:
        total: dict[str, int] = {}
        for day_us, spent in self.days.items():
            if month_of(day_us)[0] == month_us:
                for scope, micro in spent.items():
                    total[scope] = total.get(scope, 0) + micro
        return total

    def open(self, *holds: Hold) -> Ledger:
        return Ledger(self, lambda hold: None, self.spent_on, holds, self.spent_in_month)


@pytest.fixture
def books() -> Books:
    return Books()


def spend(ledger: Ledger, micro: int, name: str, *ceilings: Ceiling, **more: int) -> None:
    parts = {f"provider:{provider}": part for provider, part in more.items()}
    hold = ledger.reserve(name, ceilings or (SERVICE,), micro, NOON_US, parts=parts)
    ledger.settle(hold, micro, parts)


def test_a_month_is_the_sum_of_its_days_when_a_ledger_opens(books: Books) -> None:
    books.days = {
        day_of(NOON_US)[0]: {"service:s": 20},
        FIRST_US: {"service:s": 50},
        FIRST_US - DAY_US: {"service:s": 999},
        NOVEMBER_US: {"service:s": 999},
    }
    ledger = books.open()
    assert ledger.spent("service:s") == (20, 0)
    assert ledger.spent("service:s", "month") == (70, 0)


def test_a_month_that_is_spent_refuses_on_a_new_day_until_the_next_month(books: Books) -> None:
    ledger = books.open()
    spend(ledger, 100, "rq_1")
    books.days[day_of(NOON_US)[0]] = {"service:s": 100}
    books.us += DAY_US
    spend(ledger, 50, "rq_2")
    with pytest.raises(BudgetExhausted) as caught:
        ledger.reserve("rq_3", (SERVICE,), 1, NOON_US)
    assert str(caught.value) == (
        "budget of `service:s` is spent: $0.00015 spent and $0.00 held of $0.00015 a month, and"
        " this request may cost $0.000001; raise `cost.per_month_usd` or wait until"
        " 2024-11-01 00:00 UTC"
    )
    assert caught.value.retry_after_s == (NOVEMBER_US - books.us) / MICRO
    books.us = NOVEMBER_US
    spend(ledger, 100, "rq_3")


@pytest.mark.parametrize("back_us", [DAY_US, 40 * DAY_US])
def test_a_clock_that_is_set_back_finds_the_spending_of_that_month(
    books: Books, back_us: int
) -> None:
    ledger = books.open()
    spend(ledger, 60, "rq_1")
    books.days[day_of(NOON_US)[0]] = {"service:s": 60}
    books.us -= back_us
    was_september = back_us > 31 * DAY_US
    assert ledger.spent("service:s", "month") == ((0, 0) if was_september else (60, 0))
    books.us += back_us
    assert ledger.spent("service:s", "month") == (60, 0)


def test_a_request_over_the_end_of_a_month_counts_in_the_month_it_began_in(books: Books) -> None:
    books.us = NOVEMBER_US - 1
    ledger = books.open()
    hold = ledger.reserve("rq_1", (SERVICE,), 90, NOVEMBER_US + MICRO)
    books.us = NOVEMBER_US
    assert ledger.spent("service:s", "month") == (0, 0)
    ledger.settle(hold, 90)
    assert ledger.spent("service:s", "month") == (0, 0)


def test_what_an_earlier_process_held_yesterday_counts_in_the_month(books: Books) -> None:
    left = Hold("rq_1", NOON_US - DAY_US, ("service:s",), 90, NOON_US + MICRO)
    ledger = books.open(left)
    assert ledger.spent("service:s") == (0, 0)
    assert ledger.spent("service:s", "month") == (0, 90)
    with pytest.raises(BudgetExhausted):
        ledger.reserve("rq_2", (SERVICE,), 61, NOON_US)
    books.us += 2 * MICRO
    spend(ledger, 61, "rq_2")


def test_a_provider_counts_only_what_it_may_charge_and_what_it_did(books: Books) -> None:
    ledger = books.open()
    both = (SERVICE, ACME)
    hold = ledger.reserve("rq_1", both, 90, NOON_US, parts={"provider:acme": 25})
    assert ledger.spent("service:s") == (0, 90)
    assert ledger.spent("provider:acme") == (0, 25)
    ledger.settle(hold, 40, {"provider:acme": 5})
    assert ledger.spent("service:s") == (40, 0)
    assert ledger.spent("provider:acme") == (5, 0)


def test_a_provider_that_is_spent_reserves_nothing_anywhere_and_is_named(books: Books) -> None:
    ledger = books.open()
    with pytest.raises(BudgetExhausted) as caught:
        ledger.reserve("rq_1", (SERVICE, ACME), 90, NOON_US, parts={"provider:acme": 31})
    assert caught.value.scope == "provider:acme"
    assert ledger.spent("service:s") == ledger.spent("provider:acme") == (0, 0)


def test_a_part_of_an_earlier_process_counts_as_the_part_it_was(books: Books) -> None:
    scopes = ("service:s", "provider:acme")
    left = Hold("rq_1", NOON_US, scopes, 90, NOON_US + MICRO, parts={"provider:acme": 25})
    ledger = books.open(left)
    assert ledger.spent("provider:acme") == (0, 25)
    books.us += 2 * MICRO
    ledger.expire()
    assert ledger.spent("provider:acme") == ledger.spent("service:s") == (0, 0)


def reached(ledger: Ledger) -> list[tuple[str, str, bool, int]]:
    return [(r.scope, r.period, r.is_spent, r.spent_micro) for r in ledger.take_reached()]


def test_a_soft_share_is_told_once_a_day_and_the_top_once_more(books: Books) -> None:
    ledger = books.open()
    spend(ledger, 79, "rq_1")
    assert reached(ledger) == []
    spend(ledger, 1, "rq_2")
    spend(ledger, 1, "rq_3")
    assert reached(ledger) == [("service:s", "day", False, 80)]
    spend(ledger, 19, "rq_4")
    with pytest.raises(BudgetExhausted):
        ledger.reserve("rq_5", (SERVICE,), 1, NOON_US)
    assert reached(ledger) == [("service:s", "day", True, 100)]
    books.days[day_of(NOON_US)[0]] = {"service:s": 100}
    books.us += DAY_US
    spend(ledger, 20, "rq_6")
    assert reached(ledger) == [("service:s", "month", False, 120)]


def test_a_ceiling_that_only_requests_at_work_fill_is_not_spent(books: Books) -> None:
    ledger = books.open()
    ledger.reserve("rq_1", (SERVICE,), 100, NOON_US)
    with pytest.raises(BudgetExhausted, match="in flight"):
        ledger.reserve("rq_2", (SERVICE,), 1, NOON_US)
    assert reached(ledger) == []


def test_what_is_told_of_ceilings_names_no_user(books: Books) -> None:
    ledger = books.open()
    ann = Ceiling("user:s/ann", 10, "cost.per_user_per_day_usd", soft_micro=8)
    spend(ledger, 10, "rq_1", ann)
    assert reached(ledger) == []
    assert ledger.is_soft((ann,))


def test_what_could_not_be_told_is_told_the_next_time(books: Books) -> None:
    ledger = books.open()
    spend(ledger, 90, "rq_1")
    first = ledger.take_reached()
    assert ledger.take_reached() == []
    ledger.keep_reached(first)
    assert ledger.take_reached() == first
    assert isinstance(first[0], Reached)


def test_a_ceiling_is_soft_once_its_share_is_spent_whatever_is_held(books: Books) -> None:
    ledger = books.open()
    ledger.reserve("rq_1", (SERVICE,), 15, NOON_US)
    spend(ledger, 79, "rq_2")
    assert not ledger.is_soft((SERVICE,))
    spend(ledger, 1, "rq_3")
    assert ledger.is_soft((SERVICE,))


def test_a_raised_ceiling_lets_more_pass_until_its_day_ends(books: Books) -> None:
    ledger = books.open()
    spend(ledger, 100, "rq_1")
    raised = Raised("service:s", "day", 130, day_of(NOON_US)[1])
    ledger.raised = {("service:s", "day"): raised}
    spend(ledger, 30, "rq_2")
    with pytest.raises(BudgetExhausted, match=r"of \$0.00013"):
        ledger.reserve("rq_3", (SERVICE,), 1, NOON_US)
    books.us += DAY_US
    with pytest.raises(BudgetExhausted, match=r"at most \$0.0001,"):
        ledger.reserve("rq_3", (SERVICE,), 101, NOON_US)


def test_a_raise_is_no_way_to_lower_a_ceiling(books: Books) -> None:
    ledger = books.open()
    raised = Raised("service:s", "day", 1, day_of(NOON_US)[1])
    ledger.raised = {("service:s", "day"): raised}
    spend(ledger, 100, "rq_1")
    assert ledger.spent("service:s") == (100, 0)


def test_the_standings_say_what_pages_show(books: Books) -> None:
    ledger = books.open()
    spend(ledger, 90, "rq_1")
    ledger.reserve("rq_2", (SERVICE,), 5, NOON_US)
    day, month = ledger.standings((SERVICE,))
    assert (day.period, day.top_micro, day.settled_micro, day.held_micro) == ("day", 100, 90, 5)
    assert (day.is_soft, month.is_soft) == (True, False)
    assert (month.period, month.top_micro, month.what) == ("month", 150, "cost.per_month_usd")
    assert (month.starts_us, month.ends_us) == (FIRST_US, NOVEMBER_US)


def test_months_follow_the_calendar() -> None:
    for month_us in (0, FIRST_US, NOVEMBER_US):
        start_us, end_us = month_of(month_us)
        assert start_us == month_us
        assert month_of(end_us - 1) == (start_us, end_us)
        assert month_of(end_us)[0] == end_us
