"""A score made of several signals of generated answers, fitted on outcomes.

A new score model ranks answers differently: with it a new epoch begins, and the outcomes that it
was fitted on are those of another score model, so that they are never evidence in it. While a
certificate is in force none is fitted: it would be lost, and rarely for something better.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from sqlalchemy.exc import IntegrityError

from ..risk.calibration import to_plain
from ..risk.evidence import Floats
from ..risk.logistic import Combined, combined_from_plain, fit_combined
from ..risk.reliability import auroc
from ..risk.walk import Flags
from ..store.actions import append_action
from ..store.certificates import certificate_in_force, read_drafts_with_outcomes, released_at
from ..store.scorers import StoredScorer, add_scorer, last_scorer
from ..store.switchboard import hold_pointers, is_serving, move_pointer
from ..types import Answer, Call
from .evidence import Case, Truth, by_window, cases_of
from .in_force import Work
from .scoring import SIGNALS, Scored, read_signals
from .terms import Subject

BY = "job:calibrate"
LEAST = 300
"""Units with an outcome, before a score is made of their signals."""
LEAST_OF_A_KIND = 30
"""So many of them must be wrong, and so many right."""
BETTER = 0.02
"""By so much it must tell right from wrong better (AUROC) than the score that is in use."""


class FittedScore:
    """A score model that was fitted on the signals of answers.

    Attributes:
        id: Of what was fitted.
    """

    def __init__(self, id: str, combined: Combined) -> None:
        self.id = id
        self._combined = combined
        self._places = [SIGNALS.index(name) for name in combined.names]

    def read(self, call: Call, answer: Answer) -> Scored:
        """Return what the signals say together."""
        signals = read_signals(call, answer)
        row = [math.nan if (s := signals[k]) is None else s for k in self._places]
        return Scored(self._combined.chance(row), signals)


def combine(work: Work, subject: Subject) -> str:
    """Fit a score if there are outcomes enough, and use it if it is better than the one in use."""
    if certificate_in_force(work.state, subject.service, subject.decision) is not None:
        return ""
    last = last_scorer(work.state, subject.service, subject.release)
    cases, rows, scores = _seen(work, subject)
    right = np.array([case.is_right is True for case in cases], bool)
    least = max(LEAST, 2 * last.n if last else 0)
    if len(cases) < least or min(right.sum(), (~right).sum()) < LEAST_OF_A_KIND:
        return ""
    found, is_better = fitted(rows, right, scores)
    text = msgspec.json.encode(found, order="sorted")
    named = f"{subject.service} {subject.release} ".encode()
    id = f"fit_{hashlib.sha256(named + text).hexdigest()[:24]}"
    stored = StoredScorer(
        id=id,
        service=subject.service,
        release=subject.release,
        at_us=work.clock.now_us(),
        n=len(cases),
        detail={**found, "is_used": is_better},
    )
    try:
        with work.state.begin() as connection:
            hold_pointers(connection)
            if not is_serving(connection, subject.service, subject.release):
                return f"{subject.service}: another release serves by now"
            if is_better:
                move_pointer(connection, f"scorer:{subject.service}", id)
                facts = {"service": subject.service, "n": len(cases), "auroc": found["auroc"]}
                append_action(connection, work.clock, BY, "scorer.fit", id, facts)
            add_scorer(connection, stored)
    except IntegrityError:
        return f"{subject.service}: another run was faster"
    use = "is used from now on" if is_better else "is no better than the one in use"
    return f"{subject.service}: a score fitted on {len(cases)} outcomes {use}"


def _seen(work: Work, subject: Subject) -> tuple[list[Case], Floats, Floats]:
    """Return units with an outcome, the signals of each, and the scores in use."""
    schedule, now_us = subject.outcomes.schedule, work.clock.now_us()
    since_us = released_at(work.state, subject.release, now_us)
    until_us = schedule.ripe_until(now_us)
    named = (subject.service, subject.release, subject.scorer)
    drafts = read_drafts_with_outcomes(work.state, *named, since_us, until_us)
    signals: Mapping[str, str] = {draft.request_id: draft.signals for draft in drafts}
    counted = [
        case
        for evidence in by_window(
            cases_of(drafts, Truth(subject.outcomes.right), schedule), schedule
        )
        for case in evidence.cases
    ]
    read = [(case, msgspec.json.decode(signals[case.request_id])) for case in counted]
    kept = [(case, row) for case, row in read if len(row) == len(SIGNALS)]
    rows = np.array([[_number(value) for value in row] for _, row in kept], float)
    scores = np.array([case.score for case, _ in kept], float)
    return [case for case, _ in kept], rows.reshape(len(kept), len(SIGNALS)), scores


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def fitted(rows: Floats, right: Flags, scores: Floats) -> tuple[dict[str, Any], bool]:
    """Return a combination of signals as JSON values, and whether it is better than the scores.

    How well it tells right from wrong is said of outcomes that it was not fitted on (cross-fitting,
    by halves).

    Args:
        rows: (n, d) float64, in the order of `SIGNALS`; NaN is unknown.
        right: (n,) bool.
        scores: (n,) float64, of the score in use; NaN is unknown.
    """
    differs = [
        k for k in range(rows.shape[1]) if len(np.unique(rows[:, k][~np.isnan(rows[:, k])])) > 1
    ]
    names, used = [SIGNALS[k] for k in differs], rows[:, differs]
    is_even = np.arange(len(right)) % 2 == 0
    chances = np.zeros(len(right))
    for half in (is_even, ~is_even):
        chances[half] = fit_combined(used[~half], right[~half], names).apply(used[half])
    ours, before = auroc(chances, right), auroc(scores, right)
    found = {
        "combined": to_plain(fit_combined(used, right, names)),
        "auroc": ours.value,
        "auroc_low": ours.low,
        "auroc_before": before.value,
    }
    return found, bool(names) and ours.value >= before.value + BETTER


def read_fitted_score(stored: StoredScorer) -> FittedScore:
    """Return the score model that is stored."""
    return FittedScore(stored.id, combined_from_plain(stored.detail["combined"]))
