"""The shapes of sums over whole hours, as `/api` gives them."""

from __future__ import annotations

from msgspec import Struct

from .units import Time


class RollupRow(Struct, frozen=True, kw_only=True):
    """What happened in one hour, or to one service, release, model, user, team, tag or key.

    Attributes:
        value: The hour as a time, or the name of the one.
        requests: n of everything below.
        late: How many took longer than `objectives.latency_p95_ms`.
        availability: Share of requests (0-1) that did not fail; None without requests.
        late_share: Share of requests (0-1) that were late; None without requests.
        p50_ms: Estimated from buckets whose ends are a factor of 1.5 apart, like p95 and p99.
    """

    value: str
    requests: int
    answered: int
    cached: int
    fallback: int
    review: int
    refused: int
    failed: int
    late: int
    input_tokens: int
    output_tokens: int
    cost_usd: float
    availability: float | None
    late_share: float | None
    mean_ms: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


class Rollups(Struct, frozen=True, kw_only=True):
    """Sums of whole hours from `since` to `until`; an hour without requests is not there."""

    by: str
    since: Time
    until: Time
    rollups: tuple[RollupRow, ...]
