"""One route: what it takes, whom it lets in, and the edge where every error gets its shape.

A route's handler is a plain function, and its signature says it all: `query` and `body` are structs
to read the request into, other parameters come from the path, and what it returns is the answer.
The OpenAPI document is made from the same signature.
"""

from __future__ import annotations

import logging
import re
from asyncio import CancelledError
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
from anyio import CapacityLimiter, to_thread
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from ..errors import (
    Forbidden,
    NotFound,
    Overloaded,
    PayloadTooLarge,
    RequestError,
    RoadworthyError,
    StoreError,
)
from ..serve.http import error_response
from ..types import Key, Scope
from .control import Ask, Control

MAX_BODY_BYTES = 1 << 20
MOST_AT_WORK = 4
"""Routes that run at the same time: fewer than the database has connections, so that the writer
and the engine always find one, and few enough to leave the processor to the data plane."""
MOST_WAITING = 64

_PARAMETER = re.compile(r"\{(\w+)(?::path)?\}")
_AT_FAULT = re.compile(r"field `([^`]*)`|`\$\.([^`]*)`$")
_BOUND = re.compile(r"Expected `(int|float)` (>=|<=) (\S+)")
_NUMBERS = {"int": "a whole number", "float": "a number"}
_DECIMAL = re.compile(r"-?\d{1,15}(\.\d{1,20})?([eE][+-]?\d{1,3})?", re.ASCII)
_encode = msgspec.json.Encoder().encode

log = logging.getLogger("roadworthy.web")


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No parameters."""


class Route:
    """One method of one path.

    Args:
        method: The HTTP method.
        path: With its parameters in braces; `{name:path}` may hold slashes.
        scope: What the key must be allowed to do.
        handler: Does it, in a thread. Its docstring describes the route.
        status: Of the answer when all went well.
        whole: Whether it concerns the whole project, so that a key of some services may not.
        errors: What it raises beside what every route may raise.

    Attributes:
        parameters: Names in the path.
        query: The struct that query parameters are read into.
        body: The struct that the body is read into, or None where it is not read.
        answer: The type of the answer.
    """

    def __init__(
        self,
        method: str,
        path: str,
        scope: Scope,
        handler: Callable[..., Any],
        *,
        status: int = 200,
        whole: bool = False,
        errors: tuple[type[RoadworthyError], ...] = (),
    ) -> None:
        hints = get_type_hints(handler, include_extras=True)
        self.method = method
        self.path = path
        self.scope = scope
        self.handler = handler
        self.status = status
        self.whole = whole
        self.errors = errors
        self.parameters = tuple(_PARAMETER.findall(path))
        self.query: type[msgspec.Struct] = hints.get("query", Nothing)
        self.body: type[msgspec.Struct] | None = hints.get("body")
        self.answer: Any = hints["return"]
        self._takes_query = "query" in hints
        self._query_fields = {f.name: f.type for f in msgspec.structs.fields(self.query)}
        self._body_decoder = msgspec.json.Decoder(self.body) if self.body else None

    def check(self, key: Key) -> None:
        """Refuse a key that may not use this route.

        Raises:
            Forbidden: It lacks the scope, or is limited to some services.
        """
        if self.scope not in key.scopes:
            raise Forbidden(f"key `{key.id}` lacks the scope `{self.scope}`")
        if self.whole and key.services:
            raise Forbidden(
                f"key `{key.id}` is limited to some services, and {self.method} {self.path}"
                " concerns all; use a key without `services`"
            )

    def read(self, given: Iterable[tuple[str, str]], body: bytes) -> dict[str, Any]:
        """Return the handler's arguments from query parameters and body.

        Raises:
            RequestError: One is unknown, missing, given twice or of a wrong type.
        """
        arguments: dict[str, Any] = {}
        query = self._read_query(given)
        if self._takes_query:
            arguments["query"] = query
        if self._body_decoder is not None:
            try:
                arguments["body"] = self._body_decoder.decode(body or b"{}")
            except msgspec.DecodeError as error:
                raise _refusal("body", error) from error
        return arguments

    def read_form(self, given: Iterable[tuple[str, str]]) -> dict[str, Any]:
        """Return the handler's arguments from the fields of a form; an empty one was not given.

        Raises:
            RequestError: One is unknown, missing, given twice or of a wrong type.
        """
        if self.body is None:
            return {}
        lists = {f.name for f in msgspec.structs.fields(self.body) if _is_list(f.type)}
        values: dict[str, Any] = {}
        for name, text in given:
            if name in lists:
                values.setdefault(name, []).append(text)
            elif name in values:
                raise RequestError(f"form: expected `{name:.80}` once, got it twice")
            elif text:
                values[name] = text
        try:
            return {"body": msgspec.convert(values, self.body, strict=False)}
        except msgspec.ValidationError as error:
            raise _refusal("form", error) from error

    def _read_query(self, given: Iterable[tuple[str, str]]) -> msgspec.Struct:
        values: dict[str, Any] = {}
        for name, text in given:
            if name not in self._query_fields:
                known = ", ".join(f"`{known}`" for known in self._query_fields) or "none"
                raise RequestError(
                    f"query: unknown parameter `{name:.80}`; expected {known}", param=name[:80]
                )
            if name in values:
                raise RequestError(f"query: expected `{name}` once, got it twice", param=name)
            values[name] = _number_of(text, self._query_fields[name])
        try:
            return msgspec.convert(values, self.query)
        except msgspec.ValidationError as error:
            raise _refusal("query", error, values) from error


class Resource:
    """All methods of one path, as an ASGI app.

    Args:
        control: What the routes work on.
        routes: Method → its route.
        limiter: Shared by all paths: how many routes run at the same time.
    """

    def __init__(
        self, control: Control, routes: Mapping[str, Route], limiter: CapacityLimiter
    ) -> None:
        self._control = control
        self._routes = routes
        self._limiter = limiter

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens."""
        request = Request(scope, receive)
        response = await caught(self._answer(request))
        if isinstance(response, RoadworthyError):
            response = refuse(response)
        if response is not None:
            await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        route = self._routes.get(request.method)
        if route is None:
            allowed = ", ".join(self._routes)
            error = RequestError(f"method: expected {allowed}, got {request.method:.20}")
            return refuse(error, status=405, headers={"allow": allowed})
        key = self._control.key_of(request, may_be_session=route.method == "GET")
        route.check(key)
        body = await body_of(request) if route.body is not None else b""
        arguments = route.read(request.query_params.multi_items(), body)
        check_room(self._limiter)
        ask = Ask(self._control, key)

        def work() -> bytes:
            return _encode(route.handler(ask, **request.path_params, **arguments))

        said = await to_thread.run_sync(work, limiter=self._limiter)
        if route.method != "GET":
            await self._control.follow()
        return _response(route.status, said)


