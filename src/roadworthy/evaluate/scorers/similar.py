"""A scorer of how near two texts are in meaning."""

from __future__ import annotations

import math
import threading
from functools import cached_property

from ...declare.evaluation import ScorerEntry
from ...guard.grounded import LEAST_SUPPORT
from ...types import Embedder
from ..asked import Asked
from ..cases import Case
from ..scorer import Score, ScoringGround
from .reading import Compared, expected_of, no_answer, not_asked, rated, texts_of, version_of

LONGEST_TEXT = 20_000
"""Characters that are compared: an embedder reads the beginning of a text alone."""


class Similar:
    """The answer is near in meaning to the expected text, or to the nearest of several.

    The score is the cosine of their vectors, 0 where they point apart. Texts that deny each other,
    or differ in a number alone, are near all the same: `contains` and `number` see that.
    """

    is_dear = False

    def __init__(self, entry: ScorerEntry, ground: ScoringGround) -> None:
        self.name = entry.name
        self.version = version_of(entry, 1)
        self._at_least = LEAST_SUPPORT if entry.at_least is None else entry.at_least
        self._compared = Compared(entry)
        self._open = ground.embedder
        self._embedding = threading.Lock()

    @cached_property
    def _embedder(self) -> Embedder:
        return self._open()

    def score(self, case: Case, asked: Asked) -> Score:
        """Return the cosine; nothing where no text is expected.

        Raises:
            ModelUnavailable: The embedder failed inside.
        """
        wanted = texts_of(expected_of(case, self.name))
        if not wanted:
            return not_asked("a text, or a list of them,")
        if (missing := no_answer(asked)) is not None:
            return missing
        text = self._compared.text(asked)
        if not text.strip():
            return Score(0.0, False, "it is empty")
        texts = [_clean(text), *map(_clean, wanted)]
        with self._embedding:
            vectors = self._embedder.embed(texts)
        nearest = max(float(vectors[0] @ vector) for vector in vectors[1:])
        value = min(max(nearest, 0.0), 1.0) if math.isfinite(nearest) else 0.0
        why = f"expected a likeness of at least {self._at_least:g}, got {value:.2f}"
        return rated(value, self._at_least, "" if value >= self._at_least else why)


def _clean(text: str) -> str:
    return text[:LONGEST_TEXT].encode(errors="replace").decode()
