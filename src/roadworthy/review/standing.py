"""How an automatic decision stands: certified, collecting or off, and what it stands on."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from sqlalchemy import Engine

from ..risk.audit import level_of
from ..risk.evidence import most_automatic
from ..risk.reviewers import Corrected
from ..risk.walk import START_SHARE
from ..store import certificates as store
from ..store.certificates import Certificate, Epoch
from ..store.standing import NOTHING, Spot, Standing, Stands
from . import progress
from .carrying import carried
from .certify import LEAST_SCORES
from .needed import Needed, needed, needed_at_first
from .progress import ALL, Progress
from .terms import Subject, Terms, read_terms, terms_of


def standing_of(state: Engine, subject: Subject, now_us: int = sys.maxsize) -> Standing:
    """Return how a decision stands now, as far as the job that certifies has come.

    Args:
        state: The database.
        subject: Whose decision it is.
        now_us: The project's time; it matters only where that was set back since the release.
    """
    epoch = store.open_epoch_of(state, subject.service, subject.decision)
    terms = None if epoch is None else read_terms(epoch.terms)
    if terms is None or terms.release != subject.release:
        return _before_an_epoch(state, subject, now_us)
    found = progress.read_progress(epoch.state) if epoch is not None else progress.begin(terms)
    certified = store.certificate_in_force(state, subject.service, subject.decision)
    held = terms.held_against(*_planted(state, subject.service))
    return _standing(state, subject, epoch, terms, found, held, certified)


def _planted(state: Engine, service: str) -> tuple[int, int]:
    """Return how many planted wrong answers were let pass, of how many."""
    planted = store.read_planted(state, service)
    return sum(missed for _, missed in planted), len(planted)


def _before_an_epoch(state: Engine, subject: Subject, now_us: int) -> Standing:
    epochs = store.list_epochs(state, subject.service, subject.decision)
    terms = terms_of(subject, np.empty(0), 0, 0, epochs[0].number + 1 if epochs else 1)
    held = terms.held_against(*_planted(state, subject.service))
    missing = needed_at_first(held.max_error, held.sure, START_SHARE)
    since_us = store.released_at(state, subject.release, now_us)
    named = (subject.service, subject.release, subject.scorer)
    known = [
        s for _, s in store.read_scores(state, *named, since_us, LEAST_SCORES) if s is not None
    ]
    why = f"{len(known)} of {LEAST_SCORES} scores are there; {missing.why}"
    return Standing(
        **_declared(subject),
        **_of_needed(missing._replace(why=why)),
        **NOTHING,
        state="collecting",
        issued=len(store.list_certificates(state, subject.service, decision=subject.decision)),
        release=subject.release,
    )


def _standing(
    state: Engine,
    subject: Subject,
    epoch: Epoch | None,
    terms: Terms,
    found: Progress,
    held: Corrected,
    certified: Certificate | None,
) -> Standing:
    issued = store.list_certificates(state, subject.service, limit=1_000, decision=subject.decision)
    stands: Stands = "collecting" if certified is None else "certified"
    lacks = needed(found, terms, held) if certified is None else Needed(0, 0, 0, "certified")
    if certified is not None and store.is_stopped_by_a_person(state, subject.service, certified.id):
        stands, lacks = "off", lacks._replace(why=f"a person stopped `{certified.id}`")
    elif certified is not None and store.is_asked_by_a_person(state, subject.service):
        stands, lacks = "off", lacks._replace(why="a person wants to be asked of every answer")
    elif certified is None and issued and issued[0].state == "off":
        stands = "off"
        lacks = lacks._replace(why=f"switched off: {issued[0].why_ended}; {lacks.why}")
    place = terms.start if certified is None else _place_of(certified.threshold, terms)
    whole = found.strands[ALL]
    facts = {
        **NOTHING,
        **_declared(subject),
        **_of_needed(lacks),
        "n": whole.n[place] if place < len(terms.grid) else 0,
        "wrong": whole.wrong[place] if place < len(terms.grid) else 0,
        "release": terms.release,
        "epoch": "" if epoch is None else epoch.id,
        "opened_us": None if epoch is None else epoch.opened_at_us,
        "curve": _curve(found, terms),
        "groups": _groups(found, terms, place),
        "most_missed": held.most_missed or None,
        "capacity": _capacity(subject, epoch, terms, found, certified),
        **_tallied(found, terms),
    }
    if certified is not None:
        facts |= _of_certificate(certified, found)
    return Standing(**facts, state=stands, issued=len(issued))


def _capacity(
    subject: Subject,
    epoch: Epoch | None,
    terms: Terms,
    found: Progress,
    certified: Certificate | None,
) -> dict[str, Any]:
    place = None if certified is None else _place_of(certified.threshold, terms)
    seen_us = terms.from_us if epoch is None else epoch.seen_us
    return carried(subject, found, terms, seen_us, place)


def _declared(subject: Subject) -> dict[str, Any]:
    return {
        "service": subject.service,
        "decision": subject.decision,
        "max_error": subject.max_error,
        "sure": subject.policy.sure,
        "of": subject.policy.of,
        "unit": subject.outcomes.unit,
    }


def _of_needed(lacks: Needed) -> dict[str, Any]:
    names = {"needed_least": lacks.least, "needed_most": lacks.most}
    return {"needed": lacks.units, **names, "why": lacks.why}


def _of_certificate(certified: Certificate, found: Progress) -> dict[str, Any]:
    detector = found.detectors[ALL]
    level = level_of(detector, certified.detail["run_length"])
    return {
        "threshold": certified.threshold,
        "n": certified.n,
        "wrong": certified.wrong,
        "bound": certified.bound,
        "error": certified.detail["error"],
        "certificate": certified.id,
        "from_us": certified.from_us,
        "to_us": certified.to_us,
        "issued_us": certified.issued_at_us,
        "automated": certified.detail["automated"],
        "audit": {"level": level, **certified.audit},
    }


def _tallied(found: Progress, terms: Terms) -> dict[str, Any]:
    tally = found.tally
    if not tally.picked:
        return {}
    every = tally.requests + tally.uncovered
    return {
        "missing": tally.missing / tally.picked,
        "disputed": tally.disputed / tally.picked,
        "uncovered": tally.uncovered / every,
        "feasible": most_automatic(tally.wrong / tally.picked, terms.max_error),
    }


def _curve(found: Progress, terms: Terms) -> tuple[Spot, ...]:
    whole = found.strands[ALL]
    n, wrong, errors = whole.n, whole.wrong, whole.error.tolist()
    size = len(terms.grid)
    return tuple(
        Spot(
            threshold=threshold,
            automated=(k + 1) / size,
            n=n[k],
            wrong=wrong[k],
            error=None if errors[k] != errors[k] else errors[k],
            has_crossed=bool(whole.crossed[k]),
        )
        for k, threshold in enumerate(terms.grid)
    )


def _groups(found: Progress, terms: Terms, place: int) -> dict[str, list[int]]:
    if not terms.groups or place >= len(terms.grid):
        return {}
    strands = progress.required(found, terms).items()
    return {key: [strand.n[place], strand.wrong[place]] for key, strand in strands}


def _place_of(threshold: float, terms: Terms) -> int:
    return terms.grid.index(threshold) if threshold in terms.grid else terms.start
