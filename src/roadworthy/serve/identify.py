"""Who asks: the key behind a request, and on whose behalf it may speak."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from ..errors import Forbidden, RequestError, Unauthenticated
from ..types import Caller, Clock, Key
from .request import Request

LOCAL_KEY = Key("local", "in-process", frozenset({"answer", "read", "act_as"}))
"""The key of calls from the same Python process, which could open the store anyway."""

_MAX_NAME = 200
MOST_TAGS = 32
"""Each tag is a row of the record and a sum of its own in the rollups."""


class Keyring:
    """The valid keys, by the hash of their secret; replaced as a whole when any key changes."""

    def __init__(self, clock: Clock, keys: Mapping[bytes, Key]) -> None:
        self._clock = clock
        self.replace(keys)

    def replace(self, keys: Mapping[bytes, Key]) -> None:
        """Use `keys` from now on; they map sha256 digests of secrets to keys."""
        self._by_digest = dict(keys)
        self._by_id = {key.id: key for key in keys.values()}
        self._by_header: dict[bytes, Key] = {}

    def find(self, authorization: bytes) -> Key:
        """Return the key of an `authorization: Bearer rw_…` header.

        Raises:
            Unauthenticated: There is none, or it is unknown, revoked or expired.
        """
        key = self._by_header.get(authorization)
        if key is None:
            key = self._look_up(authorization)
        self._check_valid(key)
        return key

    def find_id(self, key_id: str) -> Key:
        """Return the key of this id, for who has shown its secret before.

        Raises:
            Unauthenticated: It is unknown, revoked or expired.
        """
        key = self._by_id.get(key_id)
        if key is None:
            raise Unauthenticated("the key is unknown or revoked; log in with another one")
        self._check_valid(key)
        return key

    def _check_valid(self, key: Key) -> None:
        if key.expires_us is not None and key.expires_us <= self._clock.now_us():
            raise Unauthenticated(f"key `{key.id}` has expired; create another one")

    def _look_up(self, authorization: bytes) -> Key:
        scheme, _, secret = authorization.partition(b" ")
        if scheme.lower() != b"bearer" or not secret:
            raise Unauthenticated("expected a header `authorization: Bearer rw_…`, got none")
        secret = secret.strip()
        key = self._by_digest.get(hashlib.sha256(secret).digest())
        if key is None:
            raise Unauthenticated(
                "the key is unknown or revoked; `roadworthy keys create` makes one"
            )
        if authorization == b"Bearer " + secret:  # one spelling a key, so that this stays small
            self._by_header[authorization] = key
        return key


def caller_of(request: Request, key: Key) -> Caller:
    """Return who asks, after checking what the key may do.

    Raises:
        Forbidden: The key lacks a scope, the service, or the right to speak for somebody else.
        RequestError: A name is too long, or there are too many tags.
    """
    if "answer" not in key.scopes:
        raise Forbidden(f"key `{key.id}` lacks the scope `answer`")
    if key.services and request.service not in key.services:
        raise Forbidden(f"key `{key.id}` may not call `{request.service}`")
    if (request.user or request.role) and "act_as" not in key.scopes:
        raise Forbidden(
            f"key `{key.id}` may not name a user or role: it lacks the scope `act_as`",
            param="user" if request.user else "role",
        )
    if request.user or request.role or request.parent or request.tags or request.conversation:
        _check_names(request)
    user = request.user or f"key:{key.id}"
    return Caller(key, user, request.role, request.parent, request.tags, request.conversation)


def _check_names(request: Request) -> None:
    if len(request.tags) > MOST_TAGS:
        raise RequestError(
            f"`tags`: expected at most {MOST_TAGS}, got {len(request.tags)}", param="tags"
        )
    names = ("user", "role", "parent", "conversation")
    given = [(name, getattr(request, name)) for name in names]
    for what, name in (*given, *(("tags", tag) for tag in request.tags)):
        if len(name) > _MAX_NAME:
            raise RequestError(
                f"`{what}`: expected at most {_MAX_NAME} characters, got {len(name)}", param=what
            )
