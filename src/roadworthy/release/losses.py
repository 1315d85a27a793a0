"""What of a rollout is measured: losses (0-1) of requests, and of what became known of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from ..declare.review import Outcomes
from ..declare.service import ServiceDeclaration
from ..errors import BudgetExhausted, GuardDenied, NotSure
from ..review.truth import Said, Truth
from ..types import Outcome, Record

_NO_FAULT = (f"{NotSure.code}:", f"{BudgetExhausted.code}:")
CANCELLED = "cancelled"
_LABELS = ("wrong", "brier")


class Measures(msgspec.Struct, frozen=True, kw_only=True):
    """What the two releases of a rollout let be measured; fixed by their declarations.

    Attributes:
        late_us: Latency that the champion promises; None where it promises none.
        ceiling_micro: What a request may cost; None where nothing is metered by it.
        has_checks: Whether anything can be denied.
        has_doubt: Whether answers come with a confidence.
        label: How what became known of an answer is measured: `wrong` or `brier`.
        right: When an answer is right, as `[outcomes]` says; None for equality.
        is_reported: Whether outcomes of all requests are reported: then nothing is promoted
            without them.
    """

    late_us: int | None = None
    ceiling_micro: int | None = None
    has_checks: bool = False
    has_doubt: bool = False
    label: str = "wrong"
    right: str | None = None
    is_reported: bool = False

    @property
    def metrics(self) -> tuple[str, ...]:
        """Everything that may be measured."""
        found = {
            "late": self.late_us is not None,
            "cost": self.ceiling_micro is not None,
            "denials": self.has_checks,
            "doubt": self.has_doubt,
        }
        return ("errors", *(name for name, has in found.items() if has), self.label)

    @property
    def required(self) -> tuple[str, ...]:
        """What has to be measured before anything is promoted."""
        return ("errors", self.label) if self.is_reported else ("errors",)


def measures_of(
    champion: ServiceDeclaration, candidate: ServiceDeclaration, fields: Iterable[str] = ()
) -> Measures:
    """Return what of a rollout is measured.

    Args:
        champion: What serves: users have its promises.
        candidate: What is judged.
        fields: Of the candidate's output, where its contract names them.
    """
    late_ms = champion.objectives.latency_p95_ms
    has_probability = candidate.kind == "predict" and "probability" in fields
    return Measures(
        late_us=None if late_ms is None else int(late_ms * 1000),
        ceiling_micro=champion.cost.per_request_micro or candidate.cost.per_request_micro,
        has_checks=any(d.guards or d.contract.output for d in (champion, candidate)),
        has_doubt=champion.review is not None and candidate.review is not None,
        label="brier" if has_probability else "wrong",
        right=candidate.outcomes.right,
        is_reported=candidate.outcomes.reported == "all",
    )


def losses_of(record: Record, measures: Measures) -> dict[str, float]:
    """Return the losses of one request; nothing of one that its client gave up."""
    if record.error_code == CANCELLED:
        return {}
    losses = {"errors": float(has_failed(record))}
    if measures.late_us is not None:
        losses["late"] = float(record.latency_us > measures.late_us)
    if measures.ceiling_micro:
        losses["cost"] = min(record.cost_micro / measures.ceiling_micro, 1.0)
    if measures.has_checks:
        losses["denials"] = float(record.error_code == GuardDenied.code)
    if measures.has_doubt and record.confidence is not None:
        losses["doubt"] = min(max(1 - record.confidence, 0.0), 1.0)
    return losses


def has_failed(record: Record) -> bool:
    """Whether the models of a release did not answer, even if its ladder did."""
    if record.disposition == "failed":
        return record.error_code != CANCELLED
    reasons = record.reasons
    return record.disposition == "fallback" and not any(r.startswith(_NO_FAULT) for r in reasons)


def label_loss(
    output: bytes, outcomes: Iterable[Outcome], measures: Measures, truth: Truth
) -> float | None:
    """Return how wrong an answer was, by what became known; None where that says nothing.

    Args:
        output: What was answered, as JSON; empty where it was not kept.
        outcomes: What became known of it.
        measures: Say how it is measured.
        truth: Of the candidate's declaration.
    """
    known = list(outcomes)
    answer = _decode(output)
    if measures.label == "brier":
        return _brier(answer, known)
    predicted = output if measures.right is not None else _label_in(answer)
    said = [Said(o.kind, _text(o.value), o.source, o.known_at_us) for o in known]
    verdicts = truth.verdicts(predicted, said)
    return None if not verdicts else float(verdicts != {True})


def unit_of(outcomes: Outcomes) -> Callable[[Record], str]:
    """Return what names the unit of a record, by `[outcomes]`, as the split of a rollout does."""
    by: dict[str, Callable[[Record], str]] = {
        "entity": lambda record: record.entity or record.user,
        "conversation": lambda record: record.conversation or record.user,
        "request": lambda record: record.parent if record.arm == "shadow" else record.id,
        "user": lambda record: record.user,
    }
    return by[outcomes.unit]


def unit_key(rollout: str, step: int, unit: str, window: int = 0) -> str:
    """Return the hash by which a user is known in one step of one rollout, and nowhere else."""
    text = f"{rollout}:{step}:{window}:{unit}".encode()
    return hashlib.blake2b(text, digest_size=12).hexdigest()


def means_of(sums: Mapping[str, float], counts: Mapping[str, int]) -> dict[str, float]:
    """Return the mean loss of a user by metric."""
    return {name: min(total / counts[name], 1.0) for name, total in sums.items() if counts[name]}


def is_label(metric: str) -> bool:
    """Whether a metric is known only when outcomes are."""
    return metric in _LABELS


def _brier(answer: Any, known: list[Outcome]) -> float | None:
    probability = answer.get("probability") if isinstance(answer, dict) else None
    labels = {o.value for o in known if o.kind == "label" and isinstance(o.value, bool)}
    if len(labels) != 1 or not isinstance(probability, int | float) or not 0 <= probability <= 1:
        return None
    return float((probability - labels.pop()) ** 2)


def _label_in(answer: Any) -> bytes:
    """Return what a label is compared with; nothing of a text."""
    if not isinstance(answer, dict) or "label" not in answer:
        return b""
    return msgspec.json.encode(answer["label"])


def _decode(output: bytes) -> Any:
    try:
        return msgspec.json.decode(output) if output else None
    except msgspec.DecodeError:
        return None


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()
