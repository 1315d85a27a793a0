"""The control plane's routes for people who decide: queues, cases, and how reviewers do."""

from __future__ import annotations

from ..errors import Conflict, ContractViolation
from ..review.queue import HandOver, hand_over
from ..review.rulings import Ruling, check_reviewer, rule_on
from ..serve.expiring import output_check
from ..store.review_lists import take_review
from .control import Ask
from .review_cases import (
    case_page,
    decided_of,
    known_case,
    reviewers_page,
    reviews_page,
    row_of,
)
from .review_shapes import (
    Case,
    CaseDecided,
    ReviewersQuery,
    ReviewersShown,
    ReviewQuery,
    ReviewRow,
    Reviews,
)
from .route import Route


def review_routes() -> tuple[Route, ...]:
    """Return the routes of this file."""
    wrong = (Conflict, ContractViolation)
    return (
        Route("GET", "/api/review", "review", list_reviews),
        Route("GET", "/api/review/{id}", "review", read_case),
        Route("POST", "/api/review/{id}/take", "review", take_case, errors=(Conflict,)),
        Route("POST", "/api/review/{id}/decide", "review", decide_case, errors=wrong),
        Route("POST", "/api/review/{id}/hand-over", "review", give_case, errors=(Conflict,)),
        Route("GET", "/api/reviewers", "review", list_reviewers),
    )


def list_reviews(ask: Ask, query: ReviewQuery) -> Reviews:
    """List cases that people are asked to decide, and how the queues stand."""
    return reviews_page(ask, query)


def read_case(ask: Ask, id: str) -> Case:
    """Show one case: question, answer, why a person is asked, and similar past cases."""
    return case_page(ask, id)


def take_case(ask: Ask, id: str) -> ReviewRow:
    """Take a case for ten minutes, so that nobody else works on it; again prolongs that."""
    control = ask.control
    check_reviewer(known_case(ask, id).review, ask.key)
    taken = take_review(control.state, control.clock, id, by=ask.by)
    return row_of(taken, control.clock.now_us())


def decide_case(ask: Ask, id: str, body: Ruling) -> CaseDecided:
    """Approve, correct or reject a case. The same again changes nothing; another is refused."""
    control = ask.control
    known_case(ask, id)
    ruled = rule_on(
        control.state,
        control.clock,
        id,
        body,
        by=ask.by,
        key=ask.key,
        queues=control.declaration.queues,
        check=output_check(control.engine.releases),
        tell=control.tell,
    )
    return decided_of(ruled)


def give_case(ask: Ask, id: str, body: HandOver) -> ReviewRow:
    """Give a case to another queue or person."""
    control = ask.control
    known_case(ask, id)
    given = hand_over(
        control.state,
        control.clock,
        id,
        body,
        control.declaration.queues,
        by=ask.by,
        key=ask.key,
        tell=control.tell,
    )
    return row_of(given, control.clock.now_us())


def list_reviewers(ask: Ask, query: ReviewersQuery) -> ReviewersShown:
    """Show how people decide: what they miss of planted cases, how far two of them agree."""
    return reviewers_page(ask, query)
