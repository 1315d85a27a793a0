"""What the rooms enforce, all together."""

from __future__ import annotations

from collections.abc import Mapping

from .. import cost, declare, guard, models, observe, release, serve, signals, store

ENFORCES: Mapping[str, str] = {
    key: where
    for room in (declare, store, models, guard, cost, observe, signals, release, serve)
    for key, where in room.ENFORCES.items()
}
"""Declared key → the file that enforces it; a key that no room names is refused at loading."""
