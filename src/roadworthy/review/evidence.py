"""From drafts and what became known of them to evidence: one outcome of each unit and window.

A window counts once it is over and its outcomes have had their time; what is known by then counts,
and nothing that comes later. So the evidence of a window is the same whenever it is looked at, and
neither late labels nor whoever writes them choose what counts.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec
import numpy as np

from ..risk.evidence import Floats
from ..risk.schedule import Schedule as Schedule
from ..risk.units import Candidate, pick
from ..risk.walk import Flags, Of
from ..store.truth import Said as Said
from ..store.truth import Truth as Truth

AS_REVIEWED = ("review", "audit", "second")
"""The sources of what people decided; what they say of `planted` cases is evidence of them."""
_EQUAL = 1e-9
_NO_BOUND = 0.99
"""What audits are held against where no error of theirs could break a bound of all requests."""

_decode = msgspec.json.decode


class Case(NamedTuple):
    """A draft, and whether it was right.

    Attributes:
        is_right: None where nothing is known in time.
        is_disputed: Whether sources disagree; then it counts as wrong.
    """

    request_id: str
    at_us: int
    path: str
    score: float
    share: float
    is_drawn: bool
    unit: str
    groups: tuple[str, ...]
    is_right: bool | None
    is_disputed: bool = False


def cases_of(rows: Iterable[Any], truth: Truth, schedule: Schedule) -> list[Case]:
    """Return what rows of drafts with outcomes say, one case a draft, in the order of requests.

    An outcome from before its request, which only a clock that was set can bring about, is none.

    Args:
        rows: As `store.certificates.read_drafts_with_outcomes` gives them.
        truth: Of the service.
        schedule: Of the service.
    """
    found = []
    for _, group in groupby(rows, attrgetter("request_id")):
        lines = list(group)
        draft = lines[0]
        until_us = schedule.deadline_of(schedule.window_of(draft.at_us))
        said = [
            Said(line.kind, line.value, line.source, line.known_at_us)
            for line in lines
            if line.kind is not None and draft.at_us <= line.known_at_us <= until_us
        ]
        verdicts = truth.verdicts(draft.predicted, said) if said else set()
        found.append(
            Case(
                draft.request_id,
                draft.at_us,
                draft.path,
                math.nan if draft.score is None else draft.score,
                draft.share,
                bool(draft.is_drawn),
                draft.unit,
                tuple(_decode(draft.groups)),
                None if not verdicts else verdicts == {True},
                len(verdicts) > 1,
            )
        )
    return found


class Evidence(NamedTuple):
    """What one window says: an outcome of each unit of which one was drawn.

    Attributes:
        window: Its number.
        cases: Those that count.
        propensities: (n,) float64; how likely each was to count, as multiples of the smallest
            chance in the window; None where all are equal.
        audited: Those that were given alone, drawn and picked for the alarm.
        requests, units: All that could have been drawn.
        uncovered: Requests of which no outcome could ever be drawn, as the day was full.
        groups: Of all that could have been drawn.
        given: Of all requests by their groups: how many were given alone, and how many there were.
    """

    window: int
    cases: list[Case]
    propensities: Floats | None
    audited: list[Case]
    requests: int
    units: int
    uncovered: int
    groups: frozenset[tuple[str, ...]]
    given: Mapping[tuple[str, ...], tuple[int, int]] = {}

    def bound_of_audits(
        self, max_error: float, of: Of, is_in: Callable[[tuple[str, ...]], bool]
    ) -> float:
        """Return what the audits of some groups are held against.

        They are of what was given alone. A bound of all requests lets more of that be wrong: what
        was not given alone did no harm.
        """
        counts = [count for groups, count in self.given.items() if is_in(groups)]
        alone, every = (sum(each) for each in zip(*counts, strict=True)) if counts else (0, 0)
        return min(max_error * every / alone, _NO_BOUND) if of == "all" and alone else max_error

    @property
    def scores(self) -> Floats:
        """(n,) float64, NaN where unknown."""
        return np.array([case.score for case in self.cases], float)

    @property
    def is_wrong(self) -> Flags:
        """(n,) bool; what is missing counts as wrong."""
        return np.array([case.is_right is not True for case in self.cases], bool)


def by_window(cases: Sequence[Case], schedule: Schedule) -> Iterator[Evidence]:
    """Yield the evidence of each window in which there were requests, in order."""
    for window, group in groupby(cases, lambda case: schedule.window_of(case.at_us)):
        yield _evidence_of(window, list(group))


def _evidence_of(window: int, found: list[Case]) -> Evidence:
    covered = [case for case in found if case.share > 0]
    candidates = [_candidate(case, window) for case in covered]
    picked = pick(candidates)
    units = len({candidate.unit for candidate in candidates})
    least = min((case.share for case in covered), default=1.0)
    most = max((case.share for case in covered), default=1.0)
    # Who asks twice is likelier to be drawn once, unless all are drawn.
    is_equal = most - least < _EQUAL and (units == len(covered) or least > 1 - _EQUAL)
    chances = np.array([one.propensity for one in picked], float) / least
    alone = [case for case in covered if case.path == "alone"]
    audited = pick([_candidate(case, window) for case in alone], "alarm")
    return Evidence(
        window,
        [covered[one.position] for one in picked],
        None if is_equal else np.maximum(chances, 1.0),
        [alone[one.position] for one in audited],
        len(covered),
        units,
        len(found) - len(covered),
        frozenset(case.groups for case in covered),
        _given(found),
    )


def _given(found: list[Case]) -> dict[tuple[str, ...], tuple[int, int]]:
    every = Counter(case.groups for case in found)
    alone = Counter(case.groups for case in found if case.path == "alone")
    return {groups: (alone[groups], count) for groups, count in every.items()}


def _candidate(case: Case, window: int) -> Candidate:
    return Candidate(case.request_id, case.unit, window, case.share, case.is_drawn)
