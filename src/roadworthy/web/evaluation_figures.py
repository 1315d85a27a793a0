"""What the pages about evaluations show: the values behind them and their twins under `/api`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from ..evaluate.report import SuiteUsed, Unit, Verdict
from .shapes import Given, Name, Page
from .states import State
from .units import Time

Stable = Literal["", "stable_pass", "flaky", "stable_fail", "unknown"]


class EvaluationQuery(Given, frozen=True):
    """Which cases of an evaluation to show."""

    stability: Annotated[Stable, Meta(description="Only cases that came out so.")] = ""
    start: Annotated[int, Meta(ge=0, le=1_000_000, description="How many cases to skip.")] = 0
    limit: Page = 30


class EvaluationsQuery(Given, frozen=True):
    """Which evaluations to list."""

    release: Annotated[Name, Meta(description="Only of this release.")] = ""
    before: Annotated[Name, Meta(description="The `before` of the page above this one.")] = ""
    limit: Page = 40


class EvaluationRow(Struct, frozen=True, kw_only=True):
    """One evaluation as lists show it.

    Attributes:
        baseline: The release that it was compared with; empty without one.
        kind: `suite`, or `replay` of traffic.
        word: What its verdict is called; `state` is its colour and shape.
        digest: SHA-256 of the report, in hex.
    """

    id: str
    service: str
    release: str
    baseline: str
    kind: str
    at: Time
    by: str
    verdict: str
    word: str
    state: State
    digest: str


class Evaluations(Struct, frozen=True, kw_only=True):
    """The latest evaluations of a service, newest first."""

    says: str
    as_of: Time
    service: str
    release: str
    evaluations: tuple[EvaluationRow, ...]
    before: str


class MetricShown(Struct, frozen=True, kw_only=True):
    """One measured number beside what was promised of it.

    Attributes:
        label: Its name as words.
        value, low, high: What was measured, and its interval; None where nothing was.
        n: Independent cases.
        bar: What is promised; None where nothing is.
        needed: How many more cases would settle it; None where it is settled.
        word: What `verdict` is called; `state` is its colour and shape.
        scale: The ends of its plot.
    """

    name: str
    label: str
    unit: Unit
    value: float | None
    low: float | None
    high: float | None
    n: int
    bar: float | None
    is_least: bool
    verdict: Verdict | None
    needed: int | None
    detectable: float | None
    why: str
    word: str
    state: State
    scale: tuple[float, float]


class PairedShown(Struct, frozen=True, kw_only=True):
    """One metric of two releases on the same cases.

    Attributes:
        difference: Candidate's less baseline's.
        better, worse: On how many cases.
        p, adjusted: Of the exact paired test, and that corrected for all slices.
        margin: How much worse it may be.
        reach: How far its plot goes to both sides of no difference.
    """

    name: str
    label: str
    unit: Unit
    n: int
    baseline: float | None
    candidate: float | None
    difference: float | None
    low: float | None
    high: float | None
    better: int
    worse: int
    p: float | None
    adjusted: float | None
    margin: float
    verdict: Verdict | None
    needed: int | None
    detectable: float | None
    word: str
    state: State
    reach: float


class SliceShown(Struct, frozen=True, kw_only=True):
    """A part of the cases, with how it stands at worst."""

    name: str
    cases: int
    metrics: tuple[MetricShown, ...]
    paired: tuple[PairedShown, ...]
    state: State


class CaseJudged(Struct, frozen=True, kw_only=True):
    """One case; texts are cut.

    Attributes:
        passes, runs: How many of its repeats were right.
        outputs: How many different outputs the repeats gave.
        given, expected, got: Input, expectation and first output, as texts.
        baseline: Whether the baseline had it right; None without one.
        request: The request that it was taken from; empty for others.
    """

    id: str
    suite: str
    tags: tuple[str, ...]
    severity: str
    stability: str
    passes: int
    runs: int
    outputs: int
    given: str
    expected: str
    got: str
    why: str
    disposition: str
    error_code: str
    latency_ms: float
    cost_usd: float
    baseline: bool | None
    request: str


class BrokenExample(Struct, frozen=True, kw_only=True):
    """A change of an input that broke a behaviour; texts are cut."""

    case: str
    before: str
    after: str
    said: str
    says: str


class BehaviourShown(Struct, frozen=True, kw_only=True):
    """How answers behaved when inputs were changed."""

    name: str
    use: str
    broken: MetricShown
    examples: tuple[BrokenExample, ...]


class GroupShown(Struct, frozen=True, kw_only=True):
    """What one group met with; None where it is too small to say, and how many are missing."""

    group: str
    n: int
    rate: float | None
    low: float | None
    high: float | None
    missing: int | None


class FairnessShown(Struct, frozen=True, kw_only=True):
    """How differently groups are treated."""

    attribute: str
    difference: MetricShown
    groups: tuple[GroupShown, ...]
    why: str


class StabilityShown(Struct, frozen=True, kw_only=True):
    """How alike the repeats of cases were."""

    stable_pass: int
    flaky: int
    stable_fail: int
    unknown: int
    measures: tuple[MetricShown, ...]


class EvaluationPage(Struct, frozen=True, kw_only=True):
    """One evaluation.

    Attributes:
        says: Its verdict, in one sentence.
        because: What decides it, and what is missing.
        metrics: What is promised first, the worst on top.
        slices: The worst first, at most `MOST_SLICES`; `sliced` is how many there are.
        cases: The worst first, one page of them; `matching` is how many there are.
        start: Where this page of cases begins; `older` where the next one does, None after it.
        command: What makes it again.
    """

    says: str
    because: tuple[str, ...]
    as_of: Time
    row: EvaluationRow
    needed: int | None
    needs_repeats: bool
    repeats: int
    suites: tuple[SuiteUsed, ...]
    metrics: tuple[MetricShown, ...]
    paired: tuple[PairedShown, ...]
    slices: tuple[SliceShown, ...]
    sliced: int
    behaviours: tuple[BehaviourShown, ...]
    fairness: tuple[FairnessShown, ...]
    stability: StabilityShown
    cases: tuple[CaseJudged, ...]
    flaky: tuple[CaseJudged, ...]
    of: int
    matching: int
    stable: Stable
    start: int
    older: int | None
    asked: int
    reused: int
    cost_usd: float
    scoring_cost_usd: float
    seconds: float
    notes: tuple[str, ...]
    command: str
