"""Find plugins by the name a declaration gives them.

A kind of plugin is an entry-point group (`roadworthy.models`, `roadworthy.guards`). Built-ins enter
by the same door. Nothing is imported until a declaration names it.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoints, entry_points
from typing import Any

from .errors import DeclarationError


@cache
def _group(kind: str) -> EntryPoints:
    return entry_points(group=f"roadworthy.{kind}")


def installed(kind: str) -> frozenset[str]:
    """Return the names of all plugins of `kind` that are installed, built-in ones too."""
    return frozenset(_group(kind).names)


def load_plugin(kind: str, name: str) -> Any:
    """Return the factory registered as `name` among plugins of `kind`.

    Raises:
        DeclarationError: No such plugin is installed; the message lists those that are.
    """
    group = _group(kind)
    if name not in group.names:
        known = ", ".join(sorted(group.names)) or "none"
        raise DeclarationError(f"no {kind} plugin named `{name}`; installed: {known}")
    return group[name].load()
