"""The circuit breaker: how one model of one provider is doing, and whether it is asked now.

All services of a process share it, at whatever place of their chains the model stands: what one of
them learned the hard way, the others need not. Times are monotonic seconds, given by the caller, so
that no clock that is set back keeps a provider down.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from ..errors import Cause

State = Literal["closed", "open", "half_open"]

FAILURES = 5
"""So many failures in a window open it, if they are at least half of what was asked."""
FAILING_SHARE = 0.5
WINDOW_S = 30.0
LONGEST_S = 600.0
NO_CREDIT_S = 3_600.0
"""How long nobody asks a provider that wants to be paid first."""
AUTH_S = 600.0
"""How long nobody asks a provider that refuses the key."""
RATE_LIMIT_S = 2.0
"""How long at first, where a provider asks for patience and does not say for how much."""
LONGEST_ADVISED_S = 3_600.0
"""The longest that a provider's own advice is followed before it is asked once more."""
PROBE_S = 120.0
"""After so long a probe that nobody heard of again is given up."""
NEWS = 0.2
"""The weight of the newest answer in the time that answers take."""

FAILING: frozenset[Cause] = frozenset({"connection", "timeout", "server", "malformed"})
"""Causes that open it when they come again and again."""
OPENING: frozenset[Cause] = frozenset({"rate_limit", "no_credit", "auth"})
"""Causes that open it at once."""
OF_REQUESTS: frozenset[Cause] = frozenset({"content_filter", "context_length", "rejected"})
"""Causes that lie with a request: a provider that says so is well."""


WHY: Mapping[str, str] = {
    "connection": "no connection, or it broke",
    "timeout": "no answer in time",
    "server": "it fails inside",
    "malformed": "what it answers is no whole answer",
    "rate_limit": "its rate limit is reached",
    "no_credit": "it wants to be paid first: look at the account there",
    "auth": "it refuses the key: look at the variable that `api_key_env` names",
}
"""Cause → what a person is told of a model that is left alone."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a model of a provider stands.

    Attributes:
        cause: Why it is not asked; empty while it is.
        since_s: For how many seconds it has stood so.
        for_s: In how many seconds it is asked again; 0 while it is asked.
        answer_s, first_token_s: What answers, and first tokens, take lately; 0 where unknown.
    """

    provider: str
    model: str
    state: State
    cause: Cause = ""
    since_s: float = 0.0
    for_s: float = 0.0
    answer_s: float = 0.0
    first_token_s: float = 0.0