async def caught(answer: Awaitable[Response]) -> Response | RoadworthyError | None:
    """Wait for a response and return it, or the error that stands in its place.

    None means that the client left; what has begun in its thread is finished.
    """
    try:
        return await answer
    except RoadworthyError as error:
        return error
    except SQLAlchemyError as error:
        log.warning("the store failed", exc_info=True)
        return StoreError(f"the store failed: {type(error).__name__}; try again")
    except (ClientDisconnect, CancelledError):
        return None
    except Exception as error:  # outer edge: no traceback may reach a client
        log.exception("a request to the control plane failed inside")
        return RoadworthyError(f"internal error: {type(error).__name__}")


def check_room(limiter: CapacityLimiter) -> None:
    """Refuse what would wait behind too many others.

    Raises:
        Overloaded: As many as may wait do.
    """
    if limiter.statistics().tasks_waiting >= MOST_WAITING:
        raise Overloaded(
            f"{MOST_WAITING} requests to the control plane wait already; come back later",
            retry_after_s=1,
        )


def refuse(
    error: RoadworthyError, *, status: int | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """Return the response to an error, by default with the error's own status."""
    out = error_response(error)
    given = {name.decode(): value.decode() for name, value in out.headers}
    return _response(status or out.status, out.body, {**given, **(headers or {})})


def refuse_unknown(request: Request, _: Exception) -> Response:
    """Return the response to a path that is no route."""
    where = f"{request.method:.20} {request.url.path:.120}"
    return refuse(NotFound(f"no route {where}; GET /api/openapi.json lists them"))


def _response(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> Response:
    # What is said here is for one key and one moment, and once it is a secret.
    common = {"content-type": "application/json", "cache-control": "no-store"}
    return Response(body, status, {**common, **(headers or {})})


async def body_of(request: Request) -> bytes:
    """Return the body.

    Raises:
        PayloadTooLarge: It is larger than any that a route takes.
    """
    parts, size = [], 0
    async for part in request.stream():
        parts.append(part)
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise PayloadTooLarge(f"expected a body of at most {MAX_BODY_BYTES} bytes, got more")
    return b"".join(parts)


def _is_list(kind: Any) -> bool:
    """Whether an annotation holds a list, perhaps with bounds."""
    return get_origin(kind) is list or any(get_origin(part) is list for part in get_args(kind))


def _is_number(kind: Any, number: type) -> bool:
    """Whether an annotation holds such a number, perhaps with bounds or beside something else."""
    return kind is number or any(_is_number(part, number) for part in get_args(kind))


def _number_of(text: str, kind: Any) -> float | str:
    """Return the number that `text` is where one is wanted.

    What is none stays a text, to be refused with its name.
    """
    digits = text.removeprefix("-")
    if _is_number(kind, int) and digits.isascii() and digits.isdigit() and len(digits) < 19:
        return int(text)
    if _is_number(kind, float) and _DECIMAL.fullmatch(text):
        return float(text)
    return text


def _refusal(where: str, error: Exception, values: Mapping[str, Any] | None = None) -> RequestError:
    text = str(error)[:300]
    found = _AT_FAULT.search(text)
    param = (found[1] or found[2]) if found else None
    bound = _BOUND.match(text)
    if bound and param:
        got = f", got `{values[param]}`" if values and param in values else ""
        text = f"{param}: expected {_NUMBERS[bound[1]]} {bound[2]} {float(bound[3]):.12g}{got}"
    return RequestError(f"{where}: {text}", param=param)
