"""Certifies which cheaper models and which answers given again do, and switches that off by itself.

All of it happens in a job. Whatever a run finds is written in one transaction that begins by
advancing the epoch from where the run found it: a run that was killed has written nothing, and of
two at once one has.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import numpy as np
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError

from ..risk.audit import (
    LEAST_RUN,
    YEAR_DAYS,
    expected_delay,
    is_alarm,
    level_of,
    share_on_probation,
)
from ..risk.recent import since_it_rose
from ..risk.walk import grid_of, start_at_share
from ..store import certificates as store
from ..store import issuing
from ..store import pairs as pairs_store
from ..store.certificates import Certificate, Epoch
from ..store.issuing import Hand
from ..store.switchboard import is_serving
from ..types import DAY_US, Clock, Ids, Pair
from . import evidence, progress
from .in_force import Within, pointer_of, read_within
from .progress import Progress
from .terms import Subject, Terms, read_terms, terms_of, what_changed

BY = "job:certify"
LEAST_SCORES = 200
"""Pairs whose scores choose the thresholds, before anything is known of them."""
MOST_SCORES = 5_000
MOST_WINDOWS = 400
"""So many windows are counted in one transaction."""
MOST_SILENT = 100
"""By so many audits without an outcome more than with one, nobody would notice a broken bound."""
_SHARE_MOVES = 0.1
"""A share is set anew when it has moved by so much of itself: each time is a change for all."""


class Work(msgspec.Struct, frozen=True):
    """What certifying works on: the database, and the project's time."""

    state: Engine
    clock: Clock


class _Found(NamedTuple):
    """What a run makes of the windows that are ripe, and of the audits.

    Attributes:
        why: Of the alarm that ends it; None where there is none.
    """

    progress: Progress
    seen_us: int
    why: issuing.Why | None = None


def certify(work: Work, subject: Subject) -> str:
    """Count what is ripe, and say what came of it.

    Run it as often as you like: what was counted is never counted again.
    """
    name = f"{subject.service} ({subject.decision})"
    if not subject.scorer:
        _keep_shares(work, subject, None)
        return f"{name}: nothing scores yet"
    epoch = store.open_epoch_of(work.state, subject.service, subject.decision)
    if epoch is not None:
        terms = read_terms(epoch.terms)
        changed = what_changed(terms, subject, np.array(terms.grid))
        if changed:
            if not _close(work, subject, epoch, changed):
                return f"{name}: another release serves by now"
            epoch = None
    if epoch is None:
        epoch = _open(work, subject)
    if epoch is None:
        _keep_shares(work, subject, None)
        return f"{name}: collects scores"
    said = _count(work, subject, epoch)
    now = store.open_epoch_of(work.state, subject.service, subject.decision)
    _keep_shares(work, subject, now)
    return f"{name}: {said}"


