"""What people decide: bound to exactly what they saw, written once, and heard of everywhere."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta
from sqlalchemy import Connection, Engine

from ..declare.project import Queue
from ..errors import Conflict, ContractViolation, Forbidden, RequestError
from ..risk.coin import is_drawn
from ..store.actions import append_action
from ..store.records import outcome_row
from ..store.review_lists import check_free, check_unseen
from ..store.reviews import (
    Waiting,
    add_reviews,
    change_review,
    lock_review,
    put_correction,
    share_of,
    turn_down,
)
from ..store.state import insert_rows
from ..store.tables import outcomes
from ..types import Clock, Ids, Key, Outcome, Review
from .notices import Tell, tell_nobody

ReviewDecision = Literal["approve", "correct", "reject"]
Severity = Literal["none", "minor", "major", "critical"]

REASON_CODES: Mapping[str, str] = {
    "wrong_label": "another label is right",
    "wrong_fact": "something it says is not so",
    "unsupported": "nothing that was found supports it",
    "incomplete": "something that matters is missing",
    "out_of_scope": "the service is not for this",
    "against_policy": "it breaks a rule of the business",
    "unsafe": "it could do harm",
    "tone": "it is put badly",
    "unclear_input": "what was asked cannot be told",
    "other": "see the text",
}
"""Why an answer was corrected or rejected → what that means."""

_encode = msgspec.json.Encoder().encode
_stable = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.decode


class Ruling(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person decided of one case.

    Attributes:
        digest: SHA-256 (hex) of the draft that the person saw; an approval needs it, and where it
            is given it must be that of what stands there now.
        output: The corrected output, whole; for `correct`.
        label: The right label; for `correct`, instead of an output or beside it.
        reason_code: One of `REASON_CODES`; must be given for `correct` and `reject`.
    """

    decision: ReviewDecision
    digest: Annotated[str, Meta(max_length=64)] = ""
    output: Any = UNSET
    label: Any = UNSET
    reason_code: Annotated[str, Meta(max_length=40)] = ""
    severity: Severity = "none"
    text: Annotated[str, Meta(max_length=2000)] = ""


class Ruled(msgspec.Struct, frozen=True):
    """A case after it was decided.

    Attributes:
        is_new: Whether it was decided just now, instead of the same way before.
        is_late: Whether its time was over: it counts as evidence, but whoever waited has already
            got something else.
    """

    waiting: Waiting
    is_new: bool
    is_late: bool


Check = Callable[[str, Any], str]
"""Service, output → why the service may not give it; empty where it may."""


def accept_any(service: str, output: Any) -> str:
    """Let every output pass, where no schema is known."""
    return ""


def rule_on(
    engine: Engine,
    clock: Clock,
    review_id: str,
    ruling: Ruling,
    *,
    by: str,
    key: Key | None = None,
    queues: Mapping[str, Queue] | None = None,
    check: Check = accept_any,
    tell: Tell = tell_nobody,
) -> Ruled:
    """Decide one case; the same ruling again changes nothing and gives the same.

    In one transaction the case is decided, its outcomes are written, a correction is put where it
    supersedes the answer, the act joins the chain, and the webhook's notice is queued.

    Args:
        engine: The state database.
        clock: The project's time.
        review_id: Which case.
        ruling: What was decided.
        by: Who decides, as the chain names them.
        key: Their key, if they come with one; it must have the scope `review`.
        queues: The project's queues, for the share of second looks.
        check: Says whether a corrected output may be given.
        tell: Queues the webhook's notice.

    Raises:
        NotFound: There is no such case.
        Forbidden: The key may not decide it, or it is a second look at their own decision.
        Conflict: It was decided otherwise, somebody else is at work on it, it was withdrawn, or
            what was approved is not what stands there.
        RequestError: The ruling makes no sense.
        ContractViolation: A corrected output breaks the service's schema.
    """
    with engine.begin() as connection:
        waiting = lock_review(connection, review_id)
        check_reviewer(waiting.review, key)
        if waiting.decision:
            return _same_again(waiting, ruling)
        now_us = clock.now_us()
        if waiting.state not in ("open", "expired"):
            raise Conflict(f"review `{review_id}` is {waiting.state}: nobody may decide it")
        check_free(waiting, by, now_us)
        check_unseen(connection, waiting, by)
        _check_ruling(waiting, ruling)
        output = _output_of(waiting, ruling, check)
        decided = _write(connection, waiting, ruling, output, by, now_us)
        _write_outcomes(connection, clock, decided, by, now_us)
        _let_know(connection, waiting.review, ruling, now_us, output)
        queue = (queues or {}).get(waiting.review.queue)
        if queue is not None and is_seconded(waiting.review, queue.second_share):
            add_reviews(connection, [_second_of(waiting.review, clock, now_us)])
        facts = _facts(decided)
        append_action(connection, clock, by, "review.decide", review_id, facts)
        tell(connection, waiting.review.queue, "review.decide", review_id, facts)
    return Ruled(decided, is_new=True, is_late=decided.state == "expired")


