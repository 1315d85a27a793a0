"""Gives memory back to the system that only a start, or one long text, needed."""

from __future__ import annotations

import ctypes
from contextlib import suppress

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""What glibc's `mallopt` calls them."""
_LARGE_BYTES = 256 << 10


def give_back() -> None:
    """Let the allocator return what it keeps free; where it cannot, nothing happens.

    Opening MiniLM leaves 60 MB free that glibc keeps, because it lies between what is in use.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def hand_back_large() -> None:
    """Let each large block go back as soon as it is free; where that is unknown, nothing happens.

    By itself glibc raises the size from which it does so with every such block it sees freed, up to
    32 MB: what one question of 256 tokens took would stay, 40 to 60 MB (bench/extractive.py).
    """
    with suppress(OSError, AttributeError):
        allocator = ctypes.CDLL(None)
        allocator.mallopt(_MMAP_THRESHOLD, _LARGE_BYTES)
        allocator.mallopt(_TRIM_THRESHOLD, _LARGE_BYTES * 4)
