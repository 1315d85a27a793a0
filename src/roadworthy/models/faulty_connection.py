"""One client's connection to a rehearsal upstream: HTTP/1.1, kept or broken as ordered."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

import httptools
import msgspec

from .faulty_dialects import OPENAI, Dialect, Refused, dialect_of
from .faulty_orders import Fault, Order
from .faulty_replies import (
    REFUSALS,
    ChatRequest,
    Completion,
    Refusal,
    middle_of,
    models_body,
    spoilt_events,
)

FIRST_TOKEN_DELAY_S = 2.0
DRIP_DELAY_S = 0.05
ARRIVE_WITHIN_S = 0.02
"""So long may what was written before a reset take to arrive: a reset throws the rest away."""

REASONS = {
    200: "OK",
    307: "Temporary Redirect",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
    529: "Overloaded",
}
_UNKNOWN_ROUTE = Refusal(404, "invalid_request_error", None, "Unknown route.")


class Received(msgspec.Struct, frozen=True):
    """One request as it arrived; header names are in lower case, `query` follows the path."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    query: str = ""

    def json(self) -> Any:
        """Return the body's JSON."""
        return msgspec.json.decode(self.body)


class Host(Protocol):
    """What a connection needs from the server it belongs to."""

    models: Sequence[str]
    api_key: str | None
    chunks: int | None
    chunk_delay_s: float
    latency_s: float

    def note_opened(self, connection: Connection) -> None:
        """A client has come."""

    def note_closed(self, connection: Connection) -> None:
        """A client has left."""

    def note_received(self, request: Received) -> None:
        """A request is whole."""

    def note_cancelled(self) -> None:
        """A client left before its answer was whole."""

    def take_order(self, model: str) -> Order:
        """Say what to do to the next request for `model`."""

    def complete(self, chat: ChatRequest, order: Order) -> Completion:
        """Say what to answer."""

    def now_s(self) -> int:
        """Say what time it is, in Unix seconds."""


