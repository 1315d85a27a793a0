"""The same things in another order, where the order means nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from random import Random
from typing import Any

import msgspec

from ..cases import Case
from .change import Ground, Variant, value_of, with_value

_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_ITEM = re.compile(r"^\s*[-*•] ")


def order(case: Case, ground: Ground, rng: Random) -> Iterator[Variant]:
    """Yield the case with lists, lines of lists and keys of JSON text in another order.

    Without declared fields these are those of every field. The sentences of a text change places
    only where its field is declared. Keys of an input's own objects have no order to begin with.
    """
    changed, said = case, []
    for field in ground.entry.fields or tuple(case.input):
        value = value_of(case, field)
        for after, what in _orders(value, rng, bool(ground.entry.fields)):
            if after != value:
                changed = with_value(changed, field, after)
                said.append(f"{field}: {what} in another order")
                break
    if said:
        yield Variant(changed, "; ".join(said))


def _orders(value: Any, rng: Random, is_declared: bool) -> Iterator[tuple[Any, str]]:
    if isinstance(value, list):
        yield _shuffled(value, rng), "the list"
    elif isinstance(value, str):
        yield _keys_reversed(value), "the keys"
        yield _items_shuffled(value, rng), "the lines of the list"
        if is_declared:
            yield " ".join(_shuffled(_SENTENCE.split(value.strip()), rng)), "the sentences"


def _shuffled(items: list[Any], rng: Random) -> list[Any]:
    """Return the items in another order; the same where all are alike."""
    places = list(range(len(items)))
    rng.shuffle(places)
    found = [items[place] for place in places]
    for turn in range(1, len(items)):
        if found != items:
            break
        found = items[turn:] + items[:turn]
    return found


def _keys_reversed(text: str) -> str:
    if not text.lstrip().startswith("{"):
        return text
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
    if not isinstance(value, dict) or len(value) < 2:
        return text
    return msgspec.json.encode(dict(reversed(value.items()))).decode()


def _items_shuffled(text: str, rng: Random) -> str:
    lines = text.split("\n")
    places = [place for place, line in enumerate(lines) if _ITEM.match(line)]
    for place, line in zip(places, _shuffled([lines[place] for place in places], rng), strict=True):
        lines[place] = line
    return "\n".join(lines)
