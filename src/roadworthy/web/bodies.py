"""Bodies of requests as a person reads them: JSON on lines of their own, and never a megabyte."""

from __future__ import annotations

from typing import Any

import msgspec

MOST_SHOWN = 6000
"""Characters of a body that stand on a page; the rest is behind the link to the JSON."""


def pretty(value: Any) -> str:
    """Return a body indented, and its beginning only if it is long.

    >>> print(pretty({"wind": 12.5}))
    {
      "wind": 12.5
    }
    """
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    return text[:MOST_SHOWN]


def left_out(value: Any) -> int:
    """Return how many characters of a body `pretty` does not show.

    >>> left_out("x" * 7000)
    1002
    """
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    return max(0, len(text) - MOST_SHOWN)
