"""What the page of budgets shows: the values behind the page and its twin under `/api`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from .shapes import Given
from .states import State
from .units import Time


class BudgetRow(Struct, frozen=True, kw_only=True):
    """One ceiling, and how it stands in its day or month.

    Attributes:
        scope: Whose spending counts, as the ledger names it.
        key: The declared key that sets the ceiling.
        top_usd: The ceiling, with what it was raised to.
        left_usd: What may still be set aside.
        share: Of the ceiling that is spent (0-1 and above).
        is_soft: Whether it is spent as far as its soft share.
        is_raised: Whether somebody raised it until its period ends.
        forecast_usd: At the end of the period, if it goes on so; None where that says little.
        resets: When its period ends.
    """

    scope: str
    period: Literal["day", "month"]
    key: str
    state: State
    says: str
    top_usd: float
    spent_usd: float
    held_usd: float
    left_usd: float
    share: float
    is_soft: bool
    is_raised: bool
    forecast_usd: float | None
    resets: Time


class BudgetsPage(Struct, frozen=True, kw_only=True):
    """Every ceiling over more than one request, the nearest to its top first.

    Attributes:
        says: The answer in one sentence.
    """

    says: str
    as_of: Time
    budgets: tuple[BudgetRow, ...]


class Raise(Given, frozen=True, kw_only=True):
    """By how much which ceiling is raised, until its day or month ends."""

    scope: Annotated[str, Meta(min_length=1, max_length=300, description="As the page names it.")]
    period: Annotated[Literal["day", "month"], Meta(description="Which of its ceilings.")] = "day"
    usd: Annotated[
        float, Meta(gt=0, le=1_000_000_000, description="What the ceiling is until then, in USD.")
    ]
    reason: Annotated[str, Meta(max_length=500, description="Why.")] = ""


class RaisedShown(Struct, frozen=True, kw_only=True):
    """A ceiling that was raised."""

    scope: str
    period: Literal["day", "month"]
    usd: float
    until: Time
