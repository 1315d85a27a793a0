"""Certifies from which score on a service may answer alone, and switches that off by itself.

All of it happens in a job. Whatever a run finds is written in one transaction that begins by
advancing the epoch from where the run found it: a run that was killed has written nothing, and of
two at once one has.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import IntegrityError

from ..risk.reviewers import Corrected
from ..risk.walk import grid_of, start_at_share
from ..store import certificates as store
from ..store import issuing
from ..store.certificates import Certificate, Epoch
from ..store.switchboard import is_serving
from ..types import DAY_US, Ids
from . import audits, progress
from .audits import Alarm
from .desk import InForce
from .evidence import Truth, by_window, cases_of
from .in_force import Work, keep_shares, point, pointer_of, read_in_force
from .progress import ALL, Progress
from .terms import Subject, Terms, id_of, read_terms, terms_of, text_of, what_changed

BY = "job:certify"
LEAST_SCORES = 200
"""Answers whose scores choose the thresholds, before anything is known of them."""
MOST_SCORES = 5_000
MOST_WINDOWS = 400
"""So many windows are counted in one transaction."""


class _Found(NamedTuple):
    """What a run makes of the windows that are ripe."""

    progress: Progress
    seen_us: int
    held: Corrected
    alarm: Alarm | None = None


def certify(work: Work, subject: Subject) -> str:
    """Count what is ripe, and say what came of it.

    Run it as often as you like: what was counted is never counted again.
    """
    epoch = store.open_epoch_of(work.state, subject.service, subject.decision)
    while epoch is not None and (changed := what_changed(read_terms(epoch.terms), subject)):
        if not _close(work, subject, epoch, changed):
            return f"{subject.service}: another release serves by now"
        was, epoch = epoch, store.open_epoch_of(work.state, subject.service, subject.decision)
        if epoch is not None and epoch.id == was.id:
            break  # another run advanced it meanwhile
    if epoch is None:
        epoch = _open(work, subject)
    if epoch is None:
        keep_shares(work, subject, None)
        return f"{subject.service}: collects scores"
    said = _count(work, subject, epoch)
    keep_shares(work, subject, store.open_epoch_of(work.state, subject.service))
    return f"{subject.service}: {said}"


def _open(work: Work, subject: Subject) -> Epoch | None:
    """Open an epoch as soon as there are scores enough to choose its thresholds."""
    state, now_us = work.state, work.clock.now_us()
    before = store.list_epochs(state, subject.service, subject.decision)
    if before and before[0].closed_at_us is None:
        return before[0]  # another run opened it since this one looked
    scores = _scores_of(state, subject, now_us)
    if len(scores) < LEAST_SCORES:
        return None
    known = np.array([score for _, score in scores])
    grid = grid_of(known)
    start = start_at_share(known, grid)
    # What was looked at once, chose whether there is another epoch: it is no evidence in that one.
    looked = [e for e in before if _is_of(e, subject)]
    ends = [now_us, *(max(e.seen_us, e.closed_at_us or 0) for e in looked)]
    from_us = max(ends) if looked else scores[0][0]
    terms = terms_of(subject, grid, start, from_us, before[0].number + 1 if before else 1)
    text = text_of(terms)
    epoch = Epoch(
        id=id_of(text),
        service=subject.service,
        decision=subject.decision,
        number=terms.number,
        opened_at_us=now_us,
        seen_us=from_us,
        terms=text,
        state=progress.text_of(progress.begin(terms)),
    )
    try:
        with state.begin() as connection:
            if not is_serving(connection, subject.service, subject.release):
                return None
            store.add_epoch(connection, epoch)
    except IntegrityError:
        # Another run opened one of this number in the same moment.
        return store.open_epoch_of(state, subject.service, subject.decision)
    return epoch


def _scores_of(state: Engine, subject: Subject, now_us: int) -> list[tuple[int, float]]:
    """Return time and score of the first answers of what is to be certified."""
    since_us = store.released_at(state, subject.release, now_us)
    named = (subject.service, subject.release, subject.scorer)
    found = store.read_scores(state, *named, since_us, MOST_SCORES)
    return [(at_us, score) for at_us, score in found if score is not None]


def _is_of(epoch: Epoch, subject: Subject) -> bool:
    terms = read_terms(epoch.terms)
    return (terms.release, terms.scorer) == (subject.release, subject.scorer)


def _count(work: Work, subject: Subject, epoch: Epoch) -> str:
    """Count the windows that are ripe, and write what follows from it."""
    terms = read_terms(epoch.terms)
    ripe_us = terms.schedule.ripe_until(work.clock.now_us())
    in_force = store.certificate_in_force(work.state, subject.service, subject.decision)
    while epoch.seen_us < ripe_us:
        until_us = min(ripe_us, _end_of_some(epoch.seen_us, terms))
        found = _look(work.state, epoch, terms, until_us, in_force)
        written = _write(work, subject, epoch, terms, found, in_force)
        if written is None:
            return "another run was faster"
        if found.alarm is not None:
            _open(work, subject)
            return f"switched off: {found.alarm.why}"
        epoch, in_force = written
    if in_force is not None:
        return f"certified from {in_force.threshold:.3f} on, {in_force.n} units"
    return f"collects, {progress.read_progress(epoch.state).tally.picked} units so far"


def _end_of_some(seen_us: int, terms: Terms) -> int:
    some_us = max(MOST_WINDOWS * terms.window_us, DAY_US)
    return terms.schedule.window_of(seen_us + some_us) * terms.window_us


def _look(
    state: Engine, epoch: Epoch, terms: Terms, until_us: int, in_force: Certificate | None
) -> _Found:
    """Advance the evidence over windows; an alarm ends it."""
    rows = store.read_drafts_with_outcomes(
        state, terms.service, terms.release, terms.scorer, epoch.seen_us, until_us
    )
    planted = store.read_planted(state, terms.service)
    now, schedule = progress.read_progress(epoch.state), terms.schedule
    held = _held_at(terms, planted, schedule.deadline_of(schedule.window_of(until_us) - 1))
    for evidence in by_window(cases_of(rows, Truth(terms.right), schedule), schedule):
        then = _held_at(terms, planted, schedule.deadline_of(evidence.window))
        now = progress.see(now, evidence, terms, then)
        if in_force is not None:
            alarm = audits.alarm_of(now, terms, in_force.detail["run_length"])
            if alarm is not None:
                return _Found(now, (evidence.window + 1) * terms.window_us, then, alarm)
    return _Found(now, until_us, held)


def _held_at(terms: Terms, planted: list[tuple[int, bool]], until_us: int) -> Corrected:
    """Return what outcomes are held against, by what reviewers were known to miss at a time."""
    decided = [is_missed for at_us, is_missed in planted if at_us <= until_us]
    return terms.held_against(sum(decided), len(decided))


def _write(
    work: Work,
    subject: Subject,
    epoch: Epoch,
    terms: Terms,
    found: _Found,
    in_force: Certificate | None,
) -> tuple[Epoch, Certificate | None] | None:
    """Write what was found in one transaction; None where another run has written before."""
    state = progress.text_of(found.progress)
    place = progress.certified(found.progress, terms)
    issued = None
    if found.alarm is None and _may_issue(work.state, terms, found.progress, place, in_force):
        issued = _certificate(work, subject, epoch, terms, found, place or 0, in_force)
    with work.state.begin() as connection:
        if not store.advance_epoch(connection, epoch, found.seen_us, state):
            return None
        epoch = msgspec.structs.replace(epoch, seen_us=found.seen_us, state=state)
        if found.alarm is not None:
            _switch_off(connection, work, subject, epoch, in_force, found)
            return epoch, None
        if issued is not None and in_force is not None:
            # Looked at again: who pulls the lever while this runs means what is issued, too.
            is_stopped = store.is_stopped(connection, terms.service, in_force.id)
            issued = None if is_stopped else issued
        if issued is not None:
            _issue(connection, work, subject, issued, in_force)
        elif in_force is not None:
            _note_audit(connection, subject, terms, found.progress, in_force)
    return epoch, issued or in_force


def _may_issue(
    state: Engine,
    terms: Terms,
    found: Progress,
    place: int | None,
    in_force: Certificate | None,
) -> bool:
    """Whether more may pass than does: a looser threshold, or another group.

    What a person stopped stays stopped.
    """
    if place is None:
        return False
    if in_force is None:
        return True
    is_looser = terms.grid[place] < in_force.threshold
    known = progress.required(found, terms).keys() - {ALL}
    is_wider = bool(known - in_force.detail["groups"].keys())
    is_more = is_looser or (is_wider and terms.grid[place] == in_force.threshold)
    return is_more and not store.is_stopped_by_a_person(state, terms.service, in_force.id)


def _certificate(
    work: Work,
    subject: Subject,
    epoch: Epoch,
    terms: Terms,
    found: _Found,
    place: int,
    before: Certificate | None,
) -> Certificate:
    whole, now_us = found.progress.strands[ALL], work.clock.now_us()
    since_us = now_us if before is None else before.detail["since_us"]
    share = audits.audit_share(subject.policy.audit_share, 0, terms)
    if before is not None:
        share = before.audit["share"]
    declared = max(subject.policy.audit_share, 1.0 if terms.reported == "all" else 0.0)
    length = audits.run_length(found.progress, terms, place, declared, found.seen_us)
    groups = progress.required(found.progress, terms).items()
    return Certificate(
        id=Ids(work.clock).new("ct"),
        epoch=epoch.id,
        service=terms.service,
        decision=terms.decision,
        release=terms.release,
        state="certified",
        max_error=terms.max_error,
        sure=terms.sure,
        threshold=terms.grid[place],
        n=whole.n[place],
        wrong=whole.wrong[place],
        bound=progress.bound_at(found.progress, terms, found.held, place),
        from_us=terms.from_us,
        to_us=found.seen_us,
        issued_at_us=now_us,
        detail={
            "of": terms.of,
            "unit": terms.unit,
            "scorer": terms.scorer,
            "since_us": since_us,
            "error": _number(whole.error[place]),
            "automated": (place + 1) / len(terms.grid),
            "most_missed": found.held.most_missed,
            "run_length": length,
            "tally": msgspec.structs.asdict(found.progress.tally),
            "groups": {key: [s.n[place], s.wrong[place]] for key, s in groups if key != ALL},
        },
        audit=audits.shown(found.progress, terms, length, share),
    )


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _issue(
    connection: Connection,
    work: Work,
    subject: Subject,
    issued: Certificate,
    before: Certificate | None,
) -> None:
    """Put a certificate in force, in the place of a stricter one if there is one."""
    share = issued.audit["share"]
    ask = read_in_force(connection, subject.service).ask_share
    # What it stands on, not what serves: another run may have left an older epoch open.
    scorer = issued.detail["scorer"]
    groups = tuple(issued.detail["groups"]) or None
    now = InForce(issued.id, issued.threshold, issued.release, scorer, share, ask, groups=groups)
    issuing.issue(connection, _hand(work), issued, before, pointer_of(subject.service, now))


def _note_audit(
    connection: Connection, subject: Subject, terms: Terms, found: Progress, held: Certificate
) -> None:
    share = read_in_force(connection, subject.service).audit_share
    audit = audits.shown(found, terms, held.detail["run_length"], share)
    store.write_audit(connection, held.id, audit)


def _switch_off(
    connection: Connection,
    work: Work,
    subject: Subject,
    epoch: Epoch,
    in_force: Certificate | None,
    found: _Found,
) -> None:
    """Switch the automatic decision off: nothing is given alone from the next request on."""
    alarm = found.alarm
    if alarm is None or in_force is None:
        raise ValueError("expected an alarm of what is in force")
    detector = found.progress.detectors[alarm.group]
    counted = {"n": detector.n, "wrong": round(detector.wrong)}
    audit = {**in_force.audit, **counted, "level": 1.0, "last": [alarm.wrong, alarm.n]}
    why = issuing.Why(alarm.why, alarm.n, alarm.wrong, alarm.group, audit)
    ask = read_in_force(connection, subject.service).ask_share
    now = pointer_of(subject.service, InForce(ask_share=ask))
    issuing.switch_off(connection, _hand(work), epoch, in_force, why, now)


def _hand(work: Work) -> issuing.Hand:
    return issuing.Hand(work.clock, BY)


def _close(work: Work, subject: Subject, epoch: Epoch, why: str) -> bool:
    """Close an epoch whose terms have changed; what it certified holds no longer.

    Nothing is done, and False returned, where another release serves since the run began: then
    it is the run that is out of date, and not the epoch.
    """
    now_us = work.clock.now_us()
    in_force = store.certificate_in_force(work.state, subject.service, subject.decision)
    if in_force is not None and in_force.epoch != epoch.id:
        in_force = None
    with work.state.begin() as connection:
        if not is_serving(connection, subject.service, subject.release):
            return False
        if not store.close_epoch(connection, epoch, now_us, why):
            return True
        if in_force is None and read_in_force(connection, subject.service).certificate:
            return True  # another epoch's, which goes on
        ask = read_in_force(connection, subject.service).ask_share
        point(connection, subject.service, InForce(ask_share=ask))
        if in_force is not None:
            issuing.end(connection, _hand(work), in_force, why)
    return True
