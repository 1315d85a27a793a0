"""How sure it is that the answer to one question does for another: features and their score.

The score is frozen: its weights were fitted once on clinc150 (`bench/cache.py --fit`, seed 0),
pooled over caches of 5 to 3,000 entries, and are held against the questions of another service
(banking77) there. What it promises nobody has to believe: a threshold on it is certified from a
service's own pairs. What earns most beside similarity is whether the other near questions have the
same answer. Which words they share earned nothing beside that and the guards, and was left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

NEIGHBOURS = 16
"""Near questions that are looked at."""
SCORER = "reuse-1"
"""Names the weights: with others, everything certified on these is void."""
FEATURES = ("similarity", "margin", "agreeing", "count", "far", "few")
WEIGHTS = (4.7422, 1.8746, 3.0071, 6.1651, -0.5533, 1.3818)
INTERCEPT = -6.9457

_STEEP = 20.0
"""How fast a neighbour counts less the farther it lies from the nearest."""
_NOTHING_NEAR = 0.2
"""Cosine of two questions that have nothing to do with each other (MiniLM)."""


def features_of(
    similarities: Sequence[float],
    agrees: Sequence[bool],
    place: int,
) -> tuple[float, ...]:
    """Return the features of giving one neighbour's answer, in the order of `FEATURES`.

    Args:
        similarities: Cosines of the neighbours, nearest first, at most `NEIGHBOURS`.
        agrees: Of each, whether its answer says the same as that one's.
        place: Which neighbour's answer would be given.
    """
    nearest = similarities[0]
    weights = [math.exp(_STEEP * (similarity - nearest)) for similarity in similarities]
    agreeing = sum(w for w, same in zip(weights, agrees, strict=True) if same) / sum(weights)
    against = [s for s, same in zip(similarities, agrees, strict=True) if not same]
    is_full = len(similarities) >= NEIGHBOURS
    far = similarities[-1] if is_full else _NOTHING_NEAR
    return (
        similarities[place],
        similarities[place] - max(against, default=far),
        agreeing,
        sum(agrees) / NEIGHBOURS,
        far,
        0.0 if is_full else 1.0,
    )


def score_of(features: Sequence[float]) -> float:
    """Return how sure (0-1) it is that the answer does."""
    raw = INTERCEPT + sum(w * x for w, x in zip(WEIGHTS, features, strict=True))
    return 1 / (1 + math.exp(-max(-50.0, min(50.0, raw))))
