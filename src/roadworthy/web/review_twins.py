"""Routes of the pages about reviews: the same values as JSON."""

from __future__ import annotations

from .case_page import case_page
from .control import Ask
from .review_figures import CaseShown, ReviewQueue
from .review_page import ReviewQuery, review_page
from .route import Route


def routes() -> tuple[Route, ...]:
    """Return the route of each page."""
    return (
        Route("GET", "/api/review", "review", read_review),
        Route("GET", "/api/review/{id}", "review", read_case),
    )


def read_review(ask: Ask, query: ReviewQuery) -> ReviewQueue:
    """List the cases that wait for people, what is due first on top, and how each queue stands."""
    return review_page(ask, query)


def read_case(ask: Ask, id: str) -> CaseShown:
    """Show one case as whoever decides it sees it: question, answer, why, and what is alike."""
    return case_page(ask, id)
