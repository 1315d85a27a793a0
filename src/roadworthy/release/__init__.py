"""Releases: the immutable, hashed bundles that answer, and which of them serves."""

from __future__ import annotations

from collections.abc import Mapping

ENFORCES: Mapping[str, str] = {
    "features.training": "release/bundle.py",
    "cost.value_per_answer_usd": "release/worth.py",
    "cost.on_loss": "release/worth.py",
    "release": "release/gates.py",
    "release.judge": "release/canary.py",
    "release.canary": "release/canary.py",
    "release.canary.max_regression": "release/canary.py",
    "release.canary.sure": "release/canary.py",
    "release.canary.false_alarm": "release/canary.py",
    "release.canary.min_units": "release/canary.py",
    "release.canary.window": "release/gathered.py",
    "release.canary.labels_within": "release/gathered.py",
    "release.shadow": "release/canary.py",
    "release.shadow.max_regression": "release/canary.py",
    "release.shadow.sure": "release/canary.py",
    "release.shadow.false_alarm": "release/canary.py",
    "release.shadow.min_units": "release/canary.py",
    "release.shadow.labels_within": "release/gathered.py",
}
"""Declared key → the file that enforces it."""
