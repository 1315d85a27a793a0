"""Routes of the page about the cache: the same values as JSON."""

from __future__ import annotations

from .cache_figures import CachePage
from .cache_page import cache_page
from .control import Ask
from .route import Route


def routes() -> tuple[Route, ...]:
    """Return the route of the page."""
    return (Route("GET", "/api/services/{name}/cache", "read", read_cache),)


def read_cache(ask: Ask, name: str) -> CachePage:
    """Show what a service's cache gives again, what that saves, and how often it is wrong."""
    return cache_page(ask, ask.service(name))
