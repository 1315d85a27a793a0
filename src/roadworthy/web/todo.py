"""What a person must do, as every page lists it."""

from __future__ import annotations

from msgspec import Struct

from .units import Time


class Todo(Struct, frozen=True, kw_only=True):
    """Something that a person must do.

    Attributes:
        says: What, as an order.
        why: Why, as a sentence.
        link: Where it is done.
        by: Until when; None where nothing says.
    """

    says: str
    why: str
    link: str
    by: Time | None
