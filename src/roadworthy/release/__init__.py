"""Releases: the immutable, hashed bundles that answer, and which of them serves."""

from __future__ import annotations

from collections.abc import Mapping

ENFORCES: Mapping[str, str] = {
    "features.training": "release/bundle.py",
}
"""Declared key → the file that enforces it."""
