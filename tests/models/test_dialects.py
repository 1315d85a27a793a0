"""Every provider's dialect against a real upstream that misbehaves on order in that dialect."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from model_calls import CALLER

from roadworthy.errors import (
    BadAnswer,
    ModelError,
    ModelRateLimited,
    ModelRejected,
    ModelTimeout,
    ModelUnavailable,
)
from roadworthy.models.anthropic import open_model as open_anthropic
from roadworthy.models.faulty import Fault, FaultyUpstream, ToolUse
from roadworthy.models.gemini import open_model as open_gemini
from roadworthy.models.openai import open_model as open_openai
from roadworthy.models.spec import ModelSpec
from roadworthy.net import expire_at
from roadworthy.testing import check_model
from roadworthy.types import Answer, Call, Model, Usage

KEY = "sk-test-key"
TEXT = "one two three four five six"
DIALECTS: dict[str, Callable[[ModelSpec], Model]] = {
    "openai": open_openai,
    "anthropic": open_anthropic,
    "gemini": open_gemini,
}


@pytest.fixture(scope="module")
def shared() -> Iterator[FaultyUpstream]:
    with FaultyUpstream(answer=TEXT, api_key=KEY) as server:
        yield server


@pytest.fixture
def upstream(shared: FaultyUpstream) -> Iterator[FaultyUpstream]:
    yield shared
    shared.behave()


@pytest.fixture(params=list(DIALECTS))
def dialect(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def open_at(upstream: FaultyUpstream, dialect: str, api_key: str | None = KEY) -> Model:
    return DIALECTS[dialect](
        ModelSpec(name="m", upstream="rehearsal", base_url=upstream.base_url, api_key=api_key)
    )


def call_of(**parameters: Any) -> Call:
    values = {"messages": [{"role": "user", "content": "hello there"}], **parameters}
    body = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in values.items()}
    return Call(input={}, caller=CALLER, deadline=time.monotonic() + 5, body=body)


async def ask(
    upstream: FaultyUpstream, dialect: str, seconds: float = 3.0, **parameters: Any
) -> Answer:
    model = open_at(upstream, dialect)
    try:
        with expire_at(time.monotonic() + seconds, time.monotonic()):
            return await model.answer(call_of(**parameters))
    finally:
        await model.close()


async def read(
    upstream: FaultyUpstream, dialect: str, seconds: float = 3.0, **parameters: Any
) -> tuple[list[dict[str, Any]], Answer]:
    """Return the chunks of a stream, and the answer that it ends with."""
    model = open_at(upstream, dialect)
    events, answer = b"", None
    try:
        with expire_at(time.monotonic() + seconds, time.monotonic()):
            async for event in model.stream(call_of(**parameters)):
                if isinstance(event, bytes):
                    events += event
                else:
                    answer = event
    finally:
        await model.close()
    assert answer is not None
    return [msgspec.json.decode(event[6:]) for event in events.split(b"\n\n") if event], answer


def text_of(chunks: list[dict[str, Any]]) -> str:
    choices = [chunk["choices"][0] for chunk in chunks if chunk["choices"]]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


async def test_an_answer_is_a_chat_completion_with_its_usage(
    upstream: FaultyUpstream, dialect: str
) -> None:
    answer = await ask(upstream, dialect)

    assert answer.completion is not None
    completion = msgspec.json.decode(answer.completion)
    assert completion["object"] == "chat.completion"
    assert completion["id"]
    assert completion["choices"][0]["message"]["content"] == TEXT
    assert completion["choices"][0]["finish_reason"] == answer.finish_reason == "stop"
    assert answer.output == {"text": TEXT}
    assert answer.usage == Usage(2, 6)
    assert completion["usage"]["total_tokens"] == 8
    assert [a.status for a in answer.attempts] == ["ok"]


async def test_a_stream_is_chunks_of_a_chat_completion(
    upstream: FaultyUpstream, dialect: str
) -> None:
    chunks, answer = await read(upstream, dialect, stream_options={"include_usage": True})

    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert text_of(chunks) == answer.output["text"] == TEXT
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == 6
    assert answer.usage == Usage(2, 6)


async def test_a_stream_counts_for_its_client_only_when_asked(
    upstream: FaultyUpstream, dialect: str
) -> None:
    chunks, answer = await read(upstream, dialect)
    assert not any(chunk.get("usage") for chunk in chunks)
    assert answer.usage == Usage(2, 6)


async def test_the_key_goes_up_in_a_header_and_nowhere_else(
    upstream: FaultyUpstream, dialect: str
) -> None:
    await ask(upstream, dialect)
    await read(upstream, dialect)
    for seen in list(upstream.requests)[-2:]:
        assert KEY not in seen.path + seen.query + seen.body.decode()
        assert [KEY in value for value in seen.headers.values()].count(True) == 1


async def test_an_unset_key_counts_as_down_without_a_call(
    upstream: FaultyUpstream, dialect: str
) -> None:
    received = upstream.received
    with pytest.raises(ModelUnavailable, match="has no key") as caught:
        await open_at(upstream, dialect, api_key="").answer(call_of())
    assert caught.value.attempts[0].status == "no_key"
    assert upstream.received == received


async def test_the_smallest_limit_goes_up_and_a_cut_answer_says_so(
    upstream: FaultyUpstream, dialect: str
) -> None:
    model, call = open_at(upstream, dialect), call_of(max_tokens=3)
    call.max_output_tokens = 2
    answer = await model.answer(call)
    await model.close()
    assert answer.output["text"] == "one two"
    assert answer.is_cut_off


async def test_a_limit_in_either_name_counts(upstream: FaultyUpstream, dialect: str) -> None:
    for name in ("max_tokens", "max_completion_tokens"):
        assert (await ask(upstream, dialect, **{name: 4})).output["text"] == "one two three four"


REFUSALS: list[tuple[Fault, type[ModelError], str]] = [
    (Fault.RATE_LIMITED, ModelRateLimited, "rate_limit"),
    (Fault.RATE_LIMITED_WITHOUT_ADVICE, ModelRateLimited, "rate_limit"),
    (Fault.SERVER_ERROR, ModelUnavailable, "server"),
    (Fault.UNAVAILABLE, ModelUnavailable, "server"),
    (Fault.FLAPPING, ModelUnavailable, "server"),
    (Fault.AUTH_FAILED, ModelUnavailable, "auth"),
    (Fault.REJECTED, ModelRejected, "rejected"),
    (Fault.CONTEXT_TOO_LONG, ModelRejected, "context_length"),
    (Fault.CONTENT_REFUSED, ModelRejected, "content_filter"),
    (Fault.CONTENT_FILTERED, ModelRejected, "content_filter"),
    (Fault.RESET, ModelUnavailable, "connection"),
    (Fault.RESET_IN_BODY, ModelUnavailable, "connection"),
    (Fault.STREAM_CUT, ModelUnavailable, "connection"),
    (Fault.HANG, ModelTimeout, "timeout"),
    (Fault.STREAM_STALLED, ModelTimeout, "timeout"),
    (Fault.MALFORMED, BadAnswer, "malformed"),
    (Fault.REDIRECT, ModelUnavailable, "server"),
]
NAMES = [fault for fault, _, _ in REFUSALS]


@pytest.mark.parametrize(("fault", "kind", "cause"), REFUSALS, ids=NAMES)
async def test_every_fault_of_an_answer_is_a_typed_error_with_its_cause(
    upstream: FaultyUpstream, dialect: str, fault: Fault, kind: type[ModelError], cause: str
) -> None:
    upstream.next(fault)
    with pytest.raises(kind) as caught:
        await ask(upstream, dialect, seconds=0.4)
    assert caught.value.cause == cause
    assert KEY not in str(caught.value)
    if fault is Fault.RATE_LIMITED:
        assert caught.value.retry_after_s == 1


@pytest.mark.parametrize(("fault", "kind", "cause"), REFUSALS, ids=NAMES)
async def test_every_fault_of_a_stream_is_a_typed_error_with_its_cause(
    upstream: FaultyUpstream, dialect: str, fault: Fault, kind: type[ModelError], cause: str
) -> None:
    upstream.next(fault)
    # A body that is cut may reach us as a broken connection or as a stream without its end.
    is_cut = fault in (Fault.STREAM_CUT, Fault.RESET_IN_BODY)
    with pytest.raises((kind, BadAnswer) if is_cut else kind) as caught:
        await read(upstream, dialect, seconds=0.4)
    assert is_cut or caught.value.cause == cause


async def test_a_stream_that_ends_in_the_middle_is_no_success(
    upstream: FaultyUpstream, dialect: str
) -> None:
    upstream.next(Fault.NO_FINISH)
    with pytest.raises(BadAnswer, match="cut off") as caught:
        await read(upstream, dialect)
    assert caught.value.may_cost
    assert caught.value.attempts[0].usage is None, "nobody knows what was thought by then"


async def test_a_stream_without_its_last_event_is_whole_if_it_says_why_it_ended(
    upstream: FaultyUpstream, dialect: str
) -> None:
    upstream.next(Fault.NO_DONE)
    _, answer = await read(upstream, dialect)
    assert (answer.finish_reason, answer.usage) == ("stop", Usage(2, 6))


async def test_half_an_answer_says_that_it_was_cut_off(
    upstream: FaultyUpstream, dialect: str
) -> None:
    upstream.next(Fault.TRUNCATED, Fault.TRUNCATED)
    assert (await ask(upstream, dialect)).is_cut_off
    assert (await read(upstream, dialect))[1].is_cut_off


@pytest.mark.parametrize(
    "fault",
    [
        Fault.USAGE_MISSING,
        Fault.USAGE_ZERO,
        Fault.USAGE_ABSURD,
        Fault.USAGE_NEGATIVE,
        Fault.USAGE_IMPOSSIBLE,
    ],
)
async def test_a_count_that_cannot_be_true_is_unknown_and_not_free(
    upstream: FaultyUpstream, dialect: str, fault: Fault
) -> None:
    upstream.next(fault, fault)
    assert (await ask(upstream, dialect)).usage is None
    assert (await read(upstream, dialect))[1].usage is None


async def test_a_stream_that_counts_twice_is_counted_once(
    upstream: FaultyUpstream, dialect: str
) -> None:
    upstream.next(Fault.USAGE_DOUBLED)
    assert (await read(upstream, dialect))[1].usage == Usage(2, 6)


async def test_a_giant_answer_is_refused(upstream: FaultyUpstream, dialect: str) -> None:
    upstream.next(Fault.GIANT_BODY)
    with pytest.raises(BadAnswer, match="at most"):
        await ask(upstream, dialect, seconds=10)


async def test_an_answer_that_drips_arrives_whole(upstream: FaultyUpstream, dialect: str) -> None:
    upstream.next(Fault.SLOW_DRIP, delay_s=0)
    assert (await read(upstream, dialect))[1].output["text"] == TEXT


async def test_a_cancelled_request_is_cancelled_upstream_and_says_that_it_was_sent(
    upstream: FaultyUpstream, dialect: str
) -> None:
    upstream.next(Fault.HANG)
    model, call, before = open_at(upstream, dialect), call_of(), upstream.cancelled
    received = upstream.received
    task = asyncio.create_task(model.answer(call))
    await asyncio.to_thread(upstream.wait_until, lambda server: server.received > received)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(upstream.wait_until, lambda server: server.cancelled > before)
    await model.close()
    assert call.unfinished is not None
    assert call.unfinished.usage is None


WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
USES = [ToolUse("weather", {"city": "Bern"}), ToolUse("now", {})]


async def test_calls_of_tools_come_back_whole_and_streamed(dialect: str) -> None:
    with FaultyUpstream(answer=lambda messages: USES, api_key=KEY) as upstream:
        answer = await ask(upstream, dialect, tools=[WEATHER])
        chunks, streamed = await read(upstream, dialect, tools=[WEATHER])

    assert answer.completion is not None
    message = msgspec.json.decode(answer.completion)["choices"][0]["message"]
    told = [(c["function"]["name"], c["function"]["arguments"]) for c in message["tool_calls"]]
    assert told == [("weather", '{"city":"Bern"}'), ("now", "{}")]
    assert all(call["id"] and call["type"] == "function" for call in message["tool_calls"])
    assert answer.finish_reason == streamed.finish_reason == "tool_calls"
    calls: dict[int, str] = {}
    for chunk in chunks:
        for call in chunk["choices"][0]["delta"].get("tool_calls", ()):
            calls[call["index"]] = calls.get(call["index"], "") + call["function"]["arguments"]
    assert calls == {0: '{"city":"Bern"}', 1: "{}"}


async def test_a_conversation_with_tools_arrives_in_order(dialect: str) -> None:
    called = {"name": "weather", "arguments": '{"city":"Bern"}'}
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Rain?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call_1", "type": "function", "function": called}],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": '{"rain": true}'},
        {"role": "user", "content": "So?"},
    ]
    with FaultyUpstream(answer="Yes.", api_key=KEY) as upstream:
        await ask(upstream, dialect, messages=messages, tools=[WEATHER])
        sent = upstream.requests[-1].body.decode()
    places = [sent.find(part) for part in ('"city', '\\"rain\\"', "So?")]
    if dialect == "gemini":
        places[1] = sent.find('"rain"')
    assert -1 not in places
    assert sorted(places) == places


async def test_what_was_read_before_is_counted_as_cached(dialect: str) -> None:
    rules = "Answer in one word and nothing else at all."
    messages = [{"role": "system", "content": rules}, {"role": "user", "content": "Rain today?"}]
    with FaultyUpstream(answer="Yes.", api_key=KEY, caches=True) as upstream:
        model = open_at(upstream, dialect)
        calls = [call_of(messages=messages) for _ in range(2)]
        for call in calls:
            call.static_messages = 1
        first, second = [(await model.answer(call)).usage for call in calls]
        await model.close()
    assert first is not None
    assert second is not None
    assert (first.cached_tokens, second.cached_tokens) == (0, 9)
    assert first.input_tokens == second.input_tokens == 11
    if dialect != "gemini":  # which does not say what it wrote
        assert (first.cache_write_tokens, second.cache_write_tokens) == (9, 0)


SCHEMA = b'{"type":"object","properties":{"usd":{"type":"number"}},"required":["usd"]}'


async def ask_for_json(upstream: FaultyUpstream, dialect: str, times: int) -> list[bool]:
    """Return of each request that came whether its grammar was told the schema."""
    model, before = open_at(upstream, dialect), upstream.received
    try:
        for _ in range(times):
            call = call_of()
            call.output_schema = SCHEMA
            await model.answer(call)
    finally:
        await model.close()
    bodies = [one.body.decode() for one in upstream.requests][before - upstream.received :]
    assert all("usd" in body for body in bodies) or dialect == "openai"
    words = ("response_format", "output_config", "responseJsonSchema")
    return [any(word in body for word in words) for body in bodies]


async def test_a_declared_schema_is_told_to_the_grammar(
    upstream: FaultyUpstream, dialect: str
) -> None:
    assert await ask_for_json(upstream, dialect, times=2) == [True, True]


async def test_a_model_without_a_grammar_is_asked_in_words_from_then_on(
    upstream: FaultyUpstream, dialect: str
) -> None:
    upstream.next(Fault.REJECTED)
    assert await ask_for_json(upstream, dialect, times=2) == [True, False, False]


async def test_another_refusal_is_not_taken_for_one_of_the_schema(
    upstream: FaultyUpstream, dialect: str
) -> None:
    for fault in (Fault.CONTEXT_TOO_LONG, Fault.RATE_LIMITED):
        upstream.next(fault)
        received = upstream.received
        with pytest.raises(ModelError):
            await ask_for_json(upstream, dialect, times=1)
        assert upstream.received == received + 1


def test_it_keeps_what_the_engine_relies_on(upstream: FaultyUpstream, dialect: str) -> None:
    check_model(lambda: open_at(upstream, dialect), call_of())


@pytest.mark.parametrize("fault", [Fault.SERVER_ERROR, Fault.MALFORMED, Fault.NO_FINISH])
def test_it_keeps_it_where_the_upstream_fails(
    upstream: FaultyUpstream, dialect: str, fault: Fault
) -> None:
    upstream.always(fault)
    check_model(lambda: open_at(upstream, dialect), call_of())
