"""How many more outcomes a certificate needs, or why none is in reach."""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import NamedTuple

from ..risk.evidence import MOST_LABELS, log_evidence
from ..risk.reviewers import Corrected
from .progress import MOST_GROUPS, Progress, Strand, required
from .terms import Terms

_EARLY = 50
"""Among fewer outcomes the share of errors says little: it is taken to be half of the bound at
most."""


class Needed(NamedTuple):
    """What is missing.

    Attributes:
        units: More units with an outcome, of all scores; 0 where nothing is missing, None where
            no number would do.
        least, most: The same if errors are one standard error rarer or more frequent; None where no
            number would do.
        why: The same as a sentence.
    """

    units: int | None
    least: int | None
    most: int | None
    why: str


_OUT_OF_REACH = Needed(None, None, None, "not reachable: reviewers miss too many planted cases")


def needed_at_first(max_error: float, sure: float, start_share: float) -> Needed:
    """Return what is needed before there are thresholds: at least as if no answer were wrong."""
    if max_error <= 0:
        return _OUT_OF_REACH
    units = math.ceil(_more(0, 0, 0.0, max_error, sure) / start_share)
    why = f"collects the scores of answers; then at least {units} labelled units are needed"
    return Needed(units, units, None, why)


def needed(progress: Progress, terms: Terms, held: Corrected) -> Needed:
    """Return what the strictest threshold that is covered still needs.

    Args:
        progress: Of the epoch.
        terms: Of the epoch.
        held: What outcomes are held against now.
    """
    strands = required(progress, terms)
    if held.max_error <= 0:
        return _OUT_OF_REACH
    if len(strands) > MOST_GROUPS:
        why = f"not reachable: {len(strands)} groups are more than {MOST_GROUPS}"
        return Needed(None, None, None, f"{why}, declare a field of fewer values")
    if terms.start >= len(terms.grid) or not strands:
        sure = held.sure
        return needed_at_first(held.max_error, sure, (terms.start + 1) / len(terms.grid))
    of_each = {key: _needed_of(strand, terms, held) for key, strand in strands.items()}
    key, worst = max(of_each.items(), key=lambda item: _rank(item[1]))
    return worst._replace(why=f"{key}: {worst.why}") if key and worst.units != 0 else worst


def _rank(found: Needed) -> float:
    return math.inf if found.units is None else found.units


def _needed_of(strand: Strand, terms: Terms, held: Corrected) -> Needed:
    place = terms.start
    if strand.crossed[place]:
        return Needed(0, 0, 0, "certified")
    n, wrong, share = strand.n[place], strand.wrong[place], _share_of(strand, terms)
    rate = (wrong + 0.5) / (n + 1)
    if n < _EARLY:
        rate = min(wrong / max(n, 1), held.max_error / 2)
    spread = math.sqrt(rate * (1 - rate) / max(n, 1))
    found = [
        _in_all(n, wrong, at, held, share)
        for at in (rate, max(rate - spread, 0.0), min(rate + spread, 1.0))
    ]
    units, least, most = found
    return Needed(units, least, most, _sentence(units, rate, n, terms, held))


def _in_all(n: int, wrong: int, rate: float, held: Corrected, share: float) -> int | None:
    """Return how many units of all scores bring as many of the surest as are needed."""
    if rate >= held.max_error:
        return None
    more = _more(wrong, n, rate, held.max_error, held.sure)
    return None if more > MOST_LABELS else math.ceil(more / share)


def _share_of(strand: Strand, terms: Terms) -> float:
    """Return the share of units that the strictest threshold lets pass."""
    every = strand.n[-1]
    if terms.of == "all":
        return 1.0
    if every < _EARLY or not strand.n[terms.start]:
        return (terms.start + 1) / len(terms.grid)
    return strand.n[terms.start] / every


def _more(wrong: int, n: int, rate: float, max_error: float, sure: float) -> int:
    enough = -math.log1p(-sure)

    def evidence(more: int) -> float:
        return float(log_evidence(wrong + rate * more, n + more, max_error))

    return bisect_left(range(MOST_LABELS + 1), enough, key=evidence)


def _sentence(units: int | None, rate: float, n: int, terms: Terms, held: Corrected) -> str:
    surest = f"the surest {(terms.start + 1) / len(terms.grid):.0%}"
    if units is not None:
        so_far = f"at {rate:.1%} errors among {surest}" if n >= _EARLY else "if few are wrong"
        return f"{units} more labelled units are needed, {so_far}"
    if rate < held.max_error:
        return f"not reachable: {rate:.1%} errors among {surest} are too near to the bound"
    reachable = math.ceil(rate / held.max_error * terms.max_error * 105) / 100
    return (
        f"not reachable: {rate:.1%} of {surest} are wrong; reachable: max_error >= {reachable:.0%}"
    )