def _let_know(
    connection: Connection, review: Review, ruling: Ruling, now_us: int, output: Any
) -> None:
    """Let every process know that an answer is not given again, and what is given instead."""
    if ruling.decision == "correct" and review.kind in ("review", "audit"):
        put_correction(connection, review, now_us, output)
    elif ruling.decision == "reject":
        turn_down(connection, review.service, review.id)


def check_reviewer(review: Review, key: Key | None) -> None:
    """Refuse a key that may not work on a case.

    Raises:
        Forbidden: It lacks the scope `review`, or the service is not its own.
    """
    if key is None:
        return
    if "review" not in key.scopes:
        raise Forbidden(f"key `{key.id}` lacks the scope `review`")
    if key.services and review.service not in key.services:
        raise Forbidden(f"key `{key.id}` may not review `{review.service:.80}`")


def is_seconded(review: Review, share: float) -> bool:
    """Whether a second person is to look at a case, by a coin that falls before it is decided."""
    return review.kind in ("review", "audit") and is_drawn(review.id, share, "second")


def draft_output(draft: bytes) -> Any:
    """Return what approving a draft gives, as the service would have: of a chat message its text.

    >>> draft_output(b'{"role": "assistant", "content": "Hello."}')
    {'text': 'Hello.'}
    """
    output = _decode(draft)
    if isinstance(output, dict) and output.get("role") == "assistant":
        text = output.get("content")
        if isinstance(text, str) and not output.get("tool_calls"):
            return {"text": text}
    return output


def _same_again(waiting: Waiting, ruling: Ruling) -> Ruled:
    """Return what was decided, if that is what is asked for again.

    Raises:
        Conflict: It was decided otherwise.
    """
    if _stable(waiting.ruling) == _stable(_kept(ruling)):
        return Ruled(waiting, is_new=False, is_late=waiting.state == "expired")
    raise Conflict(
        f"review `{waiting.review.id}` was decided: {waiting.decided_by} said"
        f" `{waiting.decision}`; a ruling is not changed, have the case asked again"
    )


def _kept(ruling: Ruling) -> dict[str, Any]:
    """Return a ruling as it is stored."""
    kept: dict[str, Any] = msgspec.to_builtins(ruling)
    return kept


def _check_ruling(waiting: Waiting, ruling: Ruling) -> None:
    """Refuse what contradicts itself, or was said of something else than stands there.

    Raises:
        RequestError, Conflict: It does, or was.
    """
    review, has_content = waiting.review, not (ruling.output is UNSET and ruling.label is UNSET)
    stands = hashlib.sha256(review.draft).hexdigest()
    if stands != review.digest:
        raise Conflict(
            f"review `{review.id}`: what stands there is not what was asked: expected the digest"
            f" {review.digest:.12}, got {stands:.12}; nobody may approve it"
        )
    if ruling.decision == "approve" and not ruling.digest:
        raise RequestError("digest: expected the digest of what is approved", param="digest")
    if ruling.digest and ruling.digest != review.digest:
        raise Conflict(
            f"digest: expected {review.digest:.12}, the answer that stands there, got another; look"
            " again: an edit needs a new approval"
        )
    if ruling.decision == "approve" and not review.draft:
        raise RequestError("decision: no model answered, so nothing can be approved; correct it")
    if has_content != (ruling.decision == "correct"):
        wants = "`output` or `label`" if ruling.decision == "correct" else "neither of both"
        raise RequestError(f"{ruling.decision}: expected {wants}; an edit is a `correct`")
    is_needed = ruling.decision != "approve" or bool(ruling.reason_code)
    if is_needed and ruling.reason_code not in REASON_CODES:
        known, got = ", ".join(REASON_CODES), "another" if ruling.reason_code else "none"
        raise RequestError(f"reason_code: expected one of {known}, got {got}", param="reason_code")


