"""The few calls of Roadworthy's HTTP API that a replay needs."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from flights import FOLDER
from scoreboard import Promise

from roadworthy.errors import ModelError
from roadworthy.net import HttpClient

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

    def __init__(self, client: HttpClient, url: str) -> None:
        self.misses = 0
        self._client = client
        self._url = url

    async def send(self, method: str, path: str, body: Any = None) -> Reply:
        """Send one request.

        Raises:
            ModelError: Nobody answered.
            TimeoutError: Nobody answered in time.
        """
        raw = b"" if body is None else msgspec.json.encode(body)
        started = time.perf_counter()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                got = await self._client.request(method, path, raw)
        except (ModelError, TimeoutError):
            self.misses += 1
            raise
        self.misses = 0
        ms = (time.perf_counter() - started) * 1000
        return Reply(got.status, got.headers, got.body, ms)

    async def services(self) -> dict[str, Promise]:
        """Return what each service promises.

        Raises:
            ReplayError: The server is not there, or does not take the key.
        """
        try:
            reply = await self.send("GET", "/api/services")
        except (ModelError, TimeoutError) as error:
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
async def opened_client(url: str, key: str, concurrency: int) -> AsyncIterator[HttpClient]:
    """Open a pool of connections, and close it in the end."""
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    client = HttpClient(url, headers, concurrency)
    try:
        yield client
    finally:
        await client.close()
