"""The features that a request was served, by the view that gave them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Engine

from .data_figures import ViewServed
from .registered_views import views_of

UNKNOWN = ""
"""Stands for the view of a feature whose view is not registered any more."""


def served_of(state: Engine, features: dict[str, Any] | None) -> tuple[ViewServed, ...]:
    """Return what each view gave, in the order in which the service names them.

    Args:
        state: The database, which knows what a view gives.
        features: As a record holds them.
    """
    values, views = _part(features, "values"), _part(features, "views")
    known = views_of(state, views) if views else {}
    left = dict(values)
    served = []
    for name, read in views.items():
        said: dict[str, Any] = read if isinstance(read, dict) else {}
        age = said.get("age_s")
        given = [key for key in (known[name].names if name in known else ()) if key in left]
        served.append(
            ViewServed(
                view=name,
                state=str(said.get("state", "")),
                age_s=float(age) if isinstance(age, int | float) else None,
                values={key: left.pop(key) for key in given},
            )
        )
    if left:
        served.append(ViewServed(view=UNKNOWN, state="", age_s=None, values=left))
    return tuple(served)


def served_states(features: dict[str, Any] | None) -> Iterator[tuple[str, str]]:
    """Yield each view that a record names, with what it knew of the entity."""
    for view, read in _part(features, "views").items():
        yield view, str(read.get("state", "")) if isinstance(read, dict) else ""


def _part(features: dict[str, Any] | None, name: str) -> dict[str, Any]:
    part = (features or {}).get(name)
    return part if isinstance(part, dict) else {}
