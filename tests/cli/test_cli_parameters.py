from __future__ import annotations

import time

import click
import pytest

from roadworthy.cli.parameters import ago, ahead, names, usd
from roadworthy.types import DAY_US, HOUR_US


@pytest.mark.parametrize(
    ("text", "micro"),
    [("5", 5_000_000), ("0.25", 250_000), ("$1.5", 1_500_000), ("0.000001", 1), ("0", 0)],
)
def test_an_amount_becomes_whole_micro_dollars(text: str, micro: int) -> None:
    assert usd(text) == micro


@pytest.mark.parametrize("text", ["-1", "0.0000001", "five", "nan", "inf", "1e12", ""])
def test_an_amount_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="expected an amount in USD"):
        usd(text)


def test_a_span_reaches_back_or_ahead() -> None:
    now_us = time.time_ns() // 1000
    assert ago("12h") == pytest.approx(now_us - 12 * HOUR_US, abs=1_000_000)
    assert ahead("30d") == pytest.approx(now_us + 30 * DAY_US, abs=1_000_000)


def test_a_date_is_utc_unless_it_says_otherwise() -> None:
    assert ago("2013-01-01") == 1_356_998_400_000_000
    assert ago("2013-01-01T01:00+01:00") == 1_356_998_400_000_000
    assert ahead("2013-01-01T00:00:00.5") == 1_356_998_400_500_000


@pytest.mark.parametrize("text", ["soon", "30", "3y", "2013-13-01", ""])
def test_a_time_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="expected a span like"):
        ago(text)


def test_names_stand_between_commas() -> None:
    assert names("answer, read,,answer") == ("answer", "read")
    assert names("") == ()
