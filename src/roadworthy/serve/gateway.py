"""The HTTP data plane as bare ASGI: routes, limits, and the edge where errors get their shape."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import aclosing
from functools import partial
from typing import Any

import msgspec

from ..errors import (
    Forbidden,
    NotFound,
    Overloaded,
    PayloadTooLarge,
    RequestError,
    RoadworthyError,
    Unauthenticated,
)
from ..net import Outbox
from ..observe.metrics import CONTENT_TYPE, Metrics
from ..types import Clock, Key, OpenFeatures, OpenSignals
from . import embeddings, features, native, oip, openai_chat, responses
from .connection import CYCLE, Exchange
from .engine import Engine
from .http import Headers, Incoming, Outgoing, error_response, flat_error_response, json_response
from .outcomes import OutcomeDesk
from .reviews import WaitingRoom

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]
Handler = Callable[[Incoming], Awaitable[Outgoing]]
NamedHandler = Callable[[Incoming, str], Awaitable[Outgoing]]
"""A handler that also takes the name in the path."""

OPEN_PATHS = frozenset({"/healthz", "/v2/health/live", "/v2/health/ready"})
"""What needs no key, and answers however much is at work."""

log = logging.getLogger("roadworthy.gateway")


class Limits(msgspec.Struct, frozen=True):
    """What one process accepts before it says no.

    Attributes:
        body_bytes: Largest request body.
        in_flight: Requests at work at the same time; further ones get 429 with Retry-After.
    """

    body_bytes: int = 8 * 1024 * 1024
    in_flight: int = 2048


class Gateway:
    """Routes the data plane to the engine; everything else goes to the control plane.

    Args:
        engine: Answers.
        control: The control plane's ASGI app.
        desk: Takes outcomes.
        waiting: Tells what became of a case that waits for a person.
        limits: What is accepted.
        metrics: Counts what was turned away, and gives the Prometheus page.
        health: Gives the state of the process: `{"status": "ok" | "degraded", …}`.
        open_signals: Gives what makes vectors of texts, with the first request for some.
        open_features: Gives the feature views at work, with the first row that is pushed.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        control: AsgiApp,
        desk: OutcomeDesk,
        waiting: WaitingRoom,
        limits: Limits,
        clock: Clock,
        metrics: Metrics,
        health: Callable[[], dict[str, Any]],
        open_signals: OpenSignals,
        open_features: OpenFeatures,
    ) -> None:
        self.is_draining = False
        self.outbox = Outbox()
        self._engine = engine
        self._control = control
        self._limits = limits
        self._clock = clock
        self._metrics = metrics
        self._health = health
        self._in_flight = 0
        chat = partial(openai_chat.chat_completions, engine)
        self._routes: dict[str, dict[str, Handler]] = {
            "/v1/chat/completions": {"POST": chat},
            "/v1/embeddings": {"POST": partial(embeddings.embeddings, engine, open_signals)},
            "/v1/models": {"GET": self._models},
            "/v1/responses": {"POST": partial(responses.responses, engine)},
            "/healthz": {"GET": self._healthz, "HEAD": self._healthz},
            "/metrics": {"GET": self._metrics_page},
            "/v2": {"GET": self._server},
            "/v2/health/live": {"GET": self._live},
            "/v2/health/ready": {"GET": self._ready},
        }
        self._named_routes: dict[str, dict[str, NamedHandler]] = {
            "/v1/features/*": {"POST": partial(features.push, engine.keyring, open_features)},
            "/v1/services/*/answer": {"POST": partial(native.answer, engine)},
            "/v1/requests/*/outcome": {"POST": desk.take},
            "/v1/reviews/*": {"GET": partial(waiting.read, lambda: self.is_draining)},
            "/v2/models/*": {"GET": self._model},
            "/v2/models/*/ready": {"GET": self._model_ready},
            "/v2/models/*/infer": {"POST": partial(oip.infer, engine)},
        }

    def knows(self, headers: Mapping[bytes, bytes]) -> bool:
        """Whether a request with these headers has a valid key."""
        try:
            self._engine.keyring.find(headers.get(b"authorization", b""))
        except Unauthenticated:
            return False
        return True

    async def serve(self, exchange: Exchange) -> None:
        """Answer a request of the data plane that has arrived whole."""
        started_ns = time.perf_counter_ns()
        path = exchange.path
        handler = self._route("POST", path) or _no_route
        incoming = Incoming("POST", path, exchange.headers, exchange.body, started_ns)
        try:
            out = await self._handle(handler, incoming)
            if out.events is None:
                exchange.respond(out.status, out.headers, out.body)
            else:
                await exchange.stream(out.status, out.headers, out.body, out.events)
        except asyncio.CancelledError:
            return  # the client left; the engine has settled and recorded on its way out
        except Exception:
            # The outer edge: what has begun cannot be answered otherwise any more.
            log.exception("a response broke off")
            exchange.abort()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection's request, as ASGI asks."""
        if scope["type"] != "http":
            await self._control(scope, receive, send)
            return
        method, path = scope["method"], scope["path"]
        handler = self._route(method, path)
        if handler is None:
            await self._control(scope, receive, send)
            return
        started_ns = time.perf_counter_ns()
        headers, query = _headers_of(scope["headers"]), scope["query_string"]
        incoming = Incoming(method, path, headers, b"", started_ns, query)
        try:
            out = await self._handle(handler, incoming, receive)
            await _send(send, out, scope.get(CYCLE))
        except asyncio.CancelledError:
            return  # the client left; the engine has settled and recorded on its way out

    async def _handle(
        self, handler: Handler, incoming: Incoming, receive: Receive | None = None
    ) -> Outgoing:
        """Return the response, whatever happens; with `receive`, the body is still to come."""
        is_open = incoming.path in OPEN_PATHS
        try:
            if receive is not None:
                if not is_open:
                    # Before the body: nobody without a key may make this process hold much.
                    self._engine.keyring.find(incoming.headers.get(b"authorization", b""))
                incoming.body = await self._body(incoming.headers, receive)
            if not is_open and self._in_flight >= self._limits.in_flight:
                raise _overloaded(self._limits.in_flight)
            self._in_flight += 1
            try:
                return await handler(incoming)
            finally:
                self._in_flight -= 1
        except RoadworthyError as error:
            return self._reject(error, is_flat=incoming.path.startswith("/v2"))
        except RecursionError:
            deep = RequestError("body: expected JSON of reasonable depth, got a deeper one")
            return self._reject(deep, is_flat=incoming.path.startswith("/v2"))
        except Exception as error:
            # The outer edge: a bug of ours ends this request and no other.
            log.exception("a request failed inside")
            return self._reject(RoadworthyError(f"internal error: {type(error).__name__}"))

    def _reject(self, error: RoadworthyError, *, is_flat: bool = False) -> Outgoing:
        self._metrics.reject(error.code)
        return flat_error_response(error) if is_flat else error_response(error)

    async def _body(self, headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
        limit = self._limits.body_bytes
        declared = headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > limit:
            raise _too_large(limit)
        message = await _receive(receive)
        if not message.get("more_body"):
            first: bytes = message.get("body", b"")
            if len(first) > limit:
                raise _too_large(limit)
            return first
        parts = [message["body"]]
        size = len(parts[0])
        while message.get("more_body"):
            message = await _receive(receive)
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > limit:
                raise _too_large(limit)
        return b"".join(parts)

    def _route(self, method: str, path: str) -> Handler | None:
        """Return what answers `method` on `path`; None leaves it to the control plane."""
        handlers = self._routes.get(path)
        if handlers is not None:
            return handlers.get(method) or partial(_wrong_method, handlers)
        parts = path.split("/")
        if len(parts) in (4, 5):
            name, parts[3] = parts[3], "*"
            named = self._named_routes.get("/".join(parts))
            if named is not None:
                found = named.get(method)
                if found is None:
                    return partial(_wrong_method, named)
                return lambda incoming: found(incoming, name)
        return _no_route if path.startswith(("/v1/", "/v2/")) or path == "/v1" else None

    async def _model(self, incoming: Incoming, name: str) -> Outgoing:
        self._check_sees(incoming, name)
        return oip.metadata(self._engine, name)

    async def _model_ready(self, incoming: Incoming, name: str) -> Outgoing:
        self._check_sees(incoming, name)
        self._engine.release_of(name)
        is_ready = not self.is_draining and name not in self._engine.stopped
        return json_response({"name": name, "ready": is_ready}, 200 if is_ready else 503)

    def _check_sees(self, incoming: Incoming, service: str) -> None:
        key = self._key(incoming)
        if key.services and service not in key.services:
            raise Forbidden(f"key `{key.id}` may not see `{service:.80}`")

    def _key(self, incoming: Incoming) -> Key:
        return self._engine.keyring.find(incoming.headers.get(b"authorization", b""))

    async def _models(self, incoming: Incoming) -> Outgoing:
        return openai_chat.models(self._engine, self._key(incoming), self._clock.now_us())

    async def _healthz(self, incoming: Incoming) -> Outgoing:
        return json_response(self._health())

    async def _metrics_page(self, incoming: Incoming) -> Outgoing:
        key = self._key(incoming)
        if "read" not in key.scopes or key.services:
            raise Forbidden(f"key `{key.id}` may not read what all services do")
        kind = (b"content-type", CONTENT_TYPE.encode())
        return Outgoing(200, [kind], self._metrics.render())

    async def _server(self, incoming: Incoming) -> Outgoing:
        self._key(incoming)
        return json_response({"name": "roadworthy", "extensions": ["binary_tensor_data"]})

    async def _live(self, incoming: Incoming) -> Outgoing:
        return json_response({"live": True})

    async def _ready(self, incoming: Incoming) -> Outgoing:
        is_ready = not self.is_draining
        return json_response({"ready": is_ready}, 200 if is_ready else 503)


def _headers_of(raw: Headers) -> dict[bytes, bytes]:
    """Return headers by name; what comes twice counts with both values (RFC 9110, 5.3)."""
    headers: dict[bytes, bytes] = {}
    for name, value in raw:
        headers[name] = b"%s, %s" % (headers[name], value) if name in headers else value
    return headers


async def _receive(receive: Receive) -> MutableMapping[str, Any]:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise asyncio.CancelledError
    return message


async def _no_route(incoming: Incoming) -> Outgoing:
    raise NotFound(
        f"no route {incoming.method} {incoming.path:.120}; see docs/reference/http-api.md"
    )


async def _wrong_method(handlers: Mapping[str, object], incoming: Incoming) -> Outgoing:
    allowed = ", ".join(handlers)
    error = RequestError(f"method: expected {allowed}, got {incoming.method:.20}")
    is_flat = incoming.path.startswith("/v2")
    out = flat_error_response(error) if is_flat else error_response(error)
    out.status = 405
    out.headers.append((b"allow", allowed.encode()))
    return out


def _overloaded(limit: int) -> Overloaded:
    return Overloaded(f"{limit} requests are at work already; come back later", retry_after_s=1)


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"expected a body of at most {limit} bytes, got more")


async def _send(send: Send, out: Outgoing, cycle: Any) -> None:
    if out.events is None:
        length = (b"content-length", b"%d" % len(out.body))
        start = {
            "type": "http.response.start",
            "status": out.status,
            "headers": [*out.headers, length],
        }
        await send(start)
        await send({"type": "http.response.body", "body": out.body})
        return
    async with aclosing(out.events) as events:
        await send({"type": "http.response.start", "status": out.status, "headers": out.headers})
        await send({"type": "http.response.body", "body": out.body, "more_body": True})
        async for event in events:
            if cycle is not None and cycle.disconnected:
                return
            await send({"type": "http.response.body", "body": event, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
