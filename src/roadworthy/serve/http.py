"""What the protocols see of HTTP: a request that has arrived whole, and a response to send."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from functools import lru_cache
from math import isnan, nan
from typing import Any

import msgspec

from ..cost.limits import rate_headers
from ..errors import RequestError, RoadworthyError
from ..types import MICRO
from .envelope import envelope_of
from .request import Reply

Headers = list[tuple[bytes, bytes]]

JSON = (b"content-type", b"application/json")
_NO_RETRY = (b"x-should-retry", b"false")
"""OpenAI's clients send again whatever ends with 500 and above, unless they read this."""
_MOST_MS = 1e9
_encode = msgspec.json.Encoder().encode


class Incoming(msgspec.Struct):
    """One HTTP request, whole. Header names are lower case; `query` is what follows the path."""

    method: str
    path: str
    headers: Mapping[bytes, bytes]
    body: bytes
    started_ns: int
    query: bytes = b""

    def text(self, name: bytes) -> str:
        """Return a header as text, or an empty string."""
        value = self.headers.get(name)
        return value.decode("latin-1").strip() if value else ""

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags in `x-roadworthy-tags`, comma separated."""
        text = self.text(b"x-roadworthy-tags")
        return tuple(tag.strip() for tag in text.split(",") if tag.strip()) if text else ()

    @property
    def deadline_ms(self) -> float | None:
        """The time the client gives, in `x-roadworthy-deadline-ms`."""
        text = self.text(b"x-roadworthy-deadline-ms")
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            value = nan
        if not 0 < value < _MOST_MS:
            got = f"a text of {len(text)} characters" if isnan(value) else f"{value:g}"
            raise RequestError(
                "`x-roadworthy-deadline-ms`: expected milliseconds above 0 and below "
                f"{_MOST_MS:.0f}, got {got}"
            )
        return value

    @property
    def cache(self) -> str:
        """What the client wants of the cache, in `x-roadworthy-cache` and `cache-control`.

        Of several wishes the strictest counts.
        """
        own = {word.strip() for word in self.text(b"x-roadworthy-cache").casefold().split(",")}
        if unknown := own - {"", "no-cache", "no-store"}:
            raise RequestError(
                "`x-roadworthy-cache`: expected `no-cache` (a fresh answer) or `no-store` (that "
                f"nothing is kept), got `{min(unknown):.40}`"
            )
        said = {word.strip() for word in self.text(b"cache-control").casefold().split(",")}
        if "no-store" in own | said:
            return "no-store"
        return "no-cache" if (own | said) & {"no-cache", "max-age=0"} else ""

    def common(self) -> dict[str, Any]:
        """Return what every protocol takes from the headers."""
        headers = self.headers
        common: dict[str, Any] = {
            "authorization": headers.get(b"authorization", b""),
            "started_ns": self.started_ns,
        }
        if b"x-roadworthy-user" in headers:
            common["user"] = self.text(b"x-roadworthy-user")
        if b"x-roadworthy-role" in headers:
            common["role"] = self.text(b"x-roadworthy-role")
        if b"x-roadworthy-parent" in headers:
            common["parent"] = self.text(b"x-roadworthy-parent")
        if b"x-roadworthy-conversation" in headers:
            common["conversation"] = self.text(b"x-roadworthy-conversation")
        if b"x-roadworthy-tags" in headers:
            common["tags"] = self.tags
        if b"x-roadworthy-deadline-ms" in headers:
            common["deadline_ms"] = self.deadline_ms
        if b"x-roadworthy-cache" in headers or b"cache-control" in headers:
            common["cache"] = self.cache
        return common


def unreadable(body: bytes, error: msgspec.DecodeError) -> RequestError:
    """Return the refusal of a body that is not the JSON that was expected."""
    reason = str(error)
    if not body.strip():
        return RequestError("body: expected a JSON object, got an empty body")
    if "truncated" in reason:
        got = f"one that ends too early, after {len(body)} bytes"
        return RequestError(f"body: expected a whole JSON object, got {got}")
    if "out of range" in reason:
        _, _, where = reason.partition(" - at ")
        at = f" at {where}" if where else ""
        return RequestError(f"body: expected numbers within the range of a double, got another{at}")
    if not isinstance(error, msgspec.ValidationError):
        return RequestError(f"body: expected a JSON object, got what is no JSON; {reason}")
    return RequestError(f"body: {reason[:1].lower()}{reason[1:]}")


class Outgoing(msgspec.Struct):
    """One HTTP response; where it is a stream, `events` follow on what is in `body`."""

    status: int
    headers: Headers
    body: bytes = b""
    events: AsyncGenerator[bytes, None] | None = None


def json_response(value: Any, status: int = 200, headers: Headers | None = None) -> Outgoing:
    """Return `value` as JSON."""
    return Outgoing(status, [JSON, *(headers or ())], _encode(value))


def error_response(error: RoadworthyError, request_id: str = "") -> Outgoing:
    """Return the error's envelope with its status, and when to come back if that is known."""
    headers: Headers = [JSON]
    if error.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % max(1, -int(-error.retry_after_s // 1))))
    headers += error.headers
    if error.status >= 500 and not error.retryable:
        headers.append(_NO_RETRY)
    if request_id:
        headers.append((b"x-roadworthy-request-id", request_id.encode()))
    return Outgoing(error.status, headers, _encode(envelope_of(error, request_id)))


def flat_error_response(error: RoadworthyError, request_id: str = "") -> Outgoing:
    """Return the error as the Open Inference Protocol wants it: `error` is a text there.

    The rest of the envelope stands beside it.
    """
    response = error_response(error, request_id)
    fields = envelope_of(error, request_id)["error"]
    response.body = _encode({"error": fields.pop("message"), **fields})
    return response


def reply_headers(reply: Reply) -> Headers:
    """Return the `x-roadworthy-*` headers that say what happened to a request."""
    headers: Headers = [
        (b"x-roadworthy-request-id", reply.request_id.encode()),
        *_what_and_how(reply.release, reply.disposition, reply.model),
    ]
    if reply.events is None:
        headers.append((b"x-roadworthy-cost-usd", usd(reply.cost_micro)))
    if reply.cache:
        headers.append((b"x-roadworthy-cache", reply.cache.encode()))
    if reply.review_id:
        headers.append((b"x-roadworthy-review-id", reply.review_id.encode()))
    if reply.is_cut_off:
        headers.append((b"x-roadworthy-truncated", b"true"))
    if reply.rates:
        headers += rate_headers(reply.rates)
    if reply.confidence is not None:
        headers.append((b"x-roadworthy-confidence", b"%.4f" % reply.confidence))
    return headers


@lru_cache
def _what_and_how(release: str, disposition: str, model: str) -> Headers:
    return [
        (b"x-roadworthy-release", release.encode()),
        (b"x-roadworthy-disposition", disposition.encode()),
        (b"x-roadworthy-model", model.encode("latin-1", "replace")),
    ]


def usd(micro: int) -> bytes:
    """Return micro-dollars as dollars with six decimals."""
    return b"%d.%06d" % divmod(micro, MICRO)
