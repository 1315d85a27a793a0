"""What the pages about reviews show: the values that a page and its JSON twin share."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from ..types import Kind, ReviewKind
from .units import Time

Hold = Literal["nobody", "you", "other"]
Support = Literal["supported", "weak", "unsupported"]


class QueueLine(Struct, frozen=True, kw_only=True):
    """One service's cases in one queue.

    Attributes:
        owner: Who sees to it that what waits is decided in time.
        waiting: How many cases wait; `late` of them past their time, `escalated` to somebody else.
        first: When the first is due; None where none waits.
    """

    queue: str
    service: str
    owner: str
    waiting: int
    late: int
    escalated: int
    first: Time | None


class CaseRow(Struct, frozen=True, kw_only=True):
    """One case as a list shows it.

    Attributes:
        kind: Why a person is asked; one that was planted looks like any other.
        says: What is asked, in its own words, or the beginning of them.
        why: What decided that a person is asked: a rule, a bound or a guard.
        confidence: None where it is unknown, or not to be seen.
        hold: Who is at work on it, `held_by` by name.
        is_late: Whether it waits past its time.
        decision: What was decided; empty until then.
    """

    id: str
    service: str
    queue: str
    kind: ReviewKind
    at: Time
    due: Time
    says: str
    why: str
    confidence: float | None
    hold: Hold
    held_by: str
    is_late: bool
    decision: str
    decided_by: str


class QueuePage(Struct, frozen=True, kw_only=True):
    """What waits for people, what is due first on top.

    Attributes:
        says: The page in one line.
        ends: What becomes of a case that nobody decides, in sentences.
        queue, service, state: What was asked for; empty for all.
        waiting: How many cases wait in what was asked for; `late` and `first` likewise.
        queues: All that the key may see.
        rows: The cases.
        before: What to ask the next page with; None when this is the last.
        services: Those whose answers people are asked of.
    """

    says: str
    ends: tuple[str, ...]
    as_of: Time
    queue: str
    service: str
    state: str
    waiting: int
    late: int
    first: Time | None
    queues: tuple[QueueLine, ...]
    rows: tuple[CaseRow, ...]
    before: str | None
    services: tuple[str, ...]


class AnswerPart(Struct, frozen=True, kw_only=True):
    """A part of the model's answer: a sentence whose support (0-1) is known, or what lies between.

    Attributes:
        number: Of the sentence, from 1; 0 of what lies between.
        score, support: How well the passages support it; None of what lies between.
    """

    text: str
    number: int = 0
    score: float | None = None
    support: Support | None = None


class PassageGiven(Struct, frozen=True, kw_only=True):
    """A passage that the model was given, with its text."""

    file: str
    heading: str
    text: str


class Contribution(Struct, frozen=True, kw_only=True):
    """What one feature adds to the reference."""

    feature: str
    value: Any
    amount: float


class Attributed(Struct, frozen=True, kw_only=True):
    """A prediction as a sum: the reference and what each feature adds.

    Attributes:
        reference: The mean prediction of the rows it is compared with.
        is_exact: Whether all orders were taken, and not a sample of them.
    """

    reference: float
    value: float
    parts: tuple[Contribution, ...]
    rows: int
    is_exact: bool


class VerdictGiven(Struct, frozen=True, kw_only=True):
    """What a guard said before a person was asked."""

    guard: str
    verdict: str
    reason: str


class PastCase(Struct, frozen=True, kw_only=True):
    """A case that was decided before.

    Attributes:
        says: What was asked, or the beginning of it.
        answer: What the model had answered, in few words.
        score: How sure it was; None where that is unknown.
        is_same: Whether its input is the very same.
    """

    id: str
    says: str
    answer: str
    score: float | None
    decision: str
    reason_code: str
    decided_by: str
    decided_at: Time
    is_same: bool


class RulingShown(Struct, frozen=True, kw_only=True):
    """What was decided.

    Attributes:
        output: What was said instead; None where nothing was.
    """

    decision: str
    by: str
    at: Time
    output: Any
    label: Any
    reason_code: str
    severity: str
    text: str


class CaseShown(Struct, frozen=True, kw_only=True):
    """One case, whole.

    Attributes:
        says: The page in one line.
        ends: What becomes of it without a decision, or what became of it, in sentences.
        request_id: Empty until decided: what is known of a planted case stands on its page.
        state: `open`, `decided`, `expired` or `withdrawn`.
        is_blind: Whether doubt, earlier decisions and similar cases are not to be seen.
        hold: Who is at work on it; `held_by` by name, `held_until` while it is somebody.
        input, output: The question and the model's answer as JSON values; `output` is None where no
            model gave one.
        has_output: Whether a model gave one.
        text: The answer as a person edits it; `is_text` says that it is prose, and not JSON.
        is_editable: Whether it is short enough to be read and edited as a whole.
        digest: SHA-256 (hex) of exactly what an approval covers.
        labels: What can be chosen as the right label; empty where any may be typed.
        reasons: Why a person is asked: rule, bound or guard.
        threshold: From which score on an answer is given alone; None where none is certified.
        parts: The whole answer, sentence by sentence, where its support is known.
        similar: The past cases most like it, nearest first.
        ruling: What was decided; None until then.
        hand_to: To whom it may be handed over: `Ada`, or `queue:desk`.
        can_decide: Whether the key may decide it now; `why_not` says why it may not.
    """

    says: str
    ends: tuple[str, ...]
    as_of: Time
    id: str
    request_id: str
    service: str
    release: str
    kind: ReviewKind
    service_kind: Kind | None
    queue: str
    owner: str
    state: str
    is_blind: bool
    at: Time
    due: Time
    is_late: bool
    hold: Hold
    held_by: str
    held_until: Time | None
    model: str
    input: Any
    output: Any
    has_output: bool
    text: str
    is_text: bool
    is_editable: bool
    digest: str
    labels: tuple[str, ...]
    reasons: tuple[str, ...]
    score: float | None
    confidence: float | None
    threshold: float | None
    parts: tuple[AnswerPart, ...]
    passages: tuple[PassageGiven, ...]
    features: dict[str, Any]
    attributed: Attributed | None
    verdicts: tuple[VerdictGiven, ...]
    similar: tuple[PastCase, ...]
    ruling: RulingShown | None
    hand_to: tuple[str, ...]
    can_decide: bool
    why_not: str


class ReviewOfRequest(Struct, frozen=True, kw_only=True):
    """What a person was asked of a request, and what was decided.

    Attributes:
        kind: Why they were asked: it waited, was given already, or was looked at again.
        decided_by, decided_at: Empty and None until then.
        given: What whoever waited got, where it waited and that has come.
    """

    id: str
    kind: str
    state: str
    due: Time
    decision: str
    decided_by: str
    decided_at: Time | None
    reason_code: str
    correction: Any
    given: Any


class LoadDay(Struct, frozen=True, kw_only=True):
    """How many cases people decided on one UTC day."""

    day: Time
    decided: int


class ReviewerFigures(Struct, frozen=True, kw_only=True):
    """What one person decided in the window: to be talked about, not to be ranked.

    Attributes:
        by: Who, as the audit chain names them; `name` is what their key is called.
        is_you: Whether it is the key that looks.
        planted: Known wrong answers that they decided; `missed` of them they approved.
        miss_low, miss_high: Where their share of misses lies (95 %); None without planted ones.
        median_s: Seconds from taking a case to its decision, in the median.
    """

    by: str
    name: str
    is_you: bool
    decided: int
    approved: int
    planted: int
    missed: int
    miss_low: float | None
    miss_high: float | None
    median_s: float | None


class PairFigures(Struct, frozen=True, kw_only=True):
    """Two people who decided the same cases, the second without seeing what the first said.

    Attributes:
        both: How many cases both decided; of these they `agreed` on so many.
        low, high: Where the share on which they agree lies (95 %).
    """

    first: str
    second: str
    both: int
    agreed: int
    low: float
    high: float


class ReviewerPage(Struct, frozen=True, kw_only=True):
    """Who decides, how much, and how alike: by name, never by rank.

    Attributes:
        says: The page in one line.
        days: The window.
        is_whole: Whether everybody is shown, and not only the key that looks.
        load: Decisions of each day in the window.
        capacity: Most that people are asked of a day, of all services; None where one has no limit.
    """

    says: str
    as_of: Time
    days: int
    is_whole: bool
    waiting: int
    load: tuple[LoadDay, ...]
    capacity: int | None
    people: tuple[ReviewerFigures, ...]
    pairs: tuple[PairFigures, ...]
