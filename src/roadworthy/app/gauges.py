"""What is measured of a serving process whenever somebody asks for its metrics."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..serve.caches import ReleaseCache
from ..types import MICRO

if TYPE_CHECKING:
    from .serving import Serving


def show_gauges(serving: Serving) -> None:
    """Let the metrics tell how the parts of a serving process stand."""
    add, ledger = serving.metrics.add_gauge, serving.ledger
    add("roadworthy_in_flight", "Requests at work.", lambda: serving.engine.in_flight)
    add(
        "roadworthy_spool_bytes",
        "Bytes of the spool that wait for the database.",
        lambda: serving.writer.lag.bytes,
    )
    add("roadworthy_degraded", "Parts that are degraded.", lambda: len(serving.trouble))
    add(
        "roadworthy_held_usd",
        "US dollars set aside for requests at work.",
        lambda: {
            name: ledger.spent(f"service:{name}")[1] / MICRO for name in serving.engine.releases
        },
        label="service",
    )
    add(
        "roadworthy_shadows_dropped",
        "Requests that a candidate was not asked too, since too many waited.",
        lambda: {name: shadows.dropped for name, shadows in serving.shadows.items()},
        label="service",
    )
    add(
        "roadworthy_shadows_refused",
        "Requests that a candidate was not asked too, for want of money, room or a release.",
        lambda: {name: shadows.refused for name, shadows in serving.shadows.items()},
        label="service",
    )
    add(
        "roadworthy_cache_entries",
        "Answers that are kept to be given again.",
        lambda: {name: len(cache.kept) for name, cache in _caches(serving)},
        label="service",
    )
    add(
        "roadworthy_cache_bytes",
        "About how much memory these answers take.",
        lambda: {name: cache.kept.bytes for name, cache in _caches(serving)},
        label="service",
    )
    add(
        "roadworthy_upstream_left_alone",
        "Whether (1) a model of a provider is left alone, since it failed.",
        lambda: {
            f"{one.provider}/{one.model}": float(one.state != "closed")
            for one in serving.upstreams.standings(time.monotonic())
        },
        label="upstream",
    )
    add(
        "roadworthy_provider_waiting",
        "Calls that wait for a turn at a provider with limits.",
        lambda: {
            pace.provider: pace.waiting for pace in serving.upstreams.pacings(time.monotonic())
        },
        label="provider",
    )


def _caches(serving: Serving) -> Iterator[tuple[str, ReleaseCache]]:
    for name, release in serving.engine.releases.items():
        if isinstance(release.cache, ReleaseCache):
            yield name, release.cache
