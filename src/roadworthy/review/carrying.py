"""Whether people can carry what a bound sends them, and what gives if they cannot."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from ..risk.capacity import Demand, Plan, plan
from ..risk.evidence import upper_bound
from ..types import DAY_US
from .progress import ALL, Progress
from .terms import Subject, Terms


class Carried(msgspec.Struct, frozen=True, kw_only=True):
    """Whether bound and capacity both hold.

    Attributes:
        load: Cases of a busy day, audits among them.
        more_reviews: So many more a day would make it fit.
        overflow_share: Or this share of the cases, drawn at random, goes down the ladder.
        max_error: Or this bound is declared; None where none would do.
        says: The same in a sentence.
    """

    fits: bool
    load: float
    more_reviews: int
    overflow_share: float
    max_error: float | None
    says: str


def carried(
    subject: Subject, progress: Progress, terms: Terms, seen_us: int, place: int | None
) -> dict[str, Any]:
    """Return whether a day's capacity carries what the bound sends to people, as JSON values.

    Nothing where no capacity is declared, or nothing was counted.

    Args:
        subject: Whose capacity it is.
        progress: Of its epoch.
        terms: Of the epoch.
        seen_us: Until when the epoch has counted.
        place: The threshold in force; None while nothing is certified.
    """
    capacity, tally = subject.policy.capacity_per_day, progress.tally
    days = (seen_us - terms.from_us) / DAY_US
    if capacity is None or days <= 0 or not tally.requests:
        return {}
    requests = (tally.requests + tally.uncovered) / days
    share = 0.0 if terms.reported == "all" else subject.policy.audit_share
    size, counts = len(terms.grid), progress.strands[ALL].counts
    found = plan(
        Demand(requests, capacity, share, per_reviewer=1),
        1 - (np.arange(size) + 1) / size,
        place,
        lambda k: upper_bound(int(counts.wrong[k]), int(counts.n[k]), terms.sure),
    )
    facts: dict[str, Any] = msgspec.to_builtins(
        Carried(
            fits=found.fits,
            load=round(found.load, 1),
            more_reviews=found.reviewers,
            overflow_share=found.overflow_share,
            max_error=found.max_error,
            says=_sentence(found, capacity),
        )
    )
    return facts


def _sentence(found: Plan, capacity: int) -> str:
    busy = f"a busy day has {found.load:.0f} cases for people, of which they get {capacity} done"
    if found.fits:
        return f"a busy day has {found.load:.0f} cases for people, who get {capacity} done"
    bound = f", or declare max_error = {found.max_error:.1%}" if found.max_error else ""
    return (
        f"{busy}: review {found.reviewers} more a day, or let {found.overflow_share:.0%} of the"
        f" cases go down the ladder{bound}"
    )
