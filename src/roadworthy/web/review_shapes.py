"""The shapes of queues, cases and reviewers in the control plane's JSON."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from ..drafts import ReviewKind
from .shapes import Given, Name, OfService, Page
from .units import Time

State = Literal["open", "decided", "expired", "withdrawn"]


Before = Annotated[
    str,
    Meta(
        pattern=r"^([0-9]{1,18}-[a-z0-9_]{1,60})?$",
        description="The `before` of the page above this one.",
    ),
]
"""Where the next page begins, as the page above it said."""


class ReviewQuery(Given, frozen=True):
    """Which cases to list; what is not given does not filter."""

    queue: Name = ""
    state: Annotated[State, Meta(description="`open` ones come as they are due.")] = "open"
    service: OfService = ""
    owner: Name = ""
    before: Before = ""
    limit: Page = 50


class ReviewRow(Struct, frozen=True, kw_only=True):
    """A case as a list shows it.

    Attributes:
        kind: Why a person is asked: `review` (somebody waits), `audit` (it was given already),
            `second` (a second look, blind), `planted` (known; said only once it is decided).
        is_late: Whether it is open and its time is over.
        why: The first reason why a person is asked.
        taken_by: Who is at work on it, if anybody is.
    """

    id: str
    request_id: str
    service: str
    queue: str
    kind: ReviewKind
    state: str
    owner: str
    at: Time
    due: Time
    is_late: bool
    escalated_at: Time | None
    taken_by: str
    taken_until: Time | None
    decision: str
    decided_by: str
    decided_at: Time | None
    why: str


class QueueShown(Struct, frozen=True, kw_only=True):
    """How the open cases of a service stand in a queue."""

    queue: str
    service: str
    owner: str
    open: int
    late: int
    escalated: int
    next_due: Time


class Reviews(Struct, frozen=True, kw_only=True):
    """A page of cases, and how all queues stand.

    Attributes:
        before: What gives the next page; null where this is the last.
    """

    reviews: tuple[ReviewRow, ...]
    before: str | None
    queues: tuple[QueueShown, ...]


class SimilarCase(Struct, frozen=True, kw_only=True):
    """A past case that resembles this one, and what was decided of it.

    Attributes:
        is_same: Whether its input was the very same.
    """

    id: str
    request_id: str
    at: Time
    is_same: bool
    score: float | None
    groups: tuple[str, ...]
    input: Any
    draft: Any
    decision: str
    decided_by: str
    decided_at: Time
    ruling: dict[str, Any]


class ReasonCode(Struct, frozen=True):
    """Why an answer may be corrected or rejected."""

    code: str
    meaning: str


class Case(ReviewRow, frozen=True, kw_only=True):
    """One case, with all that a person is to decide it by.

    Attributes:
        input: What was asked; null where it was deleted.
        draft: The model's answer; null where none came.
        digest: What an approval names, so that it is of exactly this draft.
        score: How sure the model is; null where unknown, and in a blind look.
        confidence: The calibrated probability that the draft is right; null likewise.
        content: Features, passages and verdicts, as they were.
        is_blind: Whether this look is blind: confidence and earlier decisions are hidden.
        similar: Past cases, nearest first.
        ruling: What was decided.
        given: What whoever waited got.
        reason_codes: What a correction or a rejection may give as its reason.
    """

    release: str
    user: str
    role: str
    reasons: tuple[str, ...]
    input: Any
    draft: Any
    digest: str
    score: float | None
    confidence: float | None
    content: dict[str, Any]
    is_blind: bool
    similar: tuple[SimilarCase, ...]
    ruling: dict[str, Any]
    given: dict[str, Any]
    reason_codes: tuple[ReasonCode, ...]


class CaseDecided(Struct, frozen=True, kw_only=True):
    """What became of a case.

    Attributes:
        is_new: False where it had been decided the same way before.
        is_late: Whether its time was over: whoever waited has already got something else.
        says: What happened, in one sentence.
    """

    id: str
    state: str
    decision: str
    decided_by: str
    decided_at: Time
    is_new: bool
    is_late: bool
    says: str


class ReviewersQuery(Given, frozen=True):
    """Whose decisions to count."""

    service: OfService = ""
    days: Annotated[int, Meta(ge=1, le=3650, description="Of how many days back.")] = 90


class ReviewerShown(Struct, frozen=True, kw_only=True):
    """How one person decides; there is no ranking, and there is none to be made of it.

    Attributes:
        approved_share: Share of what they decided that they approved.
        planted: Planted wrong answers that they decided.
        missed: Those of them that they approved.
        most_missed: They miss at most this share of wrong answers, 95 % sure; 1 where unknown.
        median_s: Seconds from taking a case to its decision, in the median.
    """

    by: str
    name: str
    decided: int
    approved: int
    approved_share: float
    planted: int
    missed: int
    most_missed: float
    median_s: float | None


class PairShown(Struct, frozen=True, kw_only=True):
    """How far two people agree on what both decided, the second blind.

    Attributes:
        low, high: The exact 95 % interval of the share.
        kappa: Cohen's kappa, the agreement beyond chance; null where it has no value.
        kappa_low, kappa_high: Its 95 % interval.
    """

    first: str
    second: str
    n: int
    agreed: int
    share: float
    low: float
    high: float
    kappa: float | None
    kappa_low: float | None
    kappa_high: float | None


class ReviewersShown(Struct, frozen=True, kw_only=True):
    """All who decided something, by name, and each two who decided the same cases."""

    reviewers: tuple[ReviewerShown, ...]
    pairs: tuple[PairShown, ...]
