"""What can go wrong upstream, and who is to suffer it next."""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Iterable
from enum import StrEnum

import msgspec


class Fault(StrEnum):
    """What can go wrong upstream.

    Each holds for streamed and whole answers alike; only a missing `[DONE]` and a missing finish
    leave a whole answer good.
    """

    RATE_LIMITED = "rate_limited"
    """429 with Retry-After (`retry_after_s`)."""
    RATE_LIMITED_WITHOUT_ADVICE = "rate_limited_without_advice"
    """429 without Retry-After."""
    SERVER_ERROR = "server_error"
    """500."""
    UNAVAILABLE = "unavailable"
    """503."""
    FLAPPING = "flapping"
    """503 every other time, from the first on."""
    AUTH_FAILED = "auth_failed"
    """401."""
    REJECTED = "rejected"
    """400: this upstream does not take the request as it stands."""
    CONTEXT_TOO_LONG = "context_too_long"
    """400 with code `context_length_exceeded`."""
    CONTENT_REFUSED = "content_refused"
    """400 with code `content_filter`."""
    CONTENT_FILTERED = "content_filtered"
    """Half an answer, with finish reason `content_filter`."""
    TRUNCATED = "truncated"
    """Half an answer, with finish reason `length`."""
    RESET = "reset"
    """The connection is reset before any answer."""
    RESET_IN_BODY = "reset_in_body"
    """The connection is reset in the middle of the answer."""
    HANG = "hang"
    """No answer at all."""
    SLOW_FIRST_TOKEN = "slow_first_token"  # noqa: S105 - a token of text
    """A good answer, `delay_s` late."""
    STREAM_CUT = "stream_cut"
    """The connection is closed in the middle of the answer."""
    STREAM_STALLED = "stream_stalled"
    """The answer begins and never goes on."""
    MALFORMED = "malformed"
    """A chunk in the middle is not JSON and the stream goes on; or the body is half of its JSON."""
    NO_DONE = "no_done"
    """A good stream that ends without `[DONE]`."""
    NO_FINISH = "no_finish"
    """A stream that ends in good order, but in the middle of the text."""
    USAGE_MISSING = "usage_missing"
    """A good answer that counts no tokens."""
    USAGE_ZERO = "usage_zero"
    """A good answer that counts 0 tokens."""
    USAGE_ABSURD = "usage_absurd"
    """A good answer that counts 10^15 tokens each way."""
    USAGE_NEGATIVE = "usage_negative"
    """A good answer that counts fewer than no tokens each way."""
    USAGE_IMPOSSIBLE = "usage_impossible"
    """A good answer that counts more cached tokens than it had input."""
    USAGE_DOUBLED = "usage_doubled"
    """A good stream that counts its tokens twice; a whole answer is as ever."""
    REDIRECT = "redirect"
    """307 to `location`."""
    GIANT_BODY = "giant_body"
    """A text of `size_bytes`, streamed in one chunk."""
    SLOW_DRIP = "slow_drip"
    """A good answer, one byte every `delay_s`."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A fault with its details; None is the good mood.

    Attributes:
        retry_after_s: What `RATE_LIMITED` advises.
        delay_s: How late `SLOW_FIRST_TOKEN` is (by default 2), how slow `SLOW_DRIP` is (0.05).
        after_chunks: After how many chunks of a stream its middle is.
        location: Where `REDIRECT` leads; by default to `/elsewhere` on this server.
        size_bytes: How long `GIANT_BODY` is.
    """

    fault: Fault | None = None
    retry_after_s: float = 1.0
    delay_s: float | None = None
    after_chunks: int = 3
    location: str = ""
    size_bytes: int = 80 * 1024 * 1024


GOOD = Order()


class Orders:
    """What to do to whom: the next of a queue, else what always holds, else by lot."""

    def __init__(self, seed: int) -> None:
        self._lock = threading.Lock()
        self._random = random.Random(seed)  # noqa: S311 - a schedule of faults, not a secret
        self.forget()

    def forget(self) -> None:
        """Have no orders."""
        with self._lock:
            self._next: dict[str, deque[Order]] = {}
            self._always: dict[str, Order] = {}
            self._shares: list[tuple[str, float, Order]] = []
            self._flaps = 0

    def add_next(self, orders: Iterable[Order], model: str) -> None:
        """Queue `orders` for `model`, or for all when it is empty."""
        with self._lock:
            self._next.setdefault(model, deque()).extend(orders)

    def set_always(self, order: Order, model: str) -> None:
        """Have one standing order for `model`, or for all when it is empty."""
        with self._lock:
            self._always[model] = order

    def add_share(self, order: Order, share: float, model: str) -> None:
        """Draw `order` for a share of the requests."""
        with self._lock:
            self._shares.append((model, share, order))

    def take(self, model: str) -> Order:
        """Return the order for a request to `model`; one for that model goes first."""
        with self._lock:
            order = self._find(model)
            if order.fault is Fault.FLAPPING:
                self._flaps += 1
                return order if self._flaps % 2 else GOOD
            return order

    def _find(self, model: str) -> Order:
        for name in (model, ""):
            if queue := self._next.get(name):
                return queue.popleft()
        for name in (model, ""):
            if name in self._always:
                return self._always[name]
        for name, share, order in self._shares:
            if name in (model, "") and self._random.random() < share:
                return order
        return GOOD
