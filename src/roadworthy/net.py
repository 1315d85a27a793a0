"""Outgoing HTTP/1.1: one pool of connections per upstream, on asyncio and httptools.

Written here because a request whose caller is gone must stop upstream too: money is spent there. Of
the clients that were measured, the one that is cheap enough goes on with a cancelled request until
its timeout (docs/decisions/0001). Redirects are never followed: a declared host it is.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, cast
from urllib.parse import urlsplit

import httptools

from .errors import BadAnswer, ModelError, ModelTimeout, ModelUnavailable

CONNECT_TIMEOUT_S = 5.0
IDLE_S = 30.0
RESTED_S = 1.0
MAX_HEAD_BYTES = 64 * 1024
MAX_REPLY_BYTES = 64 * 1024 * 1024
_BUFFER_BYTES = 256 * 1024


RawHeaders = list[tuple[bytes, bytes]]
_NONE: Mapping[str, str] = {}


class Outbox:
    """Writes at the end of a turn of the loop what was to be written during it.

    Under load a turn serves many requests. Written one by one, each wakes whoever waits for it on
    another core, which on a virtual machine costs more than the write; together they cost 8 us of
    120 a request less (bench/gateway.py). A turn that serves one request loses nothing.
    """

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: list[tuple[asyncio.Transport, bytes]] = []

    def write(self, transport: asyncio.Transport, data: bytes) -> None:
        """Write `data` soon, in the order of the calls."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self.flush)
        self._waiting.append((transport, data))

    def flush(self) -> None:
        """Write now what waits; what is for a connection that was closed is dropped."""
        waiting, self._waiting = self._waiting, []
        for transport, data in waiting:
            if not transport.is_closing():
                transport.write(data)


class Reply:
    """What an upstream answered: status, headers (names in lower case) and the whole body."""

    __slots__ = ("_headers", "body", "status")

    def __init__(self, status: int, headers: RawHeaders, body: bytes) -> None:
        self.status = status
        self.body = body
        self._headers = headers

    @property
    def headers(self) -> Mapping[str, str]:
        """Its headers, decoded only for who asks: of a good answer nobody does."""
        return _read_headers(self._headers)


class StreamReply:
    """An upstream's answer that is still coming."""

    __slots__ = ("_connection", "_headers", "status")

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection
        self._headers = connection.headers
        self.status = connection.status

    @property
    def headers(self) -> Mapping[str, str]:
        """Its headers, names in lower case."""
        return _read_headers(self._headers)

    async def read(self) -> bytes:
        """Read all that is left."""
        return await self._connection.read_all()

    async def read_chunk(self) -> bytes:
        """Return what has arrived of the body, or wait for more; empty at its end.

        Raises:
            ModelUnavailable: The connection broke.
            BadAnswer: What arrived is not HTTP, or too much of it.
        """
        return await self._connection.read()


