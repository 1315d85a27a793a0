"""How sure an answer is: a score that ranks answers, and the confidence that is made of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from ..signals.confident import raw_score
from ..types import Answer, Call

Calibrate = Callable[[float], float]
"""Makes a calibrated probability of a score."""


class Scorer(Protocol):
    """A frozen score model.

    Attributes:
        id: Which one it is: evidence that was gathered with another counts for nothing.
    """

    id: str

    def score(self, call: Call, answer: Answer) -> float | None:
        """Return how sure the answer is (0-1, higher is surer), or None where it is unknown."""


class OwnScore:
    """What a prediction says of itself, as it stands in its output.

    Attributes:
        id: `own`, because it is a part of the release.
    """

    id = "own"

    def score(self, call: Call, answer: Answer) -> float | None:
        """Return the probability that the output gives its label."""
        return raw_score(answer.output)


class LeastSupport:
    """How well the least supported sentence of an answer is supported by its passages.

    Attributes:
        id: `least-support`; what reads texts is a part of the release.
    """

    id = "least-support"

    def score(self, call: Call, answer: Answer) -> float | None:
        """Return the least support of a sentence, or None where nothing was looked up."""
        text = _text_of(answer.output)
        if call.support is None or not call.passages or not text:
            return None
        sentences = call.support(text, call.passages)
        return min((sentence.score for sentence in sentences), default=None)


def _text_of(output: Any) -> str:
    text = output.get("text") if isinstance(output, dict) else None
    return text if isinstance(text, str) else ""
