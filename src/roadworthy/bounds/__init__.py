"""What may be decided without asking: cheaper models, answers given again, within their bounds."""

from __future__ import annotations

from collections.abc import Mapping

ENFORCES: Mapping[str, str] = {
    **{
        f"routing.{key}": "bounds/certify.py"
        for key in ("max_error", "sure", "of", "lifetime", "reference")
    },
    **{
        f"cache.semantic.{key}": "bounds/certify.py"
        for key in ("max_error", "sure", "of", "lifetime")
    },
}
"""Declared key → the file that enforces it."""