class HttpClient:
    """A pool of connections to one base URL.

    Args:
        base_url: For example `https://api.openai.com/v1`.
        headers: Sent with every request; the key goes in here and nowhere else.
        max_connections: Requests beyond it wait for a connection until their deadline.
    """

    def __init__(
        self, base_url: str, headers: Mapping[str, str], max_connections: int = 512
    ) -> None:
        url = urlsplit(base_url)
        self._host = url.hostname or ""
        self._tls = ssl.create_default_context() if url.scheme == "https" else None
        self._port = url.port or (443 if self._tls else 80)
        self._path = url.path.rstrip("/")
        lines = [f"host: {url.netloc.rpartition('@')[2]}", "user-agent: roadworthy"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._head = ("\r\n".join(lines) + "\r\ncontent-length: ").encode("latin-1")
        self._max_connections = max_connections
        self._open = 0
        self._outbox = Outbox()
        self._idle: deque[_Connection] = deque()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_closed = False

    async def post(self, path: str, body: bytes) -> Reply:
        """Send `body` and read the whole reply; see `request`."""
        return await self.request("POST", path, body)

    async def request(self, method: str, path: str, body: bytes = b"") -> Reply:
        """Send a request and read the whole reply.

        Raises:
            ModelUnavailable: No connection, or it broke.
            ModelTimeout: No connection in time.
            BadAnswer: What arrived is not HTTP, or too much of it.
        """
        connection = await self._send(method, path, body)
        try:
            content = await connection.read_all()
            return Reply(connection.status, connection.headers, content)
        finally:
            self._give_back(connection)

    @asynccontextmanager
    async def stream(
        self, path: str, body: bytes, headers: Mapping[str, str] = _NONE
    ) -> AsyncIterator[StreamReply]:
        """Send `body` and hand out the reply while it comes; leaving the block ends it.

        Args:
            path: Below the base URL.
            body: What is sent.
            headers: Those of this request alone.

        Raises:
            ModelUnavailable, ModelTimeout, BadAnswer: As `request` does.
        """
        connection = await self._send("POST", path, body, headers)
        try:
            yield StreamReply(connection)
        finally:
            self._give_back(connection)

    async def _send(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str] = _NONE
    ) -> _Connection:
        """Send a request and wait for the head of its reply.

        A connection that lay idle may be closed by the upstream while the request is on its way; if
        not a byte came back, the request is sent once more. One that was just in use has no such
        excuse, and a second request might be paid twice.
        """
        own = "".join(f"{name}: {value}\r\n" for name, value in headers.items()) if headers else ""
        request = b"%s %s%s HTTP/1.1\r\n%s%s%d\r\n\r\n%s" % (
            method.encode(),
            self._path.encode(),
            path.encode(),
            own.encode("latin-1"),
            self._head,
            len(body),
            body,
        )
        while True:
            connection = await self._take()
            has_rested = connection.has_rested(time.monotonic())
            try:
                connection.send(request, self._outbox)
                await connection.read_head()
            except ModelUnavailable:
                may_repeat = has_rested and not connection.has_answered
                self._give_back(connection)
                if not may_repeat:
                    raise
            except BaseException:
                self._give_back(connection)
                raise
            else:
                return connection

    async def _take(self) -> _Connection:
        while True:
            while self._idle:
                connection = self._idle.pop()
                if connection.is_usable(time.monotonic()):
                    return connection
                connection.abort()
                self._forget()
            if self._open < self._max_connections:
                break
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter in self._waiting:
                    self._waiting.remove(waiter)
                else:
                    self._wake()
                raise
        self._open += 1
        try:
            return await self._connect()
        except BaseException:
            self._forget()
            raise

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, connection = await loop.create_connection(
                    _Connection,
                    self._host,
                    self._port,
                    ssl=self._tls,
                    server_hostname=self._host if self._tls else None,
                )
        except TimeoutError as error:
            raise ModelTimeout(f"no connection within {CONNECT_TIMEOUT_S:.0f} s") from error
        except (OSError, UnicodeError) as error:  # a name that is none cannot be looked up
            why = getattr(error, "strerror", None) or type(error).__name__
            raise ModelUnavailable(f"no connection to the upstream: {why}") from error
        return connection

    def _give_back(self, connection: _Connection) -> None:
        if connection.finish() and not self._is_closed:
            self._idle.append(connection)
            self._wake()
        else:
            self._forget()

    def _forget(self) -> None:
        self._open -= 1
        self._wake()

    def _wake(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    async def close(self) -> None:
        """Close every connection that is not in use; those that are close when they are done."""
        self._is_closed = True
        while self._idle:
            self._idle.pop().abort()
            self._open -= 1


class _Connection(asyncio.Protocol):
    """One connection, which carries one request at a time."""

    def __init__(self) -> None:
        # Asking for the running loop is a system call each time on Python 3.11.
        self._loop = asyncio.get_running_loop()
        self.status = 0
        self.has_served = False
        self.has_answered = False
        self._transport: asyncio.Transport | None = None
        self._idle_since = time.monotonic()
        self._waiter: asyncio.Future[None] | None = None
        self._error: ModelError | None = None
        self._is_lost = False
        self._parser = httptools.HttpResponseParser(self)
        self._begin()

    def _begin(self) -> None:
        self.headers: RawHeaders = []
        self._parts: list[bytes] = []
        self._size = 0
        self._head_size = 0
        self._waits_for_all = False
        self._has_head = False
        self._is_whole = False
        self._keeps_alive = False
        self.has_answered = False

    def is_usable(self, now: float) -> bool:
        """Whether another request may be sent: it is open, quiet, and was not idle for long.

        What came without being asked for would be taken for the answer to the next request.
        """
        return not self._is_lost and not self.has_answered and now - self._idle_since < IDLE_S

    def has_rested(self, now: float) -> bool:
        """Whether it was idle long enough for the upstream to have given it up."""
        return self.has_served and now - self._idle_since > RESTED_S

    def send(self, request: bytes, outbox: Outbox) -> None:
        """Send a request; the replies to earlier ones have been read."""
        if self._is_lost or self._transport is None:
            self._error = ModelUnavailable("the connection was closed")
            return
        outbox.write(self._transport, request)

    async def read_head(self) -> None:
        """Wait for status and headers."""
        while not self._has_head:
            await self._wait()

    async def read(self) -> bytes:
        """Return what has arrived of the body, or wait for it; empty at its end."""
        while not self._parts:
            if self._is_whole:
                return b""
            await self._wait()
        return self._taken()

    async def read_all(self) -> bytes:
        """Return the whole rest of the body."""
        self._waits_for_all = True
        if not self._is_whole and self._transport is not None:
            self._transport.resume_reading()
        while not self._is_whole:
            await self._wait()
        return self._taken()

    def _taken(self) -> bytes:
        parts = self._parts
        if self._transport is not None and self._size > _BUFFER_BYTES and not self._is_whole:
            self._transport.resume_reading()
        self._parts, self._size = [], 0
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _wait(self) -> None:
        if self._error is not None:
            raise self._error
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def finish(self) -> bool:
        """End the exchange; True if the connection may carry another one."""
        if not self._is_whole or not self._keeps_alive or self._error is not None or self._is_lost:
            self.abort()
            return False
        self.has_served = True
        self._begin()
        self._idle_since = time.monotonic()
        return True

    def abort(self) -> None:
        """Drop the connection at once, so that the upstream notices."""
        self._is_lost = True
        if self._transport is not None:
            self._transport.abort()

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_lost = True
        if exc is None and self._has_head and self._ends_with_connection():
            self._is_whole = True
        elif not self._is_whole:
            self._break(ModelUnavailable("the upstream closed the connection"))
        self._wake()

    def data_received(self, data: bytes) -> None:
        self.has_answered = True
        if not self._has_head:
            self._head_size += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            if self._is_whole:  # the answer stands, the connection does not
                self._keeps_alive = False
                self._wake()
                return
            self._fail("expected an HTTP response, got something else")
            return
        if not self._has_head and self._head_size > MAX_HEAD_BYTES:
            self._fail(f"expected response headers of at most {MAX_HEAD_BYTES} bytes, got more")
        elif self._size > MAX_REPLY_BYTES:
            self._fail(f"expected at most {MAX_REPLY_BYTES} bytes, got more")
        elif not self._waits_for_all or self._is_whole:
            if self._size > _BUFFER_BYTES and not self._is_whole and self._transport is not None:
                self._transport.pause_reading()
            self._wake()

    def _break(self, error: ModelError) -> None:
        error.may_cost = self._has_head and self.status == 200
        self._error = self._error or error

    def _fail(self, why: str) -> None:
        self._break(BadAnswer(why))
        self.abort()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _ends_with_connection(self) -> bool:
        return not _read_headers(self.headers).keys() & {"content-length", "transfer-encoding"}

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self._is_whole:
            raise ValueError("nobody asked for another answer")  # which ends the parser

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self._has_head = self.status >= 200

    def on_body(self, body: bytes) -> None:
        self._parts.append(body)
        self._size += len(body)

    def on_message_complete(self) -> None:
        if self._has_head:
            self._is_whole = True
            self._keeps_alive = self._parser.should_keep_alive()


def _read_headers(raw: RawHeaders) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in raw}


