"""What holds when things go wrong: ceilings, crashes, clients that leave, faulty upstreams."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import pytest

from conftest import write_project
from live import Live, chat_service, provider_up, serve, until
from roadworthy.app import open_project
from roadworthy.models.faulty import Fault, FaultyUpstream
from roadworthy.serve.gateway import Limits
from roadworthy.store.keys import create_key, revoke_key
from roadworthy.store.records import find_records
from roadworthy.store.spending import read_holds, read_spending
from roadworthy.store.state import open_state
from roadworthy.types import DAY_US, Record

pytestmark = pytest.mark.slow

CHAT = chat_service(
    cost="per_request_usd = 0.01, per_day_usd = 0.10", more="max_output_tokens = 10"
)
LADDER = """
[[fallback]]
use = "static"
output = { text = "later" }
"""


@pytest.fixture
def upstream() -> Iterator[FaultyUpstream]:
    with FaultyUpstream(answer="a b c d e f g h i j") as server:
        yield server


def project(folder: Path, upstream: FaultyUpstream, service: str = CHAT) -> Path:
    """Ten tokens of output at most, at 100 micro-dollars each: 1,000 of 100,000 a request."""
    provider = provider_up(upstream, input_usd=0.0, output_usd=100.0)
    return write_project(folder, {"reply": service}, None, provider)


@pytest.fixture
def live(tmp_path: Path, upstream: FaultyUpstream) -> Iterator[Live]:
    with serve(project(tmp_path, upstream)) as running:
        yield running


def spent_today(live: Live) -> int:
    live.serving.writer.drain()
    day_us = live.project.clock.now_us() // DAY_US * DAY_US
    return read_spending(live.project.state, day_us).get("service:reply", 0)


def test_a_thousand_at_once_spend_exactly_the_budget_of_a_hundred(
    live: Live, upstream: FaultyUpstream
) -> None:
    upstream.latency_s = 0.05
    with ThreadPoolExecutor(64) as pool:
        statuses = Counter(
            got.status for got in pool.map(lambda _: live.chat("reply"), range(1000))
        )

    assert statuses == {200: 100, 429: 900}
    assert spent_today(live) == 100_000
    assert live.serving.ledger.spent("service:reply") == (100_000, 0)
    refused = live.chat("reply")
    assert refused.code == "budget_exhausted"
    assert "cost.per_day_usd" in refused.json["error"]["message"]
    assert int(refused.headers["retry-after"]) > 0


def test_a_budget_comes_back_with_what_was_not_spent(live: Live, upstream: FaultyUpstream) -> None:
    upstream.always(Fault.SERVER_ERROR)
    for _ in range(150):
        assert live.chat("reply").status == 503
    assert live.serving.ledger.spent("service:reply") == (0, 0)


@pytest.mark.parametrize("fault", list(Fault))
@pytest.mark.parametrize("stream", [False, True])
def test_every_fault_ends_before_the_deadline_in_the_ladder_or_a_typed_error(
    tmp_path: Path, upstream: FaultyUpstream, fault: Fault, stream: bool
) -> None:
    with serve(project(tmp_path, upstream, CHAT + LADDER)) as live:
        upstream.chunk_delay_s = 0.005
        upstream.next(fault, delay_s=3.0 if fault is Fault.SLOW_FIRST_TOKEN else 0.2)
        started = time.monotonic()
        got = live.chat("reply", stream=stream)
        took_s = time.monotonic() - started

        record = live.records()[0]
        assert took_s < 2.5
        assert got.status == 200
        assert record.disposition in ("answered", "fallback", "failed")
        if record.disposition == "failed":
            assert stream
            assert json.loads(got.body.strip().rpartition(b"data: ")[2])["error"]["code"]
        else:
            assert not stream or got.body.endswith(b"data: [DONE]\n\n")
        settled, held = live.serving.ledger.spent("service:reply")
        assert (settled, held) == (record.cost_micro, 0)
        assert settled <= 10_000


def test_a_client_that_leaves_mid_stream_is_settled_and_recorded(
    live: Live, upstream: FaultyUpstream
) -> None:
    upstream.chunk_delay_s = 0.4  # it does not end within the moment it is read on
    connection = HTTPConnection("127.0.0.1", live.port, timeout=5)
    body = {"model": "reply", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    connection.request(
        "POST",
        "/v1/chat/completions",
        json.dumps(body),
        {"authorization": f"Bearer {live.key}"},
    )
    response = connection.getresponse()
    seen = b""
    while seen.count(b"content") < 3:
        seen += response.read1(200)
    before = upstream.cancelled
    response.close()
    connection.close()

    upstream.wait_until(lambda server: server.cancelled > before)
    record = _wait_for_record(live)
    assert (record.disposition, record.error_code) == ("failed", "cancelled")
    # What it had written unseen, nobody knows: it counts as all that was set aside.
    assert record.cost_micro == record.reserved_micro > 0
    assert live.serving.ledger.spent("service:reply") == (record.cost_micro, 0)


def test_a_client_that_leaves_before_an_answer_stops_the_upstream(
    live: Live, upstream: FaultyUpstream
) -> None:
    upstream.next(Fault.HANG)
    before, received = upstream.cancelled, upstream.received
    connection = HTTPConnection("127.0.0.1", live.port, timeout=5)
    body = {"model": "reply", "messages": [{"role": "user", "content": "hi"}]}
    connection.request(
        "POST",
        "/v1/chat/completions",
        json.dumps(body),
        {"authorization": f"Bearer {live.key}"},
    )
    upstream.wait_until(lambda server: server.received > received)
    connection.close()

    upstream.wait_until(lambda server: server.cancelled > before)
    assert _wait_for_record(live).error_code == "cancelled"


def _wait_for_record(live: Live) -> Record:
    for _ in range(200):
        if records := live.records():
            return records[0]
        time.sleep(0.01)
    raise AssertionError("no record")


def test_a_key_revoked_by_another_process_is_refused_within_a_tenth_of_a_second(
    tmp_path: Path, upstream: FaultyUpstream
) -> None:
    folder = project(tmp_path, upstream)
    with serve(folder) as live:
        other = open_state(f"sqlite:///{folder}/.roadworthy/state.db")
        key, secret = create_key(
            other, live.project.clock, name="brief", scopes=("answer",), by="test"
        )
        until(lambda: live.chat("reply", key=secret).status == 200)
        revoke_key(other, live.project.clock, key.id, by="test")
        revoked = time.monotonic()
        until(lambda: live.chat("reply", key=secret).status == 401)
        assert time.monotonic() - revoked < 0.1 + 0.05  # one request of slack
        other.dispose()


def test_more_requests_than_the_limit_get_429_at_once(
    tmp_path: Path, upstream: FaultyUpstream
) -> None:
    upstream.always(Fault.HANG)
    with serve(project(tmp_path, upstream), Limits(in_flight=8)) as live:
        with ThreadPoolExecutor(32) as pool:
            got = list(pool.map(lambda _: live.chat("reply"), range(32)))
        codes = Counter(response.code for response in got)
        assert codes["overloaded"] >= 24 - 8
        assert all(r.headers["retry-after"] == "1" for r in got if r.code == "overloaded")


def test_a_large_body_is_refused_before_it_is_read(live: Live) -> None:
    got = live.ask("POST", "/v1/chat/completions", b"x" * 9_000_000)
    assert (got.status, got.code) == (413, "payload_too_large")


def _raw(live: Live, data: bytes, wait_s: float = 5.0) -> bytes:
    with socket.create_connection(("127.0.0.1", live.port), timeout=wait_s) as sock:
        sock.sendall(data)
        try:
            return sock.recv(4096)
        except ConnectionResetError:
            return b"reset"


def test_headers_without_end_are_cut_off(live: Live) -> None:
    head = b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a: " + b"b" * 70_000 + b"\r\n\r\n"
    assert b" 431 " in _raw(live, head) or _raw(live, head) == b"reset"
    many = b"GET / HTTP/1.1\r\nhost: x\r\n" + b"".join(b"h%d: v\r\n" % n for n in range(9000))
    assert b" 431 " in _raw(live, many) or _raw(live, many) == b"reset"


def test_what_is_not_http_is_refused(live: Live) -> None:
    got = _raw(live, b"\x16\x03\x01 hello\r\n\r\n")
    assert b" 400 " in got
    assert b'"code":"invalid_request"' in got
    assert b"expected HTTP/1.1" in got


def test_a_head_that_is_too_large_gets_an_envelope(live: Live) -> None:
    got = _raw(live, b"GET / HTTP/1.1\r\nhost: x\r\na: " + b"b" * 33_000 + b"\r\n\r\n")
    head, _, body = got.partition(b"\r\n\r\n")
    assert b" 431 " in head
    error = json.loads(body)["error"]
    assert error["code"] == "payload_too_large"
    assert error["message"].startswith("head: expected at most 32768 bytes, got more")


def test_a_slow_head_is_given_up(
    tmp_path: Path, upstream: FaultyUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("roadworthy.serve.connection.HEADER_TIMEOUT_S", 0.2)
    with serve(project(tmp_path, upstream)) as live:
        got = _raw(live, b"GET /healthz HTTP/1.1\r\nhost:")
    assert b" 408 " in got
    assert b"send it again, whole" in got


def start(folder: Path, port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "roadworthy", "up", "--project", str(folder)]
    process = subprocess.Popen([*command, "--port", str(port)], stdout=subprocess.DEVNULL)
    for _ in range(400):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=0.1).close()
            return process
        except OSError:
            time.sleep(0.02)
    raise AssertionError("the server did not start")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def test_after_kill_9_under_load_every_answer_has_its_record_and_the_ceiling_holds(
    tmp_path: Path, upstream: FaultyUpstream
) -> None:
    folder, port = project(tmp_path, upstream), free_port()
    with open_project(folder) as opened:
        _, key = create_key(opened.state, opened.clock, name="t", scopes=("answer",), by="test")
    upstream.latency_s = 0.02
    process = start(folder, port)
    answered: list[str] = []
    lock = threading.Lock()

    def ask(_: int) -> None:
        connection = HTTPConnection("127.0.0.1", port, timeout=5)
        body = {"model": "reply", "messages": [{"role": "user", "content": "hi"}]}
        try:
            connection.request(
                "POST",
                "/v1/chat/completions",
                json.dumps(body),
                {"authorization": f"Bearer {key}"},
            )
            response = connection.getresponse()
            response.read()
        except OSError:
            return
        finally:
            connection.close()
        if response.status == 200:
            with lock:
                answered.append(response.headers["x-roadworthy-request-id"])

    with ThreadPoolExecutor(16) as pool:
        futures = [pool.submit(ask, n) for n in range(60)]
        while len(answered) < 25:
            time.sleep(0.001)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        for future in futures:
            future.result()

    with serve(folder) as live:
        held = live.serving.ledger.spent("service:reply")[1]
        ids = {record.id for record in live.records()}
        assert set(answered) <= ids  # and those whose answer was killed on its way out
        with ThreadPoolExecutor(16) as pool:
            statuses = Counter(
                got.status for got in pool.map(lambda _: live.chat("reply"), range(150))
            )
        assert len(ids) + statuses[200] + held // 1000 == 100
        assert len(read_records(live)) + held // 1000 == 100
        assert spent_today(live) + held <= 100_000
        assert sum(hold.micro for hold in read_holds(live.project.state)) == held


def read_records(live: Live) -> list[Record]:
    live.serving.writer.drain()
    answered = find_records(live.project.state, disposition="answered", limit=200)
    return list(answered)


def test_sigterm_lets_what_has_begun_finish(tmp_path: Path, upstream: FaultyUpstream) -> None:
    folder, port = project(tmp_path, upstream), free_port()
    with open_project(folder) as opened:
        _, key = create_key(opened.state, opened.clock, name="t", scopes=("answer",), by="test")
    upstream.latency_s = 0.5
    process = start(folder, port)
    received = upstream.received
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    body = {"model": "reply", "messages": [{"role": "user", "content": "hi"}]}
    connection.request(
        "POST",
        "/v1/chat/completions",
        json.dumps(body),
        {"authorization": f"Bearer {key}"},
    )
    upstream.wait_until(lambda server: server.received > received)
    process.terminate()
    assert connection.getresponse().status == 200
    assert process.wait(10) == 0
    connection.close()