def _open(work: Work, subject: Subject) -> Epoch | None:
    """Open an epoch as soon as there are scores enough to choose its thresholds."""
    state, now_us = work.state, work.clock.now_us()
    before = store.list_epochs(state, subject.service, subject.decision)
    if before and before[0].closed_at_us is None:
        return before[0]  # another run opened it since this one looked
    named = (subject.service, subject.decision, subject.release, subject.scorer)
    scores = pairs_store.read_pair_scores(state, *named, MOST_SCORES)
    if len(scores) < LEAST_SCORES:
        return None
    known = np.array([score for _, score in scores])
    grid = grid_of(known)
    # What was looked at once chose whether there is another epoch: it is no evidence in that one.
    looked = [epoch for epoch in before if _is_of(epoch, subject)]
    ends = [now_us, *(max(e.seen_us, e.closed_at_us or 0) for e in looked)]
    from_us = max(ends) if looked else scores[0][0]
    number = before[0].number + 1 if before else 1
    terms = terms_of(subject, grid, start_at_share(known, grid), from_us, number)
    text = issuing.text_of(terms)
    epoch = Epoch(
        id=issuing.id_of(text),
        service=subject.service,
        decision=subject.decision,
        number=number,
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


def _is_of(epoch: Epoch, subject: Subject) -> bool:
    terms = read_terms(epoch.terms)
    return (terms.release, terms.scorer) == (subject.release, subject.scorer)


def _count(work: Work, subject: Subject, epoch: Epoch) -> str:
    """Count audits and the windows that are ripe, and write what follows from it."""
    terms = read_terms(epoch.terms)
    now_us = work.clock.now_us()
    ripe_us = terms.schedule.ripe_until(now_us)
    # An alarm need not wait for a window to end, unless what it stands on does.
    waits = terms.matures_us if terms.decision == "reuse" or terms.reference != "outcomes" else None
    audits_us = ripe_us if waits is None else now_us - waits
    in_force = store.certificate_in_force(work.state, subject.service, subject.decision)
    while True:
        until_us = min(ripe_us, _end_of_some(epoch.seen_us, terms))
        found = _look(work.state, epoch, terms, max(until_us, epoch.seen_us), audits_us, in_force)
        written = _write(work, subject, epoch, terms, found, in_force)
        if written is None:
            return "another run was faster"
        if found.why is not None:
            _open(work, subject)
            return f"switched off: {found.why.text}"
        epoch, in_force = written
        if epoch.seen_us >= ripe_us:
            break
    if in_force is not None:
        return f"certified from {in_force.threshold:.3f} on, {in_force.n} pairs"
    return f"collects, {found.progress.tally.picked} pairs so far"


def _end_of_some(seen_us: int, terms: Terms) -> int:
    some_us = max(MOST_WINDOWS * terms.window_us, DAY_US)
    return terms.schedule.window_of(seen_us + some_us) * terms.window_us


def _look(
    state: Engine,
    epoch: Epoch,
    terms: Terms,
    until_us: int,
    audits_us: int,
    in_force: Certificate | None,
) -> _Found:
    """Advance the evidence over windows, and the audit; an alarm ends it."""
    now = progress.read_progress(epoch.state)
    if in_force is not None and now.certified_us is not None:
        now = _see_audits(state, now, terms, max(now.certified_us, now.audited_us), audits_us)
        why = _alarm(now, terms, in_force)
        if why is not None:
            return _Found(now, epoch.seen_us, why)
    found = _pairs(state, terms, epoch.seen_us, until_us)
    taken = _taken(state, terms, found, epoch.seen_us)
    for window, some in evidence.by_window(found, terms.schedule):
        ends_us = (window + 1) * terms.window_us
        counted = evidence.picked(some, taken)
        now = progress.see(now, counted, len(some), ends_us, terms)
    return _Found(now, until_us)


def _pairs(state: Engine, terms: Terms, from_us: int, until_us: int) -> list[Pair]:
    if from_us >= until_us:
        return []
    named = (terms.service, terms.decision, terms.release)
    return pairs_store.read_pairs(state, *named, from_us, until_us, scorer=terms.scorer)


def _taken(state: Engine, terms: Terms, found: list[Pair], seen_us: int) -> set[str]:
    """Return the cached answers of which a pair counted before."""
    entries = [pair.entry for pair in found if pair.entry]
    if not entries:
        return set()
    span = (terms.from_us, seen_us)
    return pairs_store.entries_before(state, terms.service, terms.scorer, entries, *span)


def _see_audits(
    state: Engine, now: Progress, terms: Terms, from_us: int, until_us: int
) -> Progress:
    if from_us >= until_us:
        return now
    begins_us = terms.schedule.window_of(from_us) * terms.window_us
    found = _pairs(state, terms, max(begins_us, terms.from_us), until_us)
    if not terms.is_floor:
        found = [pair for pair in found if pair.is_given]
    counted = evidence.audited(found, terms.schedule, from_us)
    return progress.see_audits(now, counted, until_us, terms)


def _alarm(now: Progress, terms: Terms, in_force: Certificate) -> issuing.Why | None:
    """Return why the decision is to be switched off; None while its audit is quiet."""
    detector, silent = now.detector, now.tally.silence
    counted = {"n": detector.n, "wrong": round(detector.wrong), "level": 1.0}
    audit = {**in_force.audit, **counted}
    if silent >= MOST_SILENT:
        said = f"of the latest audits {silent} more had no outcome than had one: nobody audits"
        return issuing.Why(said, silent, 0, "", audit)
    if not is_alarm(detector, in_force.detail["run_length"]):
        return None
    if terms.is_floor:
        said = (
            f"{detector.n} comparisons lost more quality than was promised: less than "
            f"{terms.keep:.0%} of the reference's is kept"
        )
        return issuing.Why(said, detector.n, round(detector.wrong), "", audit)
    n, wrong = since_it_rose(now.recent)
    said = (
        f"{wrong} of the last {n} audits were wrong ({wrong / max(n, 1):.1%}), promised were at "
        f"most {terms.max_error:.1%}"
    )
    return issuing.Why(said, n, wrong, "", {**audit, "last": [wrong, n]})


def _write(
    work: Work,
    subject: Subject,
    epoch: Epoch,
    terms: Terms,
    found: _Found,
    in_force: Certificate | None,
) -> tuple[Epoch, Certificate | None] | None:
    """Write what was found in one transaction; None where another run has written before."""
    now, issued = found.progress, None
    place = progress.certified(now, terms)
    if found.why is None and place is not None and _is_more(terms, place, in_force):
        issued = _certificate(work, subject, epoch, terms, found, place, in_force)
        since_us = work.clock.now_us() if now.certified_us is None else now.certified_us
        audited_us = since_us if now.certified_us is None else now.audited_us
        now = now._replace(certified_us=since_us, audited_us=audited_us)
    state = progress.text_of(now)
    with work.state.begin() as connection:
        if not store.advance_epoch(connection, epoch, found.seen_us, state):
            return None
        epoch = msgspec.structs.replace(epoch, seen_us=found.seen_us, state=state)
        if found.why is not None and in_force is not None:
            off = pointer_of(subject.service, subject.decision, _nothing(subject))
            issuing.switch_off(connection, _hand(work), epoch, in_force, found.why, off)
            return epoch, None
        if in_force is not None and store.is_stopped(connection, terms.service, in_force.id):
            issued = None  # what a person stopped stays stopped
        if issued is not None:
            within = _within(subject, issued, issued.audit["share"])
            now_in_force = pointer_of(subject.service, subject.decision, within)
            issuing.issue(connection, _hand(work), issued, in_force, now_in_force)
        elif in_force is not None:
            audit = _shown(now, terms, in_force.detail["run_length"], in_force.audit["share"])
            store.write_audit(connection, in_force.id, audit)
    return epoch, issued or in_force


def _is_more(terms: Terms, place: int, in_force: Certificate | None) -> bool:
    return in_force is None or terms.grid[place] < in_force.threshold


def _certificate(
    work: Work,
    subject: Subject,
    epoch: Epoch,
    terms: Terms,
    found: _Found,
    place: int,
    before: Certificate | None,
) -> Certificate:
    now, now_us = found.progress, work.clock.now_us()
    share = share_on_probation(subject.audit_share, 0)
    if before is not None:
        share = before.audit["share"]
    length = _run_length(now, terms, place, found.seen_us)
    error = float(now.error(terms)[place])
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
        n=now.n[place],
        wrong=now.wrong[place],
        bound=progress.bound_at(now, terms, place),
        from_us=terms.from_us,
        to_us=found.seen_us,
        issued_at_us=now_us,
        detail={
            "of": terms.of,
            "unit": terms.unit,
            "scorer": terms.scorer,
            "reference": terms.reference,
            "since_us": now_us if before is None else before.detail["since_us"],
            "error": None if np.isnan(error) else error,
            "automated": (place + 1) / len(terms.grid),
            "run_length": length,
            "tally": msgspec.structs.asdict(now.tally),
        },
        audit=_shown(now, terms, length, share),
    )


