"""The coin that says of which requests an outcome is asked for: before that is known, and for good.

It falls by a hash of the request's id, so that nobody chooses and everybody can check it.
"""

from __future__ import annotations

import hashlib

LEAST_SHARE = 0.01
"""Smaller odds would give outcomes of no use."""


def is_drawn(request_id: str, share: float, purpose: str = "audit") -> bool:
    """Whether the coin of a request falls on an audit: before its outcome, and always the same.

    Args:
        request_id: Of ours, so that no caller chooses it.
        share: The odds, which its record keeps.
        purpose: Coins of other purposes fall independently.

    >>> drawn = sum(is_drawn(f"rq_{k}", 0.05) for k in range(10_000))
    >>> 430 < drawn < 570
    True
    """
    return coin_of(request_id, purpose) < share * 2**64


def coin_of(request_id: str, purpose: str) -> int:
    """Return a number below 2^64 that is as good as random, and always the same."""
    digest = hashlib.blake2b(f"{purpose}:{request_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")