class expire_at:
    """Cancel what runs inside at `deadline` and raise `ModelTimeout` instead.

    asyncio.timeout does the same for 10 us a use; this costs about 2, and tells its own
    cancellation from a foreign one (a client that left) in the same way, by `Task.uncancel`.

    Args:
        deadline: Monotonic seconds.
        now: The same, now.
    """

    __slots__ = ("_cancelling", "_delay_s", "_handle", "_is_expired", "_task")

    def __init__(self, deadline: float, now: float) -> None:
        self._delay_s = max(deadline - now, 0.0)
        self._is_expired = False
        self._handle: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[Any] | None = None

    def __enter__(self) -> None:
        if self._is_expired:
            raise self._timeout()
        loop = asyncio.get_running_loop()
        task = self._task = asyncio.current_task(loop)
        assert task is not None
        self._cancelling = task.cancelling()
        if self._handle is None:
            self._handle = loop.call_later(self._delay_s, self._expire)

    def _expire(self) -> None:
        self._is_expired = True
        if self._task is not None:
            self._task.cancel()

    def _timeout(self) -> ModelTimeout:
        return ModelTimeout(f"no answer within {self._delay_s * 1000:.0f} ms")

    def close(self) -> None:
        """Stop the timer."""
        if self._handle is not None:
            self._handle.cancel()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        task, self._task = self._task, None
        self.close()
        if self._is_expired and task is not None:
            self._raise_for(task, kind, error)

    def _raise_for(
        self, task: asyncio.Task[Any], kind: type[BaseException] | None, error: BaseException | None
    ) -> None:
        ours = task.uncancel() <= self._cancelling
        if ours and kind is asyncio.CancelledError:
            raise self._timeout() from error