def _run_length(now: Progress, terms: Terms, place: int, seen_us: int) -> float:
    """Return how many audits are expected in a year, in which one false alarm is tolerable."""
    days = max(seen_us - terms.from_us, terms.window_us, 1) / DAY_US
    passing = (place + 1) / len(terms.grid)
    share = passing * terms.audit_share
    if terms.is_floor:
        share += (1 - passing) * terms.pairs_share
    audits = min(now.tally.requests * share, float(now.tally.picked))
    return max(LEAST_RUN, audits / days * YEAR_DAYS)


def _shown(now: Progress, terms: Terms, length: float, share: float) -> dict[str, Any]:
    """Return how a running audit stands, as JSON values."""
    most = progress.bound_of_audits(now, terms)
    audits = expected_delay(most, length)
    return {
        "n": now.detector.n,
        "wrong": round(now.detector.wrong),
        "level": level_of(now.detector, length),
        "run_length": round(length),
        "share": share,
        "delay_audits": round(audits),
        "delay_answers": round(audits / share),
    }


def _hand(work: Work) -> Hand:
    return Hand(work.clock, BY)


def _nothing(subject: Subject) -> Within:
    """Return what is in force while nothing is certified."""
    return Within(
        release=subject.release,
        scorer=subject.scorer,
        audit_share=subject.audit_share,
        pairs_share=subject.pairs_share,
    )


