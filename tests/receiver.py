"""A receiver of webhooks on a free port, which answers as it is told."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

import msgspec

from roadworthy import verify_webhook
from roadworthy.observe.signature import Notice

SECRET = "whsec_" + "c2VjcmV0LW9mLXRoZS10ZXN0cy0wMTIz"
"""Base64 of 24 bytes, as `openssl rand -base64 24` would give."""


class Got(NamedTuple):
    """One request that came."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def notice(self) -> Notice:
        return verify_webhook(SECRET, self.headers, self.body)


class Reply(NamedTuple):
    """What is answered; `hold` is waited for before."""

    status: int = 204
    headers: Mapping[str, str] = {}
    body: bytes = b""
    hold: threading.Event | None = None


class Receiver:
    """What came, and what is answered next; in the end `always`."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.got: list[Got] = []
        self.replies: list[Reply] = []
        self.always = Reply()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def facts(self) -> list[int]:
        """The number in each notice that came, in order."""
        return [got.notice.data["n"] for got in self.got]

    def answer(self, got: Got) -> Reply:
        self.got.append(got)
        return self.replies.pop(0) if self.replies else self.always


@contextmanager
def receiving(port: int = 0) -> Iterator[Receiver]:
    """Listen until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = receiver.answer(Got(self.path, headers, self.rfile.read(length)))
            if reply.hold is not None:
                reply.hold.wait(20)
            try:
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                if reply.status != 204:
                    self.send_header("content-length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body)
            except OSError:
                self.close_connection = True  # the sender has left

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    receiver = Receiver(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def json_of(got: Got) -> dict[str, object]:
    """Return the body of a request as it stands."""
    return msgspec.json.decode(got.body, type=dict[str, object])
