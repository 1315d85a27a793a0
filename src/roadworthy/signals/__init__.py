"""What a text or a row says about itself: what it is near to, what supports it, what moved it."""

from __future__ import annotations

from collections.abc import Mapping

ENFORCES: Mapping[str, str] = {
    "context.retrieval": "signals/search.py",
    "context.retrieval.folder": "signals/passages.py",
    "context.retrieval.top_k": "signals/search.py",
    "context.retrieval.max_tokens": "signals/search.py",
    "context.retrieval.min_score": "signals/search.py",
    "context.retrieval.dedupe": "signals/search.py",
    "context.retrieval.choose": "signals/search.py",
}
"""Declared key → the file that enforces it."""
