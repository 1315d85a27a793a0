"""How far the evidence of an epoch has come: window by window, and the same however it is dealt.

Whatever it returns depends on the windows alone, in their order, and not on how many are seen at a
time: so a job that died, or ran twice, comes to the same as one that saw all at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np

from ..risk import audit, plain, recent, weighted
from ..risk import strand as strands_of
from ..risk.audit import Detector
from ..risk.evidence import upper_bound
from ..risk.recent import Recent
from ..risk.reviewers import Corrected, error_behind
from ..risk.strand import Strand as Strand
from ..risk.walk import Flags, Walk, last_before_gap
from ..risk.weighted import WeightedWalk
from .evidence import Case, Evidence
from .terms import Terms

ALL = ""
"""The name of what holds every case; the others are of one group each."""
MOST_GROUPS = 200
"""With more groups nothing is certified: a field of so many values was not meant as a group."""


class Tally(msgspec.Struct, frozen=True):
    """What was counted beside.

    Attributes:
        requests, units: All of which an outcome could be drawn, and by how many units in windows.
        picked, wrong: Units that count, and those of them that count as wrong.
        missing: Those that count as wrong as nothing was known of them in time.
        disputed: Those that count as wrong as sources disagreed.
        uncovered: Requests of which no outcome could be drawn.
        silence: By how many more of the latest audits nothing became known than something did.
    """

    requests: int = 0
    units: int = 0
    picked: int = 0
    wrong: int = 0
    missing: int = 0
    disputed: int = 0
    uncovered: int = 0
    silence: int = 0


class Progress(NamedTuple):
    """How far an epoch has come.

    Attributes:
        strands: By group, like `carrier_size=small`; what holds every case is `ALL`.
        detectors: The running audits, of the same groups.
        recent: What to tell of them when one raises an alarm.
    """

    strands: Mapping[str, Strand]
    detectors: Mapping[str, Detector]
    tally: Tally = Tally()
    recent: Mapping[str, Recent] = {}


def begin(terms: Terms) -> Progress:
    """Return the progress of an epoch that has seen nothing."""
    strand = strands_of.begin(len(terms.grid), terms.start)
    return Progress({ALL: strand}, {ALL: audit.begin()}, recent={ALL: recent.begin()})


def see(progress: Progress, evidence: Evidence, terms: Terms, held: Corrected) -> Progress:
    """Return the progress after one more window.

    Args:
        progress: As it stands.
        evidence: Of the window after the last.
        terms: Of the epoch.
        held: What outcomes are held against in this window.
    """
    strands, detectors = dict(progress.strands), dict(progress.detectors)
    latest = dict(progress.recent)
    for key in sorted({key for groups in evidence.groups for key in keys_of(groups, terms)}):
        if len(strands) <= MOST_GROUPS + 1:
            strands.setdefault(key, strands_of.begin(len(terms.grid), terms.start))
            detectors.setdefault(key, audit.begin())
    for key, strand in strands.items():
        strands[key] = _advance(strand, evidence, _members(evidence, key, terms), terms, held)
    bounds = {key: _held_of_audits(evidence, key, terms) for key in detectors}
    for case in evidence.audited:
        for key in (ALL, *keys_of(case.groups, terms)):
            if key in detectors:
                is_wrong, most = case.is_right is False, bounds[key]
                detectors[key] = audit.see(detectors[key], is_wrong, most)
                latest[key] = recent.see(latest.get(key) or recent.begin(), is_wrong, most)
    return Progress(strands, detectors, _tally(progress.tally, evidence), latest)


def _held_of_audits(evidence: Evidence, key: str, terms: Terms) -> float:
    def is_in(groups: tuple[str, ...]) -> bool:
        return key == ALL or key in keys_of(groups, terms)

    return evidence.bound_of_audits(terms.max_error, terms.of, is_in)


def keys_of(groups: tuple[str, ...], terms: Terms) -> Iterator[str]:
    """Yield the names of the groups that a case is in."""
    for name, value in zip(terms.groups, groups, strict=False):
        yield f"{name}={value}"


def _members(evidence: Evidence, key: str, terms: Terms) -> Flags:
    def is_in(case: Case) -> bool:
        return key == ALL or key in keys_of(case.groups, terms)

    return np.array([is_in(case) for case in evidence.cases], bool)


def _advance(
    strand: Strand, evidence: Evidence, is_in: Flags, terms: Terms, held: Corrected
) -> Strand:
    if not is_in.any():
        return strand
    chances = evidence.propensities
    return strands_of.advance(
        strand,
        evidence.scores[is_in],
        evidence.is_wrong[is_in],
        None if chances is None else chances[is_in],
        weighted.Terms(np.array(terms.grid), terms.start, held.max_error, held.sure, 1.0, terms.of),
    )


def _tally(tally: Tally, evidence: Evidence) -> Tally:
    cases = evidence.cases
    return Tally(
        tally.requests + evidence.requests,
        tally.units + evidence.units,
        tally.picked + len(cases),
        tally.wrong + sum(case.is_right is not True for case in cases),
        tally.missing + sum(case.is_right is None for case in cases),
        tally.disputed + sum(case.is_disputed for case in cases),
        tally.uncovered + evidence.uncovered,
        _silence(tally.silence, evidence),
    )


def _silence(so_far: int, evidence: Evidence) -> int:
    """Return how long audits have been silent: it falls to 0 while most have an outcome."""
    for case in evidence.audited:
        so_far = max(0, so_far + (1 if case.is_right is None else -1))
    return so_far


def required(progress: Progress, terms: Terms) -> Mapping[str, Strand]:
    """Return the strands that must pass: every group, or what holds all where none is declared."""
    if not terms.groups:
        return {ALL: progress.strands[ALL]}
    return {key: strand for key, strand in progress.strands.items() if key != ALL}


def certified(progress: Progress, terms: Terms) -> int | None:
    """Return the loosest threshold that is certified, or None."""
    strands = required(progress, terms)
    if not strands or len(strands) > MOST_GROUPS:
        return None
    crossed = np.logical_and.reduce([strand.crossed for strand in strands.values()])
    return last_before_gap(crossed, terms.start)


def bound_at(progress: Progress, terms: Terms, held: Corrected, place: int) -> float:
    """Return a bound of the error of what a threshold lets pass, at most what was promised.

    It holds for all thresholds together, and at any time: so also for the one that was chosen. From
    when on outcomes are weighted, it stays as it was.
    """
    doubt = terms.doubt_of_bound / len(terms.grid)
    bounds = [
        upper_bound(int(counts.wrong[place]), int(counts.n[place]), 1 - doubt)
        for counts, _ in required(progress, terms).values()
    ]
    return min(terms.max_error, error_behind(max(bounds), held.most_missed))


class _Plain(msgspec.Struct):
    """What of a progress is stored."""

    counts: dict[str, dict[str, Any]]
    weights: dict[str, dict[str, Any]]
    detectors: dict[str, dict[str, Any]]
    tally: Tally
    recent: dict[str, dict[str, Any]] = {}


def text_of(progress: Progress) -> str:
    """Return a progress as the JSON that is stored: the same to the last bit when it is read."""
    strands = progress.strands.items()
    found = _Plain(
        {key: plain.to_plain(strand.counts) for key, strand in strands},
        {key: plain.to_plain(s.weights) for key, s in strands if s.weights is not None},
        {key: plain.to_plain(detector) for key, detector in progress.detectors.items()},
        progress.tally,
        {key: plain.to_plain(latest) for key, latest in progress.recent.items()},
    )
    return msgspec.json.encode(found).decode()


def read_progress(text: str) -> Progress:
    """Return what `text_of` was given."""
    found = msgspec.json.decode(text, type=_Plain)
    strands = {}
    for key, counts in found.counts.items():
        weights = found.weights.get(key)
        strands[key] = Strand(
            plain.from_plain(Walk, counts),
            None if weights is None else plain.from_plain(WeightedWalk, weights),
        )
    detectors = {key: plain.from_plain(Detector, said) for key, said in found.detectors.items()}
    latest = {key: plain.from_plain(Recent, said) for key, said in found.recent.items()}
    return Progress(strands, detectors, found.tally, latest)
