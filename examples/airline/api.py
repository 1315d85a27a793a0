"""The few calls of Roadworthy's HTTP API that a replay needs."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec
from flights import FOLDER
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import PyreqwestError
from scoreboard import Promise

TIMEOUT_S = 30


class ReplayError(Exception):
    """The replay cannot go on; the message says why and what to do."""


class _Error(msgspec.Struct):
    code: str
    message: str


class _Envelope(msgspec.Struct):
    error: _Error


class Reply(NamedTuple):
    """What came back; `ms` is what the client measured."""

    status: int
    headers: Any
    body: bytes
    ms: float

    @property
    def error(self) -> _Error:
        """The error in the body, whatever the body is."""
        try:
            return msgspec.json.decode(self.body, type=_Envelope).error
        except msgspec.DecodeError:
            return _Error(
                f"http_{self.status}", f"got HTTP {self.status} without an error envelope"
            )


class Api:
    """The few calls of Roadworthy's HTTP API that a replay needs.

    Attributes:
        misses: Requests in a row that reached nobody.
    """

    def __init__(self, client: Client, url: str, key: str) -> None:
        self.misses = 0
        self._client = client
        self._url = url
        self._headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}

    async def send(self, method: str, path: str, body: Any = None) -> Reply:
        """Send one request.

        Raises:
            PyreqwestError: Nobody answered.
        """
        request = self._client.request(method, self._url + path).headers(self._headers)
        if body is not None:
            request = request.body_bytes(msgspec.json.encode(body))
        started = time.perf_counter()
        try:
            response = await request.build().send()
            content = (await response.bytes()).to_bytes()
        except PyreqwestError:
            self.misses += 1
            raise
        self.misses = 0
        return Reply(
            response.status, response.headers, content, (time.perf_counter() - started) * 1000
        )

    async def services(self) -> dict[str, Promise]:
        """Return what each service promises.

        Raises:
            ReplayError: The server is not there, or does not take the key.
        """
        try:
            reply = await self.send("GET", "/api/services")
        except PyreqwestError as error:
            raise ReplayError(
                f"expected Roadworthy at {self._url}, got no answer; start it with"
                f" `roadworthy up --project {FOLDER}`"
            ) from error
        check(reply, "read the services (scope `read`)")
        return {entry["name"]: promise_of(entry) for entry in json.loads(reply.body)["services"]}

    async def set_clock(self, now: datetime) -> None:
        """Make it `now` in the project.

        Raises:
            ReplayError: The key is no admin's, or the project has no settable clock.
        """
        body = {"now": now.strftime("%Y-%m-%dT%H:%M:%SZ")}
        check(await self.send("PUT", "/api/clock", body), "set the clock (scope `admin`)")


def check(reply: Reply, what: str) -> None:
    """Raise if the server refused.

    Raises:
        ReplayError: It did; the message is the server's.
    """
    if reply.status >= 400:
        raise ReplayError(f"could not {what}: {reply.error.message} ({reply.error.code})")


def promise_of(entry: dict[str, Any]) -> Promise:
    """Read what a service promises from its entry in `/api/services`."""
    objectives, budgets = entry["objectives"], entry["cost_today"]
    return Promise(
        latency_p95_ms=objectives["latency_p95_ms"]["promise"],
        per_day_usd=budgets[0]["ceiling_usd"] if budgets else None,
    )


@asynccontextmanager
async def opened_client(concurrency: int) -> AsyncIterator[Client]:
    """Open a pool of connections, and close it in the end."""
    builder = ClientBuilder().error_for_status(enable=False).http1_only().no_proxy()
    limit = timedelta(seconds=TIMEOUT_S)
    pool = builder.max_connections(concurrency).timeout(limit).tcp_nodelay(enabled=True)
    try:
        async with pool.build() as client:
            yield client
    finally:
        # Its threads let go of the last reply a moment later; a process that ends before that is
        # aborted in one of ten runs (pyreqwest 0.15).
        await asyncio.sleep(0.05)
