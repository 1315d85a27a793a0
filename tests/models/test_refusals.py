"""What an upstream's refusal means, by status, code and headers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from roadworthy.errors import ModelRateLimited, ModelRejected, ModelTimeout, ModelUnavailable
from roadworthy.models.refusals import advised_s, cause_of, refusal_of

NOON = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "code", "cause"),
    [
        (429, "rate_limit_exceeded", "rate_limit"),
        (429, "insufficient_quota", "no_credit"),
        (402, "without_a_code", "no_credit"),
        (400, "billing_hard_limit_reached", "no_credit"),
        (401, "invalid_api_key", "auth"),
        (403, "permission_error", "auth"),
        (403, "content_policy_violation", "content_filter"),
        (400, "content_filter", "content_filter"),
        (400, "context_length_exceeded", "context_length"),
        (413, "request_too_large", "context_length"),
        (400, "unsupported_value", "rejected"),
        (404, "model_not_found", "rejected"),
        (500, "server_error", "server"),
        (503, "without_a_code", "server"),
        (529, "overloaded_error", "server"),
        (408, "without_a_code", "server"),
        (504, "without_a_code", "server"),
        (307, "without_a_code", "server"),
    ],
)
def test_a_refusal_has_the_cause_that_decides_what_is_done(
    status: int, code: str, cause: str
) -> None:
    assert cause_of(status, code) == cause
    error = refusal_of(status, {}, code)
    assert error.cause == cause
    assert code in str(error)


def test_a_refusal_is_the_error_that_clients_know() -> None:
    assert type(refusal_of(429, {}, "x")) is ModelRateLimited
    assert type(refusal_of(429, {}, "insufficient_quota")) is ModelUnavailable
    assert type(refusal_of(504, {}, "x")) is ModelTimeout
    assert type(refusal_of(400, {}, "x")) is ModelRejected
    assert type(refusal_of(503, {"retry-after": "3"}, "x")) is ModelUnavailable
    assert refusal_of(503, {"retry-after": "3"}, "x").retry_after_s == 3


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": "-7"}, 0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "1e300"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "Sun, 29 Nov 2026 12:01:00 GMT"}, 60),
        (
            {
                "retry-after": "Sun, 29 Nov 2026 12:01:00 GMT",
                "date": "Sun, 29 Nov 2026 12:00:50 GMT",
            },
            10,
        ),
        ({"retry-after": "Sun, 29 Nov 2026 11:00:00 GMT"}, 0),
        (
            {
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "1m2.5s",
                "x-ratelimit-remaining-tokens": "400",
                "x-ratelimit-reset-tokens": "6m0s",
            },
            62.5,
        ),
        ({"x-ratelimit-reset-requests": "120ms", "x-ratelimit-reset-tokens": "6m0s"}, 0.12),
        (
            {
                "anthropic-ratelimit-requests-remaining": "3",
                "anthropic-ratelimit-requests-reset": "2026-11-29T12:00:01Z",
                "anthropic-ratelimit-input-tokens-remaining": "0",
                "anthropic-ratelimit-input-tokens-reset": "2026-11-29T12:00:30Z",
            },
            30,
        ),
        ({"x-ratelimit-reset-requests": "whenever"}, None),
    ],
)
def test_advice_is_read_as_each_provider_gives_it(
    headers: Mapping[str, str], seconds: float | None
) -> None:
    assert advised_s(headers, NOON) == (None if seconds is None else pytest.approx(seconds))
