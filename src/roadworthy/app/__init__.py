"""Assembly: the only room that knows every other. It opens a project and, on demand, serves it."""

from __future__ import annotations

from .desks import look_at_desk
from .http import gateway_of, serve_http
from .project import Project, ServiceHandle, open_project, read_project
from .rooms import ENFORCES, contracts_named, open_declared_features, open_signals
from .serving import Serving

__all__ = [
    "ENFORCES",
    "Project",
    "ServiceHandle",
    "Serving",
    "contracts_named",
    "gateway_of",
    "look_at_desk",
    "open_declared_features",
    "open_project",
    "open_signals",
    "read_project",
    "serve_http",
]
