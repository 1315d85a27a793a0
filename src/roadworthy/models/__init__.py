"""What answers: every kind of model, behind one protocol."""

from __future__ import annotations

from collections.abc import Mapping

ENFORCES: Mapping[str, str] = {
    "models.provider": "models/spec.py",
    "models.model": "models/spec.py",
}
"""Declared key → the file that enforces it."""