class Health:
    """Whether one model of one provider is asked, by how it did lately.

    Closed, it is asked. Open, it is left alone. When the time is over, one request is let through
    (half open): if that is answered it is closed, else it is open again and for twice as long.

    Args:
        provider: As roadworthy.toml names it.
        model: The provider's own name for it.
        cooldown_s: How long it is left alone at first.

    Attributes:
        is_closed: Whether it is asked without a second look.
        cause: Why it is open; empty while it is closed.
        answer_s, first_token_s: What answers, and first tokens, take lately; 0 where unknown.
        can_be_away: Whether it may be away at all, so that asking again may help.
    """

    can_be_away = True

    def __init__(self, provider: str, model: str, cooldown_s: float) -> None:
        self.provider = provider
        self.model = model
        self.is_closed = True
        self.cause: Cause = ""
        self.answer_s = 0.0
        self.first_token_s = 0.0
        self._cooldown_s = cooldown_s
        self._since = 0.0
        self._until = 0.0
        self._lasted_s = 0.0
        self._closed_at: float | None = None
        self._level = 0
        self._probe_until = 0.0
        self._good = self._bad = 0
        self._window = 0.0

    def for_s(self, now: float) -> float:
        """Return in how many seconds it may be asked again; 0 where that is now."""
        return 0.0 if self.is_closed else max(self._until - now, 0.0)

    def may_try(self, now: float) -> bool:
        """Whether a request may be sent now; that takes no place yet."""
        return self.is_closed or (now >= self._until and now >= self._probe_until)

    def enter(self, now: float) -> bool:
        """Take the one place there is while it is half open; whether there was one.

        Whoever took it says how it went, or calls `left`.
        """
        if not self.may_try(now):
            return False
        self._probe_until = now + PROBE_S
        return True

    def left(self) -> None:
        """Give the one place back: nothing was learned."""
        self._probe_until = 0.0

    def answered(self, took_s: float, now: float, *, is_probe: bool = False) -> None:
        """Take note of an answer, and of how long all of it took."""
        last_s = self.answer_s
        self.answer_s = last_s + NEWS * (took_s - last_s) if last_s else took_s
        if self.is_closed:
            self._good += 1
        elif is_probe:
            self._close(now)

    def began(self, took_s: float, now: float, *, is_probe: bool = False) -> None:
        """Take note of the first event of a stream, and of how long that took."""
        last_s = self.first_token_s
        self.first_token_s = last_s + NEWS * (took_s - last_s) if last_s else took_s
        if is_probe and not self.is_closed:
            self._close(now)

    def ended(self) -> None:
        """Take note of a stream that came to its end."""
        if self.is_closed:
            self._good += 1

    def failed(
        self, cause: Cause, now: float, *, advised_s: float | None = None, is_probe: bool = False
    ) -> None:
        """Take note of what went wrong.

        Args:
            cause: What it was.
            now: When.
            advised_s: In how many seconds the provider wants to be asked again.
            is_probe: Whether it was the one request that was let through.
        """
        if cause in OPENING:
            self._open(cause, now, self._opening_s(cause, now, advised_s))
        elif cause in FAILING:
            self._count(cause, now, advised_s, is_probe=is_probe)
        elif is_probe and cause in OF_REQUESTS:
            self._close(now)
        elif is_probe:
            self.left()

    def _count(self, cause: Cause, now: float, advised_s: float | None, *, is_probe: bool) -> None:
        if is_probe:
            self._open(cause, now, advised_s or self._doubled_s(self._cooldown_s, now))
            return
        if not self.is_closed:
            return  # it began before that
        if now - self._window > WINDOW_S:
            self._window, self._good, self._bad = now, 0, 0
        self._bad += 1
        if self._bad >= FAILURES and self._bad >= FAILING_SHARE * (self._good + self._bad):
            self._open(cause, now, advised_s or self._doubled_s(self._cooldown_s, now))

    def _opening_s(self, cause: Cause, now: float, advised_s: float | None) -> float:
        if cause == "no_credit":
            return NO_CREDIT_S
        if cause == "auth":
            return AUTH_S
        return self._doubled_s(RATE_LIMIT_S, now) if advised_s is None else advised_s

    def _doubled_s(self, first_s: float, now: float) -> float:
        """Return how long it is left alone: twice as long as before, if it fails at once again."""
        if not self.is_closed:
            is_at_once = now >= self._until
        else:
            is_at_once = self._closed_at is not None and now - self._closed_at <= self._lasted_s
        if is_at_once:
            self._level += 1
        elif self.is_closed:
            self._level = 0
        return min(first_s * 2.0 ** min(self._level, 20), max(LONGEST_S, first_s))

    def _open(self, cause: Cause, now: float, for_s: float) -> None:
        for_s = min(for_s, LONGEST_ADVISED_S)
        was_open = not self.is_closed and now < self._until
        if was_open and now + for_s <= self._until:
            return
        if self.is_closed:
            self._since = now
        self.is_closed, self.cause = False, cause
        self._until, self._lasted_s = now + for_s, for_s
        self._probe_until = 0.0
        self._good = self._bad = 0

    def _close(self, now: float) -> None:
        self.is_closed, self.cause = True, ""
        self._closed_at = self._since = now
        self._probe_until = 0.0
        self._good = self._bad = 0

    def standing(self, now: float) -> Standing:
        """Return how it stands."""
        state: State = "closed"
        if not self.is_closed:
            state = "open" if now < self._until else "half_open"
        return Standing(
            provider=self.provider,
            model=self.model,
            state=state,
            cause=self.cause,
            since_s=max(now - self._since, 0.0) if self._since else 0.0,
            for_s=self.for_s(now),
            answer_s=self.answer_s,
            first_token_s=self.first_token_s,
        )


class Timed(Health):
    """How long the answers of a model in this process take; it is never away."""

    can_be_away = False

    def failed(
        self, cause: Cause, now: float, *, advised_s: float | None = None, is_probe: bool = False
    ) -> None:
        """Take no note: what fails in this process fails by what it was asked."""
