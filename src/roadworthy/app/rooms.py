"""What the rooms enforce, all together, and what one of them lends to another."""

from __future__ import annotations

from collections.abc import Mapping

from .. import cost, declare, guard, models, observe, release, serve, signals, store
from ..plugins import load_plugin
from ..types import Signals

ENFORCES: Mapping[str, str] = {
    key: where
    for room in (declare, store, models, guard, cost, observe, signals, release, serve)
    for key, where in room.ENFORCES.items()
}
"""Declared key → the file that enforces it; a key that no room names is refused at loading."""


def open_signals() -> Signals:
    """Return what reads texts on this machine; its packages are imported with the first use.

    Raises:
        DeclarationError: This package is not installed as it is now.
    """
    local: Signals = load_plugin("signals", "local")()
    return local
