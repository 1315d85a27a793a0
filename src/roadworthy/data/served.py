"""Features for a request: what the views of a service know of its entities at this moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ..errors import DeclarationError
from ..types import MICRO, Clock
from .computed import Computed, open_computed
from .entity import key_of
from .online import Found, OnlineReader, unpack
from .views import Column, View, online_key


class ViewRead(msgspec.Struct, frozen=True, gc=False):
    """What one view knew for a request.

    Attributes:
        state: `fresh`; `stale`: older than the ttl; `absent`: nothing is known of this entity.
        age_s: Seconds since the event; None where nothing is known.
    """

    state: str
    age_s: float | None = None


class FeatureVector(msgspec.Struct, frozen=True, gc=False):
    """The features of one request.

    Attributes:
        values: Feature → value, null where nothing fresh is known.
        views: View and version → what it knew.
    """

    values: dict[str, Any]
    views: dict[str, ViewRead]

    @property
    def missing(self) -> tuple[str, ...]:
        """The views that knew nothing fresh."""
        return tuple(view for view, read in self.views.items() if read.state != "fresh")

    @property
    def age_s(self) -> float | None:
        """How old the oldest of what was used is, in seconds."""
        ages = [r.age_s for r in self.views.values() if r.state == "fresh" and r.age_s is not None]
        return max(ages, default=None)

    def as_record(self) -> dict[str, Any]:
        """Return what a record keeps of it, as JSON values."""
        return {
            "values": self.values,
            "views": {
                view: {"state": read.state, "age_s": read.age_s}
                for view, read in self.views.items()
            },
        }


_ABSENT = ViewRead("absent")


class _Opened(msgspec.Struct, frozen=True):
    id: str
    entity: tuple[Column, ...]
    names: tuple[str, ...]
    ttl_us: int | None
    computed: tuple[Computed, ...]


class FeatureSource:
    """Gives the features of a service's views, opened once for a release.

    Args:
        views: The views, in the order that the service names them.
        online: Where their newest values are.
        clock: What says how old a value is.
        input_fields: Fields of the service's input, where a contract names them.

    Attributes:
        names: Every feature it gives.
        contracts: Source → the contract version that its views were registered with.
        views: View and version → the features it gives.

    Raises:
        DeclarationError: Two features, or a feature and a field of the input, share a name; or an
            entity is no field of the input.
    """

    def __init__(
        self,
        views: Sequence[View],
        online: OnlineReader,
        clock: Clock,
        input_fields: Sequence[str] | None = None,
    ) -> None:
        check_vector(views, input_fields)
        self.names = tuple(name for view in views for name in view.names)
        self.contracts = {n: version for view in views for n, version in view.contracts.items()}
        self.views = {view.id: view.names for view in views}
        self._read = online.read
        self._keys = tuple(map(online_key, views))
        self._now_us = clock.now_us
        self._views = tuple(
            _Opened(
                view.id,
                view.entity,
                tuple(feature.name for feature in view.features),
                None if view.ttl_s is None else view.ttl_s * MICRO,
                open_computed([view]),
            )
            for view in views
        )

    def vector(self, input: Mapping[str, Any]) -> FeatureVector:
        """Return the features of the entities that `input` names, as they are known now.

        Raises:
            StoreError: The online store cannot be read.
        """
        now_us = self._now_us()
        values: dict[str, Any] = {}
        views: dict[str, ViewRead] = {}
        entities = [key_of(view.entity, input.get) for view in self._views]
        for view, found in zip(self._views, self._read(self._keys, entities), strict=True):
            read = views[view.id] = _judged(found, view.ttl_us, now_us)
            if found is not None and read.state == "fresh":
                stored = dict(zip(view.names, unpack(found[2]), strict=True))
            else:
                stored = dict.fromkeys(view.names)
            values |= stored
            for one in view.computed:
                values[one.name] = one.value(input, stored)
        return FeatureVector(values, views)


def _judged(found: Found | None, ttl_us: int | None, now_us: int) -> ViewRead:
    """Say whether a row counts now; one from the future, after a clock was set back, does not."""
    if found is None or found[0] > now_us or found[1] > now_us:
        return _ABSENT
    age_us = now_us - found[0]
    is_stale = ttl_us is not None and age_us > ttl_us
    return ViewRead("stale" if is_stale else "fresh", age_us / MICRO)


def check_vector(views: Sequence[View], input_fields: Sequence[str] | None = None) -> None:
    """Check that views can serve one service together.

    Raises:
        DeclarationError: Names meet, or the input lacks an entity or a field that a feature reads.
    """
    owners = dict.fromkeys(input_fields or (), "the input")
    for view in views:
        for name in view.names:
            if name in owners:
                raise DeclarationError(
                    f"features.views: expected features of names of their own, got `{name}` of "
                    f"`{view.id}`, which is also in {owners[name]}; rename one of them"
                )
            owners[name] = f"`{view.id}`"
        if input_fields is None:
            continue
        for column in (*view.entity, *view.request):
            if column.name not in input_fields:
                raise DeclarationError(
                    f"features.views: expected `{column.name}`, which `{view.id}` needs, among "
                    "the fields of the input, got none; add it to the input's contract"
                )
