"""`[outcomes]` and `[review]`: what counts as evidence, and when a person is asked."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ..risk.schedule import Schedule
from ..types import MICRO
from .values import Label, LengthOfTime, Section, Text, seconds_of

Names = Annotated[tuple[Label, ...], Field(strict=False)]
Expressions = Annotated[tuple[Text, ...], Field(strict=False)]


class Outcomes(Section):
    """What becomes known of an answer later, and what of it counts as evidence."""

    unit: Literal["user", "entity", "conversation", "request"] = Field(
        "user",
        description="What counts once in a `window`, since requests of one user err together; "
        "`request` only where no two have anything to do with each other.",
    )
    window: LengthOfTime = Field("1d", description="How long a unit counts once.")
    matures_after: LengthOfTime = Field(
        "2d",
        description="How old a request must be for its outcome to count; what has none by then "
        "counts as wrong.",
    )
    reported: Literal["drawn", "all"] = Field(
        "drawn",
        description="Of which requests an outcome is to be expected: `all`, where your systems "
        "report each, or only those that were `drawn` for a person.",
    )
    entity: Names = Field((), description="Fields of the input that name what a request is about.")
    groups: Names = Field(
        (),
        description="Fields of the input by which answers are grouped; each group must keep the "
        "bound for itself.",
    )
    right: Text | None = Field(
        None,
        description="When an answer is right: an expression (CEL) over `output` and `label`; by "
        "default the output's `label`, or else the whole output, equals the label.",
    )

    @property
    def window_us(self) -> int:
        """`window` in microseconds."""
        return seconds_of(self.window) * MICRO

    @property
    def matures_after_us(self) -> int:
        """`matures_after` in microseconds."""
        return seconds_of(self.matures_after) * MICRO

    @property
    def schedule(self) -> Schedule:
        """Which windows there are, and when their evidence is complete."""
        return Schedule(max(self.window_us, 1), self.matures_after_us)


class ReviewPolicy(Section):
    """When a service answers alone, and who is asked when it may not."""

    max_error: float | None = Field(
        None,
        gt=0,
        le=0.5,
        description="Largest share (0-0.5) of answers given without a person that may be wrong. "
        "Until that is certified from your own outcomes, none is given so.",
    )
    sure: float = Field(
        0.9, ge=0.5, lt=1, description="How sure (0.5-1) the bound must be before it is relied on."
    )
    of: Literal["accepted", "all"] = Field(
        "accepted",
        description="What the share is of: of the answers given alone, or of `all` requests.",
    )
    lifetime: bool = Field(
        False,
        description="Whether `sure` holds for all certificates of the service together, instead of "
        "for each.",
    )
    when: Expressions = Field(
        (),
        description="Expressions (CEL) over the request and `output`; where one is true a person "
        "decides, however sure the model is.",
    )
    out_of_scope: float | None = Field(
        None,
        ge=1,
        le=1000,
        description="How far an input may lie from what the release was asked before, where 1 is "
        "as far as one in twenty of it; of what lies farther, a person decides.",
    )
    queue: Label | None = Field(
        None, description="Queue of roadworthy.toml that people work; without one nobody is asked."
    )
    respond_within: LengthOfTime = Field("1d", description="How soon a person is to decide.")
    capacity_per_day: int | None = Field(
        None, ge=0, le=1_000_000, description="Most requests of a UTC day that people are asked."
    )
    on_expiry: Literal["fallback", "refuse", "answer"] = Field(
        "fallback",
        description="What becomes of a request that nobody decided in time: an answer of the "
        "ladder, none, or (`answer`) the model's own.",
    )
    overflow: Literal["fallback", "refuse"] = Field(
        "fallback",
        description="What becomes of a request that may not be answered alone when there is no "
        "queue or its day is full.",
    )
    audit_share: float = Field(
        0.05,
        ge=0.01,
        le=1,
        description="Share (0.01-1) of the answers given alone that people look at all the same, "
        "so that a bound that no longer holds is noticed.",
    )
    holding: Text = Field(
        "A colleague will look at this and answer you.",
        description="What a chat client is told while a person decides.",
    )

    @property
    def respond_within_us(self) -> int:
        """`respond_within` in microseconds."""
        return seconds_of(self.respond_within) * MICRO
