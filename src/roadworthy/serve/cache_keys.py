"""Under which key an answer is kept: everything that it may depend on, and who may see it."""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import msgspec

from ..types import Call, Caller
from .request import Plan

Sharing = Literal["user", "team", "role", "all"]

_HOW = frozenset({"stream", "stream_options"})
"""Parameters of a chat that say how an answer is sent, and not what it is."""
_encode = msgspec.json.Encoder(order="deterministic").encode


class UnlikeAny(Exception):
    """An input that cannot be written down has no key: its answer is not kept."""


def key_of(plan: Plan, call: Call, scope: Sharing) -> bytes:
    """Return the SHA-256 of all that the answer to a call may depend on.

    That is the release, who shares it, the role, and everything that the engine would answer from:
    the body with every parameter (values as their bytes came, so that another spelling of the same
    JSON is another key), the input, and the features. Each part is written with its length, so that
    no value can pass for the end of one and the beginning of the next.

    Raises:
        UnlikeAny: The input cannot be written down.
    """
    parts: list[bytes | memoryview] = [*_whose(plan, scope)]
    for name in sorted(call.body):
        if name not in _HOW:
            parts += (name.encode(errors="surrogatepass"), memoryview(call.body[name]))
    parts += (b"input", _written(call.input))
    if plan.features is not None:
        parts += (b"features", _written(plan.features.get("values")))
    return _digest(parts)


def shelf_of(plan: Plan, call: Call, scope: Sharing, variable: str) -> bytes:
    """Return the SHA-256 of all but the question: only below the same one may answers be shared.

    Args:
        plan: Who asks which release.
        call: What is asked; its last message is the question and no more.
        scope: Who shares.
        variable: The input that is the question.

    Raises:
        UnlikeAny: The input cannot be written down.
    """
    parts: list[bytes | memoryview] = [*_whose(plan, scope), b"shelf"]
    for name in sorted(call.body):
        if name not in _HOW and name != "messages":
            parts += (name.encode(errors="surrogatepass"), memoryview(call.body[name]))
    earlier = _messages(call.body["messages"])[:-1]
    parts += (b"earlier", b"%d" % len(earlier), *(memoryview(message) for message in earlier))
    others = {name: value for name, value in call.input.items() if name != variable}
    parts += (b"input", _written(others))
    if plan.features is not None:
        parts += (b"features", _written(plan.features.get("values")))
    return _digest(parts)


_messages = msgspec.json.Decoder(list[msgspec.Raw]).decode


def _whose(plan: Plan, scope: Sharing) -> tuple[bytes, ...]:
    caller, release = plan.caller, plan.release
    whose = [release.name, release.id, release.kind, caller.role, scope, *_sharers(caller, scope)]
    return tuple([text.encode(errors="surrogatepass") for text in whose])


def _sharers(caller: Caller, scope: Sharing) -> tuple[str, ...]:
    """Return who shares answers with a caller.

    A user is one of a team: two teams that each call one of theirs `ann` share nothing. A key that
    has no team is a team by itself.
    """
    if scope in ("all", "role"):  # the role is in every key
        return ()
    team = ("team", caller.key.team) if caller.key.team else ("key", caller.key.id)
    return team if scope == "team" else (*team, caller.user)


def _written(value: Any) -> bytes:
    try:
        written = _encode(value)
        # Numbers that are none (NaN, infinity) would all be written as null, and as one another.
        return (
            written + repr(value).encode(errors="surrogatepass") if b"null" in written else written
        )
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise UnlikeAny from error


def _digest(parts: list[bytes | memoryview]) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(b"%d:" % len(part))
        digest.update(part)
    return digest.digest()