def _output_of(waiting: Waiting, ruling: Ruling, check: Check) -> Any:
    """Return what is given from now on; None where nothing is.

    Raises:
        ContractViolation: It breaks the service's schema.
    """
    if ruling.decision == "reject":
        return None
    if ruling.decision == "approve":
        return draft_output(waiting.review.draft)
    output = _of_label(waiting, ruling.label) if ruling.output is UNSET else ruling.output
    problem = _no_text(waiting, output) or check(waiting.review.service, output)
    if problem:
        raise ContractViolation(f"{problem}; give the whole `output`", param="output")
    return output


def _no_text(waiting: Waiting, output: Any) -> str:
    """Return why an output cannot stand where the model gave a text; empty where it can."""
    draft = draft_output(waiting.review.draft) if waiting.review.draft else None
    if not isinstance(draft, dict) or draft.keys() != {"text"}:
        return ""
    is_text = isinstance(output, dict) and isinstance(output.get("text"), str)
    return "" if is_text else "output: expected an object with a `text`, got another value"


def _of_label(waiting: Waiting, label: Any) -> Any:
    """Return the output that says only `label`: what else the model said was of another one."""
    draft = _decode(waiting.review.draft) if waiting.review.draft else {}
    return {"label": label} if isinstance(draft, dict) else label


def _write(
    connection: Connection,
    waiting: Waiting,
    ruling: Ruling,
    output: Any,
    by: str,
    now_us: int,
) -> Waiting:
    """Write the decision and what whoever waits gets; what an expired case gave stays."""
    is_late = waiting.state == "expired"
    change: dict[str, Any] = {
        "state": "expired" if is_late else "decided",
        "decided_at_us": now_us,
        "decided_by": by,
        "decision": ruling.decision,
        "ruling": _kept(ruling),
    }
    if waiting.review.kind == "review" and not is_late:
        change["given"] = _given(ruling, output)
    change_review(connection, waiting.review.id, **change)
    return msgspec.structs.replace(waiting, **change)


def _given(ruling: Ruling, output: Any) -> dict[str, Any]:
    said = {"approve": "approved", "correct": "corrected", "reject": "rejected"}[ruling.decision]
    reasons = [f"{said} by a person"]
    if ruling.reason_code:
        reasons.append(f"{said}: {REASON_CODES[ruling.reason_code]}")
    disposition = "refused" if ruling.decision == "reject" else "answered"
    return {"disposition": disposition, "output": output, "reasons": reasons}


def _write_outcomes(
    connection: Connection, clock: Clock, decided: Waiting, by: str, now_us: int
) -> None:
    """Write what became known of the answer; a planted case says nothing of its request."""
    review, ruling, ids = decided.review, decided.ruling, Ids(clock)
    if review.kind == "planted":
        return
    values = {"correct": decided.decision == "approve"}
    values |= {
        kind: ruling[name]
        for kind, name in (("label", "label"), ("correction", "output"))
        if name in ruling
    }
    known = [
        Outcome(
            id=ids.new("oc", now_us),
            request_id=review.request_id,
            kind=kind,
            value=value,
            source=review.kind,
            at_us=now_us,
            known_at_us=now_us,
            by=by,
            reason=ruling["reason_code"],
            propensity=share_of(connection, review.request_id),
        )
        for kind, value in values.items()
    ]
    insert_rows(connection, outcomes, [outcome_row(outcome) for outcome in known])


def _second_of(review: Review, clock: Clock, now_us: int) -> Review:
    """Return the second look at a case: how sure the model was, and the first person, is untold."""
    return msgspec.structs.replace(
        review,
        id=Ids(clock).new("rv", now_us),
        at_us=now_us,
        due_us=now_us + max(review.due_us - review.at_us, 0),
        kind="second",
        reasons=(),
        score=None,
        confidence=None,
        key="",
    )


def _facts(decided: Waiting) -> dict[str, Any]:
    """Return what the chain keeps: on what evidence it was decided, and nobody's words."""
    review, ruling = decided.review, decided.ruling
    return {
        "service": review.service,
        "queue": review.queue,
        "release": review.release,
        "request": review.request_id,
        "decision": decided.decision,
        "reason_code": ruling["reason_code"],
        "severity": ruling["severity"],
        "score": review.score,
        "shown": review.digest,
        "ruling": hashlib.sha256(_stable(ruling)).hexdigest(),
        "is_late": decided.state == "expired",
    }
