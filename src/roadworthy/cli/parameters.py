"""Arguments that are more than text: money, and moments before or after now."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

import click

from ..types import DAY_US, HOUR_US, MICRO, SystemClock

_MOST_USD = 1_000_000_000
_UNITS = {"s": MICRO, "m": 60 * MICRO, "h": HOUR_US, "d": DAY_US, "w": 7 * DAY_US}
_SPAN = re.compile(r"(\d{1,6})([smhdw])")


class Moment(click.ParamType):
    """A date, a time, or a span from now such as `30d`; becomes Unix microseconds.

    Args:
        direction: -1 where a span reaches back from now, 1 where it reaches ahead.
    """

    name = "time"

    def __init__(self, direction: int) -> None:
        self._direction = direction

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | None:
        """Return the moment, refusing what is none."""
        if value is None or isinstance(value, int):
            return value
        if span := _SPAN.fullmatch(value):
            us = int(span[1]) * _UNITS[span[2]]
            return SystemClock().now_us() + self._direction * us
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self._refuse(value, param, ctx)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        since = moment - datetime(1970, 1, 1, tzinfo=UTC)
        return (since.days * 86_400 + since.seconds) * MICRO + since.microseconds

    def _refuse(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> NoReturn:
        self.fail(
            "expected a span like `30m`, `12h` or `7d`, or a UTC date or time like `2026-01-31` or"
            f" `2026-01-31T14:00`, got `{value}`",
            param,
            ctx,
        )


class Usd(click.ParamType):
    """An amount in USD; becomes micro-dollars."""

    name = "usd"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | None:
        """Return the amount, refusing what is none or finer than a micro-dollar."""
        if value is None or isinstance(value, int):
            return value
        try:
            micro = Decimal(value.removeprefix("$")) * MICRO
        except InvalidOperation:
            micro = Decimal("NaN")
        if not (micro.is_finite() and 0 <= micro <= _MOST_USD * MICRO and micro == int(micro)):
            wanted = "an amount in USD >= 0 with at most 6 decimals, like `5` or `0.25`"
            self.fail(f"expected {wanted}, got `{value}`", param, ctx)
        return int(micro)


class Names(click.ParamType):
    """Names with commas between them; becomes a tuple without repetitions, in their order."""

    name = "names"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Split at commas."""
        if isinstance(value, tuple):
            return value
        return tuple(dict.fromkeys(filter(None, (part.strip() for part in value.split(",")))))


AGO = Moment(-1)
AHEAD = Moment(1)
USD = Usd()
NAMES = Names()
