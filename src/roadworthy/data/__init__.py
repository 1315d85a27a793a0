"""What the data promise: contracts, feature views, and that training and serving see the same."""

from __future__ import annotations

from collections.abc import Mapping

ENFORCES: Mapping[str, str] = {
    "contract.accepts": "data/agreed.py",
}
"""Declared key → the file that enforces it."""
