"""A real server of models on this machine that misbehaves on order: for tests and drills."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from ..types import MICRO, Clock, SystemClock
from .faulty_connection import Connection, Received
from .faulty_orders import Fault, Order, Orders
from .faulty_replies import (
    ChatRequest,
    Completion,
    Messages,
    Said,
    ToolUse,
    count_words,
    echo,
    usage_of,
    words_of,
)

__all__ = ["Fault", "FaultyUpstream", "Order", "Received", "ToolUse"]

KEPT_REQUESTS = 1_000
START_WITHIN_S = 10.0

_HALVES = {Fault.TRUNCATED: "length", Fault.CONTENT_FILTERED: "content_filter"}
_MISCOUNTS = {Fault.USAGE_ZERO: 0, Fault.USAGE_ABSURD: 10**15, Fault.USAGE_NEGATIVE: -5}


class FaultyUpstream:
    """Serves chats on 127.0.0.1, in a thread with its own loop.

    It speaks OpenAI's `/v1/chat/completions` (and `/v1/models`), Anthropic's `/v1/messages` and
    Gemini's `/v1/models/NAME:generateContent` and `:streamGenerateContent`: all three are below
    its `base_url`, and every order holds in each.

    In its good mood every answer is right: text, usage (a word is a token), id, finish reason.
    Orders change that: `next` for one request, `always` for all, `sometimes` for a share of them;
    each for all models or for one. It keeps what it was asked, so that a test can say what reached
    it. Start and stop it with `with`; stopped and started again, it keeps its port, its orders and
    its counts.

    Args:
        answer: What it says: a text, or a function of the messages (in OpenAI's shape, whatever
            they came in) that gives a text or what tools are to be called; by default an `echo`.
        models: What `/v1/models` lists; it answers for any name.
        api_key: The key it wants; None takes any.
        chunks: Into how many pieces a streamed text is cut; None cuts one per word.
        chunk_delay_s: Seconds between two chunks of a stream; at 0 they are one write.
        latency_s: Seconds before every answer.
        caches: Whether it counts the beginning of a chat as cached when it has met it before: of
            Anthropic what is marked, of the others the system's message.
        seed: Of the draws that `sometimes` makes.
        port: 0 takes a free one.

    Attributes:
        requests: The last 1,000 requests, the newest last.
        received: How many requests came.
        cancelled: How many of them their client left before the answer was whole.
        accepted: How many connections there ever were.
    """

    def __init__(
        self,
        *,
        answer: str | Callable[[Messages], Said] = echo,
        models: Sequence[str] = ("rehearsal",),
        api_key: str | None = None,
        chunks: int | None = None,
        chunk_delay_s: float = 0.0,
        latency_s: float = 0.0,
        caches: bool = False,
        seed: int = 0,
        port: int = 0,
        clock: Clock | None = None,
    ) -> None:
        self._answer = answer
        self.models = models
        self.api_key = api_key
        self.chunks = chunks
        self.chunk_delay_s = chunk_delay_s
        self.latency_s = latency_s
        self._caches = caches
        self._cached: set[tuple[str, str]] = set()
        self.port = port
        self._clock = clock or SystemClock()
        self.requests: deque[Received] = deque(maxlen=KEPT_REQUESTS)
        self.received = 0
        self.cancelled = 0
        self.accepted = 0
        self._orders = Orders(seed)
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._ready = threading.Event()
        self._open: set[Connection] = set()

    @property
    def connections(self) -> int:
        """How many connections are open now."""
        return len(self._open)

    @property
    def base_url(self) -> str:
        """The address a client is given, with `/v1`."""
        return f"http://127.0.0.1:{self.port}/v1"

    def next(self, *faults: Fault | None, model: str = "", **details: Any) -> None:
        """Give the next requests one fault each, None lets one pass; `details` go to `Order`."""
        self._orders.add_next([Order(fault=fault, **details) for fault in faults], model)

    def always(self, fault: Fault | None, *, model: str = "", **details: Any) -> None:
        """Give `fault` to every request from now on; None is the good mood again."""
        self._orders.set_always(Order(fault=fault, **details), model)

    def sometimes(self, fault: Fault, share: float, *, model: str = "", **details: Any) -> None:
        """Give `fault` to a `share` (0 to 1) of the requests that no other order is for."""
        self._orders.add_share(Order(fault=fault, **details), share, model)

    def behave(self) -> None:
        """Forget all orders."""
        self._orders.forget()

    def wait_until(
        self, condition: Callable[[FaultyUpstream], bool], within_s: float = 5.0
    ) -> None:
        """Block until `condition` holds of what was counted; from a coroutine, call it in a thread.

        Raises:
            TimeoutError: It did not within `within_s`.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: condition(self), within_s):
                raise TimeoutError(
                    f"not within {within_s} s; received {self.received}, cancelled "
                    f"{self.cancelled}, open connections {self.connections}"
                )

    def start(self) -> Self:
        """Listen, and return itself.

        Raises:
            OSError: The port is taken.
        """
        listener = socket.create_server(("127.0.0.1", self.port), backlog=1024)
        self.port = listener.getsockname()[1]
        self._ready.clear()
        self._thread = threading.Thread(
            target=asyncio.run, args=(self._serve(listener),), name="faulty-upstream", daemon=True
        )
        self._thread.start()
        if not self._ready.wait(START_WITHIN_S):
            raise TimeoutError(f"the upstream did not start within {START_WITHIN_S} s")
        return self

    def stop(self) -> None:
        """Close every connection and end the thread; stopping twice does nothing."""
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()
            self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    async def _serve(self, listener: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        server = await self._loop.create_server(lambda: Connection(self), sock=listener)
        self._ready.set()
        await self._stopping.wait()
        server.close()
        while self._open:
            for connection in self._open:
                connection.abort()
            await asyncio.sleep(0)
        await server.wait_closed()

    def note_opened(self, connection: Connection) -> None:
        """See `Host`."""
        with self._changed:
            self._open.add(connection)
            self.accepted += 1
            self._changed.notify_all()

    def note_closed(self, connection: Connection) -> None:
        """See `Host`."""
        with self._changed:
            self._open.discard(connection)
            self._changed.notify_all()

    def note_received(self, request: Received) -> None:
        """See `Host`."""
        with self._changed:
            self.received += 1
            self.requests.append(request)
            self._changed.notify_all()

    def note_cancelled(self) -> None:
        """See `Host`."""
        with self._changed:
            self.cancelled += 1
            self._changed.notify_all()

    def take_order(self, model: str) -> Order:
        """See `Host`."""
        return self._orders.take(model)

    def now_s(self) -> int:
        """See `Host`."""
        return self._clock.now_us() // MICRO

    def complete(self, chat: ChatRequest, order: Order) -> Completion:
        """See `Host`."""
        words, uses = self._said(chat, order)
        finish_reason = "tool_calls" if uses else "stop"
        if chat.most_words is not None and len(words) > chat.most_words:
            words, finish_reason = words[: chat.most_words], "length"
        if order.fault in _HALVES:
            words, finish_reason = words[: len(words) // 2], _HALVES[order.fault]
        return Completion(
            id=f"chatcmpl-{self.received:012x}",
            model=chat.model,
            created=self.now_s(),
            words=words,
            finish_reason=finish_reason,
            usage=self._usage(chat, order, len(words) + len(uses)),
            tool_uses=uses,
            is_counted_twice=order.fault is Fault.USAGE_DOUBLED,
        )

    def _usage(self, chat: ChatRequest, order: Order, written: int) -> dict[str, Any] | None:
        sent = count_words(chat.messages)
        if order.fault is Fault.USAGE_MISSING:
            return None
        if order.fault in _MISCOUNTS:
            return usage_of(_MISCOUNTS[order.fault], _MISCOUNTS[order.fault])
        if order.fault is Fault.USAGE_IMPOSSIBLE:
            return usage_of(sent, written, cached=sent + 1)
        if not self._caches or not chat.static:
            return usage_of(sent, written)
        kept, tokens = (chat.model, chat.static), len(chat.static.split())
        is_known = kept in self._cached
        self._cached.add(kept)
        return usage_of(sent, written, tokens if is_known else 0, 0 if is_known else tokens)

    def _said(self, chat: ChatRequest, order: Order) -> tuple[Sequence[str], Sequence[ToolUse]]:
        if order.fault is Fault.GIANT_BODY:
            return ["a" * order.size_bytes], ()
        said = self._answer if isinstance(self._answer, str) else self._answer(chat.messages)
        if isinstance(said, str):
            return words_of(said), ()
        return (), (said,) if isinstance(said, ToolUse) else tuple(said)