class Connection(asyncio.Protocol):
    """Answers the requests of one connection in turn."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[tuple[Received, bool]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast(asyncio.Transport, transport)
        self._host.note_opened(self)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`; who leaves early cancels what was being answered."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            self._host.note_cancelled()
        self._host.note_closed(self)

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    def on_message_begin(self) -> None:
        """See `httptools.HttpRequestParser`."""
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body = bytearray()

    def on_url(self, url: bytes) -> None:
        """See `httptools.HttpRequestParser`."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """See `httptools.HttpRequestParser`."""
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        """See `httptools.HttpRequestParser`."""
        self._body += body

    def on_message_complete(self) -> None:
        """See `httptools.HttpRequestParser`."""
        method = self._parser.get_method().decode()
        path, _, query = self._url.decode("latin-1").partition("?")
        request = Received(method, path, self._headers, bytes(self._body), query)
        self._waiting.append((request, self._parser.should_keep_alive()))
        self._host.note_received(request)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._answer_waiting())
            self._task.add_done_callback(self._note_end)

    async def _answer_waiting(self) -> None:
        while self._waiting:
            request, keep_alive = self._waiting.popleft()
            await self._answer(request)
            if not keep_alive:
                self._transport.close()

    def _note_end(self, task: asyncio.Task[None]) -> None:
        """Hang up and say so where an `answer` function of a rehearsal has failed."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            failure = {"message": "a rehearsal's answer failed", "exception": error}
            task.get_loop().call_exception_handler(failure)
            self._transport.abort()

    async def _answer(self, request: Received) -> None:
        host = self._host
        dialect = dialect_of(request.method, request.path)
        spoken = dialect or OPENAI
        if host.api_key is not None and spoken.key_of(request.headers) != host.api_key:
            await self._refuse(spoken.refuse(Fault.AUTH_FAILED, Order()))
        elif dialect is not None:
            await self._answer_chat(request, dialect)
        elif (request.method, request.path) == ("GET", "/v1/models"):
            await self._send(200, models_body(host.models, host.now_s()))
        else:
            await self._refuse(Refused(_UNKNOWN_ROUTE.status, _UNKNOWN_ROUTE.body()))

    async def _answer_chat(self, request: Received, dialect: Dialect) -> None:
        try:
            chat = dialect.read(request.path, request.body)
        except (msgspec.DecodeError, LookupError, TypeError, AttributeError) as error:
            await self._refuse(dialect.malformed(str(error)))
            return
        order = self._host.take_order(chat.model)
        if self._host.latency_s:
            await asyncio.sleep(self._host.latency_s)
        if order.fault is not None and order.fault in REFUSALS:
            refused = dialect.refuse(order.fault, order)
            if chat.stream and refused.status == 200:  # some refuse in an answer
                refused = refused._replace(body=b"data: %b\r\n\r\n" % refused.body)
            await self._refuse(refused)
        elif order.fault is Fault.REDIRECT:
            await self._send(307, b"", {"location": order.location or "/elsewhere"})
        elif order.fault in _INSTEAD:
            await _INSTEAD[order.fault](self)
        else:
            await self._complete(chat, order, dialect)

    async def _refuse(self, refused: Refused) -> None:
        await self._send(refused.status, refused.body, refused.headers)

    async def _complete(self, chat: ChatRequest, order: Order, dialect: Dialect) -> None:
        if order.fault is Fault.SLOW_FIRST_TOKEN:
            await asyncio.sleep(_seconds(order, FIRST_TOKEN_DELAY_S))
        completion = self._host.complete(chat, order)
        if chat.stream:
            await self._send_stream(completion, chat, order, dialect)
            return
        body = dialect.whole(completion)
        half = len(body) // 2
        if order.fault is Fault.MALFORMED:
            body = body[:half]
        if order.fault is None:
            await self._send(200, body)
        else:
            await self._write(_head(200, {"content-length": str(len(body))}))
            await self._write_parts([body[:half], body[half:]], 1, order)

    async def _send_stream(
        self, completion: Completion, chat: ChatRequest, order: Order, dialect: Dialect
    ) -> None:
        chunks = 1 if order.fault is Fault.GIANT_BODY else self._host.chunks
        events = dialect.events(completion, chat, chunks)
        middle = middle_of(events, order, dialect.finish)
        spoilt = spoilt_events(events, order, middle, dialect.last)
        parts = [_chunk(event) for event in (*spoilt, b"")]
        headers = {"transfer-encoding": "chunked", "cache-control": "no-cache"}
        await self._write(_head(200, headers, "text/event-stream"))
        await self._write_parts(parts, middle, order)

    async def _write_parts(self, parts: Sequence[bytes], middle: int, order: Order) -> None:
        """Write a body in parts, and where its middle is, do what was ordered there."""
        delay_s = self._host.chunk_delay_s
        if order.fault is None and not delay_s:
            await self._write(b"".join(parts))
            return
        for number, part in enumerate(parts):
            if number == middle and order.fault in _IN_THE_MIDDLE:
                await _IN_THE_MIDDLE[order.fault](self)
                return
            if number and delay_s:
                await asyncio.sleep(delay_s)
            if order.fault is Fault.SLOW_DRIP:
                await self._drip(part, _seconds(order, DRIP_DELAY_S))
            else:
                await self._write(part)

    async def _drip(self, data: bytes, delay_s: float) -> None:
        for place in range(len(data)):
            await self._write(data[place : place + 1])
            await asyncio.sleep(delay_s)

    async def _send(
        self, status: int, body: bytes, headers: Mapping[str, str] | None = None
    ) -> None:
        length = {"content-length": str(len(body))}
        await self._write(_head(status, {**length, **(headers or {})}) + body)

    async def _write(self, data: bytes) -> None:
        self._transport.write(data)
        if not self._writable.is_set():
            await self._writable.wait()

    async def _hang(self) -> None:
        """Wait until the client leaves or the server stops: both cancel."""
        await asyncio.get_running_loop().create_future()

    async def _reset(self) -> None:
        """Leave with a reset instead of a goodbye, as lingering for 0 s does."""
        await asyncio.sleep(ARRIVE_WITHIN_S)
        connection = self._transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    async def _cut(self) -> None:
        self._transport.close()


_INSTEAD = {Fault.HANG: Connection._hang, Fault.RESET: Connection._reset}
_IN_THE_MIDDLE = {
    Fault.RESET_IN_BODY: Connection._reset,
    Fault.STREAM_CUT: Connection._cut,
    Fault.STREAM_STALLED: Connection._hang,
}


def _seconds(order: Order, default_s: float) -> float:
    return default_s if order.delay_s is None else order.delay_s


def _head(status: int, headers: Mapping[str, str], content_type: str = "application/json") -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 {status} {REASONS[status]}\r\ncontent-type: {content_type}\r\n{lines}\r\n"
    return head.encode("latin-1")


def _chunk(data: bytes) -> bytes:
    """Return `data` as one chunk of a chunked body; the empty one is its end."""
    return b"%x\r\n%b\r\n" % (len(data), data)
