"""What may be decided without asking: cheaper models, answers given again, within their bounds."""

from __future__ import annotations

from collections.abc import Mapping

ENFORCES: Mapping[str, str] = {
    "cache.semantic.max_error": "bounds/in_force.py",
    "cache.semantic.sure": "bounds/in_force.py",
    "cache.semantic.of": "bounds/in_force.py",
    "cache.semantic.lifetime": "bounds/in_force.py",
}
"""Declared key → the file that enforces it."""
