"""uvicorn's HTTP connection with what it lacks: limits on a head, and it notices who left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

MAX_HEADER_BYTES = 32 * 1024
HEADER_TIMEOUT_S = 10.0
BODY_TIMEOUT_S = 30.0

_IDLE, _HEAD, _BODY = range(3)

_CLOSE = b"\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large" + _CLOSE
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout" + _CLOSE


Headers = list[tuple[bytes, bytes]]

DIRECT = "roadworthy.direct"


class Direct:
    """A way around ASGI's messages for requests and responses that are whole.

    The data plane finds it in the scope and saves two awaits, four dictionaries and a check of
    every header with two regular expressions; under another server it is not there, and nothing
    changes.
    """

    __slots__ = ("_cycle",)

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle

    def body(self) -> bytes | None:
        """Return the body if it has arrived whole."""
        cycle = self._cycle
        if cycle.more_body or cycle.waiting_for_100_continue or cycle.disconnected:
            return None
        return bytes(cycle.body)

    def respond(self, status: int, headers: Headers, body: bytes) -> None:
        """Send a whole response in one write.

        Raises:
            ValueError: A header's value would begin a new line.
        """
        cycle = self._cycle
        if cycle.disconnected:
            return
        length = b"content-length: %d\r\n\r\n" % len(body)
        head = self._head(status, headers)
        content = b"" if cycle.scope["method"] == "HEAD" else body
        cycle.transport.write(b"".join((head, length, content)))
        self._end()

    async def stream(
        self, status: int, headers: Headers, first: bytes, events: AsyncGenerator[bytes, None]
    ) -> None:
        """Send a response in chunks as they come, no faster than the client reads.

        Raises:
            ValueError: A header's value would begin a new line.
        """
        cycle = self._cycle
        write, flow = cycle.transport.write, cycle.flow
        async with aclosing(events):
            head = self._head(status, headers)
            write(b"%stransfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (head, len(first), first))
            async for event in events:
                write(b"%x\r\n%s\r\n" % (len(event), event))
                if flow.write_paused:
                    await flow.drain()
        if not cycle.disconnected:
            write(b"0\r\n\r\n")
            self._end()

    def _head(self, status: int, headers: Headers) -> bytes:
        cycle = self._cycle
        lines = [b"%s: %s\r\n" % header for header in headers]
        if not cycle.keep_alive:
            lines.append(b"connection: close\r\n")
        head = b"".join(lines)
        if head.count(b"\n") != len(lines) or head.count(b"\r") != len(lines):
            raise ValueError("a header's value holds a line break")
        cycle.response_started = True
        return STATUS_LINE[status] + head

    def _end(self) -> None:
        cycle = self._cycle
        cycle.response_complete = True
        cycle.message_event.set()
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()


class Connection(HttpToolsProtocol):
    """One client's connection.

    A request's head must be small and arrive in time, its body must not stall, and when the client
    goes away its request is cancelled, so that nothing is computed and paid for nobody.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._stage = _IDLE
        self._head_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._idle_since = self.loop.time()
        self._idle_timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._timer = self.loop.call_later(HEADER_TIMEOUT_S, self._time_out)
        self._look_for_idleness(self.timeout_keep_alive)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel what still works for this client."""
        self._stop_timer()
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        is_done = self.cycle is None or self.cycle.response_complete
        super().connection_lost(exc)
        if self._task is not None and not is_done:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        """Feed the parser, then see to it that what has begun also ends, in size and in time."""
        self._head_bytes += len(data)
        stage = self._stage
        super().data_received(data)
        if self._stage == _HEAD and self._head_bytes > MAX_HEADER_BYTES:
            self._refuse(_TOO_LARGE)
        elif self._stage != stage or self._timer is not None:
            self._watch(stage)

    def _watch(self, stage: int) -> None:
        if self._stage == _IDLE:
            self._stop_timer()
        elif self._stage != stage or self._timer is None:
            self._stop_timer()
            limit_s = HEADER_TIMEOUT_S if self._stage == _HEAD else BODY_TIMEOUT_S
            self._timer = self.loop.call_later(limit_s, self._time_out)

    def on_message_begin(self) -> None:
        """A head begins."""
        self._stage = _HEAD
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is whole; the body follows.

        Raises:
            ValueError: The head came whole and is too large; the parser stops at it.
        """
        if self._head_bytes > MAX_HEADER_BYTES:  # of which a part may be the body
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if size > MAX_HEADER_BYTES:
                self._refuse(_TOO_LARGE)
                raise ValueError("the head is too large")
        self._stage = _BODY
        self._head_bytes = 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is whole; from here on its deadline counts."""
        self._stage = _IDLE
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on with what was pipelined, or wait: one timer a connection, not one a response."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        self._idle_since = self.loop.time()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)

    def _look_for_idleness(self, wait_s: float) -> None:
        self._idle_timer = self.loop.call_later(wait_s, self._close_if_idle)

    def _close_if_idle(self) -> None:
        is_busy = self._stage != _IDLE or (self.cycle and not self.cycle.response_complete)
        left_s = self.timeout_keep_alive - (self.loop.time() - self._idle_since)
        if is_busy or left_s > 0:
            self._look_for_idleness(max(left_s, 1.0))
        elif not self.transport.is_closing():
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, unless it was refused for something else already."""
        if not self.transport.is_closing():
            super().send_400_response(msg)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        cast("dict[str, Any]", cycle.scope)[DIRECT] = Direct(cycle)
        self._task = self.loop.create_task(cycle.run_asgi(app))
        self._task.add_done_callback(self.tasks.discard)
        self.tasks.add(self._task)

    def _time_out(self) -> None:
        self._timer = None
        self._refuse(_TOO_SLOW)

    def _refuse(self, response: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(response)
            self.transport.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
