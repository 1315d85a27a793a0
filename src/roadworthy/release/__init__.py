"""Releases: the immutable, hashed bundles that answer, and which of them serves."""

from __future__ import annotations

from collections.abc import Mapping

ENFORCES: Mapping[str, str] = {
    "features.training": "release/bundle.py",
    "release": "release/gates.py",
    "release.judge": "release/promotion.py",
    "release.canary": "release/canary.py",
    "release.canary.steps": "release/canary.py",
    "release.canary.max_regression": "release/canary.py",
    "release.canary.sure": "release/canary.py",
    "release.canary.false_alarm": "release/canary.py",
    "release.canary.min_units": "release/canary.py",
    "release.canary.window": "release/canary.py",
    "release.canary.labels_within": "release/canary.py",
    "release.shadow": "release/canary.py",
    "release.shadow.share": "serve/splits.py",
    "release.shadow.per_day_usd": "serve/splits.py",
    "release.shadow.max_regression": "release/canary.py",
    "release.shadow.sure": "release/canary.py",
    "release.shadow.false_alarm": "release/canary.py",
    "release.shadow.min_units": "release/canary.py",
    "release.shadow.labels_within": "release/canary.py",
}
"""Declared key → the file that enforces it."""
