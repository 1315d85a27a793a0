"""Who looks at the console: a signed cookie that names a key, and tokens that prove a form is ours.

The cookie holds no secret of the key, only its id. The key itself is looked up with every request,
so a key that was revoked or has expired ends its sessions at once. Sessions that somebody ended are
remembered in a file until they would have ended by themselves, so that a restart revives none.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from starlette.requests import Request

from ..errors import Forbidden, Unauthenticated
from ..types import MICRO, Clock, SystemClock

LASTS_S = 12 * 3600
DONE_COOKIE = "rw-done"
"""Carries what an act did to the next page, which says it once."""
DONE_LASTS_S = 60
COOKIE = "rw-session"
VISIT_COOKIE = "rw-visit"
"""Marks a browser that has not logged in yet, so that the log-in form has a token of its own."""

_SECRET_BYTES = 32

log = logging.getLogger("roadworthy.web")


class Session(NamedTuple):
    """What a valid cookie says: whose key, and until when (Unix seconds)."""

    key_id: str
    ends_s: int


class Sessions:
    """Makes and reads the cookies of one project.

    Args:
        secret: Signs them; who knows it can be anybody.
        clock: The machine's, not the project's: a replay may jump through a year in a minute, and
            the person who watches it stays logged in.
        ended: The file of sessions that somebody ended; without one they are known to this process
            alone.
    """

    def __init__(
        self, secret: bytes, clock: Clock | None = None, ended: Path | None = None
    ) -> None:
        self._secret = secret
        self._clock = clock or SystemClock()
        self._file = ended
        self._process = secrets.token_urlsafe(9)
        self._sent: dict[str, int] = {}
        self._ended = _read_ended(ended) if ended else {}

    def open(self, key_id: str) -> str:
        """Return the cookie of a new session."""
        ends_s = self._clock.now_us() // MICRO + LASTS_S
        said = f"{key_id}.{ends_s}.{secrets.token_urlsafe(9)}"
        return f"{said}.{self._sign('session', said)}"

    def read(self, cookie: str) -> Session:
        """Return what a cookie says.

        Raises:
            Unauthenticated: There is none, somebody changed it, or it has ended.
        """
        said, _, signature = cookie.rpartition(".")
        parts = said.split(".")
        if len(parts) != 3 or not _is_same(signature, self._sign("session", said)):
            raise Unauthenticated("expected a session; log in with a key")
        session = Session(parts[0], int(parts[1]))
        if session.ends_s <= self._clock.now_us() // MICRO or _mark(cookie) in self._ended:
            raise Unauthenticated("the session has ended; log in again")
        return session

    def end(self, cookie: str) -> None:
        """Refuse a session from now on, also after a restart, as long as it would have lasted."""
        ends_s = self.read(cookie).ends_s
        now_s = self._clock.now_us() // MICRO
        self._ended = {mark: until for mark, until in self._ended.items() if until > now_s}
        self._ended[_mark(cookie)] = ends_s
        if self._file is None:
            return
        try:
            _write_ended(self._file, self._ended)
        except OSError:
            log.warning("an ended session is remembered by this process alone", exc_info=True)

    def token(self, cookie: str) -> str:
        """Return the token that a form must bring along with this cookie."""
        return self._sign("form", cookie)

    def check_token(self, cookie: str, token: str) -> None:
        """Refuse a form that did not come from a page of ours.

        Raises:
            Forbidden: The token is missing, or belongs to another session.
        """
        if not cookie or not _is_same(token, self.token(cookie)):
            raise Forbidden(
                "expected the form's own token, got none or another one; load the page again"
            )

    def once(self, cookie: str) -> str:
        """Return the token of a form that may be sent once, to this process."""
        said = secrets.token_urlsafe(9)
        return f"{said}.{self._sign_once(cookie, said)}"

    def take_once(self, cookie: str, token: str) -> bool:
        """Say whether a form comes for the first time.

        Raises:
            Forbidden: The token is missing, or another session's or process's.
        """
        said, _, signature = token.partition(".")
        if not said or not _is_same(signature, self._sign_once(cookie, said)):
            raise Forbidden(
                "expected a form that this process made for this session; load the page again"
            )
        now_s = self._clock.now_us() // MICRO
        self._sent = {sent: until for sent, until in self._sent.items() if until > now_s}
        is_first = said not in self._sent
        self._sent[said] = now_s + LASTS_S
        return is_first

    def give_back(self, token: str) -> None:
        """Let a form be sent again, because nothing came of it."""
        self._sent.pop(token.partition(".")[0], None)

    def seal(self, cookie: str, text: str) -> str:
        """Return a text as the value of a cookie that only this session opens again."""
        said = urlsafe_b64encode(text.encode()).decode()
        return f"{said}.{self._sign('sealed', f'{cookie}:{said}')}"

    def unseal(self, cookie: str, value: str) -> str:
        """Return what was sealed for this session; an empty text if it was not."""
        said, _, signature = value.rpartition(".")
        if not _is_same(signature, self._sign("sealed", f"{cookie}:{said}")):
            return ""
        return urlsafe_b64decode(said).decode()

    def _sign_once(self, cookie: str, said: str) -> str:
        return self._sign("once", f"{self._process}:{cookie}:{said}")

    def _sign(self, purpose: str, text: str) -> str:
        digest = hmac.digest(self._secret, f"{purpose}:{text}".encode(), "sha256")
        return urlsafe_b64encode(digest).rstrip(b"=").decode()


def open_secret(path: Path) -> bytes:
    """Return the secret in a file that only its owner reads; it is made where there is none.

    Where it cannot be kept, it lasts as long as the process.
    """
    secret = secrets.token_bytes(_SECRET_BYTES)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _read_secret(path) or secret
    except OSError:
        return secret
    with os.fdopen(descriptor, "wb") as file:
        file.write(secret)
    return secret


def cookie_of(request: Request, name: str = COOKIE) -> str:
    """Return a cookie of the request, or an empty text."""
    return request.cookies.get(name, "")


def set_cookie(request: Request, value: str, *, name: str = COOKIE, lasts_s: int = LASTS_S) -> str:
    """Return a `set-cookie` header that no script reads and no form of another site brings along.

    A link from another site brings it (`Lax`), so that it leads to its page and not to the log-in:
    what is asked for with GET changes nothing.
    """
    proxied = request.headers.get("x-forwarded-proto", "")
    secure = "; Secure" if "https" in (request.url.scheme, proxied) else ""
    return f"{name}={value}; Path=/; Max-Age={lasts_s}; HttpOnly; SameSite=Lax{secure}"


def _read_secret(path: Path) -> bytes:
    """Return what the file holds; nothing if it is no secret, or not for its owner alone."""
    try:
        found = path.read_bytes()
        is_private = not path.stat().st_mode & 0o077
    except OSError:
        return b""
    return found if is_private and len(found) == _SECRET_BYTES else b""


def _mark(cookie: str) -> str:
    """Return what stands for a cookie where it is remembered; it does not lead back."""
    return hashlib.sha256(cookie.encode(errors="replace")).hexdigest()


def _read_ended(path: Path) -> dict[str, int]:
    """Return the marks in the file, each with the Unix second until which it counts."""
    ended = {}
    with suppress(OSError, UnicodeDecodeError):
        for line in path.read_text().splitlines():
            mark, _, until = line.partition(" ")
            if until.isdecimal():
                ended[mark] = int(until)
    return ended


def _write_ended(path: Path, ended: Mapping[str, int]) -> None:
    """Replace the file as a whole: a crash leaves the old one or the new one."""
    text = "".join(f"{mark} {until}\n" for mark, until in ended.items())
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)


def _is_same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(errors="replace"), expected.encode())


def new_visit() -> str:
    """Return what marks a browser before it has logged in."""
    return secrets.token_urlsafe(18)
