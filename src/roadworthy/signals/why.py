"""Says in words and values why an answer is what it is: for a page, or for who has to decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from ..types import Passage
from .grounded import Grounding, Supported

if TYPE_CHECKING:  # it needs numpy, and what texts stand on is told without it
    from .attribution import Attribution

_MOST_CHARACTERS = 60


class Used(msgspec.Struct, frozen=True):
    """A passage that an answer was written from.

    Attributes:
        score: How near the question it is (0-1).
        supports: How many sentences of the answer it supports most of all passages.
    """

    file: str
    heading: str
    score: float
    supports: int


class WrittenFrom(msgspec.Struct, frozen=True):
    """What an answer stands on: passages, nearest to the question first, and each sentence."""

    passages: tuple[Used, ...]
    sentences: tuple[Supported, ...]


def written_from(grounding: Grounding, text: str, passages: Sequence[Passage]) -> WrittenFrom:
    """Return what the sentences of an answer stand on.

    Raises:
        ModelUnavailable: The embedder failed inside.
    """
    sentences = grounding.explain(text, passages)
    places = [(sentence.file, sentence.heading, sentence.nearest) for sentence in sentences]
    used = []
    for passage in passages:
        own = {(passage.file, passage.heading, sentence.text) for sentence in passage.sentences}
        supports = sum(place in own for place in places)
        used.append(Used(passage.file, passage.heading, passage.score, supports))
    return WrittenFrom(tuple(used), sentences)


def why_sentences(
    attribution: Attribution,
    row: Mapping[str, Any],
    words: Mapping[str, str],
    *,
    most: int = 3,
    scale: float = 100.0,
    unit: str = "points",
) -> list[str]:
    """Return short sentences that say what moved a prediction most, and last what all else did.

    Args:
        attribution: What each feature contributes.
        row: The row that is explained.
        words: Feature → how to say what it is, with `{value}` where its value belongs. A feature
            without words, or whose value is null, goes by its name.
        most: How many features are told of one by one.
        scale: What contributions are multiplied by: 100 makes points of shares.
        unit: What they are then.

    >>> from .attribution import Attribution, Part
    >>> found = Attribution(0.2, 0.41, (Part("late", 0.21), Part("dest", 0.0)), 30, False)
    >>> why_sentences(found, {"late": 48.0}, {"late": "The previous leg was {value} min late"})
    ['The previous leg was 48 min late: +21 points']
    """
    parts = [part for part in attribution.parts if part.contribution]
    told = [
        f"{_phrase(name, row, words)}: {_amount(contribution * scale, unit)}"
        for name, contribution in parts[:most]
    ]
    rest = sum(part.contribution for part in parts[most:]) * scale
    if len(parts) > most:
        count = len(parts) - most
        others = "The other feature" if count == 1 else f"The other {count} features together"
        told.append(f"{others}: {_amount(rest, unit)}")
    return told


def _phrase(name: str, row: Mapping[str, Any], words: Mapping[str, str]) -> str:
    value = row.get(name)
    if name in words and (value is not None or "{value}" not in words[name]):
        return words[name].replace("{value}", _shown(value))
    if name not in row:
        return f"`{name}`"
    return f"`{name}` is unknown" if value is None else f"`{name}` is {_shown(value)}"


def _shown(value: Any) -> str:
    if type(value) is bool:
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 10_000 else f"{value:.0f}"
    text = str(value)
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 1]}…"


def _amount(number: float, unit: str) -> str:
    digits = 0 if abs(number) >= 10 else 1 if abs(number) >= 0.05 else 2
    return f"{number:+.{digits}f} {unit}".rstrip()
