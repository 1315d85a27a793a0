"""How alike the repeats of a case are: whether it is right each time, and says the same.

The unit is the case: repeats of one case say nothing of another.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from ..risk.evidence import interval
from .asked import Asked
from .judging import normalised
from .report import Metric, Stability
from .rights import rights_of
from .runs import CaseRuns
from .shares import share_metric

Stable = Literal["stable_pass", "flaky", "stable_fail", "unknown"]
UNPARSED = ("bad_answer",)
"""Codes of errors of an answer that could not be read."""


def stability_of(
    cases: Sequence[CaseRuns],
    scorer: str | None = None,
    max_flaky: float | None = None,
    sure: float = 0.95,
) -> Stability:
    """Return how alike the repeats of all cases were.

    Without repeats nothing is known of it: then `flaky` and `varied` are None rather than 0.

    Args:
        cases: What came of them.
        scorer: Whose word counts for what is right; None takes all that could say.
        max_flaky: The largest share of cases whose repeats may disagree.
        sure: Of each interval, both sides together.
    """
    counts = Counter(case_stability(runs, scorer) for runs in cases)
    flaky = [case_stability(runs, scorer) == "flaky" for runs in cases if _told(runs, scorer) > 1]
    varied = [outputs_of(runs) > 1 for runs in cases if len(_answers(runs)) > 1]
    return Stability(
        stable_pass=counts["stable_pass"],
        stable_fail=counts["stable_fail"],
        unknown=counts["unknown"],
        flaky=share_metric("flaky", sum(flaky), len(flaky), max_flaky, sure) if flaky else None,
        varied=share_metric("varied", sum(varied), len(varied), None, sure) if varied else None,
        unparsed=_unparsed(cases, sure),
    )


def case_stability(runs: CaseRuns, scorer: str | None = None) -> Stable:
    """Return whether a case is right each time, wrong each time, or now so and now so."""
    rights = [right for right in _rights(runs, scorer) if right is not None]
    if not rights:
        return "unknown"
    if all(rights):
        return "stable_pass"
    return "flaky" if any(rights) else "stable_fail"


def outputs_of(runs: CaseRuns) -> int:
    """Return how many different outputs the repeats gave; texts are the same word for word."""
    return len({normalised(answer) for answer in _answers(runs)})


def _rights(runs: CaseRuns, scorer: str | None) -> tuple[bool | None, ...]:
    if scorer is None:
        return rights_of(runs)
    scores = runs.scores.get(scorer, ())
    return tuple(score.is_right if score is not None else None for score in scores)


def _told(runs: CaseRuns, scorer: str | None) -> int:
    return sum(right is not None for right in _rights(runs, scorer))


def _answers(runs: CaseRuns) -> list[Asked]:
    return [answer for answer in runs.answers if answer is not None]


def _unparsed(cases: Sequence[CaseRuns], sure: float) -> Metric | None:
    """Return the mean over cases of the share of answers that broke their schema or were none.

    Its interval is that of Clopper and Pearson on the sum of the shares, rounded outwards: of all
    numbers between 0 and 1 with one mean, those that are 0 or 1 vary the most.
    """
    shares = [
        sum(is_unparsed(answer) for answer in answers) / len(answers)
        for runs in cases
        if (answers := _answers(runs))
    ]
    if not shares:
        return None
    n, total = len(shares), math.fsum(shares)
    low, _ = interval(math.floor(total + 1e-9), n, sure)
    _, high = interval(math.ceil(total - 1e-9), n, sure)
    return Metric(name="unparsed", value=total / n, low=low, high=high, n=n, is_least=False)


def is_unparsed(asked: Asked) -> bool:
    """Whether an answer broke its schema, or could not be read at all."""
    return bool(asked.schema_problem) or asked.error_code in UNPARSED
