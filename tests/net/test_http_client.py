"""The pool of outgoing connections against a server that plays every trick."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from roadworthy import net
from roadworthy.errors import BadAnswer, ModelTimeout, ModelUnavailable
from roadworthy.net import HttpClient, StreamLimit, expire_at, is_private_host

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter, int], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nX-Mixed: Case\r\n\r\nhi"


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return head + await reader.readexactly(length)


@asynccontextmanager
async def server(handler: Handler, max_connections: int = 8) -> AsyncIterator[HttpClient]:
    """Serve each connection with `handler(reader, writer, number of the connection)`."""
    count = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        try:
            await handler(reader, writer, count)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    client = HttpClient(f"http://127.0.0.1:{port}/v1/", {"x-key": "k"}, max_connections)
    try:
        yield client
    finally:
        await client.close()
        listening.close()


async def answer_always(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
) -> None:
    while True:
        await read_request(reader)
        writer.write(OK)


async def test_a_connection_is_kept_and_used_again() -> None:
    numbers: list[int] = []

    async def handle(r: asyncio.StreamReader, w: asyncio.StreamWriter, number: int) -> None:
        while True:
            request = await read_request(r)
            assert request.startswith(b"POST /v1/chat HTTP/1.1\r\n")
            assert b"x-key: k\r\n" in request
            numbers.append(number)
            w.write(OK)

    async with server(handle) as client:
        for _ in range(3):
            reply = await client.post("/chat", b"{}")
            assert (reply.status, reply.body) == (200, b"hi")
            assert reply.headers["x-mixed"] == "Case"
    assert numbers == [1, 1, 1]


async def test_a_request_may_have_headers_of_its_own() -> None:
    seen: list[bytes] = []

    async def handle(r: asyncio.StreamReader, w: asyncio.StreamWriter, number: int) -> None:
        while True:
            seen.append(await read_request(r))
            w.write(OK)

    async with server(handle) as client:
        async with client.stream("/chat", b"{}", {"webhook-id": "wh_1"}) as reply:
            assert await reply.read() == b"hi"
        await client.post("/chat", b"{}")
    first, second = seen
    assert b"\r\nwebhook-id: wh_1\r\n" in first
    assert b"x-key: k\r\n" in first
    assert b"webhook-id" not in second


UNASKED = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nunsaid"


@pytest.mark.parametrize("more", [UNASKED, b"rubbish", UNASKED + UNASKED])
@pytest.mark.parametrize("is_at_once", [True, False], ids=["at once", "later"])
async def test_what_nobody_asked_for_is_no_answer_to_the_next_request(
    more: bytes, is_at_once: bool
) -> None:
    numbers: list[int] = []

    async def handle(r: asyncio.StreamReader, w: asyncio.StreamWriter, number: int) -> None:
        while True:
            await read_request(r)
            numbers.append(number)
            w.write(OK + more if is_at_once else OK)
            await asyncio.sleep(0.01)
            if not is_at_once:
                w.write(more)

    async with server(handle) as client:
        for _ in range(3):
            assert (await client.post("/chat", b"{}")).body == b"hi"
            await asyncio.sleep(0.05)
    assert numbers == [1, 2, 3]


async def test_no_more_connections_are_opened_than_allowed() -> None:
    open_now, most = 0, 0

    async def handle(r: asyncio.StreamReader, w: asyncio.StreamWriter, number: int) -> None:
        nonlocal open_now, most
        while True:
            await read_request(r)
            open_now += 1
            most = max(most, open_now)
            await asyncio.sleep(0.01)
            open_now -= 1
            w.write(OK)

    async with server(handle, max_connections=2) as client:
        replies = await asyncio.gather(*(client.post("/x", b"") for _ in range(10)))
    assert [reply.body for reply in replies] == [b"hi"] * 10
    assert most == 2


async def test_one_that_waits_for_a_connection_and_leaves_takes_no_place() -> None:
    release = asyncio.Event()

    async def handle(r: asyncio.StreamReader, w: asyncio.StreamWriter, number: int) -> None:
        while True:
            await read_request(r)
            await release.wait()
            w.write(OK)

    async with server(handle, max_connections=1) as client:
        first = asyncio.create_task(client.post("/x", b""))
        await asyncio.sleep(0.02)
        waiting = [asyncio.create_task(client.post("/x", b"")) for _ in range(3)]
        await asyncio.sleep(0.02)
        waiting[0].cancel()
        release.set()
        await first
        assert [(await task).body for task in waiting[1:]] == [b"hi", b"hi"]


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhi",
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
    ],
    ids=["chunked", "ends with the connection", "continue first"],
)
async def test_every_way_to_end_a_body_is_understood(response: bytes) -> None:
    async def handle(r: asyncio.StreamReader, w: asyncio.StreamWriter, number: int) -> None:
        await read_request(r)
        w.write(response)
        while b"close" not in response:
            await read_request(r)
            w.write(response)

    async with server(handle) as client:
        assert (await client.post("/x", b"")).body == b"hi"
        assert (await client.post("/x", b"")).body == b"hi"


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhi", ModelUnavailable),
        (b"", ModelUnavailable),
        (b"SSH-2.0-OpenSSH\r\n", BadAnswer),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20_000, BadAnswer),
    ],
    ids=["cut", "nothing", "not http", "endless head"],
)
async def test_half_an_answer_is_none(response: bytes, error: type[Exception]) -> None:
    async def handle(r: asyncio.StreamReader, w: asyncio.StreamWriter, number: int) -> None:
        await read_request(r)
        w.write(response)
        await w.drain()

    async with server(handle) as client:
        with pytest.raises(error):
            await client.post("/x", b"")


async def test_a_body_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(net, "MAX_REPLY_BYTES", 100_000)

    async def handle(r: asyncio.StreamReader, w: asyncio.StreamWriter, number: int) -> None:
        await read_request(r)
        w.write(b"HTTP/1.1 200 OK\r\ncontent-length: 900000000\r\n\r\n")
        while True:
            w.write(b"x" * 10_000)
            await w.drain()

    async with server(handle) as client:
        with pytest.raises(BadAnswer, match="at most"):
            await client.post("/x", b"")


async def drops_the_second(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
) -> None:
    """Answer once a connection, and close it when the next request has come."""
    await read_request(reader)
    writer.write(OK)
    if number == 1:
        await read_request(reader)
    else:
        await answer_always(reader, writer, number)


async def test_a_request_lost_on_a_rested_connection_is_sent_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(net, "RESTED_S", -1.0)
    async with server(drops_the_second) as client:
        await client.post("/x", b"")
        assert (await client.post("/x", b"")).body == b"hi"


async def test_a_request_lost_on_a_busy_connection_is_not_sent_twice() -> None:
    async with server(drops_the_second) as client:
        await client.post("/x", b"")
        with pytest.raises(ModelUnavailable, match="closed the connection"):
            await client.post("/x", b"")
        assert (await client.post("/x", b"")).body == b"hi"


async def test_a_connection_that_was_idle_for_long_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(net, "IDLE_S", -1.0)
    numbers: list[int] = []

    async def handle(r: asyncio.StreamReader, w: asyncio.StreamWriter, number: int) -> None:
        await read_request(r)
        numbers.append(number)
        w.write(OK)
        await r.read()

    async with server(handle) as client:
        await client.post("/x", b"")
        await client.post("/x", b"")
    assert numbers == [1, 2]


async def test_nobody_there_is_an_error_at_once() -> None:
    client = HttpClient("http://127.0.0.1:1/v1", {})
    with pytest.raises(ModelUnavailable, match="no connection"):
        await client.post("/x", b"")


async def test_a_stream_that_is_left_closes_its_connection() -> None:
    gone = asyncio.Event()

    async def handle(r: asyncio.StreamReader, w: asyncio.StreamWriter, number: int) -> None:
        await read_request(r)
        w.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n")
        await r.read()
        gone.set()

    async with server(handle) as client:
        async with client.stream("/x", b"") as reply:
            assert await reply.read_chunk() == b"hi"
        async with asyncio.timeout(2):
            await gone.wait()


async def test_a_reader_that_is_slow_slows_the_upstream() -> None:
    written = 0

    async def handle(r: asyncio.StreamReader, w: asyncio.StreamWriter, number: int) -> None:
        nonlocal written
        await read_request(r)
        w.write(b"HTTP/1.1 200 OK\r\ncontent-length: 30000000\r\n\r\n")
        for _ in range(300):
            w.write(b"x" * 100_000)
            written += 100_000
            await w.drain()

    async with server(handle) as client, client.stream("/x", b"") as reply:
        first = await reply.read_chunk()
        await asyncio.sleep(0.3)
        assert written < 20_000_000
        rest = await reply.read()
        assert len(first) + len(rest) == 30_000_000


async def test_a_wait_ends_at_its_deadline_and_a_foreign_cancellation_stays_one() -> None:
    loop = asyncio.get_running_loop()
    with pytest.raises(ModelTimeout), expire_at(loop.time() + 0.02, loop.time()):
        await asyncio.sleep(5)

    async def wait() -> None:
        with expire_at(loop.time() + 5, loop.time()):
            await asyncio.sleep(5)

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_limit_for_a_stream_counts_between_its_waits_too() -> None:
    loop = asyncio.get_running_loop()
    limit = StreamLimit(loop.time() + 0.05, loop.time())
    with limit:
        await asyncio.sleep(0)
    await asyncio.sleep(0.1)
    with pytest.raises(ModelTimeout), limit:
        await asyncio.sleep(0)
    limit.close()


@pytest.mark.parametrize(
    ("url", "is_private"),
    [
        ("http://127.0.0.1:8000", True),
        ("http://localhost/v1", True),
        ("http://10.1.2.3", True),
        ("http://[::1]:80", True),
        ("https://api.openai.com/v1", False),
        ("http://8.8.8.8", False),
        ("http://localhost.example.org", False),
    ],
)
def test_private_hosts_are_told_from_public_ones(url: str, is_private: bool) -> None:
    assert is_private_host(url) is is_private
