"""`[release]`: how a candidate meets live traffic, and what is asked of it before."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ..types import MICRO
from .values import LengthOfTime, Section, Usd, micro, seconds_of

Shares = Annotated[tuple[float, ...], Field(strict=False)]


class Canary(Section):
    """How a candidate is given live traffic step by step."""

    steps: Shares = Field(
        (0.05, 0.25, 1.0),
        description="Shares (0-1) of users that meet the candidate, step by step; the last is 1.",
    )
    max_regression: float = Field(
        0.02, gt=0, lt=1, description="How much worse a candidate may be and still be promoted."
    )
    sure: float = Field(
        0.9, ge=0.5, lt=1, description="How sure (0.5-1) it must be that it is not worse than that."
    )
    false_alarm: float = Field(
        0.05,
        gt=0,
        le=0.5,
        description="Chance (0-0.5) that a candidate that is no worse is rolled back, however "
        "often one looks.",
    )
    min_units: int = Field(
        50, ge=1, description="Fewest users of the candidate before a step is passed."
    )
    window: LengthOfTime = Field(
        "10m", description="How long a user is watched after its first request of a step."
    )
    labels_within: LengthOfTime = Field(
        "1d", description="How long outcomes are waited for before a user counts without them."
    )

    @property
    def window_us(self) -> int:
        """`window` in microseconds."""
        return seconds_of(self.window) * MICRO

    @property
    def labels_within_us(self) -> int:
        """`labels_within` in microseconds."""
        return seconds_of(self.labels_within) * MICRO


class Shadow(Section):
    """How a candidate answers beside what serves, without being shown."""

    share: float = Field(
        1.0, gt=0, le=1, description="Share (0-1) of requests that the candidate answers too."
    )
    per_day_usd: Usd | None = Field(
        None, description="Most that shadow answers of a UTC day may cost, in USD."
    )
    max_regression: float = Field(
        0.02, gt=0, lt=1, description="How much worse a candidate may be and still be promoted."
    )
    sure: float = Field(
        0.9, ge=0.5, lt=1, description="How sure (0.5-1) it must be that it is not worse than that."
    )
    false_alarm: float = Field(
        0.05,
        gt=0,
        le=0.5,
        description="Chance (0-0.5) that a candidate that is no worse is rejected, however often "
        "one looks.",
    )
    min_units: int = Field(50, ge=1, description="Fewest compared users before it is promoted.")
    labels_within: LengthOfTime = Field(
        "1d", description="How long outcomes are waited for before a user counts without them."
    )

    @property
    def per_day_micro(self) -> int | None:
        """`per_day_usd` in micro-dollars."""
        return micro(self.per_day_usd)

    @property
    def labels_within_us(self) -> int:
        """`labels_within` in microseconds."""
        return seconds_of(self.labels_within) * MICRO


class ReleasePolicy(Section):
    """How a candidate becomes what serves."""

    judge: Literal["none", "shadow", "canary"] = Field(
        "none",
        description="`shadow`: it answers beside what serves and is not shown; `canary`: it is "
        "shown to some users; `none`: it serves once its gates hold.",
    )
    canary: Canary = Field(Canary(), description="The steps of a canary.")
    shadow: Shadow = Field(Shadow(), description="How a shadow is judged.")
