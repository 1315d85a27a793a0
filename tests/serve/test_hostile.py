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
from roadworthy.serve.identify import MOST_TAGS
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
    got = live.chat("pay")
    assert (got.status, got.json["error"]["retryable"]) == (504, True)
    record = live.records()[0]
    assert record.cost_micro == record.reserved_micro > 0
    assert live.serving.ledger.spent("service:pay") == (record.cost_micro, 0)


BEGUN = (Fault.STREAM_CUT, Fault.RESET_IN_BODY, Fault.MALFORMED, Fault.STREAM_STALLED)


@pytest.mark.parametrize("fault", BEGUN)
@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_began_and_was_never_whole_is_paid_at_its_worst(
    live: Live, upstream: FaultyUpstream, fault: Fault, stream: bool
) -> None:
    upstream.next(fault)
    live.chat("pay", stream=stream)
    record = live.records()[0]
    assert record.disposition == "failed"
    assert record.cost_micro == record.reserved_micro > 0
    assert live.serving.ledger.spent("service:pay") == (record.cost_micro, 0)


@pytest.mark.parametrize(
    ("fault", "status", "is_retryable"),
    [
        (Fault.REJECTED, 502, False),
        (Fault.CONTEXT_TOO_LONG, 502, False),
        (Fault.AUTH_FAILED, 503, True),
        (Fault.SERVER_ERROR, 503, True),
        (Fault.RATE_LIMITED, 503, True),
        (Fault.RESET, 503, True),
    ],
)
def test_what_an_upstream_refuses_costs_nothing_and_says_whether_to_come_again(
    live: Live, upstream: FaultyUpstream, fault: Fault, status: int, is_retryable: bool
) -> None:
    upstream.always(fault, retry_after_s=7)
    got = live.chat("pay")
    assert (got.status, got.code) == (status, "all_models_failed")
    assert got.json["error"]["retryable"] is is_retryable
    assert got.headers.get("x-should-retry") == (None if is_retryable else "false")
    assert got.headers.get("retry-after") == ("7" if fault is Fault.RATE_LIMITED else None)
    assert live.records()[0].cost_micro == 0
    assert live.serving.ledger.spent("service:pay") == (0, 0)


def test_no_request_bears_more_tags_than_a_page_and_a_sum_can_take(live: Live) -> None:
    def ask(tags: list[str]) -> Any:
        body = {"input": {"messages": [{"role": "user", "content": "hi"}]}, "tags": tags}
        return live.ask("POST", "/v1/services/pay/answer", body)

    assert ask([f"t{k}" for k in range(MOST_TAGS)]).status == 200
    got = ask([f"t{k}" for k in range(100_000)])
    assert (got.status, got.json["error"]["param"]) == (400, "tags")
    assert got.json["error"]["message"] == "`tags`: expected at most 32, got 100000"
    header = {"x-roadworthy-tags": ",".join(f"t{k}" for k in range(MOST_TAGS + 1))}
    assert live.ask("POST", "/v1/services/pay/answer", {"input": {}}, header).status == 400
    long = ask(["x" * 201])
    assert long.json["error"]["message"] == "`tags`: expected at most 200 characters, got 201"


def test_only_who_asked_or_may_review_tells_what_became_of_a_request(live: Live) -> None:
    path = f"/v1/requests/{live.chat('pay').headers['x-roadworthy-request-id']}/outcome"
    told = {"correct": False, "source": "x"}
    other, reviewer = live.new_key("answer"), live.new_key("review")
    got = live.ask("POST", path, told, key=other)
    assert (got.status, got.code) == (403, "forbidden")
    assert live.ask("POST", path, told, key=reviewer).status == 201
    assert live.ask("POST", path, told).status == 201


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
