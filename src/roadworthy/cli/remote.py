"""Acts on what only the serving process holds (its spool, its ledger): asked of it over HTTP."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

import msgspec

from .. import errors
from ..app import Project
from ..errors import RoadworthyError, StoreBusy
from ..store.keys import create_key, revoke_key
from ..store.lock import Holder
from ..types import MICRO
from .common import acting

_KEY_LIVES_US = 60 * MICRO
_FOLLOWED_S = 0.15
_TIMEOUT_S = 300
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - read, not bound

_KINDS = {
    kind.code: kind
    for kind in (
        errors.NotFound,
        errors.Forbidden,
        errors.RequestError,
        errors.StoreError,
        StoreBusy,
    )
}


def ask_server(
    project: Project, holder: Holder, method: str, path: str, body: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return what the server that holds the project answers, asked with a key of our own.

    Whoever may write the store may make such a key; it lives for the one request, and the chain of
    actions names it and who made it.

    Raises:
        StoreBusy: The server cannot be reached.
        RoadworthyError: It refuses; the error is its own.
    """
    if not holder.address:
        raise StoreBusy(
            f"the project is held by process {holder.pid}, which serves no HTTP; try again when it"
            " has ended"
        )
    with _passing_key(project) as secret:
        request = urllib.request.Request(  # noqa: S310 - the address is our server's
            _reachable(holder.address) + path,
            method=method,
            data=msgspec.json.encode(body or {}) if method in ("POST", "PUT") else None,
            headers={"authorization": f"Bearer {secret}"},
        )
        return _send(request, _TIMEOUT_S)


def ask_health(address: str, timeout_s: float) -> dict[str, str]:
    """Return what is degraded in the server at `address`, by part; that needs no key.

    Raises:
        StoreBusy: The server cannot be reached.
    """
    request = urllib.request.Request(_reachable(address) + "/healthz")  # noqa: S310 - our server's
    trouble: dict[str, str] = _send(request, timeout_s)["trouble"]
    return trouble


def _send(request: urllib.request.Request, timeout_s: float) -> dict[str, Any]:
    # Straight there: a proxy of this shell would learn the key.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=timeout_s) as response:
            answer: dict[str, Any] = msgspec.json.decode(response.read())
    except HTTPError as error:
        with error:
            raise _refusal(error.read(), error.code) from error
    except (URLError, OSError, HTTPException) as error:
        where = f"{request.type}://{request.host}"
        raise StoreBusy(f"the server at {where} cannot be reached: {error}") from error
    return answer


@contextmanager
def _passing_key(project: Project) -> Iterator[str]:
    """Give an admin key that is revoked at the end."""
    key, secret = create_key(
        project.state,
        project.clock,
        name=f"{acting()}, for one request",
        scopes=("admin", "read"),
        expires_us=None if project.declaration.clock == "settable" else _soon(project),
        by=acting(),
    )
    try:
        time.sleep(_FOLLOWED_S)  # until the server follows the switchboard
        yield secret
    finally:
        revoke_key(project.state, project.clock, key.id, by=acting())


def _soon(project: Project) -> int:
    return project.clock.now_us() + _KEY_LIVES_US


def _reachable(address: str) -> str:
    """Return the URL of this machine where a server listens on every address."""
    parts = urlsplit(address)
    host = _EVERYWHERE.get(parts.hostname or "")
    return f"{parts.scheme}://{host}:{parts.port}" if host else address


def _refusal(body: bytes, status: int) -> RoadworthyError:
    """Return the error that the server's envelope tells of."""
    try:
        told = msgspec.json.decode(body)["error"]
        return _KINDS.get(told["code"], RoadworthyError)(told["message"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return StoreBusy(f"the server answered with status {status} and no reason")
