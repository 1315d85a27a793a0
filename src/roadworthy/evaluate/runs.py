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


def once_each(cases: Sequence[CaseRuns]) -> list[CaseRuns]:
    """Return the cases without those that ask and expect what one before them does.

    Such copies are answered alike: a hundred of them say no more than one.
    """
    found: dict[bytes, CaseRuns] = {}
    for runs in cases:
        case = runs.case
        whole = (case.asked, case.expect, case.scorers, case.severity)
        found.setdefault(_encode(whole), runs)
    return list(found.values())
