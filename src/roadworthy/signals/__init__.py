"""What a text says about itself: its passages, its nearness to others, and what supports it."""

from __future__ import annotations

from collections.abc import Mapping

ENFORCES: Mapping[str, str] = {
    "context.retrieval": "signals/search.py",
    "context.retrieval.folder": "signals/passages.py",
    "context.retrieval.top_k": "signals/search.py",
    "context.retrieval.max_tokens": "signals/search.py",
    "context.retrieval.min_score": "signals/search.py",
}
"""Declared key → the file that enforces it."""
