"""Retries: whether the same model is asked once more, after how long, and how often in all."""

from __future__ import annotations

from typing import Literal

import msgspec

from ..errors import Cause, ModelError

Order = Literal["declared", "weighted", "fastest"]
Truncated = Literal["mark", "next", "continue"]

FIRST_WAIT_S = 0.05
LONGEST_WAIT_S = 2.0
SHORT_S = 0.25
"""A rate limit that is over as soon as this is waited for although another model could be asked."""
MOST_SAVED = 50.0
ALWAYS = 3.0
"""So many retries are allowed whatever the traffic, and one more every few seconds."""
ALWAYS_EVERY_S = 5.0

PASSING: frozenset[Cause] = frozenset({"connection", "server"})
"""Causes that may be gone in a moment; a rate limit says itself when it is."""


class RetryBudget:
    """How often models are asked again: a share of the requests, so that an outage stays small.

    A request saves a share of a retry; beside that a few are always allowed, for a service that is
    asked rarely.

    Args:
        share: Retries for each request (0-1).

    Attributes:
        asked: Requests so far; whoever asks counts.
        refused: Retries that were not made for want of it.
    """

    def __init__(self, share: float) -> None:
        self.asked = 0
        self.refused = 0
        self._share = share
        self._seen = 0
        self._saved = 0.0
        self._always = ALWAYS
        self._at: float | None = None

    def take(self, now: float) -> bool:
        """Take one retry, if there is one; `now` is in monotonic seconds."""
        self._saved = min(self._saved + (self.asked - self._seen) * self._share, MOST_SAVED)
        self._seen = self.asked
        if self._at is not None:
            self._always = min(self._always + max(now - self._at, 0) / ALWAYS_EVERY_S, ALWAYS)
        self._at = now
        if self._saved >= 1:
            self._saved -= 1
        elif self._always >= 1:
            self._always -= 1
        else:
            self.refused += 1
            return False
        return True


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """What a chain does when a model does not answer.

    Attributes:
        order: Of the tries, where no router says otherwise.
        retries: How often one model is asked again.
        budget: How often all of them are.
        restart_streams: Whether a stream that broke off begins anew with the next model.
        truncated: `next` lets an answer that was cut off count as a failed try, too.
        reasks: Whether a model is asked once more for JSON that broke its schema.
    """

    order: Order = "declared"
    retries: int = 0
    budget: RetryBudget = msgspec.field(default_factory=lambda: RetryBudget(0.0))
    restart_streams: bool = False
    truncated: Truncated = "mark"
    reasks: bool = False


def wait_before_retry_s(
    error: ModelError, retry: int, draw: float, *, is_last: bool
) -> float | None:
    """Return how long to wait before the same model is asked again; None where that is no use.

    Args:
        error: What went wrong.
        retry: How often it was asked again before.
        draw: A random number in [0, 1), so that not all that failed together comes back together.
        is_last: Whether there is no other model to ask.

    >>> from roadworthy.errors import ModelRateLimited, ModelRejected, ModelUnavailable
    >>> [wait_before_retry_s(ModelUnavailable("down"), n, 1.0, is_last=False) for n in (0, 1, 9)]
    [0.05, 0.1, 2.0]
    >>> wait_before_retry_s(ModelRateLimited("slow", retry_after_s=4), 0, 0.0, is_last=True)
    4.0
    >>> wait_before_retry_s(ModelRejected("too long"), 0, 0.5, is_last=True) is None
    True
    """
    if error.cause in PASSING:
        whole_s = min(FIRST_WAIT_S * 2.0**retry, LONGEST_WAIT_S)
        wait_s = whole_s * (0.5 + draw / 2)
        return wait_s if error.retry_after_s is None else max(wait_s, error.retry_after_s)
    advised_s = error.retry_after_s
    if error.cause == "rate_limit" and advised_s is not None and (is_last or advised_s <= SHORT_S):
        return advised_s + draw * FIRST_WAIT_S
    return None
