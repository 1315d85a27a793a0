"""How a running audit came to where it is: audited outcome by audited outcome."""

from __future__ import annotations

from sqlalchemy import Engine

from ..review.evidence import Truth, by_window, cases_of
from ..review.terms import Subject
from ..risk import audit
from ..risk.audit import level_of
from ..store import certificates as store
from ..store.standing import Standing
from .certificate_figures import AuditPoint
from .control import Ask

MOST_ALONE = 20_000
"""Answers given alone through which a page walks; of more, only where the audit stands is shown."""
MOST_POINTS = 100


def trail_of(ask: Ask, subject: Subject, stands: Standing) -> tuple[AuditPoint, ...]:
    """Return the path of a certificate's audit; nothing where it is too long to be walked.

    It begins where the evidence does, as the audit itself, and counts each window that is ripe.
    """
    state, length = ask.control.state, float(stands.audit.get("run_length", 0.0))
    if length <= 0 or stands.from_us is None:
        return ()
    if _is_long(state, stands, stands.from_us):
        return ()
    schedule = subject.outcomes.schedule
    named = (subject.service, subject.release, subject.scorer)
    until_us = schedule.ripe_until(ask.control.clock.now_us())
    rows = store.read_drafts_with_outcomes(state, *named, stands.from_us, until_us)
    detector, points = audit.begin(), [AuditPoint(audits=0, level=0.0)]
    for evidence in by_window(cases_of(rows, Truth(subject.outcomes.right), schedule), schedule):
        most = evidence.bound_of_audits(stands.max_error, subject.policy.of, lambda groups: True)
        for case in evidence.audited:
            detector = audit.see(detector, case.is_right is False, most)
            points.append(AuditPoint(audits=detector.n, level=level_of(detector, length)))
    if len(points) <= 1:
        return ()
    step = -(-len(points) // MOST_POINTS)
    return (*points[: len(points) - 1 : step], points[-1])


def _is_long(state: Engine, stands: Standing, from_us: int) -> bool:
    """Whether so much was given alone since a time that no page walks through it."""
    return (
        store.count_alone(state, stands.service, stands.release, from_us, MOST_ALONE) == MOST_ALONE
    )
