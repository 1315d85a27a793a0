"""Answers that are up for a decision, decisions that wait for a person, and what became known."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

ReviewKind = Literal["review", "audit", "second", "planted"]
"""Why a person is asked: the answer waits, was given already, was decided once, or is known."""
DraftPath = Literal["alone", "person", "ladder", "rule"]
PairDecision = Literal["route", "reuse"]
"""What is decided by itself: to take a cheaper model, or to give an answer again."""


class Draft(msgspec.Struct, frozen=True, array_like=True, tag="d", kw_only=True):
    """A model's answer that was up for a decision, whether it was given or not.

    Attributes:
        score: How sure its score model is (0-1, higher is surer); None where unknown.
        confidence: The calibrated probability that it is right; None until calibrated.
        path: What was decided: given `alone`, held for a `person`, left to the `ladder`, or held
            by a `rule` that always asks.
        share: The chance, known before its outcome, with which an outcome was asked for.
        is_drawn: Whether it is asked for.
        certificate: The certificate that let it pass; empty where none did.
        unit: Of what it counts as evidence once in a window.
        groups: The value of each declared group, in their order.
        predicted: What a label is compared with, as JSON; empty where nothing is.
        digest: SHA-256 (hex) of the input, by which the same one is known again.
        scorer: Which score model it is.
        signals: What a score can be fitted on, in the order of `signals.generated.AnswerSignals`;
            None is unknown. Empty for predictions.
    """

    request_id: str
    at_us: int
    service: str
    release: str
    scorer: str
    path: DraftPath
    score: float | None = None
    confidence: float | None = None
    share: float = 1.0
    is_drawn: bool = False
    certificate: str = ""
    unit: str = ""
    groups: tuple[str, ...] = ()
    predicted: bytes = b""
    digest: str = ""
    signals: tuple[float | None, ...] = ()


class Review(msgspec.Struct, frozen=True, array_like=True, tag="v", kw_only=True):
    """A decision that waits for a person.

    Attributes:
        id: `rv_` and a time-ordered id.
        digest: SHA-256 (hex) of exactly what is shown for approval: the draft's output.
        reasons: Why a person is asked: rule, bound or guard.
        input, draft: JSON bytes; `draft` is empty where no model gave an answer.
        content: What else a person is shown, as JSON values: features, passages, model.
        owner: Who sees to it that it is decided in time.
        key, user, role: Who asked.
    """

    id: str
    request_id: str
    at_us: int
    due_us: int
    service: str
    release: str
    queue: str
    kind: ReviewKind = "review"
    reasons: tuple[str, ...] = ()
    input: bytes = b""
    draft: bytes = b""
    digest: str = ""
    input_digest: str = ""
    score: float | None = None
    confidence: float | None = None
    content: dict[str, Any] = msgspec.field(default_factory=dict)
    owner: str = ""
    key: str = ""
    user: str = ""
    role: str = ""


class Outcome(msgspec.Struct, frozen=True, array_like=True, tag="o", kw_only=True):
    """The truth that arrives later about an answer.

    Attributes:
        kind: `label`, `correct`, `rating`, `correction` or `audit`.
        weight: How much it counts as evidence; `propensity`: the chance with which it was sampled.
        at_us: When it happened; `known_at_us` is when it became known.
    """

    id: str
    request_id: str
    kind: str
    value: Any
    source: str
    at_us: int
    known_at_us: int
    by: str
    reason: str = ""
    weight: float = 1.0
    propensity: float = 1.0


class Pair(msgspec.Struct, frozen=True, array_like=True, tag="p", kw_only=True):
    """Two answers to one question: the cheaper one, given or not, and what it is held against.

    Attributes:
        id: `pr_` and a time-ordered id.
        request_id: The request that was answered.
        audit_id: The record of the answer that nobody was shown; empty where both were there.
        scorer: What the score is from, frozen: other evidence stands on another one.
        score: How sure it is that the cheaper answer does (higher is surer); None where unknown.
        share: The chance, known before both answers, with which they were compared.
        is_given: Whether the cheaper answer was the one that was given.
        certificate: The certificate that let it be given; empty where none did.
        unit: Of what it counts as evidence once in a window.
        entry: Of `reuse`: the cached answer's request, of which one pair counts.
        model, reference: Who gave the two.
        quality, reference_quality: How good they are (0-1); None until an outcome says.
        loss: What is lost by the cheaper one (0-1); None until it is known.
        answers: What a label is compared with of every cheaper answer, as JSON; the worst counts,
            since which of several is given depends on the threshold. Empty where the loss needs
            no label.
        reference_answer: Likewise of what they are held against.
        known_at_us: When the loss became known.
        vector: (d,) float16 of the question, for what learns from it; empty where nothing does.
        tags: What the request bears.
    """

    id: str
    at_us: int
    decision: PairDecision
    service: str
    release: str
    request_id: str
    audit_id: str = ""
    scorer: str = ""
    score: float | None = None
    share: float = 1.0
    is_given: bool = False
    certificate: str = ""
    unit: str = ""
    entry: str = ""
    model: str = ""
    reference: str = ""
    quality: float | None = None
    reference_quality: float | None = None
    loss: float | None = None
    known_at_us: int | None = None
    vector: bytes = b""
    tags: tuple[str, ...] = ()
    answers: tuple[bytes, ...] = ()
    reference_answer: bytes = b""
