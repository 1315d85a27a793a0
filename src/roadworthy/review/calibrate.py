"""Makes a confidence of a score: fitted on a release's own outcomes, again each time they double.

A confidence is an estimate that people are shown. What may be given alone is certified from the
scores themselves, whatever their confidence is.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import numpy as np
from sqlalchemy.exc import IntegrityError

from ..risk.calibration import Calibration, fit_isotonic, fit_platt, from_plain, to_plain
from ..risk.evidence import Floats
from ..risk.reliability import Bin, reliability
from ..risk.walk import Flags
from ..store.actions import append_action
from ..store.calibrations import StoredCalibration, add_calibration, list_calibrations
from ..store.certificates import list_epochs, read_drafts_with_outcomes, released_at
from ..store.switchboard import hold_pointers, is_serving, move_pointer
from .evidence import Truth, by_window, cases_of
from .in_force import Work
from .progress import read_progress
from .terms import Subject, read_terms

BY = "job:calibrate"
LEAST = 100
"""Units with an outcome, before a confidence is made of them."""
_MANY = 1_000
"""From so many on the curve may have any shape that never falls."""


def calibrate(work: Work, subject: Subject) -> str:
    """Fit a calibration if there are outcomes enough and twice as many as before."""
    before = [
        found
        for found in list_calibrations(work.state, subject.service)
        if (found.release, found.scorer) == (subject.release, subject.scorer)
    ]
    least = max(LEAST, 2 * before[0].n if before else 0)
    counted = _counted(work, subject)
    if counted < least:
        return f"{subject.service}: {counted} outcomes, {least} needed"
    scores, right = outcomes_of(work, subject)
    if len(scores) < least:
        return f"{subject.service}: {len(scores)} outcomes of known scores, {least} needed"
    found = fitted(scores, right)
    text = msgspec.json.encode(found, order="sorted")
    now_us = work.clock.now_us()
    named = f"{subject.service} {subject.release} {subject.scorer} ".encode()
    stored = StoredCalibration(
        id=f"ca_{hashlib.sha256(named + text).hexdigest()[:24]}",
        service=subject.service,
        release=subject.release,
        scorer=subject.scorer,
        at_us=now_us,
        n=len(scores),
        detail=found,
    )
    try:
        with work.state.begin() as connection:
            hold_pointers(connection)
            if not is_serving(connection, subject.service, subject.release):
                return f"{subject.service}: another release serves by now"
            move_pointer(connection, f"calibration:{subject.service}", stored.id)
            add_calibration(connection, stored)
            facts = {"service": subject.service, "release": subject.release, "n": stored.n}
            append_action(connection, work.clock, BY, "calibration.fit", stored.id, facts)
    except IntegrityError:
        return f"{subject.service}: another run was faster"
    return f"{subject.service}: fitted on {stored.n} outcomes, off by {found['ece']:.3f}"


def _counted(work: Work, subject: Subject) -> int:
    """Return how many units of a release have counted, as the job that certifies says."""
    found = 0
    for epoch in list_epochs(work.state, subject.service, subject.decision):
        terms = read_terms(epoch.terms)
        if (terms.release, terms.scorer) == (subject.release, subject.scorer):
            found += read_progress(epoch.state).tally.picked
    return found


def outcomes_of(work: Work, subject: Subject) -> tuple[Floats, Flags]:
    """Return the known scores of a release's units and whether they were right.

    As everywhere, one outcome of each unit and window counts, and what is missing was wrong.
    """
    schedule, now_us = subject.outcomes.schedule, work.clock.now_us()
    since_us = released_at(work.state, subject.release, now_us)
    until_us = schedule.ripe_until(now_us)
    named = (subject.service, subject.release, subject.scorer)
    rows = read_drafts_with_outcomes(work.state, *named, since_us, until_us)
    cases = cases_of(rows, Truth(subject.outcomes.right), schedule)
    counted = [case for evidence in by_window(cases, schedule) for case in evidence.cases]
    scores = np.array([case.score for case in counted], float)
    right = np.array([case.is_right is True for case in counted], bool)
    return scores[np.isfinite(scores)], right[np.isfinite(scores)]


def fitted(scores: Floats, right: Flags) -> dict[str, Any]:
    """Return a calibration with how well it does, as JSON values.

    How well it does is said of outcomes that it was not fitted on: each half is judged by a
    calibration of the other (cross-fitting).

    Args:
        scores: (n,) float64, finite.
        right: (n,) bool.
    """
    is_even = np.arange(len(scores)) % 2 == 0
    chances = np.empty(len(scores))
    for half in (is_even, ~is_even):
        chances[half] = _fit(scores[~half], right[~half]).apply(scores[half])
    found = reliability(chances, right)
    return {
        "calibration": to_plain(_fit(scores, right)),
        "ece": found.error.value,
        "ece_low": found.error.low,
        "ece_high": found.error.high,
        "ece_of_scores": reliability(scores, right).error.value,
        "brier": found.brier.value,
        "curve": [_spot(one) for one in found.bins],
        "right": float(right.mean()),
    }


def _spot(one: Bin) -> dict[str, Any]:
    """Return what was said beside what came true, with its interval."""
    value, low, high = one.right
    return {"confidence": one.confidence, "right": value, "low": low, "high": high, "n": one.n}


def _fit(scores: Floats, right: Flags) -> Calibration:
    many = len(scores) >= _MANY
    return fit_isotonic(scores, right) if many else fit_platt(scores, right, "logit")


def read_fitted(stored: StoredCalibration) -> Calibration:
    """Return the calibration that is stored."""
    return from_plain(stored.detail["calibration"])
