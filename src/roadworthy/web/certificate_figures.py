"""What the pages about certificates and calibration show: values that page and JSON twin share."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from .shapes import Stopped
from .states import State
from .units import Time

MORE = 4
"""With so many times the outcomes the second line of the power curve is drawn."""

Standing = Literal["certified", "collecting", "off"]


class CertificateRow(Struct, frozen=True, kw_only=True):
    """One automatic decision of one service, and whether it may be taken.

    Attributes:
        id: Of its certificate, or else by what its page is found.
        decision: `answer_alone`, `route` or `reuse`.
        standing: Whether it is `certified`, still `collecting`, or `off`.
        state: The same as a state of the pages.
        says: The same in sentences.
        max_error: Share of what is let pass that may be wrong; `sure` how sure that is.
        threshold: Least score that is let pass; None while nothing is certified.
        bound: What is shown: at most so many are wrong; None while nothing is.
        n: Units that it stands on, or that were counted so far.
        needed: Labelled outcomes that are missing; None where nothing says, or none would do.
        audits, wrong: Of the running audit.
        level: How near that is to its alarm (0-1, on a log scale).
        since: From when on it is so; None where it never was otherwise.
    """

    id: str
    service: str
    decision: str
    standing: Standing
    state: State
    says: tuple[str, ...]
    max_error: float
    sure: float
    threshold: float | None
    bound: float | None
    n: int
    needed: int | None
    audits: int
    wrong: int
    level: float
    since: Time | None
    release: str


class Certificates(Struct, frozen=True, kw_only=True):
    """Which automatic decisions are certified, the worst first.

    Attributes:
        says: The page in one line.
        lede: What that means of all of them together.
        undeclared: Services that answer alone without a bound.
    """

    says: str
    lede: str
    as_of: Time
    rows: tuple[CertificateRow, ...]
    undeclared: tuple[str, ...]


class RiskPoint(Struct, frozen=True, kw_only=True):
    """What was seen of the answers that a threshold lets pass.

    Attributes:
        passing: Share of the traffic (0-1) that it lets pass.
        seen: Share of them that was wrong; None without any.
        bound: What is ruled out: at most so many are; None where that says nothing.
    """

    threshold: float
    passing: float
    n: int
    wrong: int
    seen: float | None
    bound: float | None


class AuditPoint(Struct, frozen=True, kw_only=True):
    """How near the audit was to its alarm (0-1, on a log scale) after so many audits."""

    audits: int
    level: float


class PowerPoint(Struct, frozen=True, kw_only=True):
    """What share of the traffic (0-1) could be answered alone at another bound.

    Attributes:
        now: With the outcomes there are; None where nothing could be certified. `more` with four
            times as many, if errors go on as they did.
    """

    max_error: float
    now: float | None
    more: float | None


class GroupRisk(Struct, frozen=True, kw_only=True):
    """A declared group, which must keep the bound for itself."""

    group: str
    n: int
    wrong: int


class HistoryShown(Struct, frozen=True, kw_only=True):
    """Something that happened to the decision: a certificate, its end, an epoch."""

    at: Time
    what: str
    says: str
    id: str


class CertificatePage(Struct, frozen=True, kw_only=True):
    """One automatic decision, with the evidence for it and against it.

    Attributes:
        says: The promise in one sentence.
        key: By what the page is found, whichever certificate holds.
        row: As the list shows it.
        stopped: Who stopped it; None where nobody did. `asked`: who wants people asked of all.
        automated: About the share of answers that are given alone; None while none is.
        curve: By threshold, from the strictest on.
        start: The strictest threshold that is covered; None before an epoch is open.
        naive: The loosest threshold whose seen share keeps the bound, which proves nothing.
        power: By bound.
        audit: How the running audit came to where it is; empty where that is not kept.
        run_length: Audits, in the mean, to one false alarm.
        audit_share: Share of what is given alone that people look at.
        delay_audits, delay_answers: After how many a doubled error is noticed, about.
        reference: What cheaper models are held against; empty for other decisions.
        unit: What counts once in a window.
        groups: Those that must keep the bound for themselves.
        counted: Units that were counted.
        missing, disputed: Shares of them that count as wrong as nothing was known in time, or as
            sources disagreed; None without any.
        uncovered: Share of requests of which no outcome could be drawn.
        most_missed: Reviewers miss at most this share of errors; None where nothing was planted.
        feasible: Share of answers that any method could ever give alone; None without outcomes.
    """

    says: str
    key: str
    row: CertificateRow
    as_of: Time
    stopped: Stopped | None
    asked: Stopped | None
    certificate: str
    epoch: str
    scorer: str
    of: str
    reference: str
    unit: str
    from_time: Time | None
    until: Time | None
    automated: float | None
    curve: tuple[RiskPoint, ...]
    start: float | None
    naive: float | None
    power: tuple[PowerPoint, ...]
    audit: tuple[AuditPoint, ...]
    run_length: int
    audit_share: float
    delay_audits: int
    delay_answers: int
    groups: tuple[GroupRisk, ...]
    counted: int
    missing: float | None
    disputed: float | None
    uncovered: float | None
    most_missed: float | None
    feasible: float | None
    history: tuple[HistoryShown, ...]


class BinShown(Struct, frozen=True, kw_only=True):
    """Answers of about the same confidence, and what share of them was right, with its interval."""

    confidence: float
    right: float
    low: float
    high: float
    n: int


class CalibrationPage(Struct, frozen=True, kw_only=True):
    """How well confidences agree with outcomes.

    Attributes:
        says: The page in one line.
        n: How many outcomes it was measured on; 0 while nothing is fitted.
        error: Expected calibration error, cross-fitted; None while nothing is fitted.
        error_of_scores: What it would be if scores were taken as confidences.
        unknown, drafts: Answers of the last 30 days whose confidence was unknown, of how many.
        is_current: Whether it was fitted for the release that serves.
    """

    says: str
    as_of: Time
    service: str
    release: str
    scorer: str
    kind: str
    fitted_at: Time | None
    is_current: bool
    n: int
    bins: tuple[BinShown, ...]
    error: float | None
    error_of_scores: float | None
    unknown: int
    drafts: int
