"""What a request leaves for people: its draft, and the review that one of them is asked for."""

from __future__ import annotations

from typing import Any

import msgspec

from ..errors import ModelError
from ..review.desk import Desk
from ..types import Answer, Call, Draft, Ids, Record, Review, ReviewKind
from .request import Plan

_encode = msgspec.json.Encoder().encode


def entries_of(plan: Plan, record: Record, ids: Ids) -> list[Draft | Review]:
    """Return what is kept beside the record, and before it: so nobody waits for a review in vain.

    Args:
        plan: Finished, of a release with a desk.
        record: What it leaves.
        ids: Names the review of an answer that was given and is looked at all the same.
    """
    desk, call, decision = plan.release.desk, plan.call, plan.decision
    if desk is None or call is None:
        return []
    entries: list[Draft | Review] = []
    if plan.review_id:
        entries.append(_review(desk, call, plan, record, plan.review_id, "review"))
    elif decision is not None and desk.audits(decision):
        entries.append(_review(desk, call, plan, record, ids.new("rv", plan.at_us), "audit"))
    if decision is not None and plan.draft is not None:
        output, digest = plan.draft.output, plan.digest
        entries.append(
            desk.draft_of(
                plan.id, plan.at_us, call, output, decision, plan.score, digest, plan.signals
            )
        )
    return entries


def _review(
    desk: Desk, call: Call, plan: Plan, record: Record, id: str, kind: ReviewKind
) -> Review:
    draft = plan.draft
    return desk.review_of(
        id,
        plan.id,
        plan.at_us,
        call,
        kind,
        tuple(plan.reasons),
        input=_encode(plan.request.body or plan.request.input),
        output=b"" if draft is None else _shown(draft),
        score=plan.score,
        digest=plan.digest,
        content=_content(call, plan, record),
    )


def _content(call: Call, plan: Plan, record: Record) -> dict[str, Any]:
    """Return what a person is shown beside question and answer, as JSON values."""
    found = [{"file": p.file, "heading": p.heading, "text": p.text} for p in call.passages]
    return {
        "model": plan.draft.model if plan.draft is not None else "",
        "features": plan.features or {},
        "passages": found,
        "sentences": _supported(call, plan.draft),
        "verdicts": [[v.guard, v.verdict, v.reason] for v in record.verdicts],
    }


def _supported(call: Call, draft: Answer | None) -> list[tuple[str, float]]:
    """Return each sentence of a draft with how well its passages support it."""
    output = None if draft is None else draft.output
    text = output.get("text") if isinstance(output, dict) else None
    if call.support is None or not call.passages or not isinstance(text, str):
        return []
    try:
        return [(s.text, round(s.score, 4)) for s in call.support(text, call.passages)]
    except ModelError:
        return []  # the review waits all the same


def _shown(answer: Answer) -> bytes:
    """Return what is approved: the output, or of a chat the message that its upstream sent."""
    output = answer.output
    is_text = output is None or (isinstance(output, dict) and output.keys() == {"text"})
    if answer.completion is None or not is_text:  # JSON that its text was read as is the output
        return _encode(output)
    return _encode(msgspec.json.decode(answer.completion)["choices"][0]["message"])
