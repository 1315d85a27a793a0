"""Which automatic decisions are certified, and the evidence for and against each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

import numpy as np

from ..declare.review import ReviewPolicy
from ..errors import NotFound
from ..review import progress
from ..review.progress import ALL, Progress, Strand
from ..review.terms import Terms, read_terms
from ..risk.evidence import labels_needed, log_evidence, most_automatic, upper_bound
from ..risk.reviewers import Corrected
from ..risk.walk import last_before_gap
from ..serve.opened import OpenRelease
from ..store import certificates as store
from ..store.certificates import Certificate, Epoch
from ..store.clock import time_of
from ..store.switchboard import Stop
from . import certificate_words as words
from .audit_trail import trail_of
from .certificate_figures import (
    CertificatePage,
    CertificateRow,
    Certificates,
    GroupRisk,
    HistoryShown,
    PowerPoint,
    RiskPoint,
    Standing,
)
from .control import Ask
from .shapes import Stopped
from .states import State
from .units import show

MORE = 4
"""With so many times the outcomes the second line of the power curve is drawn."""
MOST_SHOWN = 3.0
"""A bound above so many times the promise is not drawn: it says nothing yet."""
MOST_HISTORY = 20
NEAR = 20
"""From this part of its alarm level on (one in so many) an audit puts its certificate at risk."""
_BOUNDS = (0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.125, 0.15, 0.2, 0.25, 0.3)
_STATES: dict[Standing, State] = {"certified": "healthy", "collecting": "collecting", "off": "off"}
_WORST: tuple[Standing, ...] = ("off", "collecting", "certified")


class Facts(NamedTuple):
    """What is stored of one automatic decision.

    Attributes:
        in_force: The certificate that holds; None while none does.
        last: The one that was issued last; None before any was.
        stop: Who stopped that in force; `asked` who wants people asked of everything.
    """

    service: str
    policy: ReviewPolicy
    max_error: float
    in_force: Certificate | None
    last: Certificate | None
    epoch: Epoch | None
    stop: Stop | None
    asked: Stop | None


class Evidence(NamedTuple):
    """How far the evidence of an epoch has come."""

    terms: Terms
    progress: Progress
    held: Corrected

    @property
    def whole(self) -> Strand:
        """The evidence of all groups together."""
        return self.progress.strands[ALL]


def certificates_page(ask: Ask) -> Certificates:
    """Return every automatic decision that the key may see, the worst first."""
    opened = [release for name, release in sorted(ask.control.engine.releases.items())]
    seen = [release for release in opened if ask.sees(release.name)]
    rows = sorted((row_of(ask, facts) for facts in facts_of(ask, seen)), key=_worst_first)
    return Certificates(
        says=words.certificates(rows),
        lede=words.lede([row for row in rows if row.standing == "certified"]),
        as_of=time_of(ask.control.clock.now_us()),
        rows=tuple(rows),
        undeclared=tuple(
            release.name
            for release in seen
            if release.declaration.review is None or release.declaration.review.max_error is None
        ),
    )


def has_bounds(ask: Ask) -> bool:
    """Whether some service that the key sees declares a bound."""
    opened = ask.control.engine.releases.items()
    policies = (release.declaration.review for name, release in opened if ask.sees(name))
    return any(policy is not None and policy.max_error is not None for policy in policies)


def facts_of(ask: Ask, opened: Sequence[OpenRelease]) -> Iterator[Facts]:
    """Yield what is stored of the decisions of these services; those without a bound have none."""
    for release in opened:
        policy = release.declaration.review
        if policy is None or policy.max_error is None:
            continue
        name, state, board = release.name, ask.control.state, ask.control.switchboard
        in_force = store.certificate_in_force(state, name)
        last = in_force or next(iter(store.list_certificates(state, name, 1)), None)
        yield Facts(
            service=name,
            policy=policy,
            max_error=policy.max_error,
            in_force=in_force,
            last=last,
            epoch=store.open_epoch_of(state, name),
            stop=None if in_force is None else board.stopped(name, in_force.id),
            asked=board.asked(name),
        )


def row_of(ask: Ask, facts: Facts) -> CertificateRow:
    """Return how a decision stands."""
    evidence = _evidence(ask, facts)
    standing, says = _standing(ask, facts, evidence)
    held, audit = facts.in_force, {} if facts.in_force is None else facts.in_force.audit
    level = float(audit.get("level", 0.0))
    state: State = _STATES[standing]
    if standing == "certified" and is_near(level, float(audit.get("run_length", 0.0))):
        state = "at_risk"
    counted = _at_start(evidence)
    return CertificateRow(
        id=facts.service if held is None else held.id,
        service=facts.service,
        decision=store.ANSWER_ALONE,
        standing=standing,
        state=state,
        says=says,
        max_error=facts.max_error,
        sure=facts.policy.sure,
        threshold=None if held is None else held.threshold,
        bound=None if held is None else held.bound,
        n=counted[0] if held is None else held.n,
        needed=None if held is not None or evidence is None else _needed(evidence),
        audits=int(audit.get("n", 0)),
        wrong=int(audit.get("wrong", 0)),
        level=level,
        since=_since(facts),
        release=ask.control.engine.releases[facts.service].id if held is None else held.release,
    )


def certificate_page(ask: Ask, id: str) -> CertificatePage:
    """Return one decision, named by its certificate or by its service.

    Raises:
        Forbidden: The key is limited to other services.
        NotFound: There is none, or its service has no bound.
    """
    facts = facts_named(ask, id)
    evidence, row = _evidence(ask, facts), row_of(ask, facts)
    held, now_us = facts.in_force, ask.control.clock.now_us()
    tally = progress.Tally() if evidence is None else evidence.progress.tally
    audit = {} if held is None else held.audit
    error = tally.wrong / tally.picked if tally.picked else None
    return CertificatePage(
        says=row.says[0],
        row=row,
        as_of=time_of(now_us),
        stopped=_stopped(facts.stop),
        asked=_stopped(facts.asked),
        certificate="" if held is None else held.id,
        epoch="" if facts.epoch is None else facts.epoch.id,
        epoch_number=0 if facts.epoch is None else facts.epoch.number,
        scorer="" if evidence is None else evidence.terms.scorer,
        of=facts.policy.of,
        unit=_unit(ask, facts),
        from_time=None if evidence is None else time_of(evidence.terms.from_us),
        until=None if facts.epoch is None else time_of(facts.epoch.seen_us),
        curve=() if evidence is None else tuple(curve_of(evidence)),
        start=None if evidence is None else _at(evidence.terms.grid, evidence.terms.start),
        naive=None if evidence is None else _naive(evidence),
        power=() if evidence is None else tuple(power_of(evidence, facts.max_error)),
        audit=() if held is None or evidence is None else trail_of(ask, held, evidence.terms),
        run_length=int(audit.get("run_length", 0)),
        audit_share=float(audit.get("share", facts.policy.audit_share)),
        delay_audits=int(audit.get("delay_audits", 0)),
        delay_answers=int(audit.get("delay_answers", 0)),
        groups=() if held is None else tuple(_groups(held)),
        picked=tally.picked,
        missing=tally.missing,
        disputed=tally.disputed,
        most_missed=0.0 if evidence is None else evidence.held.most_missed,
        possible=None if error is None else most_automatic(error, facts.max_error),
        history=tuple(_history(ask, facts.service)),
    )


def facts_named(ask: Ask, id: str) -> Facts:
    """Return what is stored of a decision, named by its certificate or by its service.

    Raises:
        Forbidden: The key is limited to other services.
        NotFound: There is none, or its service has no bound.
    """
    found = store.read_certificate(ask.control.state, id)
    name = id if found is None else found.service
    ask.check_sees(name)
    opened = ask.control.engine.releases.get(name)
    facts = None if opened is None else next(facts_of(ask, [opened]), None)
    if facts is None:
        raise NotFound(f"no certificate `{id:.60}`, and no service of that name declares a bound")
    return facts


def is_near(level: float, run_length: float) -> bool:
    """Whether an audit stands above a twentieth of its alarm level.

    >>> is_near(0.6, 10_000), is_near(0.7, 10_000), is_near(0.0, 0)
    (False, True, False)
    """
    return level > 0 and level >= 1 - math.log(NEAR) / math.log(max(run_length, math.e))


def _worst_first(row: CertificateRow) -> tuple[int, float, str]:
    return _WORST.index(row.standing), -row.level, row.service


def _evidence(ask: Ask, facts: Facts) -> Evidence | None:
    if facts.epoch is None:
        return None
    terms = read_terms(facts.epoch.terms)
    decided = [missed for _, missed in store.read_planted(ask.control.state, facts.service)]
    held = terms.held_against(sum(decided), len(decided))
    return Evidence(terms, progress.read_progress(facts.epoch.state), held)


def _standing(
    ask: Ask, facts: Facts, evidence: Evidence | None
) -> tuple[Standing, tuple[str, ...]]:
    """Return whether a decision may be taken, and why, in sentences."""
    now = time_of(ask.control.clock.now_us())
    for stop in filter(None, (facts.asked, facts.stop)):
        said = words.off_by_person(stop.by, time_of(stop.since_us), stop.reason, now)
        return "off", said
    unit, held, last = _unit(ask, facts), facts.in_force, facts.last
    if held is not None:
        audit = held.audit
        watched = words.watched(
            int(audit.get("n", 0)),
            int(audit.get("wrong", 0)),
            float(audit.get("share", 0.0)),
            int(audit.get("delay_answers", 0)),
        )
        return "certified", (*words.certified(held, unit), watched)
    if evidence is None:
        more = words.no_scores()
    else:
        n, wrong = _at_start(evidence)
        passing = (evidence.terms.start + 1) / len(evidence.terms.grid)
        needed = _needed(evidence)
        more = words.collecting(n, wrong, needed, facts.max_error, unit, passing)
    if last is not None and last.state == "off" and last.ended_at_us is not None:
        return "off", (*words.off_by_audit(last.why_ended, time_of(last.ended_at_us), now), *more)
    return "collecting", more


def _unit(ask: Ask, facts: Facts) -> str:
    return ask.control.engine.releases[facts.service].declaration.outcomes.unit


def _at_start(evidence: Evidence | None) -> tuple[int, int]:
    """Return how many units the strictest threshold lets pass, and how many of them were wrong."""
    if evidence is None or evidence.terms.start >= len(evidence.terms.grid):
        return 0, 0
    return evidence.whole.n[evidence.terms.start], evidence.whole.wrong[evidence.terms.start]


def _needed(evidence: Evidence) -> int | None:
    n, wrong = _at_start(evidence)
    return labels_needed(wrong, n, evidence.held.max_error, evidence.held.sure)


def _since(facts: Facts) -> datetime | None:
    for stop in filter(None, (facts.asked, facts.stop)):
        return time_of(stop.since_us)
    if facts.in_force is not None:
        return time_of(facts.in_force.issued_at_us)
    if facts.last is not None and facts.last.ended_at_us is not None:
        return time_of(facts.last.ended_at_us)
    return None if facts.epoch is None else time_of(facts.epoch.opened_at_us)


def _stopped(stop: Stop | None) -> Stopped | None:
    return None if stop is None else show(Stopped, stop)


def curve_of(evidence: Evidence) -> Iterator[RiskPoint]:
    """Yield what was seen and what is ruled out at each threshold, from the strictest on."""
    terms, strand = evidence.terms, evidence.whole
    most = min(1.0, MOST_SHOWN * terms.max_error)
    for place, threshold in enumerate(terms.grid):
        n, wrong = strand.n[place], strand.wrong[place]
        seen = float(strand.error[place])
        bound = upper_bound(wrong, n, evidence.held.sure) if n else 1.0
        yield RiskPoint(
            threshold=threshold,
            passing=(place + 1) / len(terms.grid),
            n=n,
            wrong=wrong,
            seen=None if math.isnan(seen) else seen,
            bound=bound if bound <= most else None,
        )


def _naive(evidence: Evidence) -> float | None:
    """Return the loosest threshold whose seen share keeps the bound."""
    error = evidence.whole.error
    keeps = np.flatnonzero(error <= evidence.terms.max_error)
    return float(evidence.terms.grid[keeps[-1]]) if keeps.size else None


def power_of(evidence: Evidence, declared: float) -> Iterator[PowerPoint]:
    """Yield what could be given alone at other bounds, with these outcomes and with more."""
    for max_error in sorted({*_BOUNDS, declared}):
        if max_error <= max(4 * declared, 0.1):
            yield PowerPoint(
                max_error=max_error,
                now=_automated(evidence, max_error, 1),
                more=_automated(evidence, max_error, MORE),
            )


def _automated(evidence: Evidence, max_error: float, times: int) -> float | None:
    strand, terms = evidence.whole, evidence.terms
    wrong, n = times * np.array(strand.wrong), times * np.array(strand.n)
    crossed = log_evidence(wrong, n, max_error) >= -math.log1p(-terms.sure)
    place = last_before_gap(np.asarray(crossed), terms.start)
    return None if place is None else (place + 1) / len(terms.grid)


def _at(grid: Sequence[float], place: int) -> float | None:
    return grid[place] if place < len(grid) else None


def _groups(held: Certificate) -> Iterator[GroupRisk]:
    for group, (n, wrong) in held.detail.get("groups", {}).items():
        yield GroupRisk(group=group, n=n, wrong=wrong)


def _history(ask: Ask, service: str) -> list[HistoryShown]:
    """Return what happened to a decision, newest first."""
    found: list[HistoryShown] = []
    for one in store.list_certificates(ask.control.state, service, MOST_HISTORY):
        issued = f"From {one.threshold:.3f} on, n {one.n:,}, {one.wrong:,} wrong."
        found.append(_event(one.issued_at_us, "certified", issued, one.id))
        if one.ended_at_us is not None and one.state != "superseded":
            found.append(_event(one.ended_at_us, one.state, f"{one.why_ended}.", one.id))
    for epoch in store.list_epochs(ask.control.state, service)[:MOST_HISTORY]:
        says = f"Epoch {epoch.number}: evidence starts anew."
        found.append(_event(epoch.opened_at_us, "collecting", says, epoch.id))
    return sorted(found, key=lambda event: event.at, reverse=True)[:MOST_HISTORY]


def _event(at_us: int, what: str, says: str, id: str) -> HistoryShown:
    return HistoryShown(at=time_of(at_us), what=what, says=f"{says[0].upper()}{says[1:]}", id=id)
