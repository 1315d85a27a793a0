"""What budgets and limits must keep together: none lies above the one that it is part of."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from .budgets import Budget, ProviderBudget
from .files import Findings
from .project import ProjectDeclaration
from .service import ServiceDeclaration
from .source import Finding, join
from .validate import shown

_CEILINGS = (
    "per_request_usd",
    "per_user_per_day_usd",
    "per_day_usd",
    "per_user_per_month_usd",
    "per_month_usd",
)
_ABOVE = {
    "per_request_usd": ("per_user_per_day_usd", "per_day_usd", *_CEILINGS[3:]),
    "per_user_per_day_usd": ("per_day_usd", "per_user_per_month_usd", "per_month_usd"),
    "per_day_usd": ("per_month_usd",),
    "per_user_per_month_usd": ("per_month_usd",),
}
"""Key of `[cost]` -> those it lies under, the nearest first."""


def ceilings_nest(service: ServiceDeclaration, _: ProjectDeclaration) -> Findings:
    """A ceiling above the one it lies under would never be reached."""
    cost = service.cost
    for name, above in _ABOVE.items():
        value: Decimal | None = getattr(cost, name)
        if value is None:
            continue
        for other in above:
            limit: Decimal | None = getattr(cost, other)
            if limit is not None and value > limit:
                yield Finding(f"cost.{name}", f"<= cost.{other} ({limit:f})", f"{value:f}")
                break


def soft_has_what_to_do(service: ServiceDeclaration, _: ProjectDeclaration) -> Findings:
    """The cheapest of one model is that model."""
    if service.cost.on_soft == "cheapest" and len(service.models) < 2:
        yield Finding(
            "cost.on_soft",
            "at least two models, because it is `cheapest`",
            f"{len(service.models)}",
            "declare a cheaper one, or choose `alert`",
        )


def limits_count_what_is_there(service: ServiceDeclaration, _: ProjectDeclaration) -> Findings:
    """A predict has no tokens, and one user may not ask more than all together."""
    limits = service.limits
    if service.kind == "predict":
        for name in ("tokens_per_minute", "per_user_tokens_per_minute"):
            if getattr(limits, name) is not None:
                expected = "no such key, because `kind` is `predict`: it has no tokens"
                yield Finding(f"limits.{name}", expected, "one", "limit its requests")
    for unit in ("requests", "tokens"):
        most = getattr(limits, f"{unit}_per_minute")
        each = getattr(limits, f"per_user_{unit}_per_minute")
        if most is not None and each is not None and each > most:
            path = f"limits.per_user_{unit}_per_minute"
            yield Finding(path, f"<= limits.{unit}_per_minute ({most})", f"{each}")


def check_budgets(project: ProjectDeclaration) -> Iterator[Finding]:
    """Yield what does not fit in `[budgets]` of roadworthy.toml."""
    budgets = project.budgets
    yield from _inside("budgets.project", budgets.project)
    for kind in ("providers", "teams", "tags"):
        for name, budget in getattr(budgets, kind).items():
            path = join(f"budgets.{kind}", name)
            yield from _inside(path, budget)
            yield from _below(path, budget, budgets.project)
            if kind == "providers" and name not in project.providers:
                known = ", ".join(f"`{known}`" for known in project.providers) or "it has none"
                yield Finding(path, f"a provider of this project ({known})", shown(name))


def _inside(path: str, budget: ProviderBudget) -> Iterator[Finding]:
    day, month = budget.per_day_usd, budget.per_month_usd
    if day is not None and month is not None and day > month:
        yield Finding(f"{path}.per_day_usd", f"<= {path}.per_month_usd ({month:f})", f"{day:f}")


def _below(path: str, budget: ProviderBudget, most: Budget) -> Iterator[Finding]:
    names = (*ProviderBudget.model_fields, "requests_per_minute", "tokens_per_minute")
    for name in names:
        value, limit = getattr(budget, name, None), getattr(most, name)
        if value is not None and limit is not None and value > limit:
            expected = f"<= budgets.project.{name} ({_plain(limit)})"
            yield Finding(f"{path}.{name}", expected, _plain(value))


def _plain(amount: Decimal | int) -> str:
    return f"{amount:f}" if isinstance(amount, Decimal) else str(amount)


BUDGET_CHECKS = (
    (ceilings_nest, ()),
    (soft_has_what_to_do, ("cost.on_soft", "models")),
    (limits_count_what_is_there, ("kind", "limits")),
)
"""Every check, with the parts that must be sound for it to say anything."""
