"""How what an evaluation or a rollout measured is written: by its unit, and signed as a difference.

A share is written in per cent, and a difference of shares in points; whether less is better follows
from the unit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..evaluate.report import Metric, Unit
from . import numbers

_MINUS = "\N{MINUS SIGN}"
_DASH = "\N{EN DASH}"
_LEAST_POINTS = 0.05
"""Of a difference of shares not even a twentieth of a point is told."""
_LARGE = 1_000
"""From here on a number of no unit is written whole."""
LESS_IS_BETTER: frozenset[Unit] = frozenset(("ms", "usd", "tokens"))
"""Units of which less is better."""


def measure(value: float, unit: Unit = "share", bar: float | None = None) -> str:
    """Write a measured number with its unit.

    >>> measure(0.9312), measure(0.9312, "score"), measure(612.4, "ms"), measure(0.0031, "usd")
    ('93.1%', '0.931', '612 ms', '$0.0031')
    >>> measure(1234.5, "tokens"), measure(0.08342, "number")
    ('1,234 tokens', '0.0834')
    >>> measure(1540, "number")
    '1,540'
    """
    match unit:
        case "share":
            return numbers.share(value, bar) if 0 <= value <= 1 else _plain(value)
        case "score":
            return f"{value:.3f}".replace("-", _MINUS)
        case "ms":
            return numbers.ms(value) if value >= 0 else _MINUS + numbers.ms(-value)
        case "usd":
            return numbers.usd(value)
        case "tokens":
            return f"{numbers.whole(value)} tokens"
    return _plain(value)


def measured_span(low: float, high: float, unit: Unit = "share", bar: float | None = None) -> str:
    """Write an interval; its unit stands at its end.

    >>> measured_span(0.917, 0.9444, "score").split(_DASH)
    ['0.917', '0.944']
    >>> measured_span(0.917, 0.944).split(_DASH)
    ['91.70', '94.40%']
    """
    if unit == "share" and 0 <= low <= high <= 1:
        return numbers.bounds(low, high, bar)
    return f"{measure(low, unit)}{_DASH}{measure(high, unit)}"


def promised_bar(bar: float, unit: Unit = "share", is_least: bool = True) -> str:
    """Write what is promised of a metric.

    >>> promised_bar(0.9)[2:], promised_bar(0.02, is_least=False)[2:], promised_bar(800, "ms")[2:]
    ('90%', '2%', '800 ms')
    """
    side = "≥" if is_least else "≤"
    if unit == "share":
        return f"{side} {numbers.promised(bar)}"
    return f"{side} {numbers.usd_declared(bar) if unit == 'usd' else measure(bar, unit)}"


def difference(value: float, unit: Unit = "share") -> str:
    """Write a difference with its sign and unit.

    >>> difference(0.0213), difference(-0.007).replace(_MINUS, "-"), difference(0.021, "score")
    ('+2.1 points', '-0.7 points', '+0.021')
    >>> difference(0, "score"), difference(3.2, "ms"), difference(-0.001, "usd")[1:]
    ('0', '+3.2 ms', '$0.001')
    """
    end = " points" if unit == "share" else ""
    return f"{_signed(value, unit)}{end}"


def difference_span(low: float, high: float, unit: Unit = "share") -> str:
    """Write the interval of a difference, both ends signed; its unit is said by the difference.

    >>> difference_span(-0.035, 0.022).replace(_MINUS, "-")
    '-3.5 to +2.2'
    """
    return f"{_signed(low, unit)} to {_signed(high, unit)}"


def is_better(value: float, unit: Unit) -> bool:
    """Whether a difference of such a unit is for the better.

    >>> is_better(0.1, "score"), is_better(0.1, "ms")
    (True, False)
    """
    return value < 0 if unit in LESS_IS_BETTER else value > 0


def scale_of(metric: Metric) -> tuple[float, float]:
    """Return the ends of a metric's plot, which follow from what is promised alone.

    >>> scale_of(Metric(name="exact", bar=0.9)), scale_of(Metric(name="flaky", is_least=False))
    ((0.7, 1.0), (0.0, 1.0))
    >>> scale_of(Metric(name="latency", unit="ms", bar=800, is_least=False))
    (0.0, 1600.0)
    """
    bar = metric.bar
    if bar is None or not math.isfinite(bar):
        return (0.0, 1.0)
    if metric.unit not in ("share", "score"):
        return (0.0, 2.0 * bar) if bar > 0 else (0.0, 1.0)
    if metric.is_least:
        return (round(max(0.0, bar - max(2 * (1 - bar), 0.1)), 6), 1.0)
    return (0.0, min(1.0, 3 * max(bar, 0.02)))


def word_of(name: str) -> str:
    """Write the name of a measure as words.

    >>> word_of("cost_per_request")
    'cost per request'
    """
    return name.replace("_", " ")


def _signed(value: float, unit: Unit) -> str:
    size = abs(value)
    if unit == "share":
        written = f"{size * 100:.1f}" if size * 100 >= _LEAST_POINTS else "0"
    elif unit == "ms":
        written = numbers.ms(size)
    elif unit == "usd":
        written = numbers.usd(size)
    elif unit == "tokens":
        written = numbers.whole(size)
    else:
        written = f"{size:.3f}" if unit == "score" else _plain(size)
    if not any(digit in "123456789" for digit in written):
        return "$0" if unit == "usd" else "0 ms" if unit == "ms" else "0"
    return f"{'+' if value >= 0 else _MINUS}{written}"


def _plain(value: float) -> str:
    written = f"{value:,.0f}" if abs(value) >= _LARGE else f"{value:.3g}"
    return written.replace("-", _MINUS)


WRITERS: tuple[Callable[..., Any], ...] = (
    measure,
    measured_span,
    promised_bar,
    difference,
    difference_span,
    word_of,
)
"""What templates write measures with, each under its own name."""
