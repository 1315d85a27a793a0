"""What an upstream's refusal means: its status, its code and its headers as one of our errors."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from ..errors import (
    Cause,
    ModelError,
    ModelRateLimited,
    ModelRejected,
    ModelTimeout,
    ModelUnavailable,
)

_NO_CREDIT = ("insufficient_quota", "billing", "credit", "payment", "quota_exhausted")
"""What stands in the codes of upstreams that want money first."""
_TOO_LONG = ("context_length", "context_window", "prompt_too_long", "request_too_large")
_FILTERED = ("content_filter", "content_policy", "moderation", "safety", "blocked")
_LIMITS = re.compile(
    r"(?:x-ratelimit-(?P<a>remaining|reset)-(?P<b>requests|tokens))"
    r"|(?:anthropic-ratelimit-(?P<c>requests|tokens|input-tokens|output-tokens)"
    r"-(?P<d>remaining|reset))"
)
_LENGTH = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_OVERLOADED = 529
"""What Anthropic answers while it is overloaded."""


def refusal_of(status: int, headers: Mapping[str, str], code: str) -> ModelError:
    """Return the error that an upstream's answer is, by its status and its code.

    Args:
        status: Anything but 200.
        headers: Names in lower case.
        code: Its own word for what is wrong, safe to be shown.
    """
    cause = cause_of(status, code)
    if cause == "no_credit":
        return ModelUnavailable(f"the upstream wants to be paid: {status} {code}", cause=cause)
    if cause == "rate_limit":
        advice_s = advised_s(headers)
        return ModelRateLimited(f"the upstream's rate limit: {code}", retry_after_s=advice_s)
    if cause == "auth":
        return ModelUnavailable(f"the upstream refuses the key: {status} {code}", cause=cause)
    if status in (408, 504):
        return ModelTimeout(f"the upstream timed out: {status} {code}", cause=cause)
    if 400 <= status < 500:
        return ModelRejected(f"the upstream rejects the request: {status} {code}", cause=cause)
    advice_s = advised_s(headers) if status in (503, _OVERLOADED) else None
    return ModelUnavailable(
        f"the upstream failed: {status} {code}", cause=cause, retry_after_s=advice_s
    )


def cause_of(status: int, code: str) -> Cause:
    """Return what was wrong, by what an upstream answered.

    >>> cause_of(429, "insufficient_quota"), cause_of(429, "rate_limit_exceeded")
    ('no_credit', 'rate_limit')
    >>> cause_of(400, "context_length_exceeded"), cause_of(403, "permission_error")
    ('context_length', 'auth')
    """
    word = code.lower()
    is_theirs = status >= 500 or status == 408
    if is_theirs:
        return "server"
    if status == 402 or _has(word, _NO_CREDIT):
        return "no_credit"
    if status == 429:
        return "rate_limit"
    if _has(word, _FILTERED):
        return "content_filter"
    if status in (401, 403):
        return "auth"
    if status == 413 or _has(word, _TOO_LONG):
        return "context_length"
    return "rejected" if 400 <= status < 500 else "server"


def _has(word: str, parts: tuple[str, ...]) -> bool:
    return any(part in word for part in parts)


def advised_s(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Return in how many seconds an upstream wants to be asked again; None where it does not say.

    `retry-after-ms` and `retry-after` go first, the latter in seconds or as a date. Else it is when
    the limit is over that is used up, as OpenAI (`x-ratelimit-reset-…`, like `6m0s`) and Anthropic
    (`anthropic-ratelimit-…-reset`, a time) say. Times are held against the upstream's own `date`,
    so that no clock that is set wrong makes us wait.

    >>> advised_s({"retry-after": "12"}), advised_s({"retry-after-ms": "250"})
    (12.0, 0.25)
    >>> advised_s({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"})
    360.0
    """
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    advice = headers.get("retry-after", "")
    if advice:
        seconds = _number(advice)
        return _until(advice, headers, now) if seconds is None else seconds
    return _reset_s(headers, now)


def _reset_s(headers: Mapping[str, str], now: datetime | None) -> float | None:
    """Return when what is used up is there again: the latest of those, else the first of all."""
    found = list(_resets(headers, now))
    used_up = [seconds for seconds, is_used_up in found if is_used_up]
    return max(used_up) if used_up else min((s for s, _ in found), default=None)


def _resets(headers: Mapping[str, str], now: datetime | None) -> Iterator[tuple[float, bool]]:
    for name, value in headers.items():
        match = _LIMITS.fullmatch(name)
        if match is None or "reset" not in (match["a"], match["d"]):
            continue
        seconds = _length_s(value)
        seconds = _until(value, headers, now) if seconds is None else seconds
        if seconds is not None:
            left = headers.get(name.replace("reset", "remaining"), "")
            yield seconds, _number(left) == 0


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return max(number, 0.0) if number < 1e9 else None


def _length_s(text: str) -> float | None:
    """Return the seconds of a length of time such as `1h2m3.5s`, or of a bare number."""
    parts = _LENGTH.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return sum(float(number) * _SECONDS[unit] for number, unit in parts)
    return _number(text)


def _until(text: str, headers: Mapping[str, str], now: datetime | None) -> float | None:
    """Return the seconds from the upstream's own `date`, or now, until a time."""
    then = _time(text)
    if then is None:
        return None
    here = _time(headers.get("date", "")) or now or datetime.now(UTC)
    return max((then - here).total_seconds(), 0.0)


def _time(text: str) -> datetime | None:
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            found = read(text)
        except ValueError:
            continue
        return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    return None
