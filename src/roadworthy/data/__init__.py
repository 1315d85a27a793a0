"""What the data promise: contracts, feature views, and that training and serving see the same."""

from __future__ import annotations

from collections.abc import Mapping

ENFORCES: Mapping[str, str] = {
    "contract.accepts": "data/agreed.py",
    "sources.volume.rows": "data/volume.py",
    "sources.volume.rows_per_day": "data/volume.py",
    "sources.volume.time": "data/volume.py",
    "sources.volume.late_by": "data/volume.py",
    "sources.volume.distinct": "data/volume.py",
    "sources.volume.rows_per_second": "data/loadtest.py",
    "volume.requests_per_second": "data/loadtest.py",
}
"""Declared key → the file that enforces it."""
