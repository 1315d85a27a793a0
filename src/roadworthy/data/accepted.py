"""What a field accepts, as a set: whether one set lies within another, and what lies in both.

Numbers, dates and times are intervals of exact fractions, with a step where they have one; an
`integer` is a number of step 1 within 64 bits. All of it is exact but for patterns: whether one
regular expression implies another is not decided, so a pattern is implied by itself alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time
from fractions import Fraction
from typing import Any, NamedTuple

import jsonschema_rs

from .contract import MAX_INTEGER, MIN_INTEGER, Bound, Field, Limits

Edge = tuple[Fraction | float, int]
"""A place on the line of numbers: just before a number (0), or just after it (1)."""
Span = tuple[Edge, Edge]

_EVERYTHING: Span = ((-math.inf, 0), (math.inf, 0))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_DAY, _LAST_DAY = date.min.toordinal(), date.max.toordinal()
_FEW = 64
"""How many members a set may have to be compared one by one, where no enum asks for more."""
_ON_A_LINE = frozenset(("integer", "number", "date", "timestamp", "time"))
_DISCRETE = frozenset(("integer", "number", "date"))
"""Types whose values, once they have a step and bounds, can be listed."""


class Line(NamedTuple):
    """Values on a line: all in `span`, or every multiple of `step` in it."""

    span: Span
    step: Fraction | None

    @property
    def is_empty(self) -> bool:
        """Whether no value lies in it."""
        return self.span[0] >= self.span[1]


def is_nullable(field: Field) -> bool:
    """Whether null is accepted; a part of the key never is."""
    return not field.required and not field.key_position


def is_within(inner: Field, outer: Field) -> bool:
    """Whether `outer` accepts all that `inner` does; where that is unknown, it does not."""
    if is_nullable(inner) and not is_nullable(outer):
        return False
    members = _members(inner, max(_FEW, len(outer.enum)))
    if not _is_one_line(inner.type, outer.type):
        # A date is a text in JSON and none in a column, so neither type holds the other's values.
        return members is not None and not members
    if members is not None:
        return all(accepts(outer, value) for value in members)
    if outer.enum:
        return False
    if inner.type in _ON_A_LINE:
        return _is_line_within(inner, outer)
    return inner.type != "string" or _is_text_within(inner, outer)


def _is_one_line(a: str, b: str) -> bool:
    return a == b or {a, b} == {"integer", "number"}


def accepts(field: Field, value: Any) -> bool:
    """Whether a value, as JSON has it, keeps every rule of the field."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return is_nullable(field)
    if not _is_of_type(field, value):
        return False
    if field.enum and not any(_is_same(value, member) for member in field.enum):
        return False
    if field.type == "string":
        return _is_text_kept(field, value)
    if field.type not in _ON_A_LINE:
        return True
    place, line = place_of(value, field.type), _line(field)
    if place is None or line is None:
        return False
    is_inside = line.span[0] <= (place, 0) and (place, 1) <= line.span[1]
    return is_inside and (line.step is None or place % line.step == 0)


def place_of(value: Bound, kind: str) -> Fraction | None:
    """Return where a number, date or time lies on its line; None if it is none of that type."""
    if kind in ("integer", "number"):
        if isinstance(value, str | bool) or not math.isfinite(value):
            return None
        return Fraction(str(value))
    if not isinstance(value, str):
        return None
    try:
        if kind == "date":
            return Fraction(date.fromisoformat(value).toordinal())
        if kind == "time":
            clock = time.fromisoformat(value)
            since = datetime.combine(_EPOCH, clock.replace(tzinfo=UTC)) - _EPOCH
        else:
            # A date alone is no moment, though it could be read as its midnight.
            moment = datetime.fromisoformat(value if len(value) > len("2013-01-01") else "")
            since = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH
    except ValueError:
        return None
    return Fraction(since.days * 86_400 + since.seconds) + Fraction(since.microseconds, 1_000_000)


def are_limits_within(inner: Limits, outer: Limits) -> bool:
    """Whether every measured value that `inner` allows, `outer` allows too."""
    if inner.equal is not None and not _is_number(inner.equal):
        bounds = (outer.at_least, outer.more_than, outer.at_most, outer.less_than, outer.outside)
        has_bounds = any(bound is not None for bound in bounds)
        is_allowed = outer.equal in (None, inner.equal) and outer.unequal != inner.equal
        return is_allowed and not has_bounds
    if outer.equal is not None and not _is_number(outer.equal):
        return False
    wider = list(_spans(outer))
    return all(
        any(start <= span[0] and span[1] <= end for start, end in wider) for span in _spans(inner)
    )


def _spans(limits: Limits) -> Iterator[Span]:
    """Yield the parts of the line that are allowed, apart from each other, in order."""
    start, end = _cut(limits.at_least, limits.more_than, limits.at_most, limits.less_than)
    if _is_number(limits.equal):
        point = Fraction(str(limits.equal))
        start, end = max(start, (point, 0)), min(end, (point, 1))
    holes: list[Span] = []
    if _is_number(limits.unequal):
        point = Fraction(str(limits.unequal))
        holes.append(((point, 0), (point, 1)))
    if limits.outside is not None and limits.outside[0] <= limits.outside[1]:
        low, high = (Fraction(str(bound)) for bound in limits.outside)
        holes.append(((low, 0), (high, 1)))
    for hole_start, hole_end in sorted(holes):
        if start < min(end, hole_start):
            yield start, min(end, hole_start)
        start = max(start, hole_end)
    if start < end:
        yield start, end


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cut(at_least: Any, more_than: Any, at_most: Any, less_than: Any, kind: str = "number") -> Span:
    """Return the span between bounds.

    Raises:
        ValueError: A bound is no value of `kind`.
    """
    start, end = _EVERYTHING
    for bound, side in ((at_least, 0), (more_than, 1)):
        if bound is not None:
            start = max(start, (_placed(bound, kind), side))
    for bound, side in ((at_most, 1), (less_than, 0)):
        if bound is not None:
            end = min(end, (_placed(bound, kind), side))
    return start, end


