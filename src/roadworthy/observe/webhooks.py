"""Sends what webhooks are to be told: signed, retried, and never in the way of anything else.

Each webhook is a job in a lane of its own, which works off what `store.deliveries` holds for it. A
notice is sent at least once: a process that dies between sending and noting it sends it again.
"""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import NamedTuple
from urllib.parse import quote, urlsplit

import msgspec
from sqlalchemy import Engine

from ..declare.events import EVENTS, TEST_EVENT
from ..declare.project import ProjectDeclaration, Webhook
from ..errors import DeclarationError, ModelError, NotFound
from ..net import HttpClient, StreamReply, expire_at
from ..store.acts_told import tell_acts
from ..store.deliveries import (
    Delivery,
    Tried,
    keep_tried,
    last_done,
    new_id,
    next_due,
    note_result,
    oldest_failing,
)
from ..store.jobs import Job
from ..types import MICRO, Clock
from .messages import json_message, slack_message
from .signature import read_secrets, sign

EVERY_S = 5
TIMEOUT_S = 15.0
"""Real seconds for one try, from the connection to the end of the answer."""
ROUND_S = 30.0
"""Real seconds after which a run begins nothing more, so that its job can be seen to work."""
PATIENCE_US = 15 * 60 * MICRO
"""How long notices may fail before the project counts as degraded."""
MOST_BYTES = 64 * 1024
"""Of an answer that is read; the rest does not matter."""
_RETRIED = frozenset({408, 429})
_IN_A_PATH = "/%:@!$&'()*+,;=~-._"


class Answer(NamedTuple):
    """What a receiver said.

    Attributes:
        text: The beginning of its body.
        retry_after_s: How long it asks to wait, if it does.
    """

    status: int
    text: str
    retry_after_s: float | None


class Address:
    """Where a receiver is and what signs for it; it is never shown, for it is secret.

    Raises:
        DeclarationError: The variable is unset, or holds something else.
    """

    __slots__ = ("keys", "origin", "path")

    def __init__(self, webhook: Webhook) -> None:
        variable = webhook.secret_env
        value = os.environ.get(variable, "").strip()
        if not value:
            raise DeclarationError(f"`{variable}` is unset; set it where `roadworthy up` runs")
        url = urlsplit(webhook.url)
        self.origin = f"{url.scheme}://{url.netloc}"
        self.path = quote(url.path, safe=_IN_A_PATH) or "/"
        self.keys: tuple[bytes, ...] = ()
        if webhook.format == "slack":
            self.path = _path_below(self.origin, value, variable)
            return
        try:
            self.keys = read_secrets(value)
        except DeclarationError as error:
            raise DeclarationError(f"`{variable}`: {error}") from error


def _path_below(origin: str, url: str, variable: str) -> str:
    """Return the path of a URL that starts with `origin`; it may be the path alone."""
    path = url.removeprefix(origin)
    if not path.startswith("/") or path == "/" or not path.isascii() or not path.isprintable():
        raise DeclarationError(
            f"`{variable}`: expected a URL that starts with `{origin}/`, got something else"
        )
    return quote(path, safe=f"{_IN_A_PATH}?")


class Line:
    """An open line to one receiver. Redirects are not followed: the declared host it is."""

    def __init__(self, address: Address, timeout_s: float) -> None:
        self._address = address
        self._timeout_s = timeout_s
        json_body = {"content-type": "application/json"}
        self._client = HttpClient(address.origin, json_body, max_connections=1)

    async def send(self, id: str, body: bytes) -> Answer:
        """Send a notice once, signed for this moment of the machine's time.

        Raises:
            ModelError: No answer came.
        """
        headers = sign(self._address.keys, id, int(time.time()), body) if self._address.keys else {}
        now = time.monotonic()
        answer: Answer | None = None
        try:
            with expire_at(now + self._timeout_s, now):
                async with self._client.stream(self._address.path, body, headers) as reply:
                    answer = Answer(reply.status, "", _retry_after_s(reply, time.time()))
                    answer = answer._replace(text=await _beginning(reply))
        except ModelError:
            if answer is None:
                raise
        return answer

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()


