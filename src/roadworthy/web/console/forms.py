"""What people type into forms: times in words, and what is wrong, beside its field."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple, get_args

import msgspec

from ...errors import RequestError
from ...types import Disposition
from ..moments import Direction, moment
from ..numbers import typed_time

TIMES = "a span back from now such as `1h` or `7d`, `today`, or a UTC time such as `{}`"
TIMES_AHEAD = "a UTC time to come such as `{}`, or a span from now such as `30d`"
MOST_SHOWN = 60
OTHER = "other"
"""What is chosen where a time is typed instead."""

_NAME = "at most 200 characters"
_EXPECTED: Mapping[str, str] = {
    "name": "1 to 200 characters",
    "scopes": "at least one",
    "per_day_usd": "an amount such as `2.50`, from 0 on, with at most 6 decimals",
    "reason": "at most 1,000 characters",
    "do": "a button: approve, send correction, hand over or reject",
    "disposition": f"one of {', '.join(get_args(Disposition))}",
    "limit": "a whole number from 1 to 200",
    "slower_than_ms": "a number of milliseconds such as `250`",
}
_FIRST_WORD = re.compile(r"\w+")
_HOURS = re.compile(r"\d+ ?[hdw]", re.ASCII)


class Wrong(NamedTuple):
    """What is wrong with a form: in which field, and what to do about it."""

    field: str
    says: str


def write_times(
    given: Iterable[tuple[str, str]], kind: type[msgspec.Struct], now: datetime, way: Direction
) -> list[tuple[str, str]]:
    """Return the fields with every time that is written in words as a time of day.

    Raises:
        RequestError: What stands in the field of a time is none.
    """
    times = {field.name for field in msgspec.structs.fields(kind) if _is_time(field.type)}
    return [
        (name, _written(name, text, now, way) if name in times else text) for name, text in given
    ]


def one_time(given: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the fields with one beginning: what was typed counts before what was chosen.

    >>> one_time([("since", "24h"), ("tag", "web"), ("since", "2026-11-01")])
    [('tag', 'web'), ('since', '2026-11-01')]
    >>> one_time([("since", "other"), ("tag", "web")])
    [('tag', 'web')]
    """
    fields = list(given)
    begun = [text for name, text in fields if name == "since" and text != OTHER]
    rest = [(name, text) for name, text in fields if name != "since"]
    return [*rest, ("since", begun[-1])] if begun else rest


def all_wrong(
    given: Iterable[tuple[str, str]],
    check: Callable[[list[tuple[str, str]]], object],
    wrong: Callable[[RequestError], Wrong | None],
) -> dict[str, str]:
    """Return what is wrong with each field by itself: its name → what is said beside it.

    Args:
        given: The fields.
        check: Reads some fields, or raises.
        wrong: What an error says of a field.
    """
    by_name: dict[str, list[tuple[str, str]]] = {}
    for name, text in given:
        by_name.setdefault(name, []).append((name, text))
    found: dict[str, str] = {}
    for fields in by_name.values():
        try:
            check(fields)
        except RequestError as error:
            said = wrong(error)
            if said is not None:
                found[said.field] = said.says
    return found


def wrong_of(
    error: RequestError,
    given: Iterable[tuple[str, str]],
    fields: Collection[str],
    now: datetime,
    way: Direction,
) -> Wrong | None:
    """Return what an error says of a field of the form; None where it is of none of them."""
    found = _FIRST_WORD.match(error.param or "")
    if error.status != 400 or not found or found[0] not in fields:
        return None
    field = found[0]
    typed = [text for name, text in given if name == field and text]
    return Wrong(field, f"Expected {_expected(field, error, now, way)}, got {_got(typed)}.")


def _expected(field: str, error: RequestError, now: datetime, way: Direction) -> str:
    said = str(error).partition("expected ")[2].rpartition(", got")[0]
    if field in ("since", "until", "expires"):
        if "before that of" in said:
            return said
        example = typed_time(now)
        return (TIMES if way < 0 else TIMES_AHEAD).format(example)
    return _EXPECTED.get(field) or said or _NAME


def _got(typed: list[str]) -> str:
    if not typed:
        return "nothing"
    text = ", ".join(typed)
    return f"`{text}`" if len(text) <= MOST_SHOWN else f"{len(text):,} characters"


def _written(name: str, text: str, now: datetime, way: Direction) -> str:
    if not text:
        return text
    try:
        time = moment(text, now, way)
        # As everywhere in the console a span back begins with a whole hour, so that it is counted.
        if way < 0 and _HOURS.fullmatch(text.strip().lower()):
            time = time.replace(minute=0, second=0, microsecond=0)
        return time.isoformat()
    except ValueError as error:
        raise RequestError(f"{name}: expected a time, got another text", param=name) from error


def _is_time(kind: Any) -> bool:
    """Whether an annotation holds a time, perhaps beside something else."""
    return kind is datetime or any(_is_time(part) for part in get_args(kind))
