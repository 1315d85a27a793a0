"""Fits what predicts how good models are, from pairs that are then no evidence for it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec
import numpy as np

from ..risk.gain import MOST_PAIRS, Answered, fit_gain, plain_of
from ..store import certificates as store
from ..store.actions import append_action
from ..store.pairs import read_pairs
from ..store.scorers import StoredScorer, add_scorer, read_scorer
from ..store.switchboard import is_serving, move_pointer, read_pointer
from ..types import Pair
from .certify import Work
from .terms import Subject

BY = "job:learn"
LEAST = 200
"""Pairs whose losses are known, before anything is fitted; then at twice as many as before."""
OF_EACH = 50
"""Pairs of each cheaper model that are needed at least."""
KIND = "gain_"


def pointer_name(service: str) -> str:
    """Return the name of the pointer to what predicts of a service's models."""
    return f"learned:{service}"


def learn(work: Work, subject: Subject, models: Sequence[str], reference: str) -> str:
    """Fit on the pairs there are, where they are twice as many as before; say what came of it.

    While a certificate holds nothing new is fitted: its evidence is of the score that it stands on,
    and another would begin without any.

    Args:
        work: What it works on.
        subject: Whose cheaper models they are.
        models: The cheaper ones, cheapest first.
        reference: What they are held against.
    """
    name, state = subject.service, work.state
    if store.certificate_in_force(state, name, "route") is not None:
        return f"{name}: what is certified stays as it is"
    with state.connect() as connection:
        before = read_scorer(state, read_pointer(connection, pointer_name(name)))
    pairs = _known_pairs(work, subject, models, reference)
    counts = [sum(pair.model == model for pair in pairs) for model in models]
    known = dict(zip(models, counts, strict=True))
    wanted = LEAST if before is None or not _is_of(before, models, reference) else 2 * before.n
    if len(pairs) < wanted or min(counts, default=0) < OF_EACH:
        return f"{name}: {len(pairs)} of {wanted} pairs to learn from"
    gain = fit_gain(_answered(pairs, models), models, reference, subject.max_error)
    plain = plain_of(gain)
    fitted = StoredScorer(
        id=f"{KIND}{hashlib.sha256(msgspec.json.encode(plain)).hexdigest()[:20]}",
        service=name,
        release=subject.release,
        at_us=work.clock.now_us(),
        n=len(pairs),
        detail={"gain": plain, "pairs": known},
    )
    with state.begin() as connection:
        if not is_serving(connection, name, subject.release):
            return f"{name}: another release serves by now"
        left = move_pointer(connection, pointer_name(name), fitted.id)
        if left == fitted.id:
            return f"{name}: nothing new was learned"
        add_scorer(connection, fitted)
        detail = {"service": name, "n": fitted.n, "before": left, "pairs": known}
        append_action(connection, work.clock, BY, "route.learn", fitted.id, detail)
    return f"{name}: learned from {len(pairs)} pairs"


def _is_of(stored: StoredScorer, models: Sequence[str], reference: str) -> bool:
    gain = stored.detail["gain"]
    return (tuple(gain["models"]), gain["reference"]) == (tuple(models), reference)


def _known_pairs(work: Work, subject: Subject, models: Sequence[str], reference: str) -> list[Pair]:
    """Return the newest pairs of these models, of any release, whose loss is known."""
    until_us = work.clock.now_us() + 1
    found = read_pairs(work.state, subject.service, "route", "", 0, until_us, limit=MOST_PAIRS)
    return [
        pair
        for pair in found
        if pair.quality is not None
        and pair.reference_quality is not None
        and pair.vector
        and pair.model in models
        and pair.reference == reference
    ]


def _answered(pairs: Sequence[Pair], models: Sequence[str]) -> Answered:
    lost = np.full((len(pairs), len(models)), np.nan)
    for row, pair in enumerate(pairs):
        place = models.index(pair.model)
        lost[row, place] = (pair.reference_quality or 0.0) - (pair.quality or 0.0)
    vectors = np.stack([np.frombuffer(pair.vector, np.float16) for pair in pairs])
    return Answered(vectors.astype(np.float32), [pair.tags for pair in pairs], lost)
