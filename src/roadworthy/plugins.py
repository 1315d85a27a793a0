"""Find plugins by the name a declaration gives them.

A kind of plugin is an entry-point group (`roadworthy.models`, `roadworthy.guards`). Built-ins enter
by the same door. Nothing is imported until a declaration names it.

`roadworthy.signals`, `roadworthy.schemas`, `roadworthy.data`, `roadworthy.review`,
`roadworthy.evaluate` and `roadworthy.bridges` are no kinds that a declaration names: by them, what
reads texts, what reads data contracts, what certifies and explains, what computes with evaluations,
and what speaks to other registries, is imported only where it is needed.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, EntryPoints, entry_points
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
        DeclarationError: No such plugin is installed, and the message lists those that are; or
            several packages bring one of this name; or its package cannot be imported.
    """
    found = [entry for entry in _group(kind) if entry.name == name]
    if not found:
        known = ", ".join(sorted(installed(kind))) or "none"
        raise DeclarationError(f"no {kind} plugin named `{name}`; installed: {known}")
    if len(found) > 1:
        brought = ", ".join(sorted(map(_origin, found)))
        raise DeclarationError(
            f"{kind} plugin `{name}`: expected one, got {len(found)} of this name: {brought}; "
            "uninstall all but one of these packages"
        )
    (entry,) = found
    try:
        return entry.load()
    except Exception as error:
        # A plugin's import is code of somebody else, and may fail in any way.
        raise DeclarationError(
            f"{kind} plugin `{name}`: expected to import {_origin(entry)}, got "
            f"{type(error).__name__}; `python -c 'import {entry.module}'` shows where, or "
            "install a version of the package that fits"
        ) from error


def _origin(entry: EntryPoint) -> str:
    package = f"package `{entry.dist.name}`" if entry.dist else "an unknown package"
    return f"`{entry.value}` of {package}"
