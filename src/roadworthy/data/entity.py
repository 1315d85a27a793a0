"""Whose features they are: one key of an entity, whether a file, a push or a request names it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .computed import plain
from .online import pack
from .views import Column


def key_of(columns: Iterable[Column], value_of: Callable[[str], Any]) -> bytes | None:
    """Return the key under which an entity is online; None where a value of it is none.

    A whole number may come as 5.0, but 5.7 is none; NaN and infinities are no numbers; -0.0 is 0.

    Args:
        columns: The entity of a view.
        value_of: What gives the value of a column by its name, such as `get` of a request.
    """
    key = [plain(value_of(column.name), column.type) for column in columns]
    return None if None in key else pack(key)
