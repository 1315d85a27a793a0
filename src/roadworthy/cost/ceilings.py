"""Which ceilings a request counts against, made once of what services and the project declare."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from ..declare.budgets import Budgets, ProviderBudget
from ..declare.service import Cost
from ..store.spending import PROVIDER, USER
from ..types import MICRO, Key
from .ledger import Ceiling

PROJECT = "project"
"""The scope of everything together."""


def soft_of(micro: int | None, share: float) -> int | None:
    """Return the amount from which on a ceiling is soon spent, in micro-dollars.

    >>> soft_of(1_000_000, 0.8)
    800000
    """
    return None if micro is None else micro * _millionths(share) // MICRO


def _millionths(share: float) -> int:
    """Return a share in millionths: `repr` is the shortest text that reads back as the number."""
    return int(Decimal(repr(share)) * MICRO)


def service_scope(service: str) -> str:
    """Return the scope of all requests of a service."""
    return f"service:{service}"


def service_ceilings(service: str, cost: Cost) -> tuple[Ceiling, ...]:
    """Return the ceiling of all requests of a service; none where none is declared."""
    day, month = cost.per_day_micro, cost.per_month_micro
    if day is None and month is None:
        return ()
    soft = (soft_of(day, cost.soft_share), soft_of(month, cost.soft_share))
    return (Ceiling(service_scope(service), day, "cost.per_day_usd", month, _SERVICE_MONTH, *soft),)


def user_ceiling(service: str, cost: Cost) -> Ceiling | None:
    """Return what each user of a service may spend, under the beginning of their scopes."""
    day, month = cost.per_user_per_day_micro, cost.per_user_per_month_micro
    if day is None and month is None:
        return None
    soft = (soft_of(day, cost.soft_share), soft_of(month, cost.soft_share))
    what = ("cost.per_user_per_day_usd", "cost.per_user_per_month_usd")
    return Ceiling(f"{USER}{service}/", day, what[0], month, what[1], *soft)


_SERVICE_MONTH = "cost.per_month_usd"


class Shared:
    """The ceilings over all services: of keys, teams, tags, providers and the project.

    Args:
        budgets: `[budgets]` of roadworthy.toml.

    Attributes:
        providers: Scope of a provider → its ceiling.
    """

    def __init__(self, budgets: Budgets) -> None:
        self._share = budgets.soft_share
        self._millionths = _millionths(budgets.soft_share)
        self._teams = self._open(budgets.teams, "team:", "budgets.teams.")
        self._tags = self._open(budgets.tags, "tag:", "budgets.tags.")
        self.providers = {
            ceiling.scope: ceiling
            for ceiling in self._open(budgets.providers, PROVIDER, "budgets.providers.").values()
        }
        project = self._ceiling(PROJECT, "budgets.project", budgets.project)
        self._project = () if project is None else (project,)

    def _open(
        self, named: Mapping[str, ProviderBudget], kind: str, path: str
    ) -> dict[str, Ceiling]:
        found = {
            name: self._ceiling(f"{kind}{name}", f"{path}{name}", budget)
            for name, budget in named.items()
        }
        return {name: ceiling for name, ceiling in found.items() if ceiling is not None}

    def _ceiling(self, scope: str, path: str, budget: ProviderBudget) -> Ceiling | None:
        day, month = budget.per_day_micro, budget.per_month_micro
        if day is None and month is None:
            return None
        soft = (soft_of(day, self._share), soft_of(month, self._share))
        what = (f"{path}.per_day_usd", f"{path}.per_month_usd")
        return Ceiling(scope, day, what[0], month, what[1], *soft)

    def of(self, key: Key, tags: Iterable[str]) -> tuple[Ceiling, ...]:
        """Return what a request counts against beside its service, its user and its providers."""
        found = self._project
        if self._teams and (team := self._teams.get(key.team)) is not None:
            found = (team, *found)
        if self._tags and tags:
            declared = self._tags
            found = (*(declared[tag] for tag in sorted(set(tags)) if tag in declared), *found)
        if key.per_day_micro is not None:
            found = (self.of_key(key, key.per_day_micro), *found)
        return found

    def of_key(self, key: Key, micro: int) -> Ceiling:
        """Return the ceiling of a key."""
        soft = micro * self._millionths // MICRO
        return Ceiling(f"key:{key.id}", micro, "per_day_usd of the key", None, "", soft)

    @property
    def declared(self) -> tuple[Ceiling, ...]:
        """Every ceiling that roadworthy.toml declares."""
        named = (self._teams, self.providers, self._tags)
        return (*self._project, *(ceiling for part in named for ceiling in part.values()))
