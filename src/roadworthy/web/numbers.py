"""How numbers are written: with a unit, and with no more digits than they support."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from typing import Any

_MINUS = "\N{MINUS SIGN}"
_DASH = "\N{EN DASH}"


def count(n: int) -> str:
    """Write an exact number of things.

    >>> count(43118)
    '43,118'
    """
    return f"{n:,}".replace("-", _MINUS)


def up_to(n: int, most: int = 999) -> str:
    """Write a number of things that is counted up to `most`.

    >>> up_to(7), up_to(1000)
    ('7', '999+')
    """
    return count(n) if n <= most else f"{count(most)}+"


def ms(value: float) -> str:
    """Write a duration in milliseconds; from ten seconds on, in seconds.

    >>> ms(612.4), ms(0.0612), ms(6.14), ms(12345)
    ('612 ms', '0.061 ms', '6.1 ms', '12.3 s')
    """
    if value >= 10_000:
        return f"{value / 1000:,.1f} s"
    if value >= 10 or value == 0:
        return f"{value:,.0f} ms"
    digits = 1 if value >= 1 else min(1 - math.floor(math.log10(value)), 4)
    return f"{value:.{digits}f} ms"


def usd(value: float) -> str:
    """Write a total of money: to the cent from a dollar on, below that to two digits at least.

    >>> usd(8747.2), usd(0), usd(0.2), usd(0.1234)
    ('$8,747.20', '$0.00', '$0.20', '$0.1234')
    >>> usd(0.0005), usd(0.000025), usd(0.000925)
    ('$0.0005', '$0.000025', '$0.00093')
    """
    size = abs(value)
    digits = 2 if size >= 1 or size == 0 else min(max(4, 1 - math.floor(math.log10(size))), 6)
    return _dollars(value, digits)


def usd_declared(value: float) -> str:
    """Write an amount that somebody declared, to its last micro-dollar.

    >>> usd_declared(5), usd_declared(0.005), usd_declared(1.005), usd_declared(0.00025)
    ('$5.00', '$0.005', '$1.005', '$0.00025')
    """
    return _dollars(value, 6)


def _dollars(value: float, digits: int) -> str:
    """Write an amount with at most so many decimals, of which two are always shown."""
    whole, _, cents = f"{abs(value):,.{digits}f}".partition(".")
    return f"{_MINUS if value < 0 else ''}${whole}.{cents.rstrip('0'):0<2}"


def usd_each(value: float) -> str:
    """Write what one request costs, in prose.

    >>> usd_each(0.00313), usd_each(0.00001), usd_each(0)
    ('$0.0031', '$0.00001', '$0.0000')
    """
    return f"${value:.6f}".rstrip("0") if 0 < value < 0.00005 else f"${value:.4f}"


def usd_exact(value: float) -> str:
    """Write what one request cost, to the micro-dollar.

    >>> usd_exact(0.005833)
    '$0.005833'
    """
    return f"${value:,.6f}"


def share(value: float, promise: float | None = None) -> str:
    """Write a share in per cent, never rounded across the promise that it is compared with.

    >>> share(0.016), share(0.9969, 0.995), share(0.99896, 0.999)
    ('1.6%', '99.69%', '99.896%')
    >>> share(0), share(1), share(0.00001)
    ('0%', '100%', '<0.1%')
    """
    return _share(value, promise, 1) + "%"


def bounds(low: float, high: float, promise: float | None = None) -> str:
    """Write the interval of a share; its unit is said by the share beside it.

    >>> bounds(0.994, 0.9987, 0.995).split(_DASH)
    ['99.40', '99.87%']
    """
    return f"{_share(low, promise, 2)}{_DASH}{_share(high, promise, 2)}%"


def promised(value: float) -> str:
    """Write the share that is promised, as it is declared.

    >>> promised(0.999), promised(0.05)
    ('99.9%', '5%')
    """
    return f"{value * 100:.10g}%"


def budget(spent: float) -> str:
    """Write how much of a budget is spent, which may be more than all of it.

    >>> budget(0.214), budget(3)
    ('21%', '300%')
    """
    return f"{spent * 100:,.0f}%"


def whole(value: float) -> str:
    """Write a computed number of things: one decimal below ten.

    >>> whole(2.5), whole(43.12)
    ('2.5', '43')
    """
    return f"{value:,.1f}".removesuffix(".0") if value < 10 else f"{value:,.0f}"


def _share(value: float, promise: float | None, digits: int) -> str:
    """Write a share in per cent without the sign, with `digits` decimals or more."""
    if promise is not None:
        digits = max(digits, min(_decimals(promise) + 1, 6))
    if value <= 0 or value >= 1:
        return "0" if value <= 0 else "100"
    while digits < 8 and promise is not None and _crosses(value, promise, digits):
        digits += 1
    written = f"{value * 100:.{digits}f}"
    least = 10**-digits
    if float(written) == 0:
        return f"<{least:.{digits}f}"
    return f">{100 - least:.{digits}f}" if float(written) == 100 else written


def _crosses(value: float, promise: float, digits: int) -> bool:
    """Whether the written value would stand on the other side of the promise, or on it."""
    written, goal = round(value * 100, digits), round(promise * 100, 10)
    return value != promise and (written == goal or (written < goal) != (value < promise))


def _decimals(promise: float) -> int:
    return len(promised(promise).rstrip("%").partition(".")[2])


def at(time: datetime, now: datetime) -> str:
    """Write a time in UTC, with its day unless that is today.

    >>> now = datetime(2026, 11, 23, 14, 32)
    >>> at(datetime(2026, 11, 23, 9, 5), now), at(datetime(2013, 4, 1, 9, 5), now)
    ('09:05', '1 Apr 2013, 09:05')
    """
    clock = f"{time:%H:%M}"
    if time.date() == now.date():
        return clock
    year = "" if time.year == now.year else f" {time.year}"
    return f"{time.day} {time:%b}{year}, {clock}"


def moment(time: datetime, now: datetime) -> str:
    """Write a time in UTC to the second, with its day unless that is today.

    >>> now = datetime(2026, 11, 23, 14, 32)
    >>> moment(datetime(2026, 11, 23, 9, 5, 7), now), moment(datetime(2026, 11, 22, 9, 5, 7), now)
    ('09:05:07', '22 Nov, 09:05:07')
    """
    return f"{at(time, now)}:{time:%S}"


def typed_time(time: datetime) -> str:
    """Write a time as people type it into a form.

    >>> typed_time(datetime(2026, 11, 23, 14, 32, 10))
    '2026-11-23 14:32'
    """
    return f"{time:%Y-%m-%d %H:%M}"


def stamp(time: datetime) -> str:
    """Write a time for the head of a page.

    >>> stamp(datetime(2026, 11, 23, 14, 32, 10))
    '23 Nov 2026, 14:32:10 UTC'
    """
    return f"{time.day} {time:%b %Y, %H:%M:%S} UTC"


def ago(time: datetime, now: datetime) -> str:
    """Write how long ago a time was, in the largest unit that fits; one to come, as its day.

    A clock that was set back leaves behind what was built after now.

    >>> ago(datetime(2026, 11, 20), datetime(2026, 11, 23)), ago(now := datetime(2026, 1, 1), now)
    ('3 days ago', '0 min ago')
    >>> ago(datetime(2026, 11, 20), datetime(2013, 4, 1))
    'on 20 Nov 2026'
    """
    minutes = int((now - time).total_seconds() // 60)
    if minutes < 0:
        return f"on {time.day} {time:%b %Y}"
    if minutes < 60:
        return f"{minutes} min ago"
    size, unit = (minutes // 60, "hour") if minutes < 48 * 60 else (minutes // 1440, "day")
    return f"{size} {unit} ago" if size == 1 else f"{size} {unit}s ago"


def span(seconds: float) -> str:
    """Write a length of time in the largest unit that it fills twice.

    >>> span(0.4), span(61), span(180), span(10_800), span(259_200), span(60)
    ('0 s', '61 s', '3 min', '3 hours', '3 days', '60 s')
    """
    for size, unit in ((86_400, " days"), (3_600, " hours"), (60, " min")):
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f}".removesuffix(".0") + unit
    return f"{seconds:,.0f} s"


def distance(value: float) -> str:
    """Write how far two samples are apart.

    >>> distance(0.0312), distance(12.8)
    ('0.03', '12.80')
    """
    return f"{value:.2f}"


def anything(value: Any) -> str:
    """Write a value that a model was given; numbers to six digits.

    >>> anything(12.5), anything(1 / 3), anything(True), anything("EWR"), anything(1234567)
    ('12.5', '0.333333', 'true', 'EWR', '1234567')
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}".replace("-", _MINUS)
    return str(value)


def short(release: str) -> str:
    """Write an id as people tell it apart: the first six characters of its digest.

    >>> short("support-reply@e0539fc43b6c"), short("e0539fc43b6c")
    ('e0539f', 'e0539f')
    """
    return release.rpartition("@")[2][:6]


def iso(time: datetime) -> str:
    """Write a time for machines."""
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"


WRITERS: tuple[Callable[..., Any], ...] = (
    count,
    up_to,
    ms,
    usd,
    usd_declared,
    usd_each,
    usd_exact,
    share,
    bounds,
    promised,
    budget,
    whole,
    at,
    moment,
    typed_time,
    stamp,
    ago,
    span,
    distance,
    anything,
    short,
    iso,
)
"""What templates write numbers with, each under its own name."""
