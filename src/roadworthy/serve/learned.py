"""The learned route: how good each model is predicted to be, by what was fitted and then frozen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..risk.gain import Gain, gain_from
from ..store.scorers import StoredScorer


class Chosen(NamedTuple):
    """The cheaper model that a question may go to.

    Attributes:
        model: The cheapest that is predicted to be good enough; else the one that loses least.
        score: How sure it is that it does (higher is surer): the predicted quality that it lacks
            against the reference, negated. What is certified is a least score.
    """

    model: str
    score: float


class Learned:
    """Predicts of a question which cheaper model does, and how surely.

    It never changes: its pairs bear its id as their scorer, and what it was fitted on is no
    evidence for it.

    Args:
        id: Of the stored scorer.
        gain: What was fitted.

    Attributes:
        id: By which pairs name it.
        models: The cheaper ones, cheapest first.
        reference: The model that they are held against.
    """

    def __init__(self, id: str, gain: Gain) -> None:
        self.id = id
        self.models = gain.models
        self.reference = gain.reference
        self._gain = gain

    def choose(self, vector: npt.NDArray[np.float32], tags: Sequence[str] = ()) -> Chosen:
        """Return the cheaper model for a question, and its score.

        Args:
            vector: (d,) float32, of length 1.
            tags: What the request bears.
        """
        model, score = self._gain.choose(vector[None], [tags])[0]
        return Chosen(model, score)


def open_learned(stored: StoredScorer) -> Learned:
    """Open what was fitted, from the values that were stored of it."""
    return Learned(stored.id, gain_from(stored.detail["gain"]))
