"""A request is answered alike however its bytes come: at once, in parts, in a row, or as ASGI."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
import uvicorn.server

from conftest import write_project
from live import Live, serve
from roadworthy.net import Outbox
from roadworthy.serve.connection import MAX_HEADER_BYTES, SMALL_BODY_BYTES, Connection

pytestmark = pytest.mark.slow

ECHO = """
name = "echo"
kind = "predict"
owners = { product = "a" }
objectives = { deadline_ms = 2000 }
cost = { per_day_usd = 1 }
[[models]]
name = "rule"
provider = "rule"
model = "{'said': input.text}"
"""


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder: Path = tmp_path_factory.mktemp("ways")
    with serve(write_project(folder, {"echo": ECHO})) as running:
        yield running


class Answered:
    """A data plane that has just answered."""

    def __init__(self) -> None:
        self.outbox = Outbox()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("nothing is asked")


def asked(
    live: Live, text: str, *, key: str = "", more: str = "", path: str = "echo/answer"
) -> bytes:
    body = json.dumps({"input": {"text": text}}).encode()
    head = (
        f"POST /v1/services/{path} HTTP/1.1\r\nhost: x\r\n{more}"
        f"authorization: Bearer {key or live.key}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def answers(sock: socket.socket, count: int) -> list[tuple[int, dict[str, str], str]]:
    """Read responses: status, headers and what was said, or the body of an error."""
    found, data = [], b""
    with sock.makefile("rb") as file:
        for _ in range(count):
            status = int(file.readline().split()[1])
            headers = {}
            while (line := file.readline().strip()) != b"":
                name, _, value = line.decode().partition(": ")
                headers[name] = value
            data = file.read(int(headers["content-length"]))
            body = json.loads(data)
            found.append((status, headers, body["output"]["said"] if status == 200 else str(body)))
    return found


def connect(live: Live) -> socket.socket:
    return socket.create_connection(("127.0.0.1", live.port), timeout=5)


def test_what_is_sent_in_a_row_is_answered_in_order(live: Live) -> None:
    with connect(live) as sock:
        sock.sendall(b"".join(asked(live, f"{k}") for k in range(8)))
        assert [said for _, _, said in answers(sock, 8)] == [f"{k}" for k in range(8)]


def test_a_request_of_the_control_plane_between_others_keeps_its_place(live: Live) -> None:
    health = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
    with connect(live) as sock:
        sock.sendall(asked(live, "a") + health + asked(live, "b"))
        data = b""
        while data.count(b"HTTP/1.1 200") < 3 or not data.endswith(b"}"):
            data += sock.recv(65536)
    assert data.index(b'"said":"a"') < data.index(b'"status":"ok"') < data.index(b'"said":"b"')


def test_a_body_may_come_byte_by_byte(live: Live) -> None:
    whole = asked(live, "slowly")
    with connect(live) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for k in range(len(whole)):
            sock.sendall(whole[k : k + 1])
        assert answers(sock, 1)[0][2] == "slowly"


def test_a_body_of_any_size_is_answered_alike(live: Live) -> None:
    with connect(live) as sock:
        for size in (1, SMALL_BODY_BYTES - 100, SMALL_BODY_BYTES, 4 * SMALL_BODY_BYTES):
            sock.sendall(asked(live, "x" * size))
            assert len(answers(sock, 1)[0][2]) == size


def test_a_head_in_parts_after_a_long_body_in_parts_is_answered_alike(live: Live) -> None:
    first, second = asked(live, "x" * MAX_HEADER_BYTES * 2), asked(live, "then")
    with connect(live) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(first[:400])
        time.sleep(0.05)  # so that the rest of the body comes by itself
        sock.sendall(first[400:])
        assert len(answers(sock, 1)[0][2]) == MAX_HEADER_BYTES * 2
        sock.sendall(second[:60])
        time.sleep(0.05)
        sock.sendall(second[60:])
        assert answers(sock, 1)[0][2] == "then"


def test_unusual_spellings_of_a_request_are_answered_alike(live: Live) -> None:
    plain, body = asked(live, "hi"), json.dumps({"input": {"text": "hi"}}).encode()
    chunked = plain.partition(b"content-length")[0] + b"transfer-encoding: chunked\r\n\r\n"
    chunked += b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    with connect(live) as sock:
        for request in (
            chunked,
            asked(live, "hi", path="echo/answer?x=1"),
            asked(live, "hi", path="e%63ho/answer"),
            asked(live, "hi", more="X-Twice: a\r\nX-Twice: b\r\n"),
        ):
            sock.sendall(request)
            assert answers(sock, 1)[0][2] == "hi"


def test_whoever_waits_to_be_asked_for_a_body_is_asked(live: Live) -> None:
    head, _, body = asked(live, "on", more="expect: 100-continue\r\n").partition(b"\r\n\r\n")
    with connect(live) as sock:
        sock.sendall(head + b"\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 100")
        sock.sendall(body)
        assert answers(sock, 1)[0][2] == "on"


def test_a_connection_ends_when_its_client_wants_it_to(live: Live) -> None:
    with connect(live) as sock:
        sock.sendall(asked(live, "last", more="connection: close\r\n"))
        ((status, headers, said),) = answers(sock, 1)
        assert (status, headers["connection"], said) == (200, "close", "last")
        assert sock.recv(1) == b""


def test_what_is_answered_in_the_moment_of_a_shutdown_still_goes_out() -> None:
    async def shut_down() -> bytes:
        state = uvicorn.server.ServerState()
        config = uvicorn.Config(Answered(), loop="none", log_config=None, proxy_headers=False)

        def accept() -> Connection:
            return Connection(config, state, {})

        server = await asyncio.get_running_loop().create_server(accept, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            while not state.connections:
                await asyncio.sleep(0)
            connection = next(iter(state.connections))
            assert isinstance(connection, Connection)
            connection.plane.outbox.write(connection.transport, b"the answer")
            connection.shutdown()
            said = await reader.read()
            writer.close()
            await writer.wait_closed()
            while state.connections:
                await asyncio.sleep(0)
            return said

    assert asyncio.run(shut_down()) == b"the answer"


def test_an_unknown_key_is_refused_before_and_after_its_body(live: Live) -> None:
    whole = asked(live, "hi", key="rw_unknown")
    with connect(live) as sock:
        sock.sendall(whole)
        assert answers(sock, 1)[0][0] == 401
    with connect(live) as sock:
        sock.sendall(whole[:-5])
        assert answers(sock, 1)[0][0] == 401


def test_a_client_that_leaves_in_the_middle_of_its_body_harms_nobody(live: Live) -> None:
    for _ in range(20):
        with connect(live) as sock:
            sock.sendall(asked(live, "gone")[:-5])
    assert live.answer("echo", {"text": "here"}).status == 200
