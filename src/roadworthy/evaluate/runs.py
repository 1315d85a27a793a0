"""Everything that came of one case: what verdicts, slices and reports are made from."""

from __future__ import annotations

import msgspec

from .asked import Asked
from .cases import Case
from .scorer import Score


class CaseRuns(msgspec.Struct, frozen=True):
    """One case with the answers of all its repeats, and what each scorer said of them.

    Attributes:
        suite: Name of the suite that the case is of; of a changed case, name of its behaviour.
        answers: One a repeat, in their order; None where it was not asked, as the money ran out.
        scores: Name of the scorer → one score a repeat; None where there was nothing to score, or
            where the scorer itself failed.
    """

    case: Case
    suite: str
    answers: tuple[Asked | None, ...]
    scores: dict[str, tuple[Score | None, ...]]

    def rights(self) -> tuple[bool | None, ...]:
        """Return whether each repeat was right: by all of its scorers that could say.

        None where none could, or where it was not asked.
        """
        return tuple(self._is_right(repeat) for repeat in range(len(self.answers)))

    def _is_right(self, repeat: int) -> bool | None:
        said = [scores[repeat] for scores in self.scores.values()]
        known = [score.is_right for score in said if score and score.is_right is not None]
        return all(known) if known else None
