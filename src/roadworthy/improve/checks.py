"""What an example must pass by itself: agreement of people, and how much it may weigh. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import msgspec

from ..types import Kind
from .said import BY_PEOPLE, Said

MOST_WEIGHT = 20.0
"""What an audit of a share of 5 %, the default, stands for. Without a limit single rows of rarer
draws would decide what a model learns; with it they get less than their share."""
LEAST_PLANTED = 10
"""Known cases that a reviewer must have been given before their miss rate counts."""
MOST_MISSED = 0.2
"""Largest share of known cases that a reviewer may miss for their word alone to be enough."""

_encode = msgspec.json.Encoder(order="deterministic").encode


class Missed(NamedTuple):
    """How often a reviewer let a planted case pass that was known to be wrong."""

    planted: int
    missed: int

    @property
    def is_acceptable(self) -> bool:
        """Whether too little is known, or few enough were missed."""
        return self.planted < LEAST_PLANTED or self.missed <= MOST_MISSED * self.planted


def weight_of(share: float) -> float:
    """Return how many requests one stands for whose outcome was asked for with this chance.

    The inverse of the recorded propensity (Horvitz and Thompson, 1952), at most `MOST_WEIGHT`. What
    was never to be asked for, and is known all the same, stands for itself.

    >>> weight_of(0.25), weight_of(0.001), weight_of(0.0)
    (4.0, 20.0, 1.0)
    """
    return min(MOST_WEIGHT, max(1.0, 1.0 / share)) if share > 0 else 1.0


def chosen(said: Sequence[Said]) -> Said | None:
    """Return the newest that names an answer; of one moment a whole output before a label."""
    named = [one for one in said if one.answer]
    return max(named, key=lambda one: (one.at_us, one.kind == "output", one.id), default=None)


def conflict(said: Sequence[Said], kind: Kind) -> str:
    """Return which two people answered the same input differently; empty where none did.

    Of each person only the newest word counts. A generate may have more than one right text, so
    two approvals of different texts are none; whoever turns down what another calls right is one.
    """
    for one, other in combinations(_newest_by_each(said), 2):
        if _contradict(one, other, kind):
            return (
                f"{_named(one)} and {_named(other)} answered the same input differently; "
                "`release` takes the newer answer"
            )
    return ""


def _newest_by_each(said: Sequence[Said]) -> list[Said]:
    newest = {one.by: one for one in sorted(said, key=lambda one: (one.at_us, one.id))}
    return [newest[by] for by in sorted(newest)]


def _contradict(one: Said, other: Said, kind: Kind) -> bool:
    if not (one.answer and other.answer):
        approved, other = (one, other) if one.answer else (other, one)
        return bool(approved.answer) and approved.answer == other.given
    if kind == "generate" and not (one.is_correction or other.is_correction):
        return False
    return not is_same(one, other)


def is_same(one: Said, other: Said) -> bool:
    """Whether two say the same, as far as they can be compared: by label where both have one."""
    labels = [_label_of(said) for said in (one, other)]
    if None not in labels:
        return labels[0] == labels[1]
    return one.kind != other.kind or one.answer == other.answer


def _label_of(said: Said) -> bytes | None:
    if said.kind == "label":
        return said.answer
    value: Any = msgspec.json.decode(said.answer)
    return _encode(value["label"]) if isinstance(value, dict) and "label" in value else None


def _named(said: Said) -> str:
    return f"{said.by} ({said.id})"


def disagreement(
    said: Sequence[Said],
    answer: Said,
    seconds: Collection[str],
    missed: Mapping[str, Missed],
) -> str:
    """Return why too few people agree on the answer; empty where enough do.

    Where a second review was asked for, two people must have given it. Else one is enough, unless
    they are known to miss too many planted cases. What a system reports is not a matter of opinion.

    Args:
        said: All that was said of the input.
        answer: The one that was chosen.
        seconds: `decided`, or else the state of each of its second reviews.
        missed: What reviewers missed, as far as it is known.
    """
    if answer.source not in BY_PEOPLE:
        return ""
    agreeing = {one.by for one in _agreeing(said, answer)}
    if len(agreeing) > 1:
        return ""
    if "open" in seconds:
        return "a second review is still open"
    if "decided" in seconds:
        return f"only {answer.by} gave this answer, and a second review was asked for"
    known = missed.get(answer.by)
    if known is not None and not known.is_acceptable:
        return (
            f"{answer.by} missed {known.missed} of {known.planted} planted cases, above "
            f"{MOST_MISSED:.0%}; a second reviewer must agree"
        )
    return ""


def _agreeing(said: Sequence[Said], answer: Said) -> Iterator[Said]:
    return (
        one
        for one in _newest_by_each(said)
        if one.answer and one.source in BY_PEOPLE and is_same(one, answer)
    )
