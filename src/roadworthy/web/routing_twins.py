"""Routes of the page about routing: the same values as JSON."""

from __future__ import annotations

from .control import Ask
from .route import Route
from .routing_figures import RoutingPage
from .routing_page import routing_page


def routes() -> tuple[Route, ...]:
    """Return the route of each page."""
    return (Route("GET", "/api/services/{name}/routing", "read", read_routing),)


def read_routing(ask: Ask, name: str) -> RoutingPage:
    """Show how a service's models are chosen, what each got, and what cheaper ones save."""
    return routing_page(ask, ask.service(name))
