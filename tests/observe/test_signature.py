from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy import verify_webhook
from roadworthy.errors import DeclarationError, RequestError, Unauthenticated
from roadworthy.observe.signature import read_secrets, sign

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOW_S = 1_674_087_231
BODY = json.dumps(
    {
        "type": "service.stop",
        "timestamp": "2023-01-19T00:13:51Z",
        "project": "demo",
        "subject": "reply",
        "data": {"n": 1},
    }
).encode()


def signed(body: bytes = BODY, secret: str = SECRET, at_s: int = NOW_S) -> dict[str, str]:
    return sign(read_secrets(secret), "wh_1", at_s, body)


def test_a_signature_is_that_of_the_specification() -> None:
    """Every library of Standard Webhooks tests itself with this one."""
    keys = read_secrets(SECRET)
    headers = sign(keys, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert headers["webhook-signature"] == expected


def test_what_was_signed_is_believed_and_says_what_happened() -> None:
    headers = {name.title(): value for name, value in signed().items()}
    notice = verify_webhook(SECRET, headers, BODY, now_s=NOW_S)
    assert (notice.id, notice.type, notice.subject, notice.data) == (
        "wh_1",
        "service.stop",
        "reply",
        {"n": 1},
    )


@given(st.binary(max_size=200), st.integers(0, 199), st.integers(1, 255))
def test_a_body_that_was_changed_is_not_believed(body: bytes, place: int, flip: int) -> None:
    headers = signed(body)
    changed = bytearray(body or b"x")
    changed[place % len(changed)] ^= flip
    with pytest.raises(Unauthenticated):
        verify_webhook(SECRET, headers, bytes(changed), now_s=NOW_S)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_each_header_is_needed_and_counts(name: str) -> None:
    headers = signed()
    with pytest.raises(Unauthenticated, match="expected the headers"):
        verify_webhook(SECRET, {k: v for k, v in headers.items() if k != name}, BODY, now_s=NOW_S)
    other = {"webhook-id": "wh_2", "webhook-timestamp": str(NOW_S + 1), "webhook-signature": "v1,"}
    with pytest.raises(Unauthenticated):
        verify_webhook(SECRET, headers | {name: other[name]}, BODY, now_s=NOW_S)


@pytest.mark.parametrize("off_s", [-301, 301])
def test_a_notice_of_another_time_is_a_replay(off_s: int) -> None:
    with pytest.raises(Unauthenticated, match="at most 300 s from now"):
        verify_webhook(SECRET, signed(at_s=NOW_S + off_s), BODY, now_s=NOW_S)
    verify_webhook(SECRET, signed(at_s=NOW_S + off_s // 301 * 300), BODY, now_s=NOW_S)


@given(st.dictionaries(st.sampled_from(sorted(signed())), st.text(max_size=40)))
def test_no_header_breaks_the_verification(headers: dict[str, str]) -> None:
    with pytest.raises(Unauthenticated):
        verify_webhook(SECRET, headers, BODY, now_s=NOW_S)


def test_while_a_secret_is_changed_the_old_and_the_new_one_fit() -> None:
    new = "whsec_" + base64.b64encode(b"n" * 32).decode()
    headers = signed(secret=f"{new} {SECRET}")
    for secret in (SECRET, new):
        assert verify_webhook(secret, headers, BODY, now_s=NOW_S).id == "wh_1"
    assert len(headers["webhook-signature"].split(" ")) == 2


@pytest.mark.parametrize(
    "secret", ["", "  ", "short", "whsec_", "whsec_YWJj", "password with spaces", "ä" * 40]
)
def test_a_weak_or_broken_secret_is_refused_and_not_shown(secret: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        read_secrets(secret)
    held = secret.removeprefix("whsec_").strip()
    assert not held or held not in str(caught.value)


def test_a_signed_body_that_is_no_notice_is_told_apart() -> None:
    body = b'{"hello": 1}'
    with pytest.raises(RequestError, match="expected a notice"):
        verify_webhook(SECRET, signed(body), body, now_s=NOW_S)
