"""uvicorn's HTTP connection with what it lacks: limits, a short way in, and it notices who left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Protocol, cast

import msgspec
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from ..errors import PayloadTooLarge, RequestError, RoadworthyError
from ..net import Outbox
from .draining import DRAIN_S
from .envelope import envelope_of

MAX_HEADER_BYTES = 32 * 1024
HEADER_TIMEOUT_S = 10.0
BODY_TIMEOUT_S = 30.0

_IDLE, _HEAD, _BODY = range(3)


def _refusal(status: int, error: RoadworthyError) -> bytes:
    """Return a whole response to what is no whole request, with the envelope of every error."""
    envelope = envelope_of(error)
    body = msgspec.json.encode(envelope)
    head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
    return STATUS_LINE[status] + head % len(body) + body


_TOO_LARGE = _refusal(
    431,
    PayloadTooLarge(
        f"head: expected at most {MAX_HEADER_BYTES} bytes, got more; send fewer or shorter headers"
    ),
)
_TOO_SLOW = _refusal(
    408,
    RequestError(
        f"request: expected its head within {HEADER_TIMEOUT_S:.0f} s and its body within "
        f"{BODY_TIMEOUT_S:.0f} s, got a part; send it again, whole"
    ),
)
_NO_HTTP = _refusal(
    400, RequestError("request: expected HTTP/1.1, got what cannot be read as that")
)


Headers = list[tuple[bytes, bytes]]

SMALL_BODY_BYTES = 64 * 1024

CYCLE = "roadworthy.cycle"
"""Where a scope says whether its client has left."""
_NEVER_WAITED_FOR = asyncio.Event()


class Exchange:
    """One request of the data plane that has arrived whole, and the way its response goes back.

    uvicorn would make of it a scope, a cycle and four messages, and check each header with two
    regular expressions: as much work again as all that is enforced. To uvicorn's own connection,
    which orders what is pipelined and drains at the end, it looks like such a cycle.

    Attributes:
        headers: Names in lower case; none comes twice.
    """

    __slots__ = (
        *("_flow", "_on_response", "_outbox", "_transport", "body", "disconnected", "headers"),
        *("keep_alive", "message_event", "path", "response_complete", "response_started"),
    )

    def __init__(self, connection: Connection, headers: dict[bytes, bytes], path: str) -> None:
        self.path = path
        self.headers = headers
        self.body = b""
        self.disconnected = False
        self.response_complete = False
        self.response_started = False
        self.keep_alive = connection.parser.should_keep_alive()
        self.message_event = _NEVER_WAITED_FOR
        self._outbox = connection.plane.outbox
        self._transport = connection.transport
        self._flow = connection.flow
        self._on_response = connection.on_response_complete

    def respond(self, status: int, headers: Headers, body: bytes) -> None:
        """Send a whole response in one write.

        Raises:
            ValueError: A header's value would begin a new line.
        """
        if self.disconnected:
            return
        head = self._head(status, headers)
        self._write(b"%scontent-length: %d\r\n\r\n%s" % (head, len(body), body))
        self._end()

    async def stream(
        self, status: int, headers: Headers, first: bytes, events: AsyncGenerator[bytes, None]
    ) -> None:
        """Send a response in chunks as they come, no faster than the client reads.

        Raises:
            ValueError: A header's value would begin a new line.
        """
        write, flow = self._write, self._flow
        self.response_started = True
        async with aclosing(events):
            head = self._head(status, headers)
            write(b"%stransfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (head, len(first), first))
            async for event in events:
                if self.disconnected:
                    return
                write(b"%x\r\n%s\r\n" % (len(event), event))
                if flow.write_paused:
                    await flow.drain()
        if not self.disconnected:
            write(b"0\r\n\r\n")
            self._end()

    def abort(self) -> None:
        """Drop the connection: a response has begun and cannot be ended."""
        self._transport.close()

    def _write(self, data: bytes) -> None:
        self._outbox.write(self._transport, data)

    def _head(self, status: int, headers: Headers) -> bytes:
        lines = [STATUS_LINE[status]]
        lines += [b"%s: %s\r\n" % header for header in headers]
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        head = b"".join(lines)
        if head.count(b"\n") != len(lines) or head.count(b"\r") != len(lines):
            raise ValueError("a header's value holds a line break")
        return head

    def _end(self) -> None:
        self.response_complete = True
        if not self.keep_alive:
            self._outbox.flush()
            self._transport.close()
        self._on_response()


class DataPlane(Protocol):
    """What answers exchanges: the ASGI app that a connection is given is one.

    Attributes:
        outbox: Through which the responses go out.
    """

    outbox: Outbox

    def knows(self, headers: Mapping[bytes, bytes]) -> bool:
        """Whether a request with these headers may keep us waiting for the rest of its body."""

    async def serve(self, exchange: Exchange) -> None:
        """Answer one request that has arrived whole; ends early if its client leaves."""


class Connection(HttpToolsProtocol):
    """One client's connection.

    A request's head must be small and arrive in time, its body must not stall, and when the client
    goes away its request is cancelled, so that nothing is computed and paid for nobody. A small
    POST to the data plane becomes an `Exchange`; everything else goes uvicorn's way, as ASGI.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._stage = _IDLE
        self._head_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._idle_since = self.loop.time()
        self._idle_timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._arriving: Exchange | None = None
        self.plane = cast("DataPlane", self.app)

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
        if self._task is None or is_done:
            return
        if self.cycle.response_started:  # a stream: for a moment it is read on, for its count
            self.loop.call_later(DRAIN_S, self._task.cancel)
        else:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        """Feed the parser, then see to it that what has begun also ends, in size and in time."""
        self._head_bytes += len(data)
        stage = self._stage
        super().data_received(data)
        if self._arriving is not None:
            self._ask_who(self._arriving)
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
        """A head begins. Its scope is made when it is known that it needs one."""
        self._stage = _HEAD
        self.url = b""
        self.headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header."""
        self.headers.append((name.lower(), value))

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
        self._arriving = self._exchange()
        if self._arriving is not None:
            self.cycle = cast("RequestResponseCycle", self._arriving)
        else:
            self._begin_cycle()

    def _exchange(self) -> Exchange | None:
        """Return an exchange for what is plainly a small POST to the data plane, else None."""
        url = self.url
        if not url.startswith((b"/v1/", b"/v2/")) or b"?" in url or b"%" in url or b"#" in url:
            return None
        if self.cycle is not None and not self.cycle.response_complete:
            return None
        headers = dict(self.headers)
        length = headers.get(b"content-length", b"")
        is_plain = (
            self.parser.get_method() == b"POST"
            and self.parser.get_http_version() == "1.1"
            and len(headers) == len(self.headers)
            and length.isdigit()
            and len(length) < 7
            and int(length) <= SMALL_BODY_BYTES
            and b"expect" not in headers
            and not self.parser.should_upgrade()
        )
        return Exchange(self, headers, url.decode("ascii")) if is_plain else None

    def _ask_who(self, arriving: Exchange) -> None:
        """Wait for the rest of a body only if it is known whose it is; else refuse it by ASGI."""
        if not self.plane.knows(arriving.headers):
            self._arriving = None
            self.cycle = None  # type: ignore[assignment]
            self._begin_cycle()
            super().on_body(arriving.body)

    def _begin_cycle(self) -> None:
        """Make of the head what ASGI wants."""
        url, headers = self.url, self.headers
        super().on_message_begin()
        self.url = url
        for name, value in headers:
            super().on_header(name, value)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body has come."""
        if self._arriving is None:
            super().on_body(body)
        else:
            self._arriving.body += body

    def on_message_complete(self) -> None:
        """The request is whole; from here on its deadline counts."""
        self._stage = _IDLE
        self._head_bytes = 0  # what came of a body is no part of the next head
        exchange = self._arriving
        if exchange is None:
            super().on_message_complete()
            return
        self._arriving = None
        self._task = self.loop.create_task(self.plane.serve(exchange))

    def on_response_complete(self) -> None:
        """Go on with what was pipelined, or wait: one timer a connection, not one a response."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.flow.read_paused:
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
        self._refuse(_NO_HTTP)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        cast("dict[str, Any]", cycle.scope)[CYCLE] = cycle
        self._task = self.loop.create_task(cycle.run_asgi(app))
        self._task.add_done_callback(self.tasks.discard)
        self.tasks.add(self._task)

    def shutdown(self) -> None:
        """Begin to drain: what has been answered goes out before an idle connection is closed."""
        self.plane.outbox.flush()
        super().shutdown()

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
