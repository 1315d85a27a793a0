"""What of a rollout is measured: losses (0-1) of requests, and of what became known of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from ..declare.review import Outcomes
from ..declare.service import ServiceDeclaration
from ..errors import (
    AllModelsFailed,
    BadAnswer,
    BudgetExhausted,
    ContractViolation,
    GuardDenied,
    ModelError,
    ModelRateLimited,
    ModelRejected,
    ModelTimeout,
    ModelUnavailable,
    NoPassages,
    NotSure,
    ServiceStopped,
)
from ..store.truth import Said, Truth
from ..types import Outcome, Record

CANCELLED = "cancelled"
_NO_FAULT = {NotSure.code, BudgetExhausted.code}
_FAULTS = {
    error.code
    for error in (
        *(ModelError, ModelTimeout, ModelUnavailable, ModelRateLimited, ModelRejected),
        *(BadAnswer, AllModelsFailed, NoPassages),
    )
}
"""Why a release has to go down its ladder though nobody kept its models from answering."""
_REFUSED = {GuardDenied.code, ContractViolation.code}
_NOT_ITS_OWN = {ServiceStopped.code, BudgetExhausted.code}
"""What keeps any release from answering: a stopped service or a spent day promotes nobody."""
_ANSWERS_ONLY = ("correct", "audit", "correction")
"""Kinds of outcomes that are of the answer that was shown, and of no other one."""


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
    is_label = candidate.outcomes.right is None
    return Measures(
        late_us=None if late_ms is None else int(late_ms * 1000),
        ceiling_micro=champion.cost.per_request_micro or candidate.cost.per_request_micro,
        has_checks=any(_has_checks(declared) for declared in (champion, candidate)),
        has_doubt=champion.review is not None and candidate.review is not None,
        label="brier" if has_probability and is_label else "wrong",
        right=candidate.outcomes.right,
        is_reported=candidate.outcomes.reported == "all",
    )


def _has_checks(declared: ServiceDeclaration) -> bool:
    contract = declared.contract
    return bool(declared.guards or contract.input or contract.output)


def losses_of(record: Record, measures: Measures) -> dict[str, float]:
    """Return the losses of one request; nothing of one that says nothing of its release.

    Of one that its client gave up is known that it was late, once it was: else whoever is slow
    enough that nobody waits for it would be judged by its quick answers alone.
    """
    is_late = measures.late_us is not None and record.latency_us > measures.late_us
    if record.error_code == CANCELLED:
        return {"late": 1.0} if is_late else {}
    if record.disposition == "cached" or _codes_of(record) & _NOT_ITS_OWN:
        return {}
    losses = {"denials": float(record.error_code in _REFUSED)} if measures.has_checks else {}
    if record.error_code == ContractViolation.code:
        return losses  # refused at once, which is neither quick nor cheap
    losses["errors"] = float(has_failed(record))
    if measures.late_us is not None:
        losses["late"] = float(is_late)
    if measures.ceiling_micro:
        losses["cost"] = min(record.cost_micro / measures.ceiling_micro, 1.0)
    if measures.has_doubt and record.confidence is not None:
        losses["doubt"] = min(max(1 - record.confidence, 0.0), 1.0)
    return losses


def has_failed(record: Record) -> bool:
    """Whether the models of a release did not answer, even if its ladder or a person does."""
    if record.disposition == "failed":
        return record.error_code != CANCELLED
    if record.disposition == "review":
        return bool(_codes_of(record) & _FAULTS)
    return record.disposition == "fallback" and not _codes_of(record) & _NO_FAULT


def _codes_of(record: Record) -> set[str]:
    """Return the codes that its reasons begin with; of a user who is forgotten they are all."""
    return {record.error_code, *(reason.partition(":")[0] for reason in record.reasons)}


def known_of_both(shown: bytes, outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Return what became known of any answer to a question, not of the one alone that was shown.

    A verdict on the shown answer tells the truth where there are two labels. Elsewhere it is known
    of another answer only if that says the same, and a correction is made only of what was wrong:
    judged by those, a candidate would never be worse.

    Args:
        shown: What was answered, as JSON; empty where it was not kept.
        outcomes: What became known of it.
    """
    answer = _decode(shown)
    label = answer.get("label") if isinstance(answer, dict) else None
    found = []
    for outcome in outcomes:
        if outcome.kind not in _ANSWERS_ONLY:
            found.append(outcome)
        elif isinstance(label, bool) and isinstance(outcome.value, bool):
            truth = label if outcome.value else not label
            found.append(msgspec.structs.replace(outcome, kind="label", value=truth))
    return found


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


def means_of(sums: Mapping[str, float], counts: Mapping[str, int]) -> dict[str, float]:
    """Return the mean loss of a user by metric."""
    return {name: min(total / counts[name], 1.0) for name, total in sums.items() if counts[name]}


def _brier(answer: Any, known: list[Outcome]) -> float | None:
    probability = answer.get("probability") if isinstance(answer, dict) else None
    labels = {bool(o.value) for o in known if o.kind == "label" and _is_of_two(o)}
    if len(labels) != 1 or not isinstance(probability, int | float) or not 0 <= probability <= 1:
        return None
    return float((probability - labels.pop()) ** 2)


def _is_of_two(outcome: Outcome) -> bool:
    is_number = isinstance(outcome.value, int | float) and outcome.source != "planted"
    return is_number and outcome.value in (0, 1)


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
