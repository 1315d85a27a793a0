"""Which threshold is certified: a walk from the strictest on that stops at its first gap.

To certify anything at or beyond the first threshold that is too loose, that one itself would have
to pass its test, which happens with a probability of at most 1 - sure: so one level serves all
thresholds (fixed-sequence testing; Bauer, 1991; Angelopoulos et al., Learn then Test, 2021). A walk
that skipped what failed would break its promise.

What a walk stands on is an epoch: the same release, frozen score, grid, start and bound. Whatever
of these changes opens a new one, and the outcomes that trained the score or chose the grid are
never evidence in it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from .evidence import Counts, Floats, binomial_p, labels_for_one_look, log_evidence

GRID = 46
START_SHARE = 0.2
"""Where a walk that is looked at all the time begins: the threshold that lets so many pass."""

Flags = npt.NDArray[np.bool_]
Of = Literal["accepted", "all"]
"""Of what the bound is: of the answers given alone, or of all requests."""


def grid_of(scores: Floats, points: int = GRID) -> Floats:
    """Return thresholds, strict to loose, that let equal steps of unlabelled traffic pass.

    Args:
        scores: (n,) float64, higher is surer; of earlier traffic or without outcomes. NaN counts as
            the lowest.
        points: How many thresholds at most; equal ones are one.

    Returns:
        (at most points,) float64, falling. None where every score is NaN.

    >>> grid_of(np.arange(100.0), 4).tolist()
    [75.0, 50.0, 25.0, 0.0]
    """
    known = np.sort(scores[~np.isnan(scores)])[::-1]
    if not known.size:
        return np.empty(0)
    passed = np.ceil(np.arange(1, points + 1) / points * known.size).astype(int)
    return np.unique(known[passed - 1])[::-1]


def start_at_share(scores: Floats, grid: Floats, share: float = START_SHARE) -> int:
    """Return the strictest threshold that lets at least `share` of unlabelled scores pass.

    >>> start_at_share(np.arange(100.0), grid_of(np.arange(100.0), 10))
    1
    """
    passed = (scores[:, None] >= grid).mean(axis=0)
    return int(np.argmax(passed >= share)) if (passed >= share).any() else len(grid)


def start_for_one_look(
    scores: Floats, grid: Floats, outcomes: int, max_error: float, sure: float
) -> int:
    """Return the strictest threshold that will hold enough of `outcomes` for one planned look."""
    least = labels_for_one_look(max_error, sure)
    return start_at_share(scores, grid, min(1.0, least / max(outcomes, 1)))


def counts_at(scores: Floats, is_wrong: Flags, grid: Floats) -> tuple[Counts, Counts]:
    """Return how many outcomes each threshold lets pass, and how many of them are wrong.

    Args:
        scores: (n,) float64; NaN passes nowhere: an unknown confidence counts as zero.
        is_wrong: (n,) bool.
        grid: (j,) float64, falling.

    Returns:
        n (j,) int64 and wrong (j,) int64, rising.
    """
    order = np.sort(np.where(np.isnan(scores), -np.inf, scores))
    n = len(scores) - np.searchsorted(order, grid, side="left")
    bad = np.sort(scores[is_wrong & ~np.isnan(scores)])
    wrong = len(bad) - np.searchsorted(bad, grid, side="left")
    return n.astype(np.int64), wrong.astype(np.int64)


class Walk(NamedTuple):
    """How far a walk has come.

    Attributes:
        n, wrong: (j,) int64; the outcomes that each threshold lets pass, and the wrong ones.
        crossed: (j,) bool; where the evidence was ever enough. Once crossed stays crossed.
        start: The strictest threshold that is covered.
    """

    n: Counts
    wrong: Counts
    crossed: Flags
    start: int

    @property
    def certified(self) -> int | None:
        """The loosest threshold that is certified, or None.

        >>> flags = np.array([False, True, True, False, True])
        >>> Walk(np.zeros(5, int), np.zeros(5, int), flags, 1).certified
        2
        """
        return last_before_gap(self.crossed, self.start)


def last_before_gap(crossed: Flags, start: int) -> int | None:
    """Return the last of the thresholds from `start` on that crossed without a gap, or None."""
    gaps = np.flatnonzero(~crossed[start:])
    passed = gaps[0] if gaps.size else len(crossed) - start
    return start + int(passed) - 1 if passed > 0 else None


def begin(size: int, start: int) -> Walk:
    """Return a walk over `size` thresholds that has seen nothing."""
    nothing = np.zeros(size, np.int64)
    return Walk(nothing, nothing, np.zeros(size, bool), start)


def advance(
    walk: Walk,
    scores: Floats,
    is_wrong: Flags,
    grid: Floats,
    max_error: float,
    sure: float,
    *,
    of: Of = "accepted",
) -> Walk:
    """Return the walk after more outcomes, looked at once behind them.

    It is valid however often it is called: after every outcome, or every thousand.

    Args:
        walk: As it stands.
        scores: (n,) float64, of matured outcomes, one per unit and window.
        is_wrong: (n,) bool; an outcome that is missing after its time counts as wrong.
        grid: (j,) float64, falling; the same for the whole epoch.
        max_error: Bound of the share that may be wrong.
        sure: How sure.
        of: `all` holds the errors that pass against all outcomes instead of those that pass; then
            the outcomes must be a sample of all requests.

    >>> scores, is_wrong = np.linspace(0, 1, 200), np.arange(200) < 100
    >>> advance(begin(1, 0), scores, is_wrong, np.array([0.5]), 0.05, 0.9).n.tolist()
    [100]
    >>> advance(begin(1, 0), scores, is_wrong, np.array([0.5]), 0.05, 0.9, of="all").n.tolist()
    [200]
    """
    more_n, more_wrong = counts_at(scores, is_wrong, grid)
    if of == "all":
        more_n = np.full(len(grid), len(scores), np.int64)
    n, wrong = walk.n + more_n, walk.wrong + more_wrong
    crossed = log_evidence(wrong, n, max_error) >= -math.log1p(-sure)
    return Walk(n, wrong, walk.crossed | crossed, walk.start)


def look_once(
    scores: Floats, is_wrong: Flags, grid: Floats, start: int, max_error: float, sure: float
) -> Walk:
    """Return the walk of one planned look, by the exact test: the most power for one look.

    Args are those of `advance`; `start` was chosen without these outcomes.
    """
    n, wrong = counts_at(scores, is_wrong, grid)
    crossed = np.zeros(len(grid), bool)
    for j in range(start, len(grid)):
        if binomial_p(int(wrong[j]), int(n[j]), max_error) > 1 - sure:
            break
        crossed[j] = True
    return Walk(n, wrong, crossed, start)


class Walked(Protocol):
    """What any walk can say, of counts or weighted."""

    @property
    def n(self) -> Counts:
        """(j,) int64; outcomes that each threshold lets pass."""

    @property
    def wrong(self) -> Counts | Floats:
        """(j,); the sum of their losses."""

    @property
    def crossed(self) -> Flags:
        """(j,) bool; where the evidence was ever enough."""

    @property
    def start(self) -> int:
        """The strictest threshold that is covered."""


def together(walks: Mapping[str, Walked]) -> Walk:
    """Return the walk of several groups, each of which must pass at each threshold.

    No group's level is corrected: at the first threshold that is too loose for one of them, that
    group itself would have to pass (intersection-union test; Berger, 1982). A group without
    outcomes passes nowhere.

    Args:
        walks: By group; over the same grid, of counts or weighted.

    Returns:
        A walk with the outcomes of all groups; it crossed where each of them did.

    Raises:
        ValueError: There is no group.

    >>> a = Walk(np.array([90, 99]), np.array([0, 0]), np.array([True, True]), 0)
    >>> b = Walk(np.array([80, 85]), np.array([0, 9]), np.array([True, False]), 0)
    >>> together({"a": a, "b": b}).certified, held_back_by({"a": a, "b": b})
    (0, ('b',))
    """
    if not walks:
        raise ValueError("expected at least one group")
    found = list(walks.values())
    return Walk(
        np.sum([walk.n for walk in found], axis=0),
        np.sum([walk.wrong for walk in found], axis=0),
        np.logical_and.reduce([walk.crossed for walk in found]),
        max(walk.start for walk in found),
    )


def held_back_by(walks: Mapping[str, Walked]) -> tuple[str, ...]:
    """Return the groups at which the walk of all ended: those that lack evidence for the next."""
    joint = together(walks)
    following = joint.start if joint.certified is None else joint.certified + 1
    if following >= len(joint.crossed):
        return ()
    return tuple(name for name, walk in walks.items() if not walk.crossed[following])


def sure_of_epoch(sure: float, number: int) -> float:
    """Return how sure the epoch of that number must be, so that all epochs together are `sure`.

    The k-th spends 1 / (k (k + 1)) of the doubt; over all k that is the whole of it.

    Args:
        sure: Of all epochs of a decision, however many there will be.
        number: Of the epoch, from 1.

    >>> round(sure_of_epoch(0.9, 1), 4), round(sure_of_epoch(0.9, 2), 4)
    (0.95, 0.9833)
    """
    return 1 - (1 - sure) / (number * (number + 1))
