"""Whether two answers say the same: what is lost where one is given in the place of the other."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from .marks import MOST_CHARACTERS, Marks, folded, marks_of
from .text import normalised

Embed = Callable[[Sequence[str]], Any]
"""Texts -> (n, d) float32 of length 1."""

TOLERANCE = 1e-6
"""By how much two numbers of JSON may differ, as a share of the larger."""
LEAST_SHARED = 0.6
"""Share of their words, counted together, that two texts have in common at least."""
LEAST_NEAR = 0.9
"""Cosine from which on two texts say the same, whatever their words."""
SHORT = 3
"""A text of so few words is a name or a label: it is the same or it is another."""

_decode = msgspec.json.Decoder().decode


def is_same(one: Any, other: Any, embed: Embed | None = None) -> bool:
    """Return whether two answers say the same. What is not known to be, is not.

    JSON is the same where it has the same fields and items with the same values; numbers may
    differ by a millionth, and a text that holds JSON is read. Texts are the same where their words
    are; or else where the numbers, denials and names in them are the same and they share most of
    their words, or lie near enough.

    Args:
        one: An output: a prediction, or `{"text": ...}`.
        other: What it is held against.
        embed: Makes vectors of texts; without it their words decide.

    >>> is_same({"text": "It costs $35."}, {"text": "it costs  $35"})
    True
    >>> is_same({"text": "It costs $35."}, {"text": "It costs $40."})
    False
    >>> is_same({"label": "late", "p": 0.3}, {"p": 0.30000000001, "label": "late"})
    True
    """
    one, other = _read(one), _read(other)
    if isinstance(one, str) and isinstance(other, str):
        return _is_same_text(one, other, embed)
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(is_same(one[k], other[k], embed) for k in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        pairs = zip(one, other, strict=False)
        return len(one) == len(other) and all(is_same(a, b, embed) for a, b in pairs)
    return _is_same_value(one, other)


def _read(value: Any) -> Any:
    """Return what an answer says: the text of `{"text": ...}`, and the JSON that a text holds."""
    if isinstance(value, Mapping) and value.keys() == {"text"}:
        value = value["text"]
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return _decode(value)
        except (msgspec.DecodeError, RecursionError):
            return value
    return value


def _is_same_value(one: Any, other: Any) -> bool:
    are_flags = isinstance(one, bool), isinstance(other, bool)
    if any(are_flags) or not (isinstance(one, int | float) and isinstance(other, int | float)):
        return type(one) is type(other) and bool(one == other)
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=1e-12)


def _is_same_text(one: str, other: str, embed: Embed | None) -> bool:
    if one == other:
        return True
    left, right = marks_of(one), marks_of(other)
    if left.numbers != right.numbers or left.tail != right.tail:
        return False
    ours, theirs = normalised(folded(one)), normalised(folded(other))
    if ours == theirs:
        return bool(ours)
    if min(len(ours.split()), len(theirs.split())) <= SHORT:
        return False
    if not _agree(left, right):
        return False
    if _shared(left, right) >= LEAST_SHARED:
        return True
    return embed is not None and _is_near(one, other, embed)


def _agree(one: Marks, other: Marks) -> bool:
    """Whether nothing that turns a text is in one of two only."""
    return (
        one.negated == other.negated
        and one.names <= other.every
        and other.names <= one.every
        and one.times == other.times
        and one.language[0] == other.language[0]
    )


def _shared(one: Marks, other: Marks) -> float:
    ours, theirs = Counter(one.words), Counter(other.words)
    both = (ours | theirs).total()
    return (ours & theirs).total() / both if both else 0.0


def _is_near(one: str, other: str, embed: Embed) -> bool:
    vectors = embed((one[:MOST_CHARACTERS], other[:MOST_CHARACTERS]))
    return float(vectors[0] @ vectors[1]) >= LEAST_NEAR
