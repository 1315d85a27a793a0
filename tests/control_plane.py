"""A served project and its control plane, asked over ASGI on the loop that serves it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, MutableMapping
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

from roadworthy.app import Project, gateway_of, open_project
from roadworthy.serve.gateway import Limits
from roadworthy.serve.request import Reply
from roadworthy.serve.server import Server, bind
from roadworthy.store.keys import create_key
from roadworthy.types import Key

PROJECT = """
[project]
name = "trial"
clock = "{clock}"
[providers.rule]
kind = "rule"
[providers.paid]
kind = "scripted"
[providers.paid.prices."script.jsonl"]
input_usd_per_million = 1.0
output_usd_per_million = 10.0
"""

RISK = """
name = "risk"
kind = "predict"
purpose = "Say whether a flight is late."
risk = "low"
[owners]
product = "ada"
[objectives]
deadline_ms = 1000
latency_p95_ms = 500
availability = 0.99
[cost]
[[models]]
name = "by-rule"
provider = "rule"
model = '{"late": input.wind > 20.0}'
"""

REPLY = """
name = "reply"
kind = "generate"
[owners]
product = "ada"
[objectives]
deadline_ms = 1000
[cost]
per_request_usd = 0.01
per_day_usd = 5
[[models]]
name = "script"
provider = "paid"
model = "script.jsonl"
max_output_tokens = 100
"""

SCRIPT = '{"text": "soon", "usage": {"input_tokens": 100, "output_tokens": 10}}\n'


class Answer(NamedTuple):
    """What the control plane answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> Any:
        return self.json["error"]


class Plane:
    """A served project's gateway with the control plane behind it, and keys to it."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.serving = project.serving
        self.gateway = gateway_of(project, self.serving, Limits())
        scopes = ("read", "admin", "release", "review", "answer", "act_as")
        self.admin, self.secret = self.make_key(*scopes)

    def make_key(self, *scopes: str, **more: Any) -> tuple[Key, str]:
        """Make a key that is valid at once."""
        state, clock = self.project.state, self.project.clock
        made = create_key(state, clock, name="test", scopes=scopes, by="test", **more)
        self.follow()  # on the serving loop: a replace from here could lose to one under way
        return made

    def ask(
        self,
        method: str,
        target: str,
        body: Any = None,
        *,
        key: str | None = None,
        headers: Mapping[bytes, bytes] | None = None,
    ) -> Answer:
        """Send one request and wait; `body` is JSON unless it is bytes."""
        return self.begin(method, target, body, key=key, headers=headers).result(20)

    def begin(
        self,
        method: str,
        target: str,
        body: Any = None,
        *,
        key: str | None = None,
        headers: Mapping[bytes, bytes] | None = None,
    ) -> Future[Answer]:
        """Send one request; `key` is a secret, by default the admin's, and empty for none."""
        raw = (
            body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        )
        sent = dict(headers or {})
        secret = self.secret if key is None else key
        if secret:
            sent[b"authorization"] = f"Bearer {secret}".encode()
        return self.project.run(self._ask(method, target, raw, list(sent.items())))

    def get(self, target: str, **more: Any) -> Any:
        """Return what a GET shows, which must go well."""
        answer = self.ask("GET", target, **more)
        assert answer.status == 200, answer.body
        return answer.json

    def answer(self, service: str, values: dict[str, Any], user: str = "") -> Reply:
        """Let a service answer, and write its record down."""
        reply = self.project.service(service).answer(values, user=user)
        self.serving.writer.drain()
        return reply

    def follow(self) -> None:
        """Let the process see at once what it would see within 50 ms."""
        self.project.run(self._follow()).result(20)

    async def _follow(self) -> None:
        self.serving.switchboard.poll()
        await self.serving.refresh()

    async def _ask(
        self, method: str, target: str, body: bytes, headers: list[tuple[bytes, bytes]]
    ) -> Answer:
        path, _, query = target.partition("?")
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "headers": headers,
        }
        sent: list[MutableMapping[str, Any]] = []

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        await self.gateway(scope, receive, send)
        got = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        whole = b"".join(message.get("body", b"") for message in sent[1:])
        return Answer(sent[0]["status"], got, whole)


@contextmanager
def served(folder: Path, clock: str = "settable") -> Iterator[Plane]:
    """Serve a predict service that is free and a generate service that costs."""
    files = {
        "roadworthy.toml": PROJECT.format(clock=clock),
        "services/risk/service.toml": RISK,
        "services/reply/service.toml": REPLY,
        "services/reply/script.jsonl": SCRIPT,
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    with open_project(folder) as project:
        # Once now, and not while a test looks at what it made of years ago.
        project.serving.jobs.run_now("retention")
        yield Plane(project)


@contextmanager
def listening(plane: Plane) -> Iterator[int]:
    """Let a plane listen on a free port, as `roadworthy up` does, and give the port."""
    sock = bind("127.0.0.1", 0)
    ready = Event()
    server = Server(plane.gateway, sock, ready.set)
    ran: Future[None] = plane.project.run(server.run_until_stopped())
    assert ready.wait(10)
    try:
        yield sock.getsockname()[1]
    finally:
        server.should_exit = True
        ran.result(20)
        sock.close()
