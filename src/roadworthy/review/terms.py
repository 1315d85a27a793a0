"""What an epoch stands on: whatever of it changes opens a new one."""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec
import numpy as np

from ..declare.review import Outcomes, ReviewPolicy
from ..risk.evidence import Floats
from ..risk.reviewers import Corrected, corrected_for_misses
from ..risk.walk import Of, sure_of_epoch
from ..store.certificates import ANSWER_ALONE, Decision
from ..store.issuing import id_of as id_of
from ..store.issuing import text_of as text_of
from ..store.issuing import what_changed as changed_since
from .evidence import Schedule

DOUBT_OF_BOUND = 0.05
"""The part of the doubt that the bound that is shown spends; the promise has the rest."""

LEAST_PLANTED = 30
"""Of so many planted wrong answers on, what reviewers miss is counted; before, they are believed.
Fewer would certify nothing: of ten that were all found, two fifths may still be missed."""

_NOT_DECLARED = ("grid", "start", "from_us", "number")


class Subject(NamedTuple):
    """What is to be certified: whether one release of a service may answer alone.

    Attributes:
        policy: Its `[review]`, with a `max_error`.
        outcomes: Its `[outcomes]`.
    """

    service: str
    release: str
    scorer: str
    policy: ReviewPolicy
    outcomes: Outcomes
    decision: Decision = ANSWER_ALONE

    @property
    def max_error(self) -> float:
        """What is promised."""
        if self.policy.max_error is None:
            raise ValueError("expected a `[review]` with `max_error`")
        return self.policy.max_error


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What an epoch stands on.

    Attributes:
        window_us, matures_us: When an outcome counts.
        grid: Thresholds, strict to loose; chosen without outcomes.
        start: The strictest threshold that is covered.
        from_us: No request from before is evidence.
        number: Of the service's epochs, from 1.
    """

    service: str
    decision: str
    release: str
    scorer: str
    max_error: float
    sure: float
    of: Of
    lifetime: bool
    unit: Literal["user", "entity", "conversation", "request"]
    window_us: int
    matures_us: int
    reported: Literal["drawn", "all"]
    right: str | None
    groups: tuple[str, ...]
    grid: tuple[float, ...]
    start: int
    from_us: int
    number: int

    @property
    def schedule(self) -> Schedule:
        """When its evidence is complete."""
        return Schedule(self.window_us, self.matures_us)

    @property
    def level(self) -> float:
        """How sure this epoch must be for `sure` to hold."""
        return sure_of_epoch(self.sure, self.number) if self.lifetime else self.sure

    @property
    def doubt_of_bound(self) -> float:
        """How often the bound that is shown may be wrong, of all thresholds together."""
        return (1 - self.level) * DOUBT_OF_BOUND

    def held_against(self, missed: int, planted: int) -> Corrected:
        """Return what outcomes are held against: less than was promised where reviewers miss some.

        Args:
            missed: How many planted wrong answers were approved.
            planted: How many were decided.
        """
        sure = self.level + self.doubt_of_bound
        if planted < LEAST_PLANTED:
            return Corrected(self.max_error, sure, 0.0)
        return corrected_for_misses(self.max_error, sure, missed, planted)


def terms_of(subject: Subject, grid: Floats, start: int, from_us: int, number: int) -> Terms:
    """Return the terms of a new epoch."""
    policy, outcomes = subject.policy, subject.outcomes
    return Terms(
        service=subject.service,
        decision=subject.decision,
        release=subject.release,
        scorer=subject.scorer,
        max_error=subject.max_error,
        sure=policy.sure,
        of=policy.of,
        lifetime=policy.lifetime,
        unit=outcomes.unit,
        window_us=outcomes.schedule.window_us,
        matures_us=outcomes.schedule.matures_us,
        reported=outcomes.reported,
        right=outcomes.right,
        groups=outcomes.groups,
        grid=tuple(grid.tolist()),
        start=start,
        from_us=from_us,
        number=number,
    )


def what_changed(terms: Terms, subject: Subject) -> str:
    """Return what is not as in `terms` any more, in words; empty where all is."""
    declared = terms_of(subject, np.array(terms.grid), terms.start, terms.from_us, terms.number)
    return changed_since(terms, declared, _NOT_DECLARED)


def read_terms(text: str) -> Terms:
    """Return the terms that a text holds."""
    return msgspec.json.decode(text, type=Terms)
