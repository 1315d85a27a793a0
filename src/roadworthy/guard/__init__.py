"""Checks of every input and every answer, and what happens when a check itself fails."""

from __future__ import annotations

from collections.abc import Mapping

ENFORCES: Mapping[str, str] = {
    "guards.use": "guard/slot.py",
    "guards.on": "guard/slot.py",
    "guards.name": "guard/slot.py",
    "guards.fail": "guard/slot.py",
    "guards.expression": "guard/rule.py",
    "guards.schema": "guard/schema.py",
    "guards.at_least": "guard/grounded.py",
    "guards.verdict": "guard/slot.py",
}
