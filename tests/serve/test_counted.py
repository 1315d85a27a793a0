"""Answers whose provider counts nothing: counted here where that is exact, else at the worst."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import write_project
from live import chat_service, provider_up, serve
from roadworthy.models.faulty import Fault, FaultyUpstream
from roadworthy.signals.tokens import open_counter
from roadworthy.types import Record

KNOWN = "gpt-4o-2024-08-06"
THINKS = "o3-2025-04-16"
UNKNOWN = "m-2026-01-01"


@pytest.fixture
def upstream() -> Iterator[FaultyUpstream]:
    with FaultyUpstream() as server:
        yield server


def asked(folder: Path, upstream: FaultyUpstream, model: str, *, stream: bool = False) -> Record:
    """Return the record of an answer that its provider did not count."""
    service = chat_service(model=model, cost="per_day_usd = 5", more="max_output_tokens = 500")
    provider = provider_up(upstream, model, input_usd=1.0, output_usd=10.0)
    counter = open_counter(model)
    if counter.vocabulary is not None:
        counter.vocabulary.read()
    with serve(write_project(folder, {"reply": service}, None, provider)) as live:
        upstream.next(Fault.USAGE_MISSING)
        assert live.chat("reply", "Where is my parcel, please?", stream=stream).status == 200
        (record,) = live.records()
    return record


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_is_counted_by_the_models_own_vocabulary(
    tmp_path: Path, upstream: FaultyUpstream, stream: bool
) -> None:
    record = asked(tmp_path, upstream, KNOWN, stream=stream)
    counter = open_counter(KNOWN)
    tokens = counter.chat([{"role": "user", "content": "Where is my parcel, please?"}])
    assert record.input_tokens == tokens
    assert record.output_tokens > 0
    assert record.price_source == "counted"
    assert record.cost_micro == tokens + 10 * record.output_tokens
    assert record.cost_micro < record.reserved_micro


@pytest.mark.parametrize("model", [THINKS, UNKNOWN])
def test_what_cannot_be_counted_exactly_counts_at_its_worst(
    tmp_path: Path, upstream: FaultyUpstream, model: str
) -> None:
    record = asked(tmp_path, upstream, model)
    assert (record.price_source, record.input_tokens) == ("unknown", 0)
    assert record.cost_micro >= 5_000  # 500 tokens of output at $10 a million
