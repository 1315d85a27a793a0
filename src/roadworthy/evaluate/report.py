"""What an evaluation found: the value that files, pages, gates and comparisons are made of."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Verdict = Literal["pass", "fail", "inconclusive"]
Unit = Literal["share", "score", "ms", "usd", "tokens", "number"]


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One measured number with its interval, and what was promised of it.

    Attributes:
        value, low, high: The estimate and its interval; None where there is nothing to measure.
        n: How many independent cases it stands on; repeats of one case are one.
        bar: What is promised; None where nothing is.
        is_least: Whether `bar` is the least that is promised, or the most.
        verdict: None where nothing is promised.
        needed: How many more cases would settle it at the present value; None where it is settled,
            or where no number would.
        detectable: The smallest difference that n cases could have shown, of paired ones.
        why: What is not plain from the numbers, in one sentence.
    """

    name: str
    unit: Unit = "share"
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    bar: float | None = None
    is_least: bool = True
    verdict: Verdict | None = None
    needed: int | None = None
    detectable: float | None = None
    why: str = ""


class Paired(msgspec.Struct, frozen=True, kw_only=True):
    """One metric of two releases on the same cases.

    Attributes:
        baseline, candidate: The means over the common cases.
        difference: Candidate's less baseline's, with its interval; above 0 is better for a score.
        better, worse: On how many cases the candidate is better, or worse.
        p: Of exact McNemar on per-case majorities, two-sided; None where it does not apply.
        adjusted: `p` after Holm's correction across all slices; None outside of slices.
        margin: How much worse it may be.
    """

    name: str
    unit: Unit = "share"
    n: int = 0
    baseline: float | None = None
    candidate: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    better: int = 0
    worse: int = 0
    p: float | None = None
    adjusted: float | None = None
    margin: float = 0.0
    verdict: Verdict | None = None
    needed: int | None = None
    detectable: float | None = None


class Slice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A part of the cases: one tag, or one value of a field.

    Attributes:
        name: `tag:refund` or `carrier=UA`.
    """

    name: str
    cases: int
    metrics: tuple[Metric, ...] = ()
    paired: tuple[Paired, ...] = ()


class CaseResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One case with everything that came of it.

    Attributes:
        stability: `stable_pass`, `flaky` or `stable_fail`; `unknown` where no scorer could say.
        passes, runs: How many of its repeats were right.
        scores: Scorer → mean value over the repeats.
        said: Scorer → a sign for each repeat: `1` right, `0` wrong, `?` not said, `-` no score.
        doubts: Scorer → mean doubt of its scores, of those that may be wrong.
        outputs: How many different outputs the repeats gave.
        output: The first of them, as JSON values.
        baseline: Whether the baseline had it right; None without one.
        digest: Of the case, by which a later evaluation sees whether it is the same.
    """

    id: str
    suite: str
    tags: tuple[str, ...] = ()
    severity: str = "normal"
    stability: Literal["stable_pass", "flaky", "stable_fail", "unknown"] = "unknown"
    passes: int = 0
    runs: int = 0
    scores: dict[str, float | None] = {}
    said: dict[str, str] = {}
    doubts: dict[str, float] = {}
    outputs: int = 0
    input: dict[str, Any] = {}
    expect: Any = None
    output: Any = None
    why: str = ""
    disposition: str = ""
    error_code: str = ""
    latency_ms: float = 0.0
    cost_micro: int = 0
    baseline: bool | None = None
    baseline_output: Any = None
    digest: str = ""


class BehaviourResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How answers behaved when inputs were changed.

    Attributes:
        broken: The share of changed inputs that broke it, with its bar.
        examples: Some that broke it, each `{"case", "before", "after", "said", "says"}`.
        pairs: Of counterfactual swaps, each `{"pair", "n", "broken", "moved"}`: how many of n
            swaps broke it, and how far the watched number moved on average.
    """

    name: str
    use: str
    broken: Metric
    examples: tuple[dict[str, Any], ...] = ()
    pairs: tuple[dict[str, Any], ...] = ()


class FairnessResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How differently groups are treated.

    Attributes:
        attribute: The field or fields, joined by ` x `.
        difference: The metric, with its bar.
        groups: Each `{"group", "n", "rate", "low", "high"}`; small ones say how many are missing.
    """

    attribute: str
    difference: Metric
    groups: tuple[dict[str, Any], ...] = ()
    why: str = ""

    @property
    def name(self) -> str:
        """What tells it apart from other measures of the same groups."""
        return f"{self.difference.name} by {self.attribute}"


class SuiteUsed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A suite that was asked.

    Attributes:
        common: How many of its cases the baseline was asked too, unchanged; None without one.
    """

    name: str
    digest: str
    cases: int
    common: int | None = None


class Stability(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How alike the repeats of a case were.

    Attributes:
        flaky: The share of cases whose repeats disagree, with its bar.
        varied: The share of cases whose repeats gave different outputs.
        unparsed: The share of all answers that broke their schema or were no JSON.
    """

    stable_pass: int = 0
    stable_fail: int = 0
    unknown: int = 0
    flaky: Metric | None = None
    varied: Metric | None = None
    unparsed: Metric | None = None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One evaluation.

    Attributes:
        id: `ev_` and a time-ordered id.
        baseline: Id of the release that it was compared with; empty without one.
        verdict: `fail` if anything fails, else `inconclusive` if anything is open, else `pass`.
        sentence: What decides the verdict.
        needed: How many more cases would settle it, or repeats where `needs_repeats`.
        metrics: By name; the service's promises among them carry a bar.
        paired: Against the baseline.
        results: All cases; worst first.
        asked, reused: Answers that were asked for, and that were known from before.
        notes: What a reader must know: cases left out, a suite that changed, money that ran out.
    """

    id: str
    service: str
    release: str
    at_us: int
    by: str = ""
    baseline: str = ""
    verdict: Verdict = "inconclusive"
    sentence: str = ""
    needed: int | None = None
    needs_repeats: bool = False
    repeats: int = 1
    suites: tuple[SuiteUsed, ...] = ()
    metrics: dict[str, Metric] = {}
    paired: tuple[Paired, ...] = ()
    slices: tuple[Slice, ...] = ()
    behaviours: tuple[BehaviourResult, ...] = ()
    fairness: tuple[FairnessResult, ...] = ()
    stability: Stability = Stability()
    results: tuple[CaseResult, ...] = ()
    asked: int = 0
    reused: int = 0
    cost_micro: int = 0
    scoring_cost_micro: int = 0
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
