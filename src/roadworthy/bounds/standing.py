"""How a decision about cheaper models or answers given again stands, and what it stands on."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from sqlalchemy import Engine

from ..risk import floor
from ..risk.audit import level_of
from ..risk.evidence import MOST_LABELS, labels_needed, upper_bound
from ..risk.floor import FloorWalk
from ..risk.walk import START_SHARE, sure_of_epoch
from ..store import certificates as store
from ..store.certificates import Certificate, Epoch
from ..store.pairs import read_pair_scores
from ..store.standing import NOTHING, Spot, Standing, Stands
from . import progress
from .certify import LEAST_SCORES
from .progress import Progress
from .terms import Subject, Terms, read_terms

_EARLY = 50
"""Among fewer pairs the share of losses says little: it is taken to be half the bound at most."""


def standing_of(state: Engine, subject: Subject) -> Standing:
    """Return how a decision stands now, as far as the job that certifies has come."""
    issued = store.list_certificates(state, subject.service, limit=1_000, decision=subject.decision)
    epoch = store.open_epoch_of(state, subject.service, subject.decision)
    terms = None if epoch is None else read_terms(epoch.terms)
    if epoch is None or terms is None or terms.release != subject.release:
        return _before_an_epoch(state, subject, issued)
    found = progress.read_progress(epoch.state)
    held = store.certificate_in_force(state, subject.service, subject.decision)
    stands: Stands = "collecting" if held is None else "certified"
    needed, why = (0, "certified") if held is not None else _needed(found, terms)
    if held is not None and store.is_stopped_by_a_person(state, subject.service, held.id):
        stands, why = "off", f"a person stopped `{held.id}`"
    elif held is None and issued and issued[0].state == "off":
        stands, why = "off", f"switched off: {issued[0].why_ended}; {why}"
    place = terms.start if held is None else _place_of(held.threshold, terms)
    return Standing(
        **{
            **NOTHING,
            **_declared(subject),
            "needed": needed,
            "needed_least": needed,
            "needed_most": needed,
            "why": why,
            "n": found.n[place] if place < len(terms.grid) else 0,
            "wrong": found.wrong[place] if place < len(terms.grid) else 0,
            "release": terms.release,
            "epoch": epoch.id,
            "opened_us": epoch.opened_at_us,
            "curve": _curve(found, terms),
            **_tallied(found),
            **({} if held is None else _of_certificate(held, found)),
        },
        state=stands,
        issued=len(issued),
    )


def _before_an_epoch(state: Engine, subject: Subject, issued: list[Certificate]) -> Standing:
    named = (subject.service, subject.decision, subject.release, subject.scorer)
    count = len(read_pair_scores(state, *named, LEAST_SCORES)) if subject.scorer else 0
    epochs = store.list_epochs(state, subject.service, subject.decision)
    needed = _needed_at_first(subject, epochs)
    then = f"then at least {needed} pairs are needed"
    why = f"{count} of {LEAST_SCORES} scores of pairs are there; {then}"
    if not subject.scorer:
        why = "collects pairs of answers, to learn which model is good enough from"
    stands: Stands = "collecting"
    if issued and issued[0].state == "off":
        stands, why = "off", f"switched off: {issued[0].why_ended}; {why}"
    return Standing(
        **{
            **NOTHING,
            **_declared(subject),
            "needed": needed,
            "needed_least": needed,
            "needed_most": None,
            "why": why,
            "release": subject.release,
        },
        state=stands,
        issued=len(issued),
    )


def _needed_at_first(subject: Subject, epochs: list[Epoch]) -> int:
    """Return how many pairs are needed at least, as if nothing were ever lost."""
    number = epochs[0].number + 1 if epochs else 1
    sure = sure_of_epoch(subject.sure, number) if subject.lifetime else subject.sure
    if subject.decision == "route" and subject.of == "all":
        return floor.least_pairs(1 - subject.max_error, sure)
    more = labels_needed(0, _EARLY, subject.max_error, sure) or 0
    return math.ceil((more + _EARLY) / (1.0 if subject.of == "all" else START_SHARE))


def _declared(subject: Subject) -> dict[str, Any]:
    return {
        "service": subject.service,
        "decision": subject.decision,
        "max_error": subject.max_error,
        "sure": subject.sure,
        "of": subject.of,
        "unit": subject.unit,
        "reference": subject.reference,
    }


def _needed(found: Progress, terms: Terms) -> tuple[int | None, str]:
    """Return how many more pairs certify the strictest threshold, and the same as a sentence."""
    if terms.start >= len(terms.grid):
        return None, "not reachable: all scores are alike"
    surest = f"the surest {(terms.start + 1) / len(terms.grid):.0%}"
    if isinstance(found.walk, FloorWalk):
        return _needed_of_floor(found.walk, terms, surest)
    n, wrong = found.n[terms.start], found.wrong[terms.start]
    share = 1.0 if terms.of == "all" else (terms.start + 1) / len(terms.grid)
    rate = (wrong + 0.5) / (n + 1) if n >= _EARLY else min(wrong / max(n, 1), terms.max_error / 2)
    lost = "are lost" if terms.decision == "route" else "are wrong"
    if rate >= terms.max_error:
        reachable = math.ceil(rate * 105) / 100
        said = f"{rate:.1%} of {surest} {lost}; reachable: max_error >= {reachable:.0%}"
        return None, f"not reachable: {said}"
    more = labels_needed(round(rate * max(n, _EARLY)), max(n, _EARLY), terms.max_error, terms.level)
    if more is None or more > MOST_LABELS:
        return None, f"not reachable: {rate:.1%} among {surest} is too near to the bound"
    more = math.ceil((more + max(_EARLY - n, 0)) / share)
    so_far = f"at {rate:.1%} among {surest}" if n >= _EARLY else f"if few of {surest} {lost}"
    return more, f"{more} more pairs are needed, {so_far}"


def _needed_of_floor(walk: FloorWalk, terms: Terms, surest: str) -> tuple[int | None, str]:
    if walk.n < _EARLY:
        more = max(floor.least_pairs(terms.keep, terms.level) - walk.n, 1)
        return more, f"{more} more pairs are needed, if cheaper answers are as good"
    error = float(walk.error(terms.keep)[terms.start])
    seen = f"{max(error, 0.0):.1%} of the quality is lost where {surest} go to a cheaper model"
    needed = floor.pairs_needed(walk, terms.start, terms.level, MOST_LABELS)
    if needed is None:
        reachable = math.ceil(max(error, 0.0) * 105 + 0.5) / 100
        return None, f"not reachable: {seen}; reachable: max_error >= {reachable:.0%}"
    return needed, f"{needed} more pairs are needed: {seen}"


def _of_certificate(held: Certificate, found: Progress) -> dict[str, Any]:
    return {
        "threshold": held.threshold,
        "n": held.n,
        "wrong": held.wrong,
        "bound": held.bound,
        "error": held.detail["error"],
        "certificate": held.id,
        "from_us": held.from_us,
        "to_us": held.to_us,
        "issued_us": held.issued_at_us,
        "automated": held.detail["automated"],
        "audit": {"level": level_of(found.detector, held.detail["run_length"]), **held.audit},
    }


def _tallied(found: Progress) -> dict[str, Any]:
    tally = found.tally
    return {"missing": tally.missing / tally.picked} if tally.picked else {}


def _curve(found: Progress, terms: Terms) -> tuple[Spot, ...]:
    errors, n, wrong = found.error(terms), found.n, found.wrong
    size, crossed = len(terms.grid), found.crossed
    return tuple(
        Spot(
            threshold=threshold,
            automated=(k + 1) / size,
            n=n[k],
            wrong=wrong[k],
            error=None if np.isnan(errors[k]) else max(float(errors[k]), 0.0),
            has_crossed=bool(crossed[k]),
            bound=_bound(found, terms, k),
        )
        for k, threshold in enumerate(terms.grid)
    )


def _bound(found: Progress, terms: Terms, place: int) -> float | None:
    """Return what is ruled out at a threshold, by its counts; None where nothing is."""
    walk = found.walk
    if isinstance(walk, FloorWalk):
        return terms.max_error if walk.crossed[place] else None
    n, wrong = int(walk.counts.n[place]), int(walk.counts.wrong[place])
    return upper_bound(wrong, n, terms.level) if n else None


def _place_of(threshold: float, terms: Terms) -> int:
    return terms.grid.index(threshold) if threshold in terms.grid else terms.start
