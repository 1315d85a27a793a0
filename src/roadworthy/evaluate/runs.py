"""Everything that came of one case: what verdicts, slices and reports are made from."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from .asked import Asked
from .cases import Case
from .scorer import Score

_encode = msgspec.json.Encoder(order="deterministic").encode


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


def copies_among(cases: Sequence[CaseRuns]) -> int:
    """Return how many cases ask and expect the same as one before them."""
    wholes = ((runs.case.asked, runs.case.expect, runs.case.scorers) for runs in cases)
    return len(cases) - len(set(map(_encode, wholes)))
