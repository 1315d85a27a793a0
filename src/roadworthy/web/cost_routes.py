"""Routes of the page about money: the same values as JSON."""

from __future__ import annotations

from .budget_figures import BudgetsPage, Raise, RaisedShown
from .budgets_page import budgets_page, raise_budget
from .control import Ask
from .cost_figures import CostsPage, CostsQuery
from .costs_page import costs_page
from .route import Route


def routes() -> tuple[Route, ...]:
    """Return the route of each page."""
    return (
        Route("GET", "/api/costs", "read", read_costs),
        Route("GET", "/api/budgets", "read", read_budgets),
        Route("POST", "/api/budgets/raise", "budget", raise_a_budget, whole=True),
    )


def read_costs(ask: Ask, query: CostsQuery) -> CostsPage:
    """Show what is spent, what will be, and what it returns."""
    return costs_page(ask, query)


def read_budgets(ask: Ask) -> BudgetsPage:
    """Show every ceiling with what is spent, held and left of it."""
    return budgets_page(ask)


def raise_a_budget(ask: Ask, body: Raise) -> RaisedShown:
    """Raise a ceiling until its day or month (UTC) ends."""
    return raise_budget(ask, body)
