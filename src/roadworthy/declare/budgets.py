"""`[budgets]` of a project and `[limits]` of a service: ceilings beside those of one service."""

from __future__ import annotations

from pydantic import Field

from .values import Label, Section, Usd, micro


class ProviderBudget(Section):
    """The most that one provider may charge. How fast it is asked, `[providers.X]` says."""

    per_day_usd: Usd | None = Field(None, description="Most that a UTC day may cost, in USD.")
    per_month_usd: Usd | None = Field(
        None, description="Most that a calendar month (UTC) may cost, in USD."
    )

    @property
    def per_day_micro(self) -> int | None:
        """`per_day_usd` in micro-dollars."""
        return micro(self.per_day_usd)

    @property
    def per_month_micro(self) -> int | None:
        """`per_month_usd` in micro-dollars."""
        return micro(self.per_month_usd)


class Budget(ProviderBudget):
    """The most that one scope may spend, and how much it may ask."""

    requests_per_minute: int | None = Field(
        None, ge=1, le=100_000_000, description="Most requests a minute, after a first burst of it."
    )
    tokens_per_minute: int | None = Field(
        None,
        ge=1,
        le=100_000_000_000,
        description="Most tokens a minute, in and out together, likewise.",
    )


class Budgets(Section):
    """Ceilings over all services: a request must fit in every one that it counts against."""

    project: Budget = Field(Budget(), description="Of everything together.")
    providers: dict[Label, ProviderBudget] = Field(
        {}, description="Of what one provider charges, by name; at it, its models are passed over."
    )
    teams: dict[Label, Budget] = Field({}, description="Of one team's keys, by name.")
    tags: dict[Label, Budget] = Field(
        {}, description="Of requests that bear a tag, by the tag: a feature, an action, a customer."
    )
    soft_share: float = Field(
        0.8,
        gt=0,
        lt=1,
        description="Share (0-1) of a ceiling at which webhooks are told, once a day or month.",
    )


class Limits(Section):
    """How much the service may be asked."""

    requests_per_minute: int | None = Field(
        None, ge=1, le=100_000_000, description="Most requests a minute, after a first burst of it."
    )
    tokens_per_minute: int | None = Field(
        None,
        ge=1,
        le=100_000_000_000,
        description="Most tokens a minute, in and out together, likewise.",
    )
    per_user_requests_per_minute: int | None = Field(
        None, ge=1, le=100_000_000, description="Most requests a minute of one user."
    )
    per_user_tokens_per_minute: int | None = Field(
        None, ge=1, le=100_000_000_000, description="Most tokens a minute of one user."
    )
