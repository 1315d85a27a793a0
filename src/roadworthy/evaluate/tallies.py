"""One number per case and scorer: what intervals and comparisons are made from.

The case is the unit, since repeats of one question stand and fall together: its value is the mean
of its repeats. What is not known for sure widens it: of a score that a person would see otherwise
with a chance of d, value v may be as low as v (1 - d) and as high as v + (1 - v) d; of one that is
missing, 0 and 1.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from .rights import rights_of
from .runs import CaseRuns
from .scorer import Score

ASKS_SOMEBODY = frozenset({"judge", "human"})
"""Scorers that should be able to say of any answer: where they do not, that is not known. Where
another one cannot say, the case expects nothing of it."""


class Tally(NamedTuple):
    """What a scorer says of one case.

    Attributes:
        value: Mean over the repeats, of those that are known; None where none is.
        lowest, highest: What the value may be in truth.
        doubt: The mean doubt of its scores.
        within: The variance of single scores about their mean; 0 of one alone.
        repeats: How many scores are known.
    """

    value: float | None
    lowest: float
    highest: float
    doubt: float = 0.0
    within: float = 0.0
    repeats: int = 0


class Tallies(NamedTuple):
    """What a scorer says of all cases of which it says anything.

    Attributes:
        is_share: Whether it says right or wrong; else it gives values from 0 to 1.
        by_case: Id of the case → its tally.
    """

    is_share: bool
    by_case: Mapping[str, Tally]

    def known(self) -> list[Tally]:
        """Return those with a value."""
        return [tally for tally in self.by_case.values() if tally.value is not None]

    @property
    def repeats(self) -> int:
        """The most scores that any case has."""
        return max((tally.repeats for tally in self.by_case.values()), default=0)


def scorers_of(cases: Iterable[CaseRuns]) -> list[str]:
    """Return the names of all scorers that were used, in the order in which they first were."""
    return list(dict.fromkeys(name for runs in cases for name in runs.scores))


def tallies_of(
    cases: Sequence[CaseRuns], name: str, asks_somebody: Collection[str] = ()
) -> Tallies:
    """Return what a scorer says of the cases.

    Args:
        cases: What was asked and answered.
        name: Of the scorer.
        asks_somebody: Names of the scorers of which a score that cannot say counts as missing.
    """
    scores = [score for runs in cases for score in runs.scores.get(name, ()) if score is not None]
    is_share = any(score.is_right is not None for score in scores)

    def read(score: Score) -> float | None:
        if not is_share:
            return score.value
        return None if score.is_right is None else float(score.is_right)

    found: dict[str, Tally] = {}
    for runs in cases:
        if name in runs.scores:
            tally = _tally(runs, runs.scores[name], read, is_missing=name in asks_somebody)
            if tally is not None:
                found[runs.case.id] = tally
    return Tallies(is_share, found)


def right_tallies(cases: Sequence[CaseRuns]) -> Tallies:
    """Return how often each case was right by all of its scorers that could say."""
    found = {}
    for runs in cases:
        rights = [float(right) for right in rights_of(runs) if right is not None]
        if rights:
            found[runs.case.id] = _of(rights, rights, rights, 0.0)
    return Tallies(True, found)


def _tally(
    runs: CaseRuns,
    scores: Sequence[Score | None],
    read: Callable[[Score], float | None],
    *,
    is_missing: bool,
) -> Tally | None:
    """Return what is known of a case; None where the scorer has nothing to say of it."""
    values, lowest, highest, doubts = [], [], [], []
    for answer, score in zip(runs.answers, scores, strict=True):
        value = None if score is None else read(score)
        if score is not None and value is not None:
            values.append(value)
            doubts.append(score.doubt)
            lowest.append(value * (1 - score.doubt))
            highest.append(value + (1 - value) * score.doubt)
        elif answer is not None and (score is None or is_missing):
            lowest.append(0.0)
            highest.append(1.0)
    if not lowest:
        return None
    return _of(values, lowest, highest, _mean(doubts) if doubts else 0.0)


def _of(values: list[float], lowest: list[float], highest: list[float], doubt: float) -> Tally:
    if not values:
        return Tally(None, _mean(lowest), _mean(highest))
    mean = _mean(values)
    within = 0.0
    if len(values) > 1:
        within = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return Tally(mean, _mean(lowest), _mean(highest), doubt, within, len(values))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
