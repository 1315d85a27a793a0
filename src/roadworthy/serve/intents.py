"""Routing by what is wanted: an input goes to the model of the intent whose examples it is near.

Vectors of examples are made once, when a release is opened. Each intent has one centroid, the mean
of its examples; an input is of the intent whose centroid it is nearest to (nearest centroid, or
Rocchio's classifier), unless it is less near than `min_similarity` to all of them. On clinc150
(150 intents, 100 examples each) that is right more often out of scope than the nearest single
example, and as often within (bench/intents.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..bounds.in_force import Within
from ..declare.routing import Routing
from ..errors import DeclarationError, ModelError
from ..types import Call, Embedder
from .request import Audits, Plan
from .vectors import Questions

if TYPE_CHECKING:
    from .learned import Learned

Vectors = npt.NDArray[np.float32]

MOST_SHADOWED = 0.75
"""Share of an intent's examples that may be nearer to one other intent before it is refused."""
LEAST_JUDGED = 4
"""Of fewer examples that share says nothing."""


class Intents:
    """Asks the model of the intent that an input is nearest to.

    Args:
        routing: The declared intents.
        examples: Intent → how people say it.
        default: The model for what is out of scope.
        questions: Makes vectors.

    Attributes:
        strategy: As declared.
        within, audits, learned, scorer: Of no use to it.
    """

    def __init__(
        self,
        routing: Routing,
        examples: Mapping[str, Sequence[str]],
        default: str,
        questions: Questions,
    ) -> None:
        self.strategy: str = routing.strategy
        self.within = Within()
        self.audits: Audits | None = None
        self.learned: Learned | None = None
        self.scorer = ""
        self._names = tuple(intent.name for intent in routing.intents)
        self._uses = {intent.name: intent.use for intent in routing.intents}
        self._least = routing.min_similarity
        self._default = default
        self._questions = questions
        embedded = [embed(questions.embedder, examples[name]) for name in self._names]
        self._centroids = centroids_of(embedded)
        check_apart(self._names, embedded, self._centroids)

    async def choose(self, plan: Plan, call: Call) -> None:
        """Put the model of the nearest intent before the others, or the default's."""
        route = {"strategy": self.strategy}
        choice, name, score = self._default, "", None
        try:
            vector = await self._questions.vector(call)
        except ModelError as error:
            why = str(error)
        else:
            name, score = self.nearest(vector)
            route["nearest"] = name
            if score >= self._least:
                route["intent"], choice = name, self._uses[name]
                why = f"like `{name}`, {score:.2f}"
            else:
                why = f"out of scope: {score:.2f} like `{name}`, expected {self._least:g}"
        call.first = (choice,)
        known = None if score is None else round(score, 4)
        plan.route = {**route, "choice": choice, "why": why, "score": known}

    def nearest(self, vector: Vectors) -> tuple[str, float]:
        """Return the intent that a (d,) vector of length 1 is nearest to, and how near (0-1)."""
        near = self._centroids @ vector
        place = int(near.argmax())
        return self._names[place], max(0.0, float(near[place]))

    def settled(self, plan: Plan) -> None:
        """Keep nothing: what an input is like is no bet."""

    async def close(self) -> None:
        """Stop what makes vectors."""
        self._questions.close()


def embed(embedder: Embedder, texts: Sequence[str]) -> Vectors:
    """Return (n, d) float32 vectors of texts."""
    return np.asarray(embedder.embed(list(texts)), np.float32)


def centroids_of(embedded: Sequence[Vectors]) -> Vectors:
    """Return (intents, d) float32: the means of examples, of length 1."""
    means = np.stack([vectors.mean(axis=0) for vectors in embedded])
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    return np.asarray(means / np.maximum(lengths, 1e-12), np.float32)


def check_apart(names: Sequence[str], embedded: Sequence[Vectors], centroids: Vectors) -> None:
    """Refuse intents whose examples are mostly nearer to another intent: it would shadow them.

    Raises:
        DeclarationError: An intent is shadowed; the message names both.
    """
    for place, (name, vectors) in enumerate(zip(names, embedded, strict=True)):
        if len(vectors) < LEAST_JUDGED or len(names) < 2:
            continue
        nearest = (_without_each(vectors, centroids, place)).argmax(axis=1)
        counts = np.bincount(nearest, minlength=len(names))
        counts[place] = 0
        rival, shadowed = int(counts.argmax()), int(counts.max())
        if shadowed > MOST_SHADOWED * len(vectors):
            raise DeclarationError(
                f"routing.intents: expected the examples of `{name}` to be nearest to each other, "
                f"got {shadowed} of {len(vectors)} nearer to those of `{names[rival]}`; join the "
                "two, or give examples that tell them apart"
            )


def _without_each(vectors: Vectors, centroids: Vectors, place: int) -> Vectors:
    """Return how near each example is to each centroid, its own made without it."""
    near: Vectors = vectors @ centroids.T
    rest = vectors.sum(axis=0) - vectors
    lengths = np.maximum(np.linalg.norm(rest, axis=1), 1e-12)
    near[:, place] = (rest * vectors).sum(axis=1) / lengths
    return near


def open_intents(
    routing: Routing,
    examples: Mapping[str, Sequence[str]],
    default: str,
    questions: Questions,
) -> Intents:
    """Make the vectors of the examples: about 2 ms each, once.

    Raises:
        DeclarationError: Two intents cannot be told apart.
        ModelUnavailable: The embedder failed inside.
    """
    return Intents(routing, examples, default, questions)
