"""How the console's pages and acts are reached: the log-in before them, forms, errors."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote

import msgspec
from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as Path
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from ...errors import (
    Forbidden,
    NotFound,
    RequestError,
    RoadworthyError,
    StoreError,
    Unauthenticated,
)
from ...store.clock import time_of
from ...types import Ids, Key
from ..control import Ask, Control
from ..route import Route, body_of, caught, check_room, refuse
from ..session import (
    DONE_COOKIE,
    DONE_LASTS_S,
    VISIT_COOKIE,
    cookie_of,
    new_visit,
    set_cookie,
)
from .done import SENT_BEFORE, Done
from .forms import Wrong, all_wrong, one_time, write_times, wrong_of
from .render import ASSETS, HEADERS, html, render
from .table import ACTS, PAGES, Act, Page

MOST_FIELDS = 200
log = logging.getLogger("roadworthy.web")

_HOST = re.compile(r"[\w.-]{1,100}(:\d{1,5})?|\[[0-9a-f:]+\](:\d{1,5})?", re.ASCII)
_TOKEN = "csrf"  # noqa: S105 - the name of a field
_ONCE = "once"
_MOST_OF_A_NAME = 40
_FOR_EVER = {"cache-control": "public, max-age=31536000, immutable"}


class NavigationEntry(NamedTuple):
    """One word of the navigation.

    Attributes:
        current: What `aria-current` says of it.
        waiting: How much waits there.
    """

    word: str
    path: str
    current: str
    waiting: int


class Console:
    """Every page, act and static file, and the log-in before them.

    Args:
        control: What the pages show and act on.
        limiter: Shared with `/api`: how many routes and pages run at the same time.
    """

    def __init__(
        self,
        control: Control,
        limiter: CapacityLimiter,
        pages: Iterable[Page] = PAGES,
        acts: Iterable[Act] = ACTS,
    ) -> None:
        self._control = control
        self._limiter = limiter
        self._pages = {page.path: page for page in pages}
        self._acts = {act.path: act for act in acts}
        self._ids = Ids(control.clock)

    def paths(self) -> list[Path]:
        """Return what is at each path."""
        paths: list[Path] = [
            Path("/login", _Endpoint(self, {"GET": self._login_form, "POST": self._log_in})),
            Path("/logout", _Endpoint(self, {"POST": self._log_out})),
            Path("/static/{name}", _Endpoint(self, {"GET": self._static})),
        ]
        for path in {**self._pages, **self._acts}:
            methods: dict[str, Answerer] = {}
            if path in self._pages:
                methods["GET"] = self._show
            if path in self._acts:
                methods["POST"] = self._act
            paths.append(Path(path, _Endpoint(self, methods, path)))
        return paths

    async def refuse_unknown(self, request: Request, _: Exception) -> Response:
        """Return the response to a path that is no page and no route."""
        where = f"{request.method:.20} {request.url.path:.120}"
        if request.url.path.startswith("/api") or not wants_html(request):
            return refuse(NotFound(f"no route {where}; GET /api/openapi.json lists them"))
        return self.fail(request, NotFound(f"no page `{request.url.path:.120}`"))

    def fail(
        self, request: Request, error: RoadworthyError, status: int = 0, path: str = ""
    ) -> Response:
        """Return an error as a page to a browser, else as JSON; who must log in is sent there.

        Args:
            request: What was asked for.
            error: Why it was refused.
            status: By default the error's.
            path: Of the page or act, with its parameters in braces.
        """
        status = status or error.status
        if not wants_html(request):
            return refuse(error, status=status)
        if isinstance(error, Unauthenticated) and request.method == "GET":
            return _go(f"/login?next={quote(_target_of(request), safe='/')}")
        retry = refuse(error).headers.get("retry-after")
        shown = self._pages.get(path)
        id = self._ids.new("pg")
        log.info(
            "%s: %d %s at %.10s %.120r", id, status, error.code, request.method, request.url.path
        )
        page = {
            "error": error,
            "status": status,
            "thing": shown.thing if shown else "page",
            "id": id,
        }
        context = self._context(request, page, key=self._viewer(request), waiting=0)
        extra = {"x-roadworthy-request-id": id, **({"retry-after": retry} if retry else {})}
        return html(render("error.html", context), status, extra)

    def _viewer(self, request: Request) -> Key | None:
        """Return whose session it is, for the head of an error page; None if nobody's."""
        with suppress(RoadworthyError):
            return self._control.key_of(request, may_be_session=True)
        return None

    async def _show(self, request: Request, path: str) -> Response:
        page = self._pages[path]
        key = self._control.key_of(request, may_be_session=True)
        page.route.check(key)
        given = one_time((n, text) for n, text in request.query_params.multi_items() if text)
        now = self._now()

        def read(fields: list[tuple[str, str]]) -> Mapping[str, Any]:
            return page.route.read(write_times(fields, page.route.query, now, -1), b"")

        def wrong(error: RequestError) -> Wrong | None:
            return wrong_of(error, given, page.fields, now, -1)

        try:
            return await self._read_page(request, page, key, given, read(given))
        except RequestError as error:
            found = all_wrong(given, read, wrong)
            if not found and (last := wrong(error)):  # two fields that contradict each other
                found = {last.field: last.says}
            if not found:
                raise
            return await self._again(request, page, key, found, given)

    async def _read_page(
        self,
        request: Request,
        page: Page,
        key: Key,
        given: list[tuple[str, str]],
        arguments: Mapping[str, Any],
    ) -> Response:
        asked = write_times(given, page.route.query, self._now(), -1)
        twin = page.twin.format_map(_quoted(request)) + _query_of(asked)
        query, done = dict(given), self._done(request)

        def write(value: Any) -> Response:
            target = page.leads(query, value) if page.leads else ""
            if target:
                return _go(target)
            context = self._context(request, value, key=key, twin=twin, query=query, done=done)
            body = render(page.template, context)
            said = {"set-cookie": set_cookie(request, "", name=DONE_COOKIE, lasts_s=0)}
            return html(body, headers=said if cookie_of(request, DONE_COOKIE) else None)

        response: Response = await self._run(request, page.route, key, arguments, write)
        return response

    async def _act(self, request: Request, path: str) -> Response:
        act, control = self._acts[path], self._control
        cookie = cookie_of(request)
        key = control.keyring.find_id(control.sessions.read(cookie).key_id)
        fields, once = await self._fields(request, cookie)
        act.route.check(key)
        if act.once and not control.sessions.take_once(cookie, once):
            return self._say(request, act.form.format_map(_quoted(request)), Done(says=SENT_BEFORE))
        now, form = self._now(), self._pages.get(act.form)
        try:
            asked = write_times(fields, act.route.body, now, 1) if act.route.body else fields
            arguments = act.route.read_form(asked)
            if act.template:
                page = {"key": key}
                body = await self._page(request, act.route, act.template, key, arguments, page)
                await control.follow()
                return html(body)
            value = await self._run(request, act.route, key, arguments)
        except RequestError as error:
            control.sessions.give_back(once)
            wrong = wrong_of(error, fields, _names_of(act.route), now, 1)
            if wrong is None or form is None:
                raise
            return await self._again(request, form, key, {wrong.field: wrong.says}, fields)
        except StoreError:
            control.sessions.give_back(once)
            raise
        await control.follow()
        done = act.done(value, key.name[:_MOST_OF_A_NAME], now) if act.done else None
        target = act.goes(value) if act.goes else act.then.format_map(_quoted(request))
        return self._say(request, target, done)

    def _say(self, request: Request, target: str, done: Done | None) -> Response:
        """Send the browser to a page that says what was done."""
        if done is None:
            return _go(target)
        text = msgspec.json.encode(done).decode()
        sealed = self._control.sessions.seal(cookie_of(request), text)
        cookie = set_cookie(request, sealed, name=DONE_COOKIE, lasts_s=DONE_LASTS_S)
        return _go(target, {"set-cookie": cookie})

    def _done(self, request: Request) -> Done | None:
        """Return what the last act of this session did, if no page has said it yet."""
        value = cookie_of(request, DONE_COOKIE)
        text = self._control.sessions.unseal(cookie_of(request), value) if value else ""
        return msgspec.json.decode(text, type=Done) if text else None

    async def _again(
        self,
        request: Request,
        page: Page,
        key: Key,
        wrong: Mapping[str, str],
        given: list[tuple[str, str]],
    ) -> Response:
        """Show a page with its form as it was filled in, and what is wrong beside each field."""
        page.route.check(key)
        typed: dict[str, list[str]] = {}
        for name, text in given:
            typed.setdefault(name, []).append(text)
        context = {
            "key": key,
            "here": page.path.format_map(_quoted(request)),
            "twin": page.twin.format_map(_quoted(request)),
            "query": dict(given) if request.method == "GET" else {},
            "typed": typed,
            "wrong": wrong,
        }
        arguments = page.route.read([], b"")
        body = await self._page(request, page.route, page.template, key, arguments, context)
        return html(body, 400)

    async def _run(
        self,
        request: Request,
        route: Route,
        key: Key,
        arguments: Mapping[str, Any],
        finish: Callable[[Any], Any] = lambda value: value,
    ) -> Any:
        """Run a handler in a thread, and there, too, what makes something of its value."""
        check_room(self._limiter)
        ask = Ask(self._control, key)

        def work() -> Any:
            return finish(route.handler(ask, **request.path_params, **arguments))

        return await to_thread.run_sync(work, limiter=self._limiter)

    async def _page(
        self,
        request: Request,
        route: Route,
        template: str,
        key: Key,
        arguments: Mapping[str, Any],
        context: Mapping[str, Any],
    ) -> str:
        """Return a template with what a handler gives."""

        def write(value: Any) -> str:
            return render(template, self._context(request, value, **context))

        body: str = await self._run(request, route, key, arguments, write)
        return body

    async def _fields(self, request: Request, cookie: str) -> tuple[list[tuple[str, str]], str]:
        """Return the fields of a form of ours without its tokens, and the one for once.

        Raises:
            Forbidden: It does not bring the token of this cookie.
            RequestError: It is no form.
        """
        body = await body_of(request)
        try:
            pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS)
        except ValueError as error:
            raise RequestError("form: expected fields in UTF-8, got something else") from error
        tokens = [value for name, value in pairs if name == _TOKEN]
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise Forbidden("expected a form of this site, got one of another")
        self._control.sessions.check_token(cookie, tokens[0] if len(tokens) == 1 else "")
        once = next((value for name, value in pairs if name == _ONCE), "")
        return [(name, value) for name, value in pairs if name not in (_TOKEN, _ONCE)], once

    def _context(
        self, request: Request, page: object, *, key: Key | None = None, **more: Any
    ) -> dict[str, Any]:
        """Return what every template may read."""
        control, cookie = self._control, cookie_of(request) or cookie_of(request, VISIT_COOKIE)
        here = more.pop("here", request.url.path)
        waiting = more.pop("waiting", None)
        return {
            "page": page,
            "project": control.declaration.name,
            "now": self._now(),
            "here": here,
            "navigation": self._navigation(here, key, waiting) if key else [],
            "viewer": key,
            "can": control.shipping.can,
            "may": lambda scope: key is not None and scope in key.scopes,
            "csrf": control.sessions.token(cookie) if cookie else "",
            "once": lambda: control.sessions.once(cookie),
            "twin": "",
            "origin": _origin_of(request),
            "query": {},
            "typed": {},
            "wrong": {},
            "done": None,
            **more,
        }

    def _navigation(self, here: str, key: Key, waiting: int | None) -> list[NavigationEntry]:
        """Return the words of the navigation; of what waits for people how much, where one may.

        Args:
            here: The path that is shown.
            key: Whose session it is.
            waiting: How much waits; None where it is to be counted, which reads the database.
        """
        entries = []
        for page in self._pages.values():
            is_closed = page.route.scope not in key.scopes or (page.route.whole and key.services)
            if not page.nav or is_closed or not page.is_there(Ask(self._control, key)):
                continue
            n = 0
            if page.counts is not None:
                n = page.counts(Ask(self._control, key)) if waiting is None else waiting
            entries.append(NavigationEntry(page.nav, page.path, _current(here, page.path), n))
        return entries

    def _now(self) -> datetime:
        return time_of(self._control.clock.now_us())

    async def _login_form(self, request: Request, path: str) -> Response:
        return self._login_page(request, None, request.query_params.get("next", ""))

    def _login_page(self, request: Request, error: RoadworthyError | None, target: str) -> Response:
        visit = cookie_of(request, VISIT_COOKIE) or new_visit()
        page = {"error": error, "next": _safe(target)}
        context = self._context(request, page, csrf=self._control.sessions.token(visit))
        cookie = set_cookie(request, visit, name=VISIT_COOKIE)
        status = error.status if error else 200
        return html(render("login.html", context), status, {"set-cookie": cookie})

    async def _log_in(self, request: Request, path: str) -> Response:
        given, _ = await self._fields(request, cookie_of(request, VISIT_COOKIE))
        fields = dict(given)
        secret, target = fields.get("key", "").strip(), fields.get("next", "")
        try:
            if not secret:
                raise Unauthenticated("expected a key that begins with `rw_`, got nothing")
            key = self._control.keyring.find(b"Bearer " + secret.encode())
            if "read" not in key.scopes:
                raise Forbidden(f"key `{key.id}` lacks the scope `read`")
        except RequestError as error:
            return self._login_page(request, error, target)
        cookie = set_cookie(request, self._control.sessions.open(key.id))
        return _go(_safe(target), {"set-cookie": cookie})

    async def _log_out(self, request: Request, path: str) -> Response:
        cookie = cookie_of(request)
        self._control.sessions.read(cookie)
        await self._fields(request, cookie)
        self._control.sessions.end(cookie)
        return _go("/login", {"set-cookie": set_cookie(request, "", lasts_s=0)})

    async def _static(self, request: Request, path: str) -> Response:
        asset = ASSETS.get(request.path_params["name"])
        if asset is None:
            raise NotFound(f"no file {request.url.path:.120}")
        return Response(asset.body, 200, {**HEADERS, **_FOR_EVER}, asset.kind)


