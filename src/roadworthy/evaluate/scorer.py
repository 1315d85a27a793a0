"""What a scorer is, and how one is opened by the name that a service gives it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec

from ..declare.evaluation import ScorerEntry
from ..plugins import load_plugin
from ..types import Answer, Call, Embedder, Support
from .asked import Asked
from .cases import Case


class Score(msgspec.Struct, frozen=True, omit_defaults=True):
    """How good one answer is.

    Attributes:
        value: From 0 (wrong) to 1 (right); None where the scorer cannot say, which is not a 0.
        is_right: Whether it counts as right; None where the scorer cannot say.
        why: What speaks against it, in one sentence; empty where nothing does.
        measured: In the scorer's own unit: milliseconds, USD, the error of a number.
        cost_micro: What scoring cost, in micro-dollars.
        doubt: Share of such scores (0-1) that a person would see otherwise; 0 for exact scorers.
    """

    value: float | None
    is_right: bool | None = None
    why: str = ""
    measured: float | None = None
    cost_micro: int = 0
    doubt: float = 0.0


def checked(score: Any) -> Score:
    """Return a score, as it must be whoever made it.

    Raises:
        ValueError: It is none: numbers that are not from 0 to 1 would decide by what they are not.
    """
    if not isinstance(score, Score):
        raise ValueError(f"expected a Score, got {type(score).__name__}")
    if score.value is not None and not _is_share(score.value):
        raise ValueError(f"value: expected a number from 0 to 1 or None, got {score.value!r:.40}")
    if score.is_right is not None and not isinstance(score.is_right, bool):
        raise ValueError(f"is_right: expected a bool or None, got {score.is_right!r:.40}")
    if not _is_share(score.doubt):
        raise ValueError(f"doubt: expected a number from 0 to 1, got {score.doubt!r:.40}")
    if not isinstance(score.cost_micro, int) or score.cost_micro < 0:
        raise ValueError(f"cost_micro: expected a whole number >= 0, got {score.cost_micro!r:.40}")
    return score


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and 0 <= value <= 1


class ScoringGround(msgspec.Struct, frozen=True, kw_only=True):
    """What a scorer may use beside the answer.

    Attributes:
        folder: The service's folder, for files that a scorer names.
        embedder: Gives the embedder; only `similar` and the like call it.
        support: Gives what says how well passages support a text; only `grounded` calls it.
        ask_model: Asks a model of the project by `provider/model`; only a judge does.
        kept: Folder for what a judge has said, so that nothing is paid for twice; None keeps it in
            memory.
    """

    folder: Path
    embedder: Callable[[], Embedder]
    support: Callable[[], Support]
    ask_model: Callable[[str, Call], Answer]
    kept: Path | None = None


class Scorer(Protocol):
    """Says how good one answer is.

    Attributes:
        name: The name the declaration gives it.
        version: Whatever of it changes scores: two scorers of one version score alike.
        is_dear: Whether scoring costs money or seconds, so that scores are kept.
    """

    name: str
    version: str
    is_dear: bool

    def score(self, case: Case, asked: Asked) -> Score:
        """Return how good the answer is. It runs in a thread and may wait.

        Raises:
            ModelError: What it asks failed: the score is unknown.
        """


def open_scorer(entry: ScorerEntry, ground: ScoringGround) -> Scorer:
    """Open the scorer that a service names.

    Raises:
        DeclarationError: No such plugin is installed, or the entry does not fit it.
        MissingExtra: It needs a package that is not installed.
    """
    scorer: Scorer = load_plugin("scorers", entry.use)(entry, ground)
    return scorer
