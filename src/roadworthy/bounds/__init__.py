"""What may be decided without asking: cheaper models, answers given again, within their bounds."""

from __future__ import annotations

from collections.abc import Mapping

ENFORCES: Mapping[str, str] = {}
"""Declared key → the file that enforces it."""
