"""Scorers of what an answer took: money and time."""

from __future__ import annotations

from ...declare.evaluation import ScorerEntry
from ...types import MICRO
from ..asked import Asked
from ..cases import Case
from ..scorer import Score, ScoringGround
from .reading import no_answer, version_of


class Cost:
    """What the answer cost, in USD: 1 up to `at_most`, else 0. What failed has its price too."""

    is_dear = False

    def __init__(self, entry: ScorerEntry, ground: ScoringGround) -> None:
        self.name = entry.name
        self.version = version_of(entry, 1)
        self._most = None if entry.at_most is None else round(entry.at_most * MICRO)

    def score(self, case: Case, asked: Asked) -> Score:
        """Return what it cost; without `at_most` it is measured and neither right nor wrong."""
        usd = asked.cost_micro / MICRO
        if self._most is None:
            return Score(None, measured=usd)
        is_right = asked.cost_micro <= self._most
        why = "" if is_right else f"expected at most ${self._most / MICRO:g}, cost ${usd:g}"
        return Score(float(is_right), is_right, why, usd)


class Latency:
    """How long the answer took, in milliseconds: 1 up to `at_most`, else 0.

    It is what this machine took now, with nobody else asking. No answer is none in time.
    """

    is_dear = False

    def __init__(self, entry: ScorerEntry, ground: ScoringGround) -> None:
        self.name = entry.name
        self.version = version_of(entry, 1)
        self._most_ms = entry.at_most

    def score(self, case: Case, asked: Asked) -> Score:
        """Return how long it took; without `at_most` it is measured and neither right nor wrong."""
        ms = asked.latency_us / 1000
        if self._most_ms is None:
            return Score(None, measured=ms)
        if (missing := no_answer(asked)) is not None:
            return missing
        is_right = ms <= self._most_ms
        why = "" if is_right else f"expected at most {self._most_ms:g} ms, took {ms:g} ms"
        return Score(float(is_right), is_right, why, ms)
