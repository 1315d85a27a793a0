"""What is known of registered feature views, without the packages that check them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
from sqlalchemy import Engine

from ..store.data_versions import read_views


class _Named(msgspec.Struct, frozen=True):
    name: str


class _Reads(msgspec.Struct, frozen=True):
    outputs: dict[str, frozenset[str]] = {}
    conditions: frozenset[str] = frozenset()


class ViewFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One registered version of a feature view.

    Attributes:
        contracts: Source → the contract version that it was registered with.
    """

    name: str
    version: int
    features: tuple[_Named, ...]
    computed: dict[str, str]
    sources: tuple[str, ...]
    contracts: dict[str, str]
    reads: _Reads

    @property
    def id(self) -> str:
        """Its name with its version."""
        return f"{self.name}@{self.version}"

    @property
    def names(self) -> tuple[str, ...]:
        """Every feature that it gives."""
        return (*(feature.name for feature in self.features), *self.computed)

    @property
    def fields(self) -> frozenset[str]:
        """Every field that it reads, as `source.column`."""
        return self.reads.conditions.union(*self.reads.outputs.values())


def views_of(state: Engine, names: Iterable[str]) -> Mapping[str, ViewFacts]:
    """Return the views of these names (`weather_now@2`) that are registered, by name."""
    wanted, found = set(names), dict[str, ViewFacts]()
    for name in sorted({name.partition("@")[0] for name in wanted}):
        for version in read_views(state, name):
            if f"{version.view}@{version.version}" in wanted:
                facts = msgspec.convert(version.detail["view"], ViewFacts)
                found[facts.id] = facts
    return found