Answerer = Callable[[Request, str], Any]


class _Endpoint:
    """All methods of one path of the console, as an ASGI app."""

    def __init__(self, console: Console, methods: Mapping[str, Answerer], path: str = "") -> None:
        self._console = console
        self._methods = methods
        self._path = path

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        method = "GET" if request.method == "HEAD" else request.method
        answer = self._methods.get(method)
        if answer is None:
            allowed = ", ".join(self._methods)
            error = RequestError(f"method: expected {allowed}, got {request.method:.20}")
            response: Response | RoadworthyError | None = self._console.fail(request, error, 405)
            assert isinstance(response, Response)
            response.headers["allow"] = allowed
        else:
            response = await caught(answer(request, self._path))
        if isinstance(response, RoadworthyError):
            response = self._console.fail(request, response, path=self._path)
        if response is not None:
            await response(scope, receive, send)


def wants_html(request: Request) -> bool:
    """Whether a person in front of a browser asks, and not a program."""
    return "text/html" in request.headers.get("accept", "")


def _go(target: str, headers: Mapping[str, str] | None = None) -> Response:
    return Response(b"", 303, {**HEADERS, "location": target, **(headers or {})})


def _target_of(request: Request) -> str:
    query = f"?{request.url.query}" if request.url.query else ""
    return f"{request.url.path}{query}"


def _safe(target: str) -> str:
    """Return where to go after the log-in: a page of ours, never another site."""
    is_ours = target.startswith("/") and not target.startswith(("//", "/\\", "/login", "/logout"))
    is_plain = target.isascii() and target.isprintable() and "\\" not in target
    return target if is_ours and is_plain and len(target) <= 2000 else "/"


def _quoted(request: Request) -> dict[str, str]:
    return {name: quote(str(value), safe="") for name, value in request.path_params.items()}


def _origin_of(request: Request) -> str:
    """Return how the browser reached us, to be shown in commands."""
    host = request.headers.get("host", "")
    return f"{request.url.scheme}://{host if _HOST.fullmatch(host) else '127.0.0.1:8700'}"


def _current(here: str, path: str) -> str:
    """Return what `aria-current` says of a page in the navigation: empty, unless one is on it."""
    if here == path:
        return "page"
    return "true" if path != "/" and here.startswith(f"{path}/") else ""


def _names_of(route: Route) -> tuple[str, ...]:
    return route.body.__struct_fields__ if route.body else ()


def _query_of(given: Iterable[tuple[str, str]]) -> str:
    text = "&".join(f"{quote(name)}={quote(value, safe='')}" for name, value in given)
    return f"?{text}" if text else ""
