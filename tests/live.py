"""A project served for real: uvicorn on a free port, in this process's own thread."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple

import uvloop

from roadworthy.app import Project, Serving, gateway_of, open_project
from roadworthy.models.faulty import FaultyUpstream
from roadworthy.serve.gateway import Limits
from roadworthy.serve.server import Server, bind
from roadworthy.store.keys import create_key, load_keys
from roadworthy.store.records import find_records
from roadworthy.types import Record


def chat_service(
    name: str = "reply", *, model: str = "m", deadline_ms: int = 1500, cost: str, more: str = ""
) -> str:
    """Return the file of a service that chats with `model` of the provider `up`.

    `cost` is what stands in that table, and `more` what follows on the model's name.
    """
    return f"""
name = "{name}"
kind = "generate"
owners = {{ product = "test" }}
objectives = {{ deadline_ms = {deadline_ms} }}
cost = {{ {cost} }}
[[models]]
name = "up"
provider = "up"
model = "{model}"
{more}
"""


def provider_up(
    upstream: FaultyUpstream, model: str = "m", *, input_usd: float, output_usd: float
) -> str:
    """Return what roadworthy.toml says of an upstream and what a million tokens cost there."""
    return f"""
[providers.up]
kind = "openai"
base_url = "{upstream.base_url}"
[providers.up.prices."{model}"]
input_usd_per_million = {input_usd}
output_usd_per_million = {output_usd}
"""


def until(holds: Callable[[], bool], limit_s: float = 2.0) -> None:
    """Wait until something holds that another thread or process brings about."""
    end = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)


class Response(NamedTuple):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        code: str = self.json["error"]["code"]
        return code


class Live:
    """A running server and a client for it."""

    def __init__(self, project: Project, serving: Serving, sock: socket.socket) -> None:
        self.project = project
        self.serving = serving
        self.port: int = sock.getsockname()[1]
        self.key = self.new_key("answer", "read", "admin")

    def new_key(self, *scopes: str, **fields: Any) -> str:
        """Make a key that is valid at once."""
        _, secret = create_key(
            self.project.state,
            self.project.clock,
            name="test",
            scopes=scopes,
            by="test",
            **fields,
        )
        self.serving.keyring.replace(load_keys(self.project.state))
        return secret

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        key: str | None = None,
    ) -> Response:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent = {"authorization": f"Bearer {key or self.key}", **(headers or {})}
        connection.request(method, path, raw, sent)
        got = connection.getresponse()
        response = Response(got.status, {k.lower(): v for k, v in got.getheaders()}, got.read())
        connection.close()
        return response

    def answer(self, service: str, values: Any, **kwargs: Any) -> Response:
        return self.ask("POST", f"/v1/services/{service}/answer", {"input": values}, **kwargs)

    def chat(
        self, service: str, text: str = "hello", *, key: str | None = None, **p: Any
    ) -> Response:
        body = {"model": service, "messages": [{"role": "user", "content": text}], **p}
        return self.ask("POST", "/v1/chat/completions", body, key=key)

    def records(self) -> list[Record]:
        self.serving.writer.drain()
        return find_records(self.project.state, limit=200)


@contextmanager
def serve(folder: Path, limits: Limits | None = None) -> Iterator[Live]:
    """Serve the project in `folder` until the block ends."""
    project = open_project(folder)
    serving = Serving(project)
    sock = bind("127.0.0.1", 0)
    ready = threading.Event()
    servers: list[Server] = []

    async def run() -> None:
        gateway = gateway_of(project, serving, limits or Limits())
        servers.append(Server(gateway, sock, ready.set))
        await serving.start()
        try:
            await servers[0].run_until_stopped()
        finally:
            await serving.stop()

    thread = threading.Thread(target=lambda: uvloop.run(run()), daemon=True)
    live = Live(project, serving, sock)
    thread.start()
    assert ready.wait(10)
    try:
        yield live
    finally:
        servers[0].should_exit = True
        thread.join(10)
        project.close()
        sock.close()
