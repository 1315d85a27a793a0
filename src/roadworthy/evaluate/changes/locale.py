"""The same dates, numbers, money and measures, written as elsewhere in the world."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from random import Random

from ...declare.evaluation import BehaviourEntry
from .change import Edit

_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
_ISO_DATE = re.compile(r"(?<![\w-])(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])(?![\w-])")
_LONG_DATE = re.compile(rf"\b({'|'.join(_MONTHS)}) (\d{{1,2}}),? (\d{{4}})\b")
_TIME = re.compile(r"(?<![\w:])([01]?\d|2[0-3]):([0-5]\d)(?![\w:])(?!\s*[ap]\.?m)", re.IGNORECASE)
_MONEY = re.compile(r"([$€£])\s?(\d{1,3}(?:,\d{3})+|\d+)(\.\d{2})?(?![\d.,]*\d)")
_NUMBER = re.compile(r"(?<![\w.,$€£-])(\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+\.\d+)(?![\w]|[.,]\d)")
_MEASURE = re.compile(r"(?<![\w.,-])(\d+(?:\.\d+)?) ?(km|kg|m|cm|l|h)(?![\w/²³])")
_CURRENCY = {"$": "USD", "€": "EUR", "£": "GBP"}
_SMALLER = {
    "km": ("m", 1000),
    "kg": ("g", 1000),
    "m": ("cm", 100),
    "cm": ("mm", 10),
    "l": ("ml", 1000),
    "h": ("min", 60),
}


def locale(text: str, rng: Random, entry: BehaviourEntry) -> Iterator[Edit]:
    """Yield the text with everything of one sort written as elsewhere; the meaning is the same.

    No value is rounded, and no date is written so that day and month could be mistaken.
    """
    changes: list[tuple[str, Callable[[str], str]]] = [
        ("dates as day, month in words, year", _dates_in_words),
        ("dates as day.month.year", _dotted_dates),
        ("times with am and pm", lambda text: _TIME.sub(_twelve_hours, text)),
        ("money with the code behind and a decimal comma", _local_money),
        ("decimal commas", lambda text: _NUMBER.sub(lambda n: _local_number(n[0]), text)),
        ("measures in a smaller unit", lambda text: _MEASURE.sub(_smaller, text)),
    ]
    able = [Edit(changed, said) for said, change in changes if (changed := change(text)) != text]
    if able:
        yield rng.choice(able)


def _dates_in_words(text: str) -> str:
    text = _ISO_DATE.sub(lambda d: f"{int(d[3])} {_MONTHS[int(d[2]) - 1]} {d[1]}", text)
    return _LONG_DATE.sub(r"\2 \1 \3", text)


def _dotted_dates(text: str) -> str:
    """Write dates of days after the 12th with dots: of others day and month could be mistaken."""

    def dotted(date: re.Match[str]) -> str:
        return f"{date[3]}.{date[2]}.{date[1]}" if int(date[3]) > 12 else date[0]

    return _ISO_DATE.sub(dotted, text)


def _twelve_hours(time: re.Match[str]) -> str:
    hour = int(time[1])
    return f"{(hour - 1) % 12 + 1}:{time[2]} {'am' if hour < 12 else 'pm'}"


def _local_number(number: str) -> str:
    whole, _, fraction = number.partition(".")
    grouped = whole.replace(",", " ")
    return f"{grouped},{fraction}" if fraction else grouped


def _local_money(text: str) -> str:
    def local(money: re.Match[str]) -> str:
        return f"{_local_number(money[2] + (money[3] or ''))} {_CURRENCY[money[1]]}"

    return _MONEY.sub(local, text)


def _smaller(measure: re.Match[str]) -> str:
    unit, factor = _SMALLER[measure[2]]
    return f"{(Decimal(measure[1]) * factor).normalize():f} {unit}"