def _placed(bound: Bound, kind: str) -> Fraction:
    place = place_of(bound, kind)
    if place is None:
        raise ValueError(f"expected a {kind} as bound")
    return place


def _line(field: Field) -> Line | None:
    """Return the values of a field on their line; None where a bound is not of the field's type."""
    try:
        start, end = _cut(
            field.minimum,
            field.exclusive_minimum,
            field.maximum,
            field.exclusive_maximum,
            field.type,
        )
    except ValueError:
        return None
    step = Fraction(str(field.multiple_of)) if field.multiple_of else None
    if field.type == "integer":
        start, end = max(start, (MIN_INTEGER, 0)), min(end, (MAX_INTEGER, 1))
        step = _common_multiple(step, Fraction(1)) if step else Fraction(1)
    elif field.type == "date":
        start, end = max(start, (_FIRST_DAY, 0)), min(end, (_LAST_DAY, 1))
        step = Fraction(1)
    if step is None:
        return Line((start, end), None)
    return Line((_first(start, step), _last(end, step)), step)


def _common_multiple(a: Fraction, b: Fraction) -> Fraction:
    return Fraction(math.lcm(a.numerator, b.numerator), math.gcd(a.denominator, b.denominator))


def _first(edge: Edge, step: Fraction) -> Edge:
    """Return the edge just before the first multiple of `step` after `edge`."""
    if not isinstance(edge[0], Fraction | int):
        return edge
    count = math.ceil(Fraction(edge[0]) / step)
    if edge[1] and count * step == edge[0]:
        count += 1
    return count * step, 0


def _last(edge: Edge, step: Fraction) -> Edge:
    """Return the edge just after the last multiple of `step` before `edge`."""
    if not isinstance(edge[0], Fraction | int):
        return edge
    count = math.floor(Fraction(edge[0]) / step)
    if not edge[1] and count * step == edge[0]:
        count -= 1
    return count * step, 1


def _is_line_within(inner: Field, outer: Field) -> bool:
    """Compare sets of more members than can be listed, none of them empty."""
    if outer.has_timezone and not inner.has_timezone:
        return False
    narrow, wide = _line(inner), _line(outer)
    if narrow is None or wide is None:
        return _bounds(inner) == _bounds(outer) and inner.type == outer.type
    is_inside = wide.span[0] <= narrow.span[0] and narrow.span[1] <= wide.span[1]
    if not is_inside or wide.step is None:
        return is_inside
    return narrow.step is not None and narrow.step % wide.step == 0


def _bounds(field: Field) -> tuple[Bound | None, ...]:
    return (
        *(field.minimum, field.exclusive_minimum, field.maximum, field.exclusive_maximum),
        field.multiple_of,
    )


def _is_text_within(inner: Field, outer: Field) -> bool:
    least, most = inner.min_length or 0, inner.max_length
    is_short = outer.max_length is None or (most is not None and most <= outer.max_length)
    is_long = least >= (outer.min_length or 0)
    return is_short and is_long and outer.pattern in ("", inner.pattern)


def _members(field: Field, most: int) -> Sequence[Any] | None:
    """Return every value but null, if there are `most` at most; None if there may be more."""
    if field.enum:
        return [value for value in field.enum if accepts(field, value)]
    if field.type == "boolean":
        return (True, False)
    if field.type == "string":
        shortest, longest = field.min_length or 0, field.max_length
        if longest is None or 0 < longest >= shortest:
            return None
        return [text for text in ("",) if accepts(field, text)]
    line = _line(field) if field.type in _ON_A_LINE else None
    if line is None:
        return None
    if line.is_empty:
        return ()
    return _listed(line, field.type, most) if field.type in _DISCRETE else None


def _listed(line: Line, kind: str, most: int) -> Sequence[Any] | None:
    (first, first_side), (last, last_side) = line.span
    if not isinstance(first, Fraction) or not isinstance(last, Fraction):
        return None
    if line.step is None:
        is_one = first == last and (first_side, last_side) == (0, 1)
        return [_value(first, kind)] if is_one else None
    count = int((last - first) / line.step) + 1
    if count > most:
        return None
    return [_value(first + n * line.step, kind) for n in range(count)]


def _value(place: Fraction, kind: str) -> Any:
    if kind == "date":
        return date.fromordinal(int(place)).isoformat()
    return int(place) if place.denominator == 1 else float(place)


def _is_of_type(field: Field, value: Any) -> bool:
    if isinstance(value, bool):
        return field.type == "boolean"
    match field.type:
        case "integer":
            is_whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
            return is_whole and MIN_INTEGER <= value <= MAX_INTEGER
        case "number":
            return isinstance(value, int | float) and math.isfinite(value)
        case "string":
            return isinstance(value, str)
        case "object":
            return isinstance(value, dict)
        case "array":
            return isinstance(value, list | tuple)
        case "boolean":
            return False
    if place_of(value, field.type) is None:
        return False
    return not field.has_timezone or datetime.fromisoformat(value).tzinfo is not None


def _is_text_kept(field: Field, text: str) -> bool:
    if len(text) < (field.min_length or 0):
        return False
    if field.max_length is not None and len(text) > field.max_length:
        return False
    return not field.pattern or jsonschema_rs.is_valid({"pattern": field.pattern}, text)


def _is_same(a: Any, b: Any) -> bool:
    """Whether two values are one to JSON: 1 is 1.0, and true is not 1."""
    return isinstance(a, bool) == isinstance(b, bool) and bool(a == b)
