"""`[cache]`: when an answer is given again, and within which bound."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ..types import MICRO
from .values import LengthOfTime, Section, seconds_of


class SemanticCache(Section):
    """When an answer is given to another question that means the same."""

    max_error: float = Field(
        gt=0,
        le=0.5,
        description="Largest share (0-0.5) of the answers given so that may be wrong. Until that "
        "is certified, none is given so.",
    )
    sure: float = Field(
        0.9, ge=0.5, lt=1, description="How sure (0.5-1) the bound must be before it is relied on."
    )
    of: Literal["hits", "all"] = Field(
        "hits", description="What the share is of: of the answers given again, or of all requests."
    )
    lifetime: bool = Field(
        False,
        description="Whether `sure` holds for all certificates of the service together, instead of "
        "for each.",
    )
    audit_share: float = Field(
        0.05,
        ge=0.01,
        le=1,
        description="Share (0.01-1) of the hits that are answered anew too, unseen, to compare; of "
        "one entry at most one.",
    )
    pairs_share: float = Field(
        1.0,
        ge=0.01,
        le=1,
        description="Share (0.01-1) of the questions that would be hits, while nothing is "
        "certified, that are compared with their new answer: that is the evidence, and costs "
        "nothing.",
    )
    ttl: LengthOfTime = Field("1d", description="How long an answer may be given again so.")

    @property
    def ttl_us(self) -> int:
        """`ttl` in microseconds."""
        return seconds_of(self.ttl) * MICRO


class Cache(Section):
    """When an answer is given again."""

    exact_ttl_s: int | None = Field(
        None,
        ge=1,
        le=31_536_000,
        description="Seconds for which the same question of the same `scope` gets the same answer.",
    )
    semantic: SemanticCache | None = Field(
        None, description="When an answer is given to another question that means the same."
    )
    scope: Literal["user", "team", "role", "all"] = Field(
        "user",
        description="Who shares answers: nobody but the same `user`, a `team`, whoever has the "
        "same `role`, or `all`. Roles never share in any case.",
    )
    max_entries: int = Field(
        100_000,
        ge=1,
        le=10_000_000,
        description="Most answers that are kept; the least used go first.",
    )
    max_mb: int = Field(
        512,
        ge=1,
        le=65_536,
        description="Most memory (megabytes) of all answers kept; the least used go first.",
    )
    stale_for: LengthOfTime = Field(
        "1d",
        description="How long past its time an answer may still be given by the rung "
        "`stale_cache` of the ladder.",
    )

    @property
    def stale_for_us(self) -> int:
        """`stale_for` in microseconds."""
        return seconds_of(self.stale_for) * MICRO

    @property
    def is_on(self) -> bool:
        """Whether any answer is ever given again."""
        return self.exact_ttl_s is not None or self.semantic is not None
