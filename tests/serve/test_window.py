"""Context windows: what does not fit a model is not sent to it."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from roadworthy.cost.prices import Meter, load_rates
from roadworthy.errors import AllModelsFailed
from roadworthy.serve.failover import Failover, Link, accept_all
from roadworthy.serve.size import size_of
from roadworthy.serve.window import Window
from roadworthy.signals.tokens import Counter, Vocabulary, open_counter
from roadworthy.testing import ScriptedModel
from roadworthy.types import Call, Caller, Key

FREE = Meter(None, None, "free")
CALLER = Caller(Key("k_1", "test", frozenset({"answer"})), "user-1")
TEXT = "The quick brown fox jumps over the lazy dog. " * 20


def call_of(text: str, **body: Any) -> Call:
    raw = {"messages": [{"role": "user", "content": text}], **body}
    values = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in raw.items()}
    call = Call(input={}, caller=CALLER, deadline=time.monotonic() + 5, body=values)
    call.size = size_of(values)
    return call


def exact() -> Counter:
    counter = open_counter("gpt-4o")
    assert counter.vocabulary is not None
    counter.vocabulary.read()
    return counter


def chain(*windows: tuple[str, Window | None], output: int | None = None) -> Failover:
    links = [
        Link(model=ScriptedModel(name, ["hello"]), meter=FREE, window=w, max_output_tokens=output)
        for name, w in windows
    ]
    return Failover("models", links, accept_all)


async def test_what_does_not_fit_goes_to_the_next_model_without_a_call() -> None:
    models = chain(("small", Window(100, exact())), ("large", Window(8_000, exact())))
    answer = await models.answer(call_of(TEXT))
    assert answer.model == "large"
    assert [(a.model, a.status) for a in answer.attempts] == [
        ("small", "too_long"),
        ("large", "ok"),
    ]
    assert "its window is 100 tokens, and 20" in answer.attempts[0].detail
    small = models.links[0].model
    assert isinstance(small, ScriptedModel)
    assert not small.calls


async def test_a_stream_goes_to_the_next_model_likewise() -> None:
    models = chain(("small", Window(100, exact())), ("large", None))
    events = [event async for event in models.stream(call_of(TEXT))]
    assert [a.status for a in events[-1].attempts] == ["too_long", "ok"]  # type: ignore[union-attr]


async def test_where_it_fits_none_it_is_refused_and_not_to_be_tried_again() -> None:
    models = chain(("small", Window(100, exact())), ("other", Window(150, exact())))
    with pytest.raises(AllModelsFailed, match="`other`: its window is 150 tokens") as caught:
        await models.answer(call_of(TEXT))
    assert (caught.value.status, caught.value.retryable) == (422, False)
    assert caught.value.param == "messages"


async def test_what_a_model_may_write_needs_room_too() -> None:
    tokens = exact().chat([{"role": "user", "content": TEXT}])
    window = Window(tokens + 50, exact())
    assert (await chain(("m", window), output=50).answer(call_of(TEXT))).model == "m"
    with pytest.raises(AllModelsFailed, match="room for 51 out"):
        await chain(("m", window), output=51).answer(call_of(TEXT))


async def test_a_client_s_own_limit_is_what_needs_room() -> None:
    tokens = exact().chat([{"role": "user", "content": TEXT}])
    models = chain(("m", Window(tokens + 50, exact())))
    assert (await models.answer(call_of(TEXT, max_tokens=50))).model == "m"
    with pytest.raises(AllModelsFailed):
        await models.answer(call_of(TEXT, max_tokens=60))


class Watched(Counter):
    def count(self, text: str) -> int:
        raise AssertionError("nothing is near a limit")


def test_fewer_bytes_than_fit_are_never_counted() -> None:
    assert not Window(1_200, Watched()).refuses(call_of(TEXT), 100)


def test_tools_need_room_too() -> None:
    tools = [{"type": "function", "function": {"name": "f", "description": TEXT}}]
    window = Window(300, exact())
    assert not window.refuses(call_of(TEXT), 1)
    assert window.refuses(call_of(TEXT, tools=tools), 1)


def test_a_model_without_a_vocabulary_goes_by_what_its_tokens_were_seen_to_be() -> None:
    counter = Counter()
    window = Window(250, counter)
    assert "about 3" in window.refuses(call_of(TEXT), 1)
    counter.learn(4.5)
    assert not window.refuses(call_of(TEXT), 1)


def test_no_request_waits_for_a_vocabulary_to_be_read() -> None:
    vocabulary = Vocabulary("o200k_base")
    window = Window(100, Counter(vocabulary))
    assert "about 3" in window.refuses(call_of(TEXT), 1)
    assert vocabulary._reading is not None
    vocabulary._reading.join()
    assert "and 20" in window.refuses(call_of(TEXT), 1)


def test_windows_of_known_models_are_published() -> None:
    rates = load_rates()
    openai = "https://api.openai.com/v1"
    assert rates.window(openai, "gpt-4o-mini-2024-07-18") == 128_000
    assert rates.window(openai, "gpt-5-2025-08-07") == 400_000
    assert rates.window("https://api.anthropic.com/v1", "claude-opus-4-5") == 200_000
    assert rates.window(openai, "nobody-knows") is None
    assert rates.window("http://127.0.0.1:8000", "gpt-4o") is None
