"""What never changes of a prompt: marked, kept by the provider, counted, and priced."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import write_project
from live import Live, chat_service, serve
from roadworthy.testing import FaultyUpstream

pytestmark = pytest.mark.slow

RULES = "You answer passengers in one sentence and promise nothing that the rules do not."
PROMPT = f"""+++
[inputs]
question = "string"
tone = ["kind", "firm"]
+++
# system
{RULES}
Tone: {{{{ tone }}}}
# user
{{{{ question }}}}
"""
MORE = """
[chat]
variable = "question"
[prompt]
file = "prompt.md"
"""


@pytest.fixture
def upstream() -> Iterator[FaultyUpstream]:
    with FaultyUpstream(answer="Yes.", caches=True) as server:
        yield server


@pytest.fixture
def live(
    tmp_path: Path, upstream: FaultyUpstream, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Live]:
    monkeypatch.setenv("RW_TEST_KEY", "k")
    text = chat_service("reply", deadline_ms=4000, cost="per_day_usd = 1.0", more=MORE)
    provider = f"""
[providers.up]
kind = "anthropic"
base_url = "{upstream.base_url}"
api_key_env = "RW_TEST_KEY"
[providers.up.prices."m"]
input_usd_per_million = 10
output_usd_per_million = 100
cached_input_usd_per_million = 1
cache_write_usd_per_million = 12
"""
    files = {"services/reply/prompt.md": PROMPT}
    write_project(tmp_path, {"reply": text}, files, provider)
    with serve(tmp_path) as running:
        yield running


def test_it_is_written_once_read_ever_after_and_each_has_its_price(
    live: Live, upstream: FaultyUpstream
) -> None:
    for tone in ("kind", "firm", "kind"):
        assert live.answer("reply", {"question": "Rain?", "tone": tone}).status == 200

    blocks = [request.json()["system"] for request in upstream.requests]
    marked = [[b["text"] for b in each if "cache_control" in b] for each in blocks]
    assert marked[0] == marked[1] == marked[2]
    (kept,) = marked[0]
    assert RULES in kept
    assert not {"kind", "firm"} & set(kept.split())
    assert "firm" in "".join(block["text"] for block in blocks[1])

    first, *later = sorted(live.records(), key=lambda record: record.id)
    tokens = len(kept.split())
    usage = first.attempts[0].usage
    assert usage is not None
    assert (usage.cached_tokens, usage.cache_write_tokens) == (0, tokens)
    rest = first.input_tokens - tokens
    assert first.cost_micro == rest * 10 + tokens * 12 + first.output_tokens * 100
    for record in later:
        assert record.cached_tokens == tokens
        rest = record.input_tokens - tokens
        assert record.cost_micro == rest * 10 + tokens + record.output_tokens * 100
        assert record.cost_micro <= record.reserved_micro
    assert first.cost_micro <= first.reserved_micro
