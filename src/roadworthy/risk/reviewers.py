"""What reviewers miss, and what it does to a bound.

Reviewers that overlook a share of wrong answers let a certificate look better than it is: of the
errors r they see r (1 - miss). Cases that are known to be wrong, planted among the others, measure
that share. Assumed: planted cases are missed like real ones. They tend to be easier, so that they
are best taken from past corrections.
"""

from __future__ import annotations

from typing import NamedTuple

from .evidence import upper_bound

_DOUBT_OF_MISSES = 0.25
"""The part of the doubt that the bound of the misses spends; the walk has the rest."""


class Corrected(NamedTuple):
    """What to hold the outcomes of reviewers against, in the place of what was promised.

    Attributes:
        max_error: The bound of the errors that reviewers see; 0 where nothing can be certified.
        sure: How sure of it.
        most_missed: The share of errors that they miss is at most this.
    """

    max_error: float
    sure: float
    most_missed: float


def corrected_for_misses(
    max_error: float, sure: float, missed: int, planted: int, *, is_planned: bool = False
) -> Corrected:
    """Return the bound and level at which seen errors keep the promise for all errors.

    The doubt is split (Bonferroni): a quarter for the exact bound of the misses, the rest for the
    walk. As cases are planted the bound moves, and the walk may go on: evidence grows with the
    bound it is held against, so that what crosses under a smaller one crosses under the true one.

    Args:
        max_error: What was promised.
        sure: How sure.
        missed: How many planted wrong answers were approved.
        planted: How many were decided. Without any nothing can be certified.
        is_planned: Whether `planted` was fixed beforehand; else it may be looked at at any time.

    >>> found = corrected_for_misses(0.02, 0.9, 5, 200, is_planned=True)
    >>> round(found.max_error, 4), round(found.sure, 3), round(found.most_missed, 3)
    (0.0189, 0.925, 0.057)
    >>> corrected_for_misses(0.02, 0.9, 0, 0).max_error
    0.0
    """
    doubt = _DOUBT_OF_MISSES * (1 - sure)
    most = upper_bound(missed, planted, 1 - doubt, is_planned=is_planned)
    return Corrected(max_error * (1 - most), 1 - (1 - sure - doubt), most)


def error_behind(seen: float, most_missed: float) -> float:
    """Return the bound of all errors, where reviewers see at most `seen` and miss so many.

    >>> error_behind(0.015, 0.25)
    0.02
    """
    return min(1.0, seen / (1 - most_missed)) if most_missed < 1 else 1.0