async def _beginning(reply: StreamReply) -> str:
    parts: list[bytes] = []
    while sum(map(len, parts)) < MOST_BYTES and (chunk := await reply.read_chunk()):
        parts.append(chunk)
    return b"".join(parts)[:MOST_BYTES].decode(errors="replace")


def _retry_after_s(reply: StreamReply, now_s: float) -> float | None:
    """Return the seconds that `Retry-After` asks for, whether it says a number or a date."""
    text = reply.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        time_asked = parsedate_to_datetime(text)
    except ValueError:
        return None
    if time_asked.tzinfo is None:
        time_asked = time_asked.replace(tzinfo=UTC)
    return max(time_asked.timestamp() - now_s, 0.0)


def result_of(answer: Answer) -> Tried:
    """Return what an answer means: 2xx is delivered, and most of 4xx will not change its mind."""
    status = answer.status
    if 200 <= status < 300:
        return Tried(status)
    error = f"answered with status {status}"
    if 300 <= status < 400:
        error += ", and redirects are not followed: declare the address that it names"
    is_final = 400 <= status < 500 and status not in _RETRIED
    return Tried(status, error, is_final, None if is_final else answer.retry_after_s)


class Sender:
    """Works off what one webhook is to be told.

    Args:
        name: The webhook's.
        project: What roadworthy.toml says.
        state: The database.
        clock: The project's time, which says when a notice is due.
        console_url: Gives the address that `up` listens on; empty where none does.
        timeout_s: Real seconds for one try.

    Attributes:
        trouble: Why notices do not arrive; empty while they do.
    """

    def __init__(
        self,
        name: str,
        project: ProjectDeclaration,
        state: Engine,
        clock: Clock,
        console_url: Callable[[], str],
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self.name = name
        self.trouble = ""
        self._project = project
        self._webhook = project.webhooks[name]
        self._events = [event for event in EVENTS if self._webhook.takes(event)]
        self._state = state
        self._clock = clock
        self._console_url = console_url
        self._timeout_s = timeout_s
        self._rests_until = 0.0
        self._work: tuple[asyncio.AbstractEventLoop, asyncio.Task[str]] | None = None
        self._is_stopping = False
        self._starting = threading.Lock()

    def job(self) -> Job:
        """Return the job that does the work."""
        name = f"webhook:{self.name}"
        return Job(name, EVERY_S, self.run, lane=name)

    def run(self) -> str:
        """Send what is due, and say how that went."""
        told = tell_acts(self._state, self._clock, self.name, self._events)
        try:
            address = Address(self._webhook)
        except DeclarationError as error:
            self.trouble = f"nothing can be sent: {error}"
            return self.trouble
        try:
            done = asyncio.run(self._send_due(address)) if self._next() else "nothing was due"
        except asyncio.CancelledError:
            done = "stopped; what was under way is sent again"
        self.trouble = trouble_of(self._state, self.name, self._clock.now_us())
        return f"{told} acts told, {done}" if told else done

    def stop(self) -> None:
        """Let go of the try that is under way; more than once is harmless."""
        with self._starting:
            self._is_stopping = True
            if self._work is not None:
                loop, task = self._work
                loop.call_soon_threadsafe(task.cancel)

    def _next(self) -> Delivery | None:
        if self._is_stopping or time.monotonic() < self._rests_until:
            return None
        return next_due(self._state, self.name, self._clock.now_us())

    async def _send_due(self, address: Address) -> str:
        task = asyncio.current_task()
        assert task is not None
        with self._starting:
            self._work = (asyncio.get_running_loop(), task)
        line = Line(address, self._timeout_s)
        try:
            return await self._work_off(line)
        finally:
            with self._starting:
                self._work = None
            await line.close()

    async def _work_off(self, line: Line) -> str:
        """Send one after the other, until one fails in a way that the next would fail too."""
        until = time.monotonic() + ROUND_S
        sent = given_up = 0
        while time.monotonic() < until and (delivery := self._next()):
            tried = await self._try(line, delivery)
            now_us = self._clock.now_us()
            draw = random.random()  # noqa: S311 - spreads the next tries, and keeps no secret
            note_result(self._state, delivery, tried, now_us, draw)
            if not tried.error:
                sent += 1
            elif tried.is_final:
                given_up += 1
            else:
                self._rests_until = time.monotonic() + (tried.retry_after_s or 0)
                return f"{sent} sent, {given_up} given up, then one failed: {tried.error}"
        return f"{sent} sent, {given_up} given up"

    async def _try(self, line: Line, delivery: Delivery) -> Tried:
        body = message_of(delivery, self._project, self._console_url())
        try:
            return result_of(await line.send(delivery.id, body))
        except ModelError as error:
            return Tried(None, str(error))


def message_of(delivery: Delivery, project: ProjectDeclaration, console_url: str) -> bytes:
    """Return a notice in the format of its webhook; the same each time it is sent."""
    webhook = project.webhooks[delivery.webhook]
    if webhook.format == "slack":
        return slack_message(delivery, project.name, webhook.console_url or console_url)
    return json_message(delivery, project.name)


def trouble_of(state: Engine, webhook: str, now_us: int) -> str:
    """Say why notices have not arrived for a while, or that the last was given up."""
    failing = oldest_failing(state, webhook)
    if failing is not None and now_us - failing.created_at_us > PATIENCE_US:
        minutes = (now_us - failing.created_at_us) // (60 * MICRO)
        return f"a notice has not been delivered for {minutes} minutes: {failing.last_error}"
    done = last_done(state, webhook)
    if done is not None and done.given_up_at_us is not None:
        again = f"`roadworthy webhooks retry {webhook}` sends it again"
        return f"the last notice was given up: {done.last_error}; {again}"
    return ""


class Tested(msgspec.Struct, frozen=True, kw_only=True):
    """How a test went.

    Attributes:
        id: Of the notice that was sent.
        status: What came back; None where nothing did.
        error: Why it was not delivered; empty when it was.
        answer: The beginning of the body that came back.
    """

    webhook: str
    id: str
    status: int | None
    error: str
    answer: str
    ms: int


def send_test(
    name: str, project: ProjectDeclaration, state: Engine, clock: Clock, *, by: str
) -> Tested:
    """Send one notice now, once, and return what came back.

    Raises:
        NotFound: No such webhook is declared.
        DeclarationError: The variable of its secret is unset, or holds something else.
    """
    check_declared(name, project)
    address = Address(project.webhooks[name])
    now_us = clock.now_us()
    facts = msgspec.json.encode({"by": by, "link": "/"}).decode()
    delivery = Delivery(
        seq=0,
        id=new_id(),
        webhook=name,
        event=TEST_EVENT,
        subject=name,
        body=facts,
        created_at_us=now_us,
        next_try_us=now_us,
    )
    started_s = time.monotonic()
    try:
        answer = asyncio.run(_send_once(address, delivery, project))
        tried, text = result_of(answer), answer.text
    except ModelError as error:
        tried, text = Tried(None, str(error)), ""
    keep_tried(state, delivery, tried, clock.now_us())
    return Tested(
        webhook=name,
        id=delivery.id,
        status=tried.status,
        error=tried.error,
        answer=text[:500],
        ms=round((time.monotonic() - started_s) * 1000),
    )


async def _send_once(address: Address, delivery: Delivery, project: ProjectDeclaration) -> Answer:
    line = Line(address, TIMEOUT_S)
    try:
        return await line.send(delivery.id, message_of(delivery, project, ""))
    finally:
        await line.close()


def check_declared(name: str, project: ProjectDeclaration) -> None:
    """Check that there is a webhook of this name.

    Raises:
        NotFound: There is none; the message lists those there are.
    """
    if name not in project.webhooks:
        known = ", ".join(f"`{name}`" for name in project.webhooks) or "none"
        raise NotFound(f"no webhook `{name:.80}` in roadworthy.toml; webhooks: {known}")
