"""Signs notices as Standard Webhooks 1.0 says, and says whether a notice is really from here.

What is signed is `id.timestamp.body`, with HMAC-SHA256 and a secret that both sides hold
(https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ..errors import DeclarationError, RequestError, Unauthenticated

PREFIX = "whsec_"
FEWEST_BYTES, MOST_BYTES = 24, 64
TOLERANCE_S = 300
VERSION = "v1"

_HEADERS = ("id", "timestamp", "signature")
_ADVICE = "`echo whsec_$(openssl rand -base64 32)` makes one"


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """What a webhook was told.

    Attributes:
        id: The same each time the notice is sent; one that you have seen is a repeat.
        type: What happened, as `room.verb`.
        timestamp: When, in the project's time, as ISO 8601.
        project: In which project.
        subject: To what; notices of one subject come in order.
        data: The facts.
    """

    id: str = ""
    type: str
    timestamp: str
    project: str
    subject: str
    data: dict[str, Any]


_notice = msgspec.json.Decoder(Notice)


def read_secrets(text: str) -> tuple[bytes, ...]:
    """Return the keys that a variable holds: one, or while it is changed two, apart by a space.

    >>> [len(key) for key in read_secrets("whsec_" + "YWJj" * 8)]
    [24]

    Raises:
        DeclarationError: There is none, or one that is not base64 of 24 to 64 bytes.
    """
    keys = tuple(map(_key, text.split()))
    if not keys:
        raise DeclarationError(f"expected a signing secret, got none; {_ADVICE}")
    return keys


def _key(secret: str) -> bytes:
    text = secret.removeprefix(PREFIX).rstrip("=")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not FEWEST_BYTES <= len(key) <= MOST_BYTES:
        raise DeclarationError(
            f"expected a signing secret of `{PREFIX}` and base64 of {FEWEST_BYTES} to {MOST_BYTES} "
            f"bytes, got something else; {_ADVICE}"
        )
    return key


def sign(keys: Sequence[bytes], id: str, at_s: int, body: bytes) -> dict[str, str]:
    """Return the headers that a notice is sent with, signed with each key."""
    return {
        "webhook-id": id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(_signature(key, id, str(at_s), body) for key in keys),
    }


def verify_webhook(
    secret: str, headers: Mapping[str, str], body: bytes, *, now_s: float | None = None
) -> Notice:
    """Return what a webhook was told, once it is proven to come from who holds the secret.

    Give it the body as it came, byte by byte. It may be older or newer than now by five minutes;
    within them a notice can be played again, so drop one whose `id` you have seen.

    Args:
        secret: What the variable of the project's `secret_env` holds.
        headers: Of the request, in whatever case.
        body: Of the request.
        now_s: The time, in Unix seconds; by default the machine's.

    Raises:
        Unauthenticated: A header is missing, the time is another, or no signature fits.
        RequestError: The signature fits, and the body is no notice.
        DeclarationError: The secret is none.
    """
    keys = read_secrets(secret)
    given = {name.lower(): value for name, value in headers.items()}
    id, at, signatures = (given.get(f"webhook-{name}", "") for name in _HEADERS)
    if not (id and at and signatures):
        named = ", ".join(f"`webhook-{name}`" for name in _HEADERS)
        raise Unauthenticated(f"expected the headers {named}, got fewer")
    _check_time(at, time.time() if now_s is None else now_s)
    good = [_signature(key, id, at, body).encode() for key in keys]
    # Each is compared, whichever fits, so that the time taken tells nothing.
    fits = [
        hmac.compare_digest(one, given_one.encode(errors="replace"))
        for one in good
        for given_one in signatures.split(" ")
    ]
    if not any(fits):
        raise Unauthenticated("expected a signature with this secret, got none that fits")
    try:
        return msgspec.structs.replace(_notice.decode(body), id=id)
    except msgspec.MsgspecError as error:
        raise RequestError(f"expected a notice of Roadworthy, got {error}") from error


def _check_time(at: str, now_s: float) -> None:
    if not (at.isascii() and at.isdigit() and len(at) <= 12):
        raise Unauthenticated("webhook-timestamp: expected Unix seconds, got something else")
    if abs(now_s - int(at)) > TOLERANCE_S:
        raise Unauthenticated(
            f"webhook-timestamp: expected at most {TOLERANCE_S} s from now, got another time"
        )


def _signature(key: bytes, id: str, at: str, body: bytes) -> str:
    signed = b"%s.%s.%s" % (id.encode(errors="replace"), at.encode(), body)
    digest = hmac.new(key, signed, hashlib.sha256).digest()
    return f"{VERSION},{base64.b64encode(digest).decode()}"
