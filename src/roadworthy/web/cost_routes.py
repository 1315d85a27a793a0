"""Routes of the page about money: the same values as JSON."""

from __future__ import annotations

from .control import Ask
from .cost_figures import CostsPage, CostsQuery
from .costs_page import costs_page
from .route import Route


def routes() -> tuple[Route, ...]:
    """Return the route of each page."""
    return (Route("GET", "/api/costs", "read", read_costs),)


def read_costs(ask: Ask, query: CostsQuery) -> CostsPage:
    """Show what is spent, what will be, and what it returns."""
    return costs_page(ask, query)
