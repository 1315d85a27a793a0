"""Scorers that compare an output with what was expected."""

from __future__ import annotations

from ...declare.evaluation import ScorerEntry
from ..asked import Asked
from ..cases import Case
from ..scorer import Score, ScoringGround


class Exact:
    """The output equals what was expected; of a prediction with a label, the label does."""

    is_dear = False

    def __init__(self, entry: ScorerEntry, ground: ScoringGround) -> None:
        self.name = entry.name
        self.version = "1"

    def score(self, case: Case, asked: Asked) -> Score:
        """Return 1 where they are equal, else 0; nothing where nothing was expected."""
        if case.expect is None:
            return Score(None)
        output = asked.text or asked.output
        expect = case.expect
        if isinstance(expect, dict) and isinstance(asked.output, dict):
            output = {key: asked.output.get(key) for key in expect}
        is_right = output == expect
        why = "" if is_right else f"expected `{expect!s:.80}`, got `{output!s:.80}`"
        return Score(float(is_right), is_right, why)
