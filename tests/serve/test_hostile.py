"""What callers try: another model, hidden images, deep JSON, no key, half a request."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import write_project
from live import Live, chat_service, provider_up, serve
from roadworthy.models.faulty import Fault, FaultyUpstream
from roadworthy.serve.gateway import Limits
from roadworthy.serve.size import size_of

pytestmark = pytest.mark.slow

MODEL = "m-2026-01-01"
PAY = chat_service(
    "pay",
    model=MODEL,
    deadline_ms=400,
    cost="per_day_usd = 1.0",
    more="max_output_tokens = 20",
)


@pytest.fixture
def upstream() -> Iterator[FaultyUpstream]:
    with FaultyUpstream() as server:
        yield server


@pytest.fixture
def live(tmp_path: Path, upstream: FaultyUpstream) -> Iterator[Live]:
    provider = provider_up(upstream, MODEL, input_usd=10.0, output_usd=10.0)
    folder = write_project(tmp_path, {"pay": PAY}, None, provider)
    with serve(folder, Limits(in_flight=4)) as running:
        yield running


def test_no_caller_chooses_the_upstream_model(live: Live, upstream: FaultyUpstream) -> None:
    messages = [{"role": "user", "content": "hi"}]
    assert live.answer("pay", {"messages": messages, "model": "DEAR-pro"}).status == 200
    assert json.loads(upstream.requests[-1].body)["model"] == MODEL


def raw(**values: Any) -> dict[str, Any]:
    import msgspec

    return {name: msgspec.Raw(json.dumps(value).encode()) for name, value in values.items()}


def test_an_image_is_counted_however_it_is_spelt() -> None:
    import msgspec

    part = {"type": "image_url", "image_url": {"url": "http://x/y.png"}}
    plain = raw(messages=[{"role": "user", "content": [part, {"type": "text", "text": "hi"}]}])
    assert size_of(plain).images == 1
    spelt = bytes(plain["messages"]).replace(b"image_url", b"image\\u005furl")
    assert size_of({"messages": msgspec.Raw(spelt)}).images == 1
    hidden = bytes(plain["messages"]).replace(b'"type"', b'"t\\u0079pe"')
    assert size_of({"messages": msgspec.Raw(hidden)}).images == 1
    file = {"type": "file", "file": {"file_id": "f"}}
    assert size_of(raw(messages=[{"role": "user", "content": [file]}])).images == 1
    assert size_of(raw(messages=[{"role": "user", "content": 'a "type" of text'}])).images == 0


def test_a_try_that_times_out_is_paid_at_its_worst(live: Live, upstream: FaultyUpstream) -> None:
    upstream.next(Fault.HANG)
    assert live.chat("pay").status == 502
    record = live.records()[0]
    assert record.cost_micro == record.reserved_micro > 0
    assert live.serving.ledger.spent("service:pay") == (record.cost_micro, 0)


def test_a_count_beyond_all_sense_is_unknown_and_recorded(
    live: Live, upstream: FaultyUpstream
) -> None:
    upstream.next(Fault.USAGE_ABSURD, Fault.USAGE_ABSURD)
    for stream in (False, True):
        assert live.chat("pay", stream=stream).status == 200
        record = live.records()[0]
        assert record.price_source == "unknown"
        assert record.cost_micro == record.reserved_micro


def test_a_filtered_answer_is_paid(live: Live, upstream: FaultyUpstream) -> None:
    upstream.next(Fault.CONTENT_FILTERED)
    assert live.chat("pay").status == 502
    assert live.records()[0].cost_micro > 0


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", b'{"model":"pay","messages":' + b"[" * 50_000),
        ("/v1/services/pay/answer", b'{"input":{"a":' + b"[" * 50_000),
        ("/v2/models/pay/infer", b'{"inputs":[{"name":"a","shape":[1],"datatype":"INT64","data":'
         + b"[" * 900 + b"]" * 900 + b"}]}"),
        ("/v2/models/pay/infer", b'{"parameters":{"timeout":' + b"9" * 400 + b'},"inputs":[{"name":'
         b'"a","shape":[1],"datatype":"INT64","data":[1]}]}'),
        ("/v1/chat/completions", b'{"model":"pay","messages":[{"content":"\\ud800"}]}'),
    ],
)  # fmt: skip
def test_bodies_made_to_break_are_the_callers_fault(live: Live, path: str, body: bytes) -> None:
    got = live.ask("POST", path, body)
    assert 400 <= got.status < 500 or got.json["error"]["code"] != "internal_error"


def test_an_outcome_too_large_to_store_is_refused(live: Live) -> None:
    request_id = live.chat("pay").headers["x-roadworthy-request-id"]
    path = f"/v1/requests/{request_id}/outcome"
    got = live.ask("POST", path, b'{"source":"x","label":1' + b"0" * 30 + b"}")
    assert got.status == 400


def test_without_a_key_no_body_is_waited_for(live: Live) -> None:
    half = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{"
    sockets = [socket.create_connection(("127.0.0.1", live.port), timeout=5) for _ in range(20)]
    for sock in sockets:
        sock.sendall(half)
    assert all(b" 401 " in sock.recv(200) for sock in sockets)
    for sock in sockets:
        sock.close()
    assert live.ask("GET", "/healthz", headers={"authorization": ""}).status == 200
    assert live.ask("HEAD", "/healthz").status == 200
    assert live.chat("pay").status == 200


def test_a_key_spelt_with_spaces_is_not_remembered(live: Live) -> None:
    before = len(live.serving.keyring._by_header)
    for spaces in range(2, 30):
        headers = {"authorization": f"Bearer{' ' * spaces}{live.key}"}
        assert live.ask("GET", "/v1/models", headers=headers).status == 200
    assert len(live.serving.keyring._by_header) <= before + 1


def test_a_key_for_one_service_does_not_read_the_metrics_of_all(live: Live) -> None:
    narrow = live.new_key("read", "answer", services=("pay",))
    assert live.ask("GET", "/metrics", key=narrow).status == 403


def test_what_is_no_path_is_no_crash(live: Live) -> None:
    with socket.create_connection(("127.0.0.1", live.port), timeout=5) as sock:
        sock.sendall(b"OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b" 500 " not in sock.recv(200)
