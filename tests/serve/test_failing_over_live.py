"""Failover over HTTP: what clients see, what budgets bear, and limits that are kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from openai import OpenAI
from sixteen_faults import TEXT, Stage, staged

from conftest import write_project
from live import chat_service, provider_up, serve
from roadworthy.models.faulty import Fault, FaultyUpstream
from roadworthy.store.attempt_hours import tried_by

pytestmark = pytest.mark.slow


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with staged(tmp_path) as stage:
        yield stage


@pytest.fixture
def upstream() -> Iterator[FaultyUpstream]:
    with FaultyUpstream(answer=TEXT) as upstream:
        yield upstream


@pytest.mark.parametrize("fault", [Fault.STREAM_CUT, Fault.STREAM_STALLED, Fault.RESET_IN_BODY])
def test_openai_s_own_client_survives_a_stream_that_begins_anew(stage: Stage, fault: Fault) -> None:
    stage.upstream.chunk_delay_s = 0.005
    stage.upstream.next(fault, model="main")
    client = OpenAI(base_url=f"{stage.live.url}/v1", api_key=stage.live.key, max_retries=0)
    text, restarts, finish = "", [], ""
    with client.chat.completions.create(
        model="anew", messages=[{"role": "user", "content": "hello"}], stream=True
    ) as chunks:
        for chunk in chunks:
            extra = (chunk.model_extra or {}).get("roadworthy")
            if extra:
                restarts.append(extra["model"])
                assert text, "something had been shown"
                text = ""
            text += chunk.choices[0].delta.content or ""
            finish = chunk.choices[0].finish_reason or finish
    assert (text, restarts, finish) == (TEXT, ["spare"], "stop")


def test_no_ceiling_is_crossed_however_often_models_are_asked_again(
    tmp_path: Path, upstream: FaultyUpstream
) -> None:
    provider = provider_up(upstream, input_usd=0.0, output_usd=100.0)
    more = "max_output_tokens = 10\n[failover]\nretries = 5\nretry_share = 1.0"
    chat = chat_service(cost="per_request_usd = 0.01, per_day_usd = 0.05", more=more)
    upstream.sometimes(Fault.RESET_IN_BODY, 0.2)
    upstream.sometimes(Fault.USAGE_MISSING, 0.2)
    upstream.sometimes(Fault.SERVER_ERROR, 0.2)
    with serve(write_project(tmp_path, {"reply": chat}, None, provider)) as live:
        with ThreadPoolExecutor(16) as pool:
            found = list(pool.map(lambda _: live.chat("reply").status, range(150)))
        assert found.count(429) > 0
        settled, held = live.serving.ledger.spent("service:reply")
        records = live.records()
        assert held == 0
        assert settled == sum(record.cost_micro for record in records)
        assert settled <= 50_000
        for record in records:
            assert record.cost_micro <= record.reserved_micro


def test_a_provider_is_paced_before_it_has_to_refuse(
    tmp_path: Path, upstream: FaultyUpstream
) -> None:
    upstream.latency_s = 0.02
    provider = provider_up(upstream, input_usd=0.0, output_usd=1.0).replace(
        'kind = "openai"', 'kind = "openai"\nmax_concurrent = 2\nrequests_per_minute = 20'
    )
    chat = chat_service(cost="per_day_usd = 5")
    with serve(write_project(tmp_path, {"reply": chat}, None, provider)) as live:
        with ThreadPoolExecutor(16) as pool:
            statuses = Counter(pool.map(lambda _: live.chat("reply").status, range(40)))
        assert statuses == {200: 20, 503: 20}
        assert upstream.received == 20
        busy = [r for r in live.records() if r.attempts[-1].status == "busy"]
        assert len(busy) == 20
        assert all(record.cost_micro == 0 for record in busy)
        (pacing,) = live.serving.upstreams.pacings(live.project.clock.monotonic())
        assert (pacing.at_work, pacing.requests, pacing.requests_per_minute) == (0, 20, 20)


def test_what_outlasts_its_outage_is_asked_by_one_request_first(stage: Stage) -> None:
    upstream = stage.upstream
    upstream.next(Fault.RATE_LIMITED, retry_after_s=0.5, model="main")
    stage.ask()
    upstream.latency_s = 0.15
    before = stage.received("main")
    with ThreadPoolExecutor(32) as pool:
        while True:
            got = list(pool.map(lambda _: stage.live.chat("plain"), range(32)))
            assert {answer.status for answer in got} == {200}
            if stage.received("main") > before:
                break
    assert stage.received("main") == before + 1, "no herd"


def test_tries_are_counted_by_the_hour_where_they_were_made(stage: Stage) -> None:
    stage.upstream.next(Fault.SERVER_ERROR, model="main")
    _, record = stage.ask()
    state = stage.live.project.state
    found = tried_by(state, ("service", "model"), record.at_us, record.at_us + 1)
    main = found["plain", "main"]
    assert main.attempts == {"ok": 1, "server": 1}
    assert main.bytes_per_token is not None
    assert main.input_bytes == record.attempts[-1].input_bytes
