"""Arguments that are more than text: money, moments before or after now, lists of names."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

import click

from ..errors import RequestError
from ..store.clock import micros_of
from ..types import MICRO
from ..web.moments import Direction
from ..web.moments import moment as moment_of

_MOST_USD = 1_000_000_000
_A_TIME = "a UTC date or time like `2026-01-31` or `2026-01-31T14:00`"


def ago(value: str | int) -> int:
    """Return a moment in Unix microseconds: a UTC date or time, or a span back from now."""
    return value if isinstance(value, int) else _moment(value, -1)


def ahead(value: str | int) -> int:
    """Return a moment in Unix microseconds: a UTC date or time, or a span from now on."""
    return value if isinstance(value, int) else _moment(value, 1)


def _moment(text: str, direction: Direction) -> int:
    try:
        return micros_of(moment_of(text, datetime.now(UTC), direction), "time")
    except (ValueError, RequestError):
        raise click.BadParameter(
            f"expected a span like `30m`, `12h` or `7d`, `today`, or {_A_TIME}, got `{text}`"
        ) from None


def moment(value: str | int) -> int:
    """Return a UTC date or time in Unix microseconds."""
    if isinstance(value, int):
        return value
    try:
        return _micros(value)
    except (ValueError, RequestError):
        raise click.BadParameter(f"expected {_A_TIME}, got `{value}`") from None


def _micros(text: str) -> int:
    time = datetime.fromisoformat(text)
    return micros_of(time if time.tzinfo else time.replace(tzinfo=UTC), "time")


def usd(value: str | int) -> int:
    """Return an amount in USD as micro-dollars."""
    if isinstance(value, int):
        return value
    try:
        micro = Decimal(value.removeprefix("$")) * MICRO
    except InvalidOperation:
        micro = Decimal("NaN")
    if not (micro.is_finite() and 0 <= micro <= _MOST_USD * MICRO and micro == int(micro)):
        wanted = "an amount in USD >= 0 with at most 6 decimals, like `5` or `0.25`"
        raise click.BadParameter(f"expected {wanted}, got `{value}`")
    return int(micro)


def names(value: str | tuple[str, ...]) -> tuple[str, ...]:
    """Return names that stand between commas, each once, in their order."""
    if isinstance(value, tuple):
        return value
    return tuple(dict.fromkeys(filter(None, map(str.strip, value.split(",")))))


_WHEN = "`12h` or `7d` back from now, `today`, or a UTC date or time."
since_option = click.option(
    "--since", "since_us", type=ago, metavar="TIME", help=f"From then on: {_WHEN}"
)
until_option = click.option(
    "--until", "until_us", type=ago, metavar="TIME", help=f"Until then: {_WHEN}"
)
