"""States as plain JSON values, so that a job may go on where the last one ended."""

from __future__ import annotations

from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import numpy as np

State = TypeVar("State", bound=tuple[Any, ...])


def to_plain(state: tuple[Any, ...]) -> dict[str, Any]:
    """Return a named tuple of numbers and arrays as values that JSON can hold.

    Args:
        state: Such as a walk or a detector; -inf, the log of nothing, becomes null.

    >>> from .audit import begin
    >>> to_plain(begin())["logs"]
    [None, None, None, None, None, None]
    """
    fields: tuple[str, ...] = state._fields  # type: ignore[attr-defined]
    return {name: _plain(value) for name, value in zip(fields, state, strict=True)}


def from_plain(kind: type[State], plain: dict[str, Any]) -> State:
    """Return what `to_plain` was given: the same to the last bit.

    Args:
        kind: The class of the state.
        plain: Its plain values.

    Raises:
        TypeError: A value is missing or unknown.

    >>> from .walk import Walk, begin
    >>> from_plain(Walk, to_plain(begin(2, 0))).n.tolist()
    [0, 0]
    """
    hints = get_type_hints(kind)
    return kind(**{name: _value(hints.get(name), value) for name, value in plain.items()})


def _plain(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype != np.float64:
        return value.tolist()
    found = value.astype(object)
    found[np.isneginf(value)] = None
    return found.tolist()


def _value(hint: Any, value: Any) -> Any:
    if get_origin(hint) is not np.ndarray:
        return value
    (scalar,) = get_args(get_args(hint)[1])
    found = np.array(value, dtype=scalar)
    if scalar is np.float64:
        found[np.isnan(found)] = -np.inf
    return found
