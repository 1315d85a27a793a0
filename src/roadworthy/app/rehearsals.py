"""Rehearsals of stored releases, also beside the process that serves the project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ..cost.ledger import Ledger
from ..declare.service import ServiceDeclaration
from ..errors import RoadworthyError
from ..evaluate.asked import Ask, Asked
from ..evaluate.cases import Case
from ..evaluate.run import MONEY
from ..plugins import load_plugin
from ..release import registry
from ..release.environment import describe_environment
from ..serve.rehearsal import Rehearsal, Rehearsed
from ..types import Features, FeatureSource, Passage, Record
from .ground import Ground
from .opening import open_stored

_RATE_LIMITED = "model_rate_limited"
_BROKEN_SCHEMA = "schema: "
_encode = msgspec.json.Encoder().encode


class _Completion(msgspec.Struct):
    """What of a chat completion counts here."""

    choices: list[dict[str, Any]]


_completion = msgspec.json.Decoder(_Completion)


def open_rehearsal(
    ground: Ground, release_id: str, *, budget_micro: int | None, ledger: Ledger | None = None
) -> Rehearsal:
    """Open any stored release for a rehearsal: it takes no lock, and writes no record.

    Args:
        ground: The project.
        release_id: A champion, a candidate, or one that nobody promoted.
        budget_micro: The most that all its answers may cost, in micro-dollars; None sets no limit.
        ledger: What they are paid from, where several rehearsals share one budget.

    Raises:
        NotFound: There is no such release, or one of its files is gone.
        StoreError: One of its files is damaged.
        DeclarationError, MissingExtra: It cannot be opened as things are here.
    """
    stored = registry.read_release(ground.state, release_id)
    features = _Features(ground)
    try:
        opened = open_stored(ground, stored, features.open_source)
    except RoadworthyError:
        features.close()
        raise
    return Rehearsal(
        opened,
        ground.clock,
        environment_hash=describe_environment().hash,
        budget_micro=budget_micro,
        ledger=ledger,
        close_also=features.close,
    )


class _Features:
    """The feature views, opened where a release has some."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._opened: Features | None = None

    def open_source(self, views: Sequence[str], fields: Sequence[str] | None) -> FeatureSource:
        ground = self._ground
        local = load_plugin("features", "local")
        self._opened = opened = local(ground.declaration, ground.state, ground.clock)
        source: FeatureSource = opened.open_source(views, fields)
        return source

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()


def ask_of(rehearsal: Rehearsal) -> Ask:
    """Return what asks the cases of suites in a rehearsal."""
    declared = rehearsal.opened.declaration
    has_views = rehearsal.opened.features is not None

    async def ask(case: Case, repeat: int) -> Asked:
        rehearsed = await rehearsal.ask(
            case.input,
            body=_body_of(case, declared),
            features=case.features if has_views else None,
            user=case.user,
            role=case.role,
        )
        return asked_of(rehearsed)

    return ask


def _body_of(case: Case, declared: ServiceDeclaration) -> Mapping[str, msgspec.Raw] | None:
    """Return the chat that a case with a history is; all others the engine makes itself."""
    if not case.history or declared.kind != "generate":
        return None
    variable = (declared.chat and declared.chat.variable) or "text"
    said = case.input.get(variable)
    last = case.input.get("messages") or [{"role": "user", "content": said}]
    return {"messages": msgspec.Raw(_encode([*case.history, *last]))}


def asked_of(rehearsed: Rehearsed) -> Asked:
    """Return what a rehearsal gave as an evaluation looks at it."""
    reply, record, error = rehearsed.reply, rehearsed.record, rehearsed.error
    if reply is None or record is None:
        code = "unknown" if error is None else error.code
        return Asked(disposition="failed", error_code=code, error=str(error or ""))
    message = None if reply.completion is None else _message_of(reply.completion)
    return Asked(
        disposition=reply.disposition,
        output=_output_of(reply.output, message),
        message=message,
        passages=tuple(map(_told, rehearsed.passages)),
        model=reply.model,
        error_code=MONEY if _lacks_money(record) else record.error_code,
        error="" if error is None else str(error),
        schema_problem=_schema_problem(record),
        verdicts={verdict.guard: verdict.verdict for verdict in record.verdicts},
        finish_reason=reply.finish_reason,
        confidence=record.confidence,
        score=record.score,
        latency_us=record.latency_us,
        cost_micro=record.cost_micro,
        input_tokens=record.input_tokens,
        output_tokens=record.output_tokens,
        tries=len(record.attempts),
        retry_after_s=_retry_after_s(record, error),
    )


def _message_of(completion: bytes) -> dict[str, Any] | None:
    """Return the message of a completion; None where its upstream sent none that can be read."""
    try:
        choices = _completion.decode(completion).choices
    except msgspec.DecodeError:
        return None
    message = choices[0].get("message") if choices else None
    return message if isinstance(message, dict) else None


def _output_of(output: Any, message: dict[str, Any] | None) -> Any:
    if output is None and message is not None and isinstance(message.get("content"), str):
        return {"text": message["content"]}
    return output


def _told(passage: Passage) -> dict[str, Any]:
    return {
        "file": passage.file,
        "heading": passage.heading,
        "text": passage.text,
        "score": passage.score,
    }


def _lacks_money(record: Record) -> bool:
    """Whether the money decided what came: also where a rung that costs nothing answered."""
    return any(reason.startswith(f"{MONEY}:") for reason in record.reasons)


def _schema_problem(record: Record) -> str:
    """Return what broke the schema, where no model gave an answer that keeps it."""
    if record.disposition == "answered":
        return ""
    broken = (a.detail for a in record.attempts if a.detail.startswith(_BROKEN_SCHEMA))
    return next((detail.removeprefix(_BROKEN_SCHEMA) for detail in broken), "")


def _retry_after_s(record: Record, error: RoadworthyError | None) -> float | None:
    """Return when to ask again, where a provider refused for now and no other model answered."""
    is_refused = any(attempt.status == _RATE_LIMITED for attempt in record.attempts)
    if record.disposition == "answered" or not is_refused:
        return None
    return (error.retry_after_s if error is not None else None) or 0.0
