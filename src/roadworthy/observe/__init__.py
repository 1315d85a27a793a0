"""What others can see of the running process: metrics to scrape and spans to export."""

from __future__ import annotations

from collections.abc import Mapping

ENFORCES: Mapping[str, str] = {}
