"""A scorer that waits for what people say."""

from __future__ import annotations

from ...declare.evaluation import ScorerEntry
from ..asked import Asked
from ..cases import Case
from ..people import Said, answer_digest, by_answer, labels_file, read_lines
from ..scorer import Score, ScoringGround
from .reading import no_answer, rated, version_of


class Human:
    """What people say of the very answer, in the file `labels`; unknown until they have.

    A line there is a case's id, the digest of the answer, and `right`. `waiting_line` of
    `evaluate.people` writes one for an answer that waits.

    Attributes:
        is_calibrated: Whether its word is people's.

    Raises:
        DeclarationError: The file is missing, or a line is none.
    """

    is_dear = False
    is_calibrated = True

    def __init__(self, entry: ScorerEntry, ground: ScoringGround) -> None:
        self.name = entry.name
        self._at_least = entry.at_least
        _, content = labels_file(ground.folder, entry)
        self._said = by_answer(read_lines(entry.labels or "", content, Said))
        self.version = version_of(entry, 1, content)

    def is_missing(self, case: Case, asked: Asked) -> bool:
        """Whether a person has still to look at this answer."""
        return asked.is_answer and (case.id, answer_digest(asked)) not in self._said

    def score(self, case: Case, asked: Asked) -> Score:
        """Return what was said of it; nothing while nobody has."""
        if (missing := no_answer(asked)) is not None:
            return missing
        said = self._said.get((case.id, answer_digest(asked)))
        if said is None:
            return Score(None, None, "nobody has said yet whether it is right")
        value = float(said.right is True) if said.score is None else min(max(said.score, 0.0), 1.0)
        if self._at_least is not None:
            return rated(value, self._at_least, said.why)
        why = "" if said.right else said.why[:200] or "a person calls it wrong"
        return Score(value, said.right, why)
