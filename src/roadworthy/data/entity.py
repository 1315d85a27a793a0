"""Whose features they are: one key of an entity, whether a file, a push or a request names it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .computed import plain
from .online import pack
from .views import Column


def key_of(columns: Sequence[Column], values: Iterable[Any]) -> bytes | None:
    """Return the key under which an entity is online; None where a value of it is none.

    A whole number may come as 5.0, but 5.7 is none; NaN and infinities are no numbers; -0.0 is 0.

    Args:
        columns: The entity of a view.
        values: One a column, in their order.
    """
    key = [plain(value, column.type) for column, value in zip(columns, values, strict=True)]
    if None in key:
        return None
    # `-0.0` equals `0.0` and is packed differently; a sum of both is `0.0`.
    return pack([part + 0.0 if isinstance(part, float) else part for part in key])
