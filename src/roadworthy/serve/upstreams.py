"""The upstreams of a process: how each of their models is doing, shared by all who ask it."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from ..declare.project import FREE_KINDS, Provider
from ..declare.values import seconds_of
from .breaker import Health, Standing
from .pacing import Pace


class Pacing(msgspec.Struct, frozen=True, kw_only=True):
    """How much of its limits a provider is used; None where there is no limit."""

    provider: str
    at_work: int
    waiting: int
    max_concurrent: int | None
    requests: int | None
    requests_per_minute: int | None
    tokens: int | None
    tokens_per_minute: int | None


class Upstreams:
    """Gives each model of each provider its one breaker, and each provider its one pace.

    One whose address or key is another now is another: what was learned of the old one says nothing
    of it.
    """

    def __init__(self) -> None:
        self._healths: dict[tuple[str, ...], Health] = {}
        self._paces: dict[tuple[object, ...], Pace] = {}

    def health_of(self, name: str, provider: Provider, model: str, key: str) -> Health | None:
        """Return the breaker of a model; None of one in this process, where nothing is away.

        Args:
            name: The provider's.
            provider: As declared.
            model: The provider's own name for it.
            key: What it is asked with; kept as a hash only.
        """
        if provider.kind in FREE_KINDS:
            return None
        place = (name, provider.kind, provider.base_url or "", model, str(hash(key)))
        found = self._healths.get(place)
        if found is None:
            cooldown_s = float(seconds_of(provider.cooldown))
            found = self._healths[place] = Health(name, model, cooldown_s)
        return found

    def pace_of(self, name: str, provider: Provider) -> Pace | None:
        """Return what paces the calls to a provider; None where nothing limits them."""
        limits = (
            provider.max_concurrent,
            provider.requests_per_minute,
            provider.tokens_per_minute,
        )
        if not any(limits):
            return None
        place = (name, *limits)
        found = self._paces.get(place)
        if found is None:
            found = self._paces[place] = Pace(*limits)
        return found

    def standings(self, now: float) -> Iterator[Standing]:
        """Yield how each model stands; of those that are declared anew, the newest."""
        newest = {(health.provider, health.model): health for health in self._healths.values()}
        for health in newest.values():
            yield health.standing(now)

    def pacings(self, now: float) -> Iterator[Pacing]:
        """Yield how much of its limits each provider is used."""
        newest = {str(place[0]): pace for place, pace in self._paces.items()}
        for name, pace in newest.items():
            requests, tokens = pace.requests, pace.tokens
            yield Pacing(
                provider=name,
                at_work=pace.at_work,
                waiting=pace.waiting,
                max_concurrent=pace.max_concurrent,
                requests=None if requests is None else requests.used(now),
                requests_per_minute=None if requests is None else requests.most,
                tokens=None if tokens is None else tokens.used(now),
                tokens_per_minute=None if tokens is None else tokens.most,
            )