def _within(subject: Subject, held: Certificate, share: float) -> Within:
    return Within(
        certificate=held.id,
        threshold=held.threshold,
        release=held.release,
        scorer=held.detail["scorer"],
        audit_share=share,
        pairs_share=subject.pairs_share,
    )


def _close(work: Work, subject: Subject, epoch: Epoch, why: str) -> bool:
    """Close an epoch whose terms have changed; what it certified holds no longer.

    Nothing is done, and False returned, where another release serves since the run began: then it
    is the run that is out of date, and not the epoch.
    """
    held = store.certificate_in_force(work.state, subject.service, subject.decision)
    with work.state.begin() as connection:
        if not is_serving(connection, subject.service, subject.release):
            return False
        if store.close_epoch(connection, epoch, work.clock.now_us(), why):
            pointer_of(subject.service, subject.decision, _nothing(subject)).move(connection)
            if held is not None:
                issuing.end(connection, _hand(work), held, why)
    return True


def _keep_shares(work: Work, subject: Subject, epoch: Epoch | None) -> None:
    """Let every process know which shares are compared, and what holds; it moves seldom."""
    held = store.certificate_in_force(work.state, subject.service, subject.decision)
    wanted = _nothing(subject)
    if held is not None and epoch is not None and held.epoch == epoch.id:
        wanted = _within(subject, held, _audit_share(work.state, subject, held))
    with work.state.connect() as connection:
        if not _has_moved(read_within(connection, subject.service, subject.decision), wanted):
            return
    with work.state.begin() as connection:
        if epoch is not None and not store.advance_epoch(
            connection, epoch, epoch.seen_us, epoch.state
        ):
            return
        if not is_serving(connection, subject.service, subject.release):
            return
        pointer_of(subject.service, subject.decision, wanted).move(connection)
        if held is not None and wanted.certificate:
            audit = {**held.audit, "share": wanted.audit_share}
            store.write_audit(connection, held.id, audit)


def _audit_share(state: Engine, subject: Subject, held: Certificate) -> float:
    """Return the share of what is decided so that is compared; it is higher in the beginning.

    How much was decided so is told by how much of it was compared.
    """
    since_us, now = held.detail["since_us"], float(held.audit["share"])
    named = (subject.service, subject.decision, held.release)
    given = pairs_store.count_given(state, *named, subject.scorer, since_us)
    return min(now, share_on_probation(subject.audit_share, round(given)))


def _has_moved(before: Within, now: Within) -> bool:
    plain = msgspec.structs.replace(before, audit_share=now.audit_share, is_stopped=False)
    if plain != now:
        return True
    moved = abs(before.audit_share - now.audit_share) > _SHARE_MOVES * before.audit_share
    return moved or (now.audit_share == 1.0) != (before.audit_share == 1.0)
