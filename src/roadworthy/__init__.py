"""Roadworthy: declare one AI job in one file; it is served, and every line of the file enforced."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .app import Project, open_project
    from .app.logged import log_model
    from .errors import RoadworthyError
    from .observe.signature import verify_webhook

    __version__: str

__all__ = [
    "Project",
    "RoadworthyError",
    "__version__",
    "log_model",
    "open_project",
    "verify_webhook",
]

_HOMES = {
    "Project": "app",
    "RoadworthyError": "errors",
    "log_model": "app.logged",
    "open_project": "app",
    "verify_webhook": "observe.signature",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for, so that `import roadworthy` alone costs nothing."""
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("roadworthy")
    if name not in _HOMES:
        raise AttributeError(f"module `roadworthy` has no attribute `{name}`")
    return getattr(importlib.import_module(f"roadworthy.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
