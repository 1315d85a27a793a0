"""Which automatic decisions are certified, and the evidence for and against each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

import numpy as np

from ..review.standing import standing_of
from ..review.terms import Subject, read_terms
from ..risk.evidence import log_evidence, upper_bound
from ..risk.walk import last_before_gap
from ..serve.opened import OpenRelease
from ..store import certificates as store
from ..store.clock import time_of
from ..store.standing import Standing
from ..store.switchboard import Stop
from . import certificate_words as words
from .audit_trail import trail_of
from .certificate_figures import (
    MORE,
    CertificatePage,
    CertificateRow,
    GroupRisk,
    PowerPoint,
    RiskPoint,
)
from .certificate_parts import history_of, since, state_of, stopped_by, worst_first
from .control import Ask

MOST_SHOWN = 3.0
"""A bound above so many times the promise is not drawn: it says nothing yet."""
_BOUNDS = (0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.125, 0.15, 0.2, 0.25, 0.3, 0.4)


class Decision(NamedTuple):
    """An automatic decision of one service, and who stands in its way.

    Attributes:
        stop: Who stopped its certificate; `asked` who wants people asked of everything.
    """

    subject: Subject
    stands: Standing
    stop: Stop | None
    asked: Stop | None

    @property
    def service(self) -> str:
        """Whose it is."""
        return self.subject.service

    @property
    def is_off(self) -> bool:
        """Whether a person or its audit switched it off."""
        return self.asked is not None or self.stands.state == "off"

    @property
    def state(self) -> str:
        """Whether it may be taken: `certified`, `collecting` or `off`."""
        return "off" if self.is_off else self.stands.state


def certificate_rows(ask: Ask, opened: Sequence[OpenRelease]) -> dict[str, CertificateRow]:
    """Return how the decisions of these services stand, by service, the worst first."""
    rows = sorted((row_of(ask, one) for one in decisions_of(ask, opened)), key=worst_first)
    return {row.service: row for row in rows}


def decisions_of(ask: Ask, opened: Sequence[OpenRelease]) -> Iterator[Decision]:
    """Yield how the decisions of these services stand; those without a bound have none."""
    board = ask.control.switchboard
    for subject in filter(None, map(_subject_of, opened)):
        stands = standing_of(ask.control.state, subject)
        name = subject.service
        stop = board.stopped(name, stands.certificate) if stands.certificate else None
        yield Decision(subject, stands, stop, board.asked(name))


def _subject_of(release: OpenRelease) -> Subject | None:
    """Return what may be certified of a release; None where no bound is declared."""
    desk = release.desk
    if desk is None or desk.policy.max_error is None:
        return None
    outcomes = release.declaration.outcomes
    return Subject(release.name, release.id, desk.scorer.id, desk.policy, outcomes)


def row_of(ask: Ask, one: Decision) -> CertificateRow:
    """Return how a decision stands, as the list shows it."""
    stands = one.stands
    state = state_of(one.state, stands.audit)
    level = float(stands.audit.get("level", 0.0))
    return CertificateRow(
        id=stands.certificate or one.service,
        service=one.service,
        decision=stands.decision,
        standing="off" if one.is_off else stands.state,
        state=state,
        says=_says(ask, one),
        max_error=stands.max_error,
        sure=stands.sure,
        threshold=stands.threshold,
        bound=stands.bound,
        n=stands.n,
        needed=stands.needed if one.state == "collecting" else None,
        audits=int(stands.audit.get("n", 0)),
        wrong=int(stands.audit.get("wrong", 0)),
        level=level,
        since=_since(ask, one),
        release=stands.release,
    )


def certificate_page(ask: Ask, release: OpenRelease) -> CertificatePage:
    """Return the decision of one service with the evidence for it and against it."""
    one = next(decisions_of(ask, [release]))
    row, stands, audit = row_of(ask, one), one.stands, one.stands.audit
    sure, most = stands.sure, min(1.0, MOST_SHOWN * stands.max_error)
    counted = stands.curve[-1].n if stands.curve else 0
    return CertificatePage(
        says=row.says[0],
        key=one.service,
        row=row,
        as_of=time_of(ask.control.clock.now_us()),
        stopped=stopped_by(one.stop),
        asked=stopped_by(one.asked),
        certificate=stands.certificate,
        epoch=stands.epoch,
        scorer=one.subject.scorer,
        of=stands.of,
        reference="",
        unit=stands.unit,
        from_time=None if stands.from_us is None else time_of(stands.from_us),
        until=None if stands.to_us is None else time_of(stands.to_us),
        automated=stands.automated,
        curve=tuple(_curve(stands, sure, most)),
        start=_start(ask, one),
        naive=_naive(stands),
        power=tuple(_power(ask, one)),
        audit=trail_of(ask, one.subject, stands),
        run_length=int(audit.get("run_length", 0)),
        audit_share=float(audit.get("share", one.subject.policy.audit_share)),
        delay_audits=int(audit.get("delay_audits", 0)),
        delay_answers=int(audit.get("delay_answers", 0)),
        groups=tuple(GroupRisk(group=k, n=n, wrong=w) for k, (n, w) in stands.groups.items()),
        counted=counted,
        missing=stands.missing,
        disputed=stands.disputed,
        uncovered=stands.uncovered,
        most_missed=stands.most_missed,
        feasible=stands.feasible,
        history=tuple(history_of(ask, one.service, stands.decision)),
    )


def _says(ask: Ask, one: Decision) -> tuple[str, ...]:
    """Return whether a decision may be taken, and why, in sentences."""
    now, stands = time_of(ask.control.clock.now_us()), one.stands
    for stop in filter(None, (one.asked, one.stop)):
        who = (
            "people are asked of everything" if stop is one.asked else "its certificate is stopped"
        )
        return words.off_by_person(who, stop, time_of(stop.since_us), now)
    if stands.state == "certified":
        return (*words.certified(stands), words.watched(stands.audit))
    if stands.state == "off":
        return words.off_by_audit(stands.why, _since(ask, one), now)
    return words.collecting(stands)


def _since(ask: Ask, one: Decision) -> datetime | None:
    """Return from when on a decision stands as it does."""
    return since(ask, one.stands, one.asked or one.stop)


def _curve(stands: Standing, sure: float, most: float) -> Iterator[RiskPoint]:
    """Yield what was seen and what is ruled out at each threshold, from the strictest on."""
    for spot in stands.curve:
        bound = upper_bound(spot.wrong, spot.n, sure) if spot.n else 1.0
        yield RiskPoint(
            threshold=spot.threshold,
            passing=spot.automated,
            n=spot.n,
            wrong=spot.wrong,
            seen=spot.error if spot.error is not None and spot.error <= most else None,
            bound=bound if bound <= most else None,
        )


def _naive(stands: Standing) -> float | None:
    """Return the loosest threshold whose seen share keeps the bound."""
    keeps = [s for s in stands.curve if s.error is not None and s.error <= stands.max_error]
    return keeps[-1].threshold if keeps else None


def _place(ask: Ask, one: Decision) -> int:
    """Return where the walk of the open epoch begins."""
    epoch = store.open_epoch_of(ask.control.state, one.service)
    return 0 if epoch is None else read_terms(epoch.terms).start


def _start(ask: Ask, one: Decision) -> float | None:
    place, curve = _place(ask, one), one.stands.curve
    return curve[place].threshold if place < len(curve) else None


def _power(ask: Ask, one: Decision) -> Iterator[PowerPoint]:
    """Yield what could be given alone at other bounds, with these outcomes and with more."""
    stands, start = one.stands, _place(ask, one)
    wrong, n = np.array([s.wrong for s in stands.curve]), np.array([s.n for s in stands.curve])

    def automated(max_error: float, times: int) -> float | None:
        logs = np.asarray(log_evidence(times * wrong, times * n, max_error))
        place = last_before_gap(logs >= -math.log1p(-stands.sure), start)
        return None if place is None else stands.curve[place].automated

    for max_error in sorted({*_BOUNDS, stands.max_error}) if stands.curve else ():
        if max_error <= max(4 * stands.max_error, 0.1):
            now, more = automated(max_error, 1), automated(max_error, MORE)
            yield PowerPoint(max_error=max_error, now=now, more=more)
