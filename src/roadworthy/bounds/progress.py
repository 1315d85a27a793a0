"""How far the evidence of an epoch of pairs has come: the same however it is dealt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from ..risk import audit, floor, plain, recent, strand, weighted
from ..risk.audit import Detector
from ..risk.evidence import Floats, upper_bound
from ..risk.floor import FloorWalk
from ..risk.recent import Recent
from ..risk.strand import Strand
from ..risk.walk import Flags, Walk, last_before_gap
from ..risk.weighted import WeightedWalk
from ..types import Pair
from .terms import Terms

_EQUAL = 1e-9
_NO_BOUND = 0.99
"""What audits are held against where no error of theirs could break a bound of all requests."""


class Tally(msgspec.Struct, frozen=True):
    """What was counted beside.

    Attributes:
        pairs: All that were there, and `picked` those of them that count.
        lost: The sum of what was lost by the cheaper answers of those that count.
        missing: Those that count as lost as nothing was known of them in time.
        requests: How many requests they stand for, about.
        silence: By how many more of the latest audits nothing became known than something did.
    """

    pairs: int = 0
    picked: int = 0
    lost: float = 0.0
    missing: int = 0
    requests: float = 0.0
    silence: int = 0


class Progress(NamedTuple):
    """How far an epoch has come.

    Attributes:
        walk: The evidence.
        detector: The running audit, and `recent` what to tell of it when it raises an alarm.
        audited_us: All audits of requests from before are seen, and no other.
        certified_us: Since when some certificate of the epoch has chosen what is compared; None
            while everything is compared with the same chance.
    """

    walk: Strand | FloorWalk
    detector: Detector
    recent: Recent
    audited_us: int
    tally: Tally = Tally()
    certified_us: int | None = None

    @property
    def crossed(self) -> Flags:
        """(j,) bool; where the evidence was ever enough."""
        return self.walk.crossed

    @property
    def n(self) -> list[int]:
        """How many pairs each threshold stands on."""
        walk = self.walk
        return [walk.n] * len(walk.lost) if isinstance(walk, FloorWalk) else walk.n

    @property
    def wrong(self) -> list[int]:
        """How many answers are lost at each threshold."""
        walk = self.walk
        if isinstance(walk, FloorWalk):
            return [round(float(lacked)) for lacked in walk.spoilt]
        return walk.wrong

    def error(self, terms: Terms) -> Floats:
        """Return (j,) the measured error of each threshold, NaN without any pair."""
        walk = self.walk
        return walk.error(terms.keep) if isinstance(walk, FloorWalk) else walk.error


def begin(terms: Terms) -> Progress:
    """Return the progress of an epoch that has seen nothing."""
    size, start = len(terms.grid), terms.start
    walk = floor.begin(size, start) if terms.is_floor else strand.begin(size, start)
    return Progress(walk, audit.begin(), recent.begin(), terms.from_us)


def see(
    progress: Progress, pairs: Sequence[Pair], count: int, until_us: int, terms: Terms
) -> Progress:
    """Return the progress after one more window.

    Args:
        progress: As it stands.
        pairs: Of the window after the last, those that count.
        count: How many pairs there were.
        until_us: Where the window ends.
        terms: Of the epoch.
    """
    if not pairs:
        return progress
    shares = np.array([pair.share for pair in pairs])
    certified_us = progress.certified_us
    is_even = certified_us is None or until_us <= certified_us
    declared = terms.pairs_share if is_even else min(terms.audit_share, terms.pairs_share)
    # Fixed beforehand, and not by what was drawn, or what is seldom drawn would count for less.
    chances = shares / min(declared, float(shares.min()))
    scores = np.array([np.nan if pair.score is None else pair.score for pair in pairs], float)
    walk = progress.walk
    if isinstance(walk, FloorWalk):
        found = floor.Pairs(scores, *_qualities(pairs), np.maximum(chances, 1.0))
        walk = floor.advance(walk, found, np.array(terms.grid), terms.keep, terms.level)
    else:
        lost: Any = np.array([1.0 if pair.loss is None else pair.loss for pair in pairs])
        if set(lost.tolist()) <= {0.0, 1.0}:
            lost = lost.astype(bool)
        is_equal = is_even and bool(np.all(chances - 1 < _EQUAL))
        walk = strand.advance(walk, scores, lost, None if is_equal else chances, _weighted(terms))
    return progress._replace(walk=walk, tally=_tally(progress.tally, pairs, count, shares))


def _weighted(terms: Terms) -> weighted.Terms:
    of: Any = "all" if terms.of == "all" else "accepted"
    grid = np.array(terms.grid)
    sure = terms.level + terms.doubt_of_bound
    return weighted.Terms(grid, terms.start, terms.max_error, sure, 1.0, of)


def _qualities(pairs: Sequence[Pair]) -> tuple[Floats, Floats]:
    """Return what both answers were worth; where nothing is known, the cheaper one nothing."""
    known = [(pair.quality, pair.reference_quality) for pair in pairs]
    quality = [0.0 if pair.loss is None or q is None else q for pair, (q, _) in _with(pairs, known)]
    reference = [
        1.0 if pair.loss is None or r is None else r for pair, (_, r) in _with(pairs, known)
    ]
    return np.array(quality), np.array(reference)


def _with(pairs: Sequence[Pair], known: Sequence[Any]) -> Any:
    return zip(pairs, known, strict=True)


def _tally(tally: Tally, pairs: Sequence[Pair], count: int, shares: Floats) -> Tally:
    return msgspec.structs.replace(
        tally,
        pairs=tally.pairs + count,
        picked=tally.picked + len(pairs),
        lost=tally.lost + sum(1.0 if pair.loss is None else pair.loss for pair in pairs),
        missing=tally.missing + sum(pair.loss is None for pair in pairs),
        requests=tally.requests + float((1 / shares).sum()) * count / len(pairs),
    )


def see_audits(progress: Progress, pairs: Sequence[Pair], until_us: int, terms: Terms) -> Progress:
    """Return the progress after more audits, given in the order of their requests.

    What is missing speaks for no error, and of too much silence an alarm is raised elsewhere.
    """
    detector, latest, silence = progress.detector, progress.recent, progress.tally.silence
    for pair in pairs:
        silence = max(0, silence + (1 if pair.loss is None else -1))
        if terms.is_floor:
            detector = floor.see(detector, _lost_of(pair, terms), _chance_of(pair, terms))
            continue
        if not pair.is_given:
            continue
        loss, most = pair.loss or 0.0, bound_of_audits(progress, terms)
        detector = audit.see_weighted(detector, loss, 1.0, most, 1.0)
        latest = recent.see(latest, loss >= 0.5, most)
    tally = msgspec.structs.replace(progress.tally, silence=silence)
    return progress._replace(detector=detector, recent=latest, tally=tally, audited_us=until_us)


def _lost_of(pair: Pair, terms: Terms) -> float:
    if pair.loss is None or pair.quality is None or pair.reference_quality is None:
        return 0.0
    given = pair.quality if pair.is_given else pair.reference_quality
    return terms.keep * pair.reference_quality - given


def _chance_of(pair: Pair, terms: Terms) -> float:
    return max(1.0, pair.share / min(terms.audit_share, terms.pairs_share))


def bound_of_audits(progress: Progress, terms: Terms) -> float:
    """Return what audits of what is given are held against.

    A bound of all requests lets more of that be wrong: what is not given so does no harm.
    """
    if terms.of != "all" or terms.is_floor:
        return terms.max_error
    place = certified(progress, terms)
    passing = 1.0 if place is None else (place + 1) / len(terms.grid)
    return min(terms.max_error / passing, _NO_BOUND)


def certified(progress: Progress, terms: Terms) -> int | None:
    """Return the loosest threshold that is certified, or None."""
    if not len(terms.grid):
        return None
    return last_before_gap(progress.crossed, terms.start)


def bound_at(progress: Progress, terms: Terms, place: int) -> float:
    """Return a bound of what is lost at a threshold, at most what was promised.

    It holds for all thresholds together, and at any time. Of a floor nothing better is known than
    the promise, and once pairs are weighted it stays as it was.
    """
    walk = progress.walk
    if isinstance(walk, FloorWalk):
        return terms.max_error
    doubt = terms.doubt_of_bound / len(terms.grid)
    counts = walk.counts
    found = upper_bound(int(counts.wrong[place]), int(counts.n[place]), 1 - doubt)
    return min(terms.max_error, found)


class _Plain(msgspec.Struct):
    """What of a progress is stored."""

    detector: dict[str, Any]
    recent: dict[str, Any]
    audited_us: int
    tally: Tally
    certified_us: int | None
    counts: dict[str, Any] | None = None
    weights: dict[str, Any] | None = None
    floor: dict[str, Any] | None = None


def text_of(progress: Progress) -> str:
    """Return a progress as the JSON that is stored: the same to the last bit when it is read."""
    walk = progress.walk
    found = _Plain(
        plain.to_plain(progress.detector),
        plain.to_plain(progress.recent),
        progress.audited_us,
        progress.tally,
        progress.certified_us,
    )
    if isinstance(walk, FloorWalk):
        found.floor = plain.to_plain(walk)
    else:
        found.counts = plain.to_plain(walk.counts)
        found.weights = None if walk.weights is None else plain.to_plain(walk.weights)
    return msgspec.json.encode(found).decode()


def read_progress(text: str) -> Progress:
    """Return what `text_of` was given."""
    found = msgspec.json.decode(text, type=_Plain)
    walk: Strand | FloorWalk
    if found.floor is not None:
        walk = plain.from_plain(FloorWalk, found.floor)
    else:
        weights = found.weights
        walk = Strand(
            plain.from_plain(Walk, found.counts or {}),
            None if weights is None else plain.from_plain(WeightedWalk, weights),
        )
    return Progress(
        walk,
        plain.from_plain(Detector, found.detector),
        plain.from_plain(Recent, found.recent),
        found.audited_us,
        found.tally,
        found.certified_us,
    )
