"""How a running audit came to where it is: audited outcome by audited outcome."""

from __future__ import annotations

from ..review.audits import level_of
from ..review.evidence import Truth, by_window, cases_of
from ..review.terms import Terms
from ..risk import audit
from ..store import certificates as store
from ..store.certificates import Certificate
from .certificate_figures import AuditPoint
from .control import Ask

MOST_ALONE = 20_000
"""Answers given alone through which a page walks; of more, only where the audit stands is shown."""
MOST_POINTS = 100


def trail_of(ask: Ask, held: Certificate, terms: Terms) -> tuple[AuditPoint, ...]:
    """Return the path of a certificate's audit; nothing where it is too long to be walked.

    It begins with the epoch, as the audit itself does, and counts each window that is ripe.
    """
    state, length = ask.control.state, float(held.detail.get("run_length", 0.0))
    alone = store.count_alone(state, held.service, terms.from_us, MOST_ALONE)
    if length <= 0 or alone == MOST_ALONE:
        return ()
    until_us = terms.schedule.ripe_until(ask.control.clock.now_us())
    named = (terms.service, terms.release, terms.scorer)
    rows = store.read_drafts_with_outcomes(state, *named, terms.from_us, until_us)
    detector, points = audit.begin(), [AuditPoint(audits=0, level=0.0)]
    cases = cases_of(rows, Truth(terms.right), terms.schedule)
    for evidence in by_window(cases, terms.schedule):
        for case in evidence.audited:
            detector = audit.see(detector, case.is_right is False, terms.max_error)
            points.append(AuditPoint(audits=detector.n, level=level_of(detector, length)))
    if len(points) <= 1:
        return ()
    step = -(-len(points) // MOST_POINTS)
    return (*points[: len(points) - 1 : step], points[-1])
