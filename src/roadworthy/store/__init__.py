"""What is remembered: records, outcomes, keys, releases, switches, jobs and acts."""

from __future__ import annotations

from collections.abc import Mapping

ENFORCES: Mapping[str, str] = {
    "records.keep_days": "store/housekeeping.py",
    "objectives.availability": "store/rollups.py",
}
"""Declared key → the file that enforces it."""
