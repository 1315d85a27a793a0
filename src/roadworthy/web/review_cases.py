"""Queues, cases and reviewers as they are shown: the values of routes and pages alike."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import Engine

from ..errors import NotFound
from ..plugins import load_plugin
from ..review.queue import is_blind, shown_kind
from ..review.rulings import REASON_CODES, Ruled
from ..store.clock import time_of
from ..store.keys import list_keys
from ..store.review_lists import Similar, count_queues, find_reviews, similar_reviews
from ..store.reviews import Waiting, read_review
from ..types import DAY_US
from .control import Ask
from .review_shapes import (
    Case,
    CaseDecided,
    PairShown,
    QueueShown,
    ReasonCode,
    ReviewerShown,
    ReviewersQuery,
    ReviewersShown,
    ReviewQuery,
    ReviewRow,
    Reviews,
    SimilarCase,
)
from .units import show

if TYPE_CHECKING:
    from ..review.agreement import Pair, Reviewer  # it would import what computes intervals

_CODES = tuple(ReasonCode(code, meaning) for code, meaning in REASON_CODES.items())


def reviews_page(ask: Ask, query: ReviewQuery) -> Reviews:
    """Return a page of cases, and how the queues stand."""
    services, seen = ask.services_of(query.service), ask.services_of("")
    return reviews_of(ask.control.state, ask.control.clock.now_us(), query, services, seen)


def reviews_of(
    state: Engine,
    now_us: int,
    query: ReviewQuery,
    services: Collection[str],
    seen: Collection[str] = (),
) -> Reviews:
    """Return a page of the cases of `services`, and how the queues of those `seen` stand."""
    page = find_reviews(
        state,
        state=query.state,
        queue=query.queue,
        services=services,
        owner=query.owner,
        before=query.before,
        limit=query.limit,
    )
    return Reviews(
        reviews=tuple(row_of(waiting, now_us) for waiting in page.found),
        before=page.before or None,
        queues=tuple(show(QueueShown, count) for count in count_queues(state, now_us, seen)),
    )


def row_of(waiting: Waiting, now_us: int) -> ReviewRow:
    """Return a case as a list shows it."""
    return ReviewRow(**_row(waiting, now_us))


def known_case(ask: Ask, id: str) -> Waiting:
    """Return a case as it stands; one that was asked a moment ago may wait in the spool.

    Raises:
        NotFound: There is none with this id.
    """
    try:
        return read_review(ask.control.state, id)
    except NotFound:
        ask.control.drain()
        return read_review(ask.control.state, id)


def case_page(ask: Ask, id: str) -> Case:
    """Return one case with all that a person is to decide it by.

    Raises:
        NotFound: There is none with this id.
        Forbidden: The key is limited to other services.
    """
    waiting = known_case(ask, id)
    ask.check_sees(waiting.review.service)
    return case_of(ask.control.state, ask.control.clock.now_us(), waiting)


def case_of(state: Engine, now_us: int, waiting: Waiting) -> Case:
    """Return one case with all that a person is to decide it by."""
    review, blind = waiting.review, is_blind(waiting)
    return Case(
        **_row(waiting, now_us),
        release=review.release,
        user=review.user,
        role=review.role,
        reasons=() if blind else review.reasons,
        input=_value(review.input),
        draft=_value(review.draft),
        digest=review.digest,
        score=None if blind else review.score,
        confidence=None if blind else review.confidence,
        content=_undoubted(review.content) if blind else review.content,
        is_blind=blind,
        similar=() if blind else tuple(map(_similar, similar_reviews(state, waiting))),
        ruling=waiting.ruling,
        given=waiting.given,
        reason_codes=_CODES,
    )


def _undoubted(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return content without what was thought of the answer: support and verdicts."""
    return {name: content[name] for name in content if name not in ("sentences", "verdicts")}


def decided_of(ruled: Ruled) -> CaseDecided:
    """Return what became of a case that was decided."""
    waiting = ruled.waiting
    return CaseDecided(
        id=waiting.review.id,
        state=waiting.state,
        decision=waiting.decision,
        decided_by=waiting.decided_by,
        decided_at=time_of(waiting.decided_at_us or 0),
        is_new=ruled.is_new,
        is_late=ruled.is_late,
        says=says_of(ruled),
    )


def says_of(ruled: Ruled) -> str:
    """Return what happened, in one sentence."""
    if not ruled.is_new:
        return f"It had been decided so before, by {ruled.waiting.decided_by}."
    if ruled.is_late:
        return (
            "It counts as evidence, but its time was over: whoever waited has already got what the"
            " service declares."
        )
    if ruled.waiting.review.kind == "review":
        return "Whoever waits gets it now."
    return "It counts as evidence."


def reviewers_page(ask: Ask, query: ReviewersQuery) -> ReviewersShown:
    """Return how people decide, by their names."""
    control = ask.control
    since_us = control.clock.now_us() - query.days * DAY_US
    read = load_plugin("review", "reviewers")
    found = read(control.state, ask.services_of(query.service), since_us)
    names = {f"key:{entry.key.id}": entry.key.name for entry in list_keys(control.state)}
    return ReviewersShown(
        reviewers=tuple(_reviewer(one, names.get(one.by, "")) for one in found.reviewers),
        pairs=tuple(map(_pair, found.pairs)),
    )


def _reviewer(one: Reviewer, name: str) -> ReviewerShown:
    return show(ReviewerShown, one, name=name, approved_share=one.approved / one.decided)


def _pair(pair: Pair) -> PairShown:
    found = pair.agreement
    return PairShown(
        first=pair.first, second=pair.second, share=found.agreed / found.n, **found._asdict()
    )


def _row(waiting: Waiting, now_us: int) -> dict[str, Any]:
    review, is_open = waiting.review, waiting.state == "open"
    is_taken = is_open and bool(waiting.taken_by) and waiting.taken_until_us > now_us
    hides = is_blind(waiting)
    return {
        "id": review.id,
        # Until then for every kind: a planted case would be known by its request.
        "request_id": review.request_id if waiting.decision else "",
        "service": review.service,
        "queue": review.queue,
        "kind": shown_kind(waiting),
        "state": waiting.state,
        "owner": waiting.owner,
        "at": time_of(review.at_us),
        "due": time_of(review.due_us),
        "is_late": is_open and review.due_us <= now_us,
        "escalated_at": _time(waiting.escalated_at_us),
        "taken_by": waiting.taken_by if is_taken else "",
        "taken_until": time_of(waiting.taken_until_us) if is_taken else None,
        "decision": waiting.decision,
        "decided_by": waiting.decided_by,
        "decided_at": _time(waiting.decided_at_us),
        "why": "" if hides or not review.reasons else review.reasons[0],
    }


def _similar(case: Similar) -> SimilarCase:
    given = {"input": _value(case.input), "draft": _value(case.draft)}
    return show(SimilarCase, case, **given)


def _value(raw: bytes) -> Any:
    return msgspec.json.decode(raw) if raw else None


def _time(us: int | None) -> Any:
    return None if us is None else time_of(us)
