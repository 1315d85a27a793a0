"""The control plane as one ASGI app: `/api`, and the console's pages over the same values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from anyio import CapacityLimiter
from starlette.applications import Starlette
from starlette.routing import Route as Path

from .api import route_table
from .console.pages import Console
from .control import Ask, Control
from .openapi import describe
from .route import MOST_AT_WORK, Resource, Route


def control_app(control: Control) -> Starlette:
    """Return the control plane as an ASGI app."""

    def read_openapi(ask: Ask) -> dict[str, Any]:
        """This document."""
        return document

    routes = (*route_table(), Route("GET", "/api/openapi.json", "read", read_openapi))
    document = describe(routes)
    limiter = CapacityLimiter(MOST_AT_WORK)
    console = Console(control, limiter)
    app = Starlette(
        routes=[*_resources(control, routes, limiter), *console.paths()],
        exception_handlers={404: console.refuse_unknown},
    )
    app.router.redirect_slashes = False
    return app


def _resources(
    control: Control, routes: Iterable[Route], limiter: CapacityLimiter
) -> Iterable[Path]:
    paths: dict[str, dict[str, Route]] = defaultdict(dict)
    for route in routes:
        paths[route.path][route.method] = route
    return [Path(path, Resource(control, here, limiter)) for path, here in paths.items()]
