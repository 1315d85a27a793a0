"""A client that leaves a stream: its rest is read for a moment, since its end says what it cost."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from conftest import write_project
from live import Live, chat_service, provider_up, serve
from roadworthy.models.faulty import FaultyUpstream
from roadworthy.serve.draining import DRAIN_S
from roadworthy.types import Record

COST = "per_request_usd = 0.5, per_day_usd = 1"


@pytest.fixture
def upstream() -> Iterator[FaultyUpstream]:
    with FaultyUpstream(answer="a b c d e f g h i j") as server:
        yield server


@pytest.fixture
def live(tmp_path: Path, upstream: FaultyUpstream) -> Iterator[Live]:
    project = provider_up(upstream, input_usd=1.0, output_usd=1.0)
    service = chat_service(cost=COST, deadline_ms=20_000, more="max_output_tokens = 5000")
    with serve(write_project(tmp_path / "project", {"reply": service}, {}, project)) as live:
        yield live


def leave(live: Live, text: str = "hi") -> None:
    """Ask for a stream, and leave after its first words."""
    connection = HTTPConnection("127.0.0.1", live.port, timeout=5)
    body = {"model": "reply", "stream": True, "messages": [{"role": "user", "content": text}]}
    headers = {"authorization": f"Bearer {live.key}"}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    response = connection.getresponse()
    seen = b""
    while b"content" not in seen:
        chunk = response.read1(200)
        assert chunk, seen
        seen += chunk
    response.close()
    connection.close()


def wait_for_record(live: Live) -> Record:
    for _ in range(500):
        if records := live.records():
            return records[0]
        time.sleep(0.01)
    raise AssertionError("no record")


@pytest.mark.parametrize("text", ["hi", "long " * 20_000])
def test_a_stream_that_ends_soon_settles_at_what_was_counted(
    live: Live, upstream: FaultyUpstream, text: str
) -> None:
    upstream.chunk_delay_s = 0.02
    leave(live, text)
    record = wait_for_record(live)
    assert (record.disposition, record.error_code) == ("failed", "cancelled")
    assert 0 < record.cost_micro < record.reserved_micro
    (attempt,) = record.attempts
    assert attempt.status == "cancelled"
    assert attempt.usage is not None
    assert record.cost_micro == attempt.usage.input_tokens + attempt.usage.output_tokens
    assert live.serving.ledger.spent("service:reply") == (record.cost_micro, 0)


def test_a_stream_that_goes_on_is_cut_off_and_settles_at_its_worst(
    live: Live, upstream: FaultyUpstream
) -> None:
    upstream.chunk_delay_s = 0.4
    before, started = upstream.cancelled, time.monotonic()
    leave(live)
    left = time.monotonic()
    upstream.wait_until(lambda server: server.cancelled > before)
    assert time.monotonic() - left < DRAIN_S + 0.7
    record = wait_for_record(live)
    assert (record.disposition, record.error_code) == ("failed", "cancelled")
    assert record.cost_micro == record.reserved_micro > 0
    assert record.latency_us < (time.monotonic() - started) * 1e6
    assert live.serving.ledger.spent("service:reply") == (record.cost_micro, 0)
