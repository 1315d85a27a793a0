"""Rate limits that are exact: the generic cell rate algorithm (GCRA) in whole numbers.

A limit of N a minute is a bucket that holds N and is filled evenly, so that in any time of t
minutes at most N + N·t pass: a minute's worth at once, then N a minute. What is kept of a scope is
how much of its bucket is gone and when that was so; one whose bucket is full again is forgotten.
See ITU-T I.371, where it is a "leaky bucket as a meter".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from ..declare.budgets import Budget, Budgets, Limits
from ..errors import Overloaded
from ..types import Clock, Key

Unit = Literal["requests", "tokens"]

MINUTE_NS = 60_000_000_000
SECOND_NS = 1_000_000_000
_MS_NS = 1_000_000
_FEW = 1024
CODE = "rate_limited"


class Limit(NamedTuple):
    """How much a scope may be asked.

    Attributes:
        scope: Whose requests count.
        unit: What counts of them.
        per_minute: How much passes a minute, and at once.
        what: The declared key that sets it.
    """

    scope: str
    unit: Unit
    per_minute: int
    what: str


class Rate(NamedTuple):
    """What is left of the limit that is nearest to its end.

    Attributes:
        reset_ns: How long until all of it is there again.
    """

    unit: Unit
    per_minute: int
    remaining: int
    reset_ns: int


class Limiter:
    """Lets pass what the limits let pass: in every scope, or in none.

    Memory is bounded by the scopes that were at work in the last minutes.

    Args:
        clock: Its monotonic time counts; setting the clock of the project changes nothing.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._gone: dict[tuple[str, Unit], tuple[int, int, int]] = {}
        self._sweep_at = _FEW

    def take(self, limits: Sequence[Limit], tokens: int) -> tuple[Rate, ...]:
        """Count one request of about so many tokens.

        One that is larger than the bucket counts as the whole bucket.

        Returns:
            What is left, of requests and of tokens, where the least is.

        Raises:
            Overloaded: A limit is reached, with when there is room again; nothing is counted.
        """
        now_ns = int(self._clock.monotonic() * SECOND_NS)
        known_of = self._gone.get
        wanted: list[tuple[Limit, int, int]] = []
        worst: tuple[int, Limit] | None = None
        for limit in limits:  # written out, since it is on the way of every request
            scope, unit, per_minute, _ = limit
            # In units of a minute's worth of nanoseconds, so that N flow off in a nanosecond.
            full = per_minute * MINUTE_NS
            wants = MINUTE_NS if unit == "requests" else min(tokens * MINUTE_NS, full)
            known = known_of((scope, unit))
            gone = 0 if known is None else known[0] - per_minute * (now_ns - known[1])
            if gone < 0:
                gone = 0
            if gone + wants > full:
                wait_ns = _wait_ns(gone + wants - full, limit)
                if worst is None or wait_ns > worst[0]:
                    worst = (wait_ns, limit)
            wanted.append((limit, gone, wants))
        if worst is not None:
            raise self._refusal(*worst, wanted)
        used = [(limit, gone + wants) for limit, gone, wants in wanted]
        for limit, gone in used:
            self._gone[limit[0], limit[1]] = (gone, now_ns, limit[2])
        if len(self._gone) > self._sweep_at:
            self._sweep(now_ns)
        return _rates(used)

    def correct(self, limits: Sequence[Limit], counted: int, tokens: int) -> None:
        """Count `tokens` in the place of `counted`, once it is known how many they were."""
        now_ns = int(self._clock.monotonic() * SECOND_NS)
        for limit in limits:
            if limit.unit == "tokens":
                more = tokens - min(counted, limit.per_minute)
                gone = max(0, self._gone_by(limit, now_ns) + more * MINUTE_NS)
                self._gone[limit.scope, limit.unit] = (gone, now_ns, limit.per_minute)

    def __len__(self) -> int:
        """How many scopes are remembered."""
        return len(self._gone)

    def _gone_by(self, limit: Limit, now_ns: int) -> int:
        known = self._gone.get((limit.scope, limit.unit))
        if known is None:
            return 0
        gone, at_ns, _ = known
        return max(0, gone - limit.per_minute * (now_ns - at_ns))

    def _sweep(self, now_ns: int) -> None:
        """Forget the scopes whose buckets are full again: they are as if never asked."""
        self._gone = {
            scope: known
            for scope, known in self._gone.items()
            if known[0] > known[2] * (now_ns - known[1])
        }
        self._sweep_at = 2 * len(self._gone) + _FEW

    def _refusal(
        self, wait_ns: int, limit: Limit, wanted: Sequence[tuple[Limit, int, int]]
    ) -> Overloaded:
        error = Overloaded(
            f"limit of `{limit.scope}` is reached: expected at most {limit.per_minute:,}"
            f" {limit.unit} a minute; wait {duration(wait_ns)} or raise `{limit.what}`",
            retry_after_s=wait_ns / SECOND_NS,
        )
        error.code = CODE
        after = (b"retry-after-ms", b"%d" % max(1, -(-wait_ns // _MS_NS)))
        rates = _rates([(each, gone) for each, gone, _ in wanted])
        error.headers = (after, *rate_headers(rates))
        return error


def _wait_ns(lacks: int, limit: Limit) -> int:
    return -(-lacks // limit.per_minute)


def _rates(used: Sequence[tuple[Limit, int]]) -> tuple[Rate, ...]:
    """Return, of each unit, the limit with the least share left."""
    least: dict[Unit, tuple[Limit, int]] = {}
    for limit, gone in used:
        known = least.get(limit[1])
        if known is None or gone * known[0][2] > known[1] * limit[2]:
            least[limit[1]] = (limit, gone)
    return tuple(
        [
            Rate(
                limit.unit,
                limit.per_minute,
                max(0, limit.per_minute - -(-gone // MINUTE_NS)),
                _wait_ns(gone, limit),
            )
            for limit, gone in least.values()
        ]
    )


def rate_headers(rates: Sequence[Rate]) -> tuple[tuple[bytes, bytes], ...]:
    """Return the headers by which OpenAI's clients know how much is left."""
    return tuple(
        header
        for unit, per_minute, remaining, reset_ns in rates
        for header in (
            (b"x-ratelimit-limit-" + unit.encode(), b"%d" % per_minute),
            (b"x-ratelimit-remaining-" + unit.encode(), b"%d" % remaining),
            (b"x-ratelimit-reset-" + unit.encode(), duration(reset_ns).encode()),
        )
    )


def duration(ns: int) -> str:
    """Return a length of time as OpenAI writes it, rounded up to a millisecond.

    >>> [duration(ns) for ns in (0, 1, 17_000_000, 1_500_000_000, 61_000_000_000)]
    ['0s', '1ms', '17ms', '1.5s', '1m1s']
    """
    ms = -(-ns // _MS_NS)
    if 0 < ms < 1000:
        return f"{ms}ms"
    minutes, ms = divmod(ms, 60_000)
    seconds = f"{ms // 1000}.{ms % 1000:03}".rstrip("0").rstrip(".")
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"


class OwnLimits(NamedTuple):
    """How much a service may be asked.

    Attributes:
        all: By everybody together.
        each: By each user, under the beginning of their scopes.
    """

    all: tuple[Limit, ...] = ()
    each: tuple[Limit, ...] = ()


NO_LIMITS = OwnLimits()


def limits_of(service: str, limits: Limits) -> OwnLimits:
    """Return how much a service may be asked."""
    requests, tokens = limits.requests_per_minute, limits.tokens_per_minute
    each = (limits.per_user_requests_per_minute, limits.per_user_tokens_per_minute)
    return OwnLimits(
        _limits_of(f"service:{service}", requests, tokens, "limits."),
        _limits_of(f"user:{service}/", *each, "limits.per_user_"),
    )


def _limits_of(
    scope: str, requests: int | None, tokens: int | None, path: str
) -> tuple[Limit, ...]:
    found: list[Limit] = []
    if requests is not None:
        found.append(Limit(scope, "requests", requests, f"{path}requests_per_minute"))
    if tokens is not None:
        found.append(Limit(scope, "tokens", tokens, f"{path}tokens_per_minute"))
    return tuple(found)


class SharedLimits:
    """How much may be asked over all services: by teams, under tags, in the project.

    Args:
        budgets: `[budgets]` of roadworthy.toml.
    """

    def __init__(self, budgets: Budgets) -> None:
        self._project = _budget_limits("project", "budgets.project.", budgets.project)
        self._teams = _named(budgets.teams, "team")
        self._tags = _named(budgets.tags, "tag")

    @property
    def is_empty(self) -> bool:
        """Whether nothing is limited."""
        return not (self._project or self._teams or self._tags)

    def of(self, key: Key, tags: Sequence[str]) -> tuple[Limit, ...]:
        """Return what limits a request beside its service and its user."""
        found = self._project
        if self._teams:
            found = (*self._teams.get(key.team, ()), *found)
        if self._tags and tags:
            named = self._tags
            found = (
                *(limit for tag in sorted(set(tags)) for limit in named.get(tag, ())),
                *found,
            )
        return found


def _named(budgets: dict[str, Budget], kind: str) -> dict[str, tuple[Limit, ...]]:
    limits = {
        name: _budget_limits(f"{kind}:{name}", f"budgets.{kind}s.{name}.", budget)
        for name, budget in budgets.items()
    }
    return {name: found for name, found in limits.items() if found}


def _budget_limits(scope: str, path: str, budget: Budget) -> tuple[Limit, ...]:
    return _limits_of(scope, budget.requests_per_minute, budget.tokens_per_minute, path)