class StreamLimit(expire_at):
    """The same for the waits of one stream, which is entered for each of them; `close` it then.

    Its timer is set once, and when it goes off between two waits, the next one raises. It may also
    say how long the stream may be silent: the timer then looks twice in that time whether anything
    came, which costs an event nothing. A client that is slow to take what came is no silence.

    Args:
        deadline: Monotonic seconds.
        now: The same, now.
        idle_s: Most seconds without an event; it is given up after half of them at the earliest.
            0 sets no limit.
    """

    __slots__ = ("_deadline", "_entered", "_idle_s", "_is_silent", "_loop", "_seen")

    def __init__(self, deadline: float, now: float, idle_s: float = 0.0) -> None:
        super().__init__(deadline, now)
        self._deadline = deadline
        self._idle_s = idle_s
        self._is_silent = False
        self._entered = 0
        self._seen = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    def __enter__(self) -> None:
        if self._is_expired:
            raise self._timeout()
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._handle = self._loop.call_later(self._next_s(self._delay_s), self._look)
        task = self._task = asyncio.current_task(self._loop)
        assert task is not None
        self._cancelling = task.cancelling()
        self._entered += 1

    def _next_s(self, left_s: float) -> float:
        return min(self._idle_s / 2, left_s) if self._idle_s else left_s

    def _look(self) -> None:
        """End it if its time is over or nothing has come since the last look."""
        left_s = self._deadline - time.monotonic()
        is_waiting = self._task is not None
        self._is_silent = bool(self._idle_s) and is_waiting and self._entered == self._seen
        if self._is_silent or left_s <= 0.001:  # the timers of a loop count whole milliseconds
            self._expire()
            return
        self._seen = self._entered
        assert self._loop is not None
        self._handle = self._loop.call_later(self._next_s(left_s), self._look)

    def _timeout(self) -> ModelTimeout:
        if self._is_silent:
            return ModelTimeout(f"no answer within {self._idle_s * 1000:.0f} ms of the last event")
        return super()._timeout()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        task, self._task = self._task, None
        if self._is_expired and task is not None:
            self._raise_for(task, kind, error)


def is_private_host(url: str) -> bool:
    """Whether `url` names this machine or a private network by address or as `localhost`."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_private
