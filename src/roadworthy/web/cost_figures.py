"""What the page of costs shows: the values behind the page and its twin under `/api`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from .figures import CostToday
from .shapes import Given
from .units import Time

CostDimension = Literal["service", "model", "provider", "team", "user", "tag", "key", "release"]


class CostsQuery(Given, frozen=True):
    """Which month, and by what its days are stacked."""

    by: Annotated[CostDimension, Meta(description="By what the days are stacked.")] = "service"
    month: Annotated[
        str,
        Meta(
            pattern=r"^([0-9]{4}-(0[1-9]|1[0-2]))?$",
            description="A month (UTC) like `2026-11`; by default this one.",
        ),
    ] = ""


class TodayRow(Struct, frozen=True, kw_only=True):
    """What a service costs today, against its ceiling."""

    service: str
    cost: CostToday


class StackPart(Struct, frozen=True, kw_only=True):
    """What one value of the dimension cost: each day of the month, and all of it.

    Attributes:
        days: In the order of the page's days.
    """

    name: str
    usd: float
    requests: int
    days: tuple[float, ...]


class BillRow(Struct, frozen=True, kw_only=True):
    """What a service cost, by what it was spent on, and what that returns.

    Attributes:
        unseen_usd: Answers of shadows and audits.
        accepted: Answers that were given and are not known to be wrong.
        per_accepted_usd: All that was spent, by accepted answer; None without any.
        value_usd: What one is worth as declared; None where nothing is.
        returned: Worth of all accepted answers over all that was spent; None where unknown.
        is_lost: Whether an accepted answer costs more than it is worth.
    """

    service: str
    requests: int
    models_usd: float
    unseen_usd: float
    egress_usd: float
    review_usd: float
    retraining_usd: float
    total_usd: float
    accepted: int
    wrong: int
    per_accepted_usd: float | None
    value_usd: float | None
    returned: float | None
    is_lost: bool


class MonthForecast(Struct, frozen=True, kw_only=True):
    """What a month will have cost a service; see `cost.forecast.Forecast`."""

    service: str
    spent_usd: float
    expected_usd: float | None
    low_usd: float | None
    high_usd: float | None
    ceiling_usd: float | None
    reached: Time | None


class CostsPage(Struct, frozen=True, kw_only=True):
    """What is spent, what will be, and what it returns.

    Attributes:
        says: The answer in one sentence.
        month: Which month, like `2026-11`; `previous` and `next` are those beside it, and `next` is
            empty where that has not begun.
        days: Beginning of each day of the month so far.
        parts: By value of the dimension, the dearest first.
        is_partial: Whether the parts add up to something else than all.
        finding: What is to be seen of the month, in one sentence.
    """

    says: str
    as_of: Time
    by: str
    month: str
    previous: str
    next: str
    today: tuple[TodayRow, ...]
    days: tuple[Time, ...]
    parts: tuple[StackPart, ...]
    is_partial: bool
    total_usd: float
    finding: str
    bills: tuple[BillRow, ...]
    forecasts: tuple[MonthForecast, ...]
