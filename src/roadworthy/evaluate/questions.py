"""What is to be asked: every case of the suites, so often, in an order that interleaves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from .asked import Asked
from .cache import answer_key
from .cases import Case, Suite
from .scorer import Score
from .settings import Settings


class Question:
    """One repeat of one case, with what comes of it.

    Attributes:
        key: Under which its answer is kept; empty where it is not.
        content: The answer as it is kept.
        scores: Name of the scorer → its score.
    """

    __slots__ = ("answer", "case", "content", "key", "repeat", "scores", "suite")

    def __init__(self, case: Case, suite: str, repeat: int, key: str) -> None:
        self.case = case
        self.suite = suite
        self.repeat = repeat
        self.key = key
        self.answer: Asked | None = None
        self.content = b""
        self.scores: dict[str, Score | None] = {}


def questions_of(
    suites: Sequence[Suite], settings: Settings
) -> tuple[list[list[Question]], list[Question]]:
    """Return the questions by case, and all of them in the order they are asked.

    First every case once, taking turns between the suites, then every case again: whatever stops an
    evaluation on the way, no suite is left out. What is not scored is asked once.
    """
    by_suite = [[_repeats(case, suite.name, settings) for case in suite.cases] for suite in suites]
    turns = [found for group in zip_longest(*by_suite) for found in group if found is not None]
    repeats = range(settings.repeats)
    ordered = [found[repeat] for repeat in repeats for found in turns if repeat < len(found)]
    return [found for of_suite in by_suite for found in of_suite], ordered


def _repeats(case: Case, suite: str, settings: Settings) -> list[Question]:
    repeats = 1 if suite in settings.unscored else settings.repeats
    keys = enumerate(_keys(case, settings, repeats))
    return [Question(case, suite, repeat, key) for repeat, key in keys]


def _keys(case: Case, settings: Settings, repeats: int) -> Iterator[str]:
    if settings.reads_live and case.features is None:
        yield from [""] * repeats
        return
    asked = case.asked
    for repeat in range(repeats):
        yield answer_key(settings.release, settings.environment, asked, repeat)
