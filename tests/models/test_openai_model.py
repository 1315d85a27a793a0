"""The OpenAI adapter against a real upstream that misbehaves on order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import msgspec
import pytest

from roadworthy.errors import (
    BadAnswer,
    ModelError,
    ModelRateLimited,
    ModelRejected,
    ModelTimeout,
    ModelUnavailable,
)
from roadworthy.models.faulty import Fault, FaultyUpstream
from roadworthy.models.json_formats import is_strict
from roadworthy.models.openai import OpenAIModel, open_model
from roadworthy.models.spec import ModelSpec
from roadworthy.net import expire_at
from roadworthy.types import Answer, Call, Caller, Key

CALLER = Caller(Key("k_1", "test", frozenset({"answer"})), "user-1")


@pytest.fixture(scope="module")
def shared() -> Iterator[FaultyUpstream]:
    with FaultyUpstream(answer="one two three four five six") as server:
        yield server


@pytest.fixture
def upstream(shared: FaultyUpstream) -> Iterator[FaultyUpstream]:
    yield shared
    shared.behave()


def open_at(upstream: FaultyUpstream, api_key: str | None = None) -> OpenAIModel:
    spec = ModelSpec(name="m", upstream="rehearsal", base_url=upstream.base_url, api_key=api_key)
    model = open_model(spec)
    assert isinstance(model, OpenAIModel)
    return model


def call_of(**parameters: object) -> Call:
    values = {"messages": [{"role": "user", "content": "hello there"}], **parameters}
    body = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in values.items()}
    return Call(input={}, caller=CALLER, deadline=time.monotonic() + 5, body=body)


async def ask(upstream: FaultyUpstream, seconds: float = 3.0, **parameters: object) -> Answer:
    model = open_at(upstream)
    try:
        with expire_at(time.monotonic() + seconds, time.monotonic()):
            return await model.answer(call_of(**parameters))
    finally:
        await model.close()


async def read(upstream: FaultyUpstream, seconds: float = 3.0) -> tuple[bytes, Answer]:
    model = open_at(upstream)
    events, answer = b"", None
    try:
        with expire_at(time.monotonic() + seconds, time.monotonic()):
            async for event in model.stream(call_of()):
                if isinstance(event, bytes):
                    events += event
                else:
                    answer = event
    finally:
        await model.close()
    assert answer is not None
    return events, answer


async def test_a_completion_comes_back_untouched_with_its_usage(upstream: FaultyUpstream) -> None:
    answer = await ask(upstream, temperature=0.5, tools=[{"type": "function"}])

    assert answer.completion is not None
    assert msgspec.json.decode(answer.completion)["choices"][0]["message"]["content"] == (
        "one two three four five six"
    )
    assert answer.usage is not None
    assert answer.usage.output_tokens == 6
    assert [a.status for a in answer.attempts] == ["ok"]
    sent = msgspec.json.decode(upstream.requests[-1].body)
    assert (sent["model"], sent["temperature"]) == ("rehearsal", 0.5)
    assert sent["tools"] == [{"type": "function"}]


async def test_a_stream_passes_every_event_on_and_counts(upstream: FaultyUpstream) -> None:
    events, answer = await read(upstream)

    chunks = [msgspec.json.decode(line[6:]) for line in events.split(b"\n\n") if line]
    text = "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks)
    assert text == answer.output["text"] == "one two three four five six"
    assert answer.usage is not None
    assert answer.usage.output_tokens == 6
    assert not any("usage" in chunk and not chunk["choices"] for chunk in chunks)


REFUSALS: list[tuple[Fault, type[ModelError]]] = [
    (Fault.RATE_LIMITED, ModelRateLimited),
    (Fault.RATE_LIMITED_WITHOUT_ADVICE, ModelRateLimited),
    (Fault.SERVER_ERROR, ModelUnavailable),
    (Fault.UNAVAILABLE, ModelUnavailable),
    (Fault.AUTH_FAILED, ModelUnavailable),
    (Fault.REJECTED, ModelRejected),
    (Fault.CONTEXT_TOO_LONG, ModelRejected),
    (Fault.CONTENT_REFUSED, ModelRejected),
    (Fault.CONTENT_FILTERED, ModelRejected),
    (Fault.RESET, ModelUnavailable),
    (Fault.RESET_IN_BODY, ModelUnavailable),
    (Fault.STREAM_CUT, ModelUnavailable),
    (Fault.HANG, ModelTimeout),
    (Fault.STREAM_STALLED, ModelTimeout),
    (Fault.MALFORMED, BadAnswer),
    (Fault.REDIRECT, ModelUnavailable),
]


@pytest.mark.parametrize(("fault", "kind"), REFUSALS, ids=[f for f, _ in REFUSALS])
async def test_every_fault_of_an_answer_is_a_typed_error(
    upstream: FaultyUpstream, fault: Fault, kind: type[ModelError]
) -> None:
    upstream.next(fault)
    with pytest.raises(kind) as caught:
        await ask(upstream, seconds=0.3)
    if fault is Fault.RATE_LIMITED:
        assert caught.value.retry_after_s == 1


STREAM_REFUSALS = [*REFUSALS, (Fault.NO_FINISH, BadAnswer)]


@pytest.mark.parametrize(("fault", "kind"), STREAM_REFUSALS, ids=[f for f, _ in STREAM_REFUSALS])
async def test_every_fault_of_a_stream_is_a_typed_error(
    upstream: FaultyUpstream, fault: Fault, kind: type[ModelError]
) -> None:
    upstream.next(fault)
    # A body that is cut may reach us as a broken connection or as a stream without its end.
    kinds = (kind, BadAnswer) if fault in (Fault.STREAM_CUT, Fault.RESET_IN_BODY) else kind
    with pytest.raises(kinds):
        await read(upstream, seconds=0.3)


async def test_a_stream_without_done_is_whole_if_it_says_why_it_ended(
    upstream: FaultyUpstream,
) -> None:
    upstream.next(Fault.NO_DONE)
    _, answer = await read(upstream)
    assert answer.finish_reason == "stop"


@pytest.mark.parametrize("fault", [Fault.USAGE_MISSING, Fault.USAGE_ZERO])
async def test_a_count_of_nothing_is_unknown_and_not_free(
    upstream: FaultyUpstream, fault: Fault
) -> None:
    upstream.next(fault)
    assert (await ask(upstream)).usage is None


async def test_a_giant_answer_is_refused(upstream: FaultyUpstream) -> None:
    upstream.next(Fault.GIANT_BODY)
    with pytest.raises(BadAnswer, match="at most"):
        await ask(upstream, seconds=10)


async def test_a_cancelled_request_is_cancelled_upstream_and_says_that_it_was_sent(
    upstream: FaultyUpstream,
) -> None:
    upstream.next(Fault.HANG)
    model, call, before = open_at(upstream), call_of(), upstream.cancelled
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


async def test_an_unset_key_counts_as_down_without_a_call(upstream: FaultyUpstream) -> None:
    received = upstream.received
    spec = ModelSpec(name="m", upstream="rehearsal", base_url=upstream.base_url, api_key="")
    with pytest.raises(ModelUnavailable, match="has no key") as caught:
        await open_model(spec).answer(call_of())
    assert caught.value.attempts[0].status == "no_key"
    assert upstream.received == received


async def test_the_key_goes_up_as_a_header(upstream: FaultyUpstream) -> None:
    model = open_at(upstream, api_key="sk-secret")
    await model.answer(call_of())
    await model.close()
    assert upstream.requests[-1].headers["authorization"] == "Bearer sk-secret"


@pytest.mark.parametrize(
    ("base_url", "key", "sent"),
    [
        ("https://api.openai.com/v1", "prompt@1", "prompt@1"),
        ("https://api.openai.com/v1", "", None),
        ("http://127.0.0.1:9/v1", "prompt@1", None),
    ],
)
def test_what_begins_alike_goes_up_with_its_key_where_that_is_known(
    base_url: str, key: str, sent: str | None
) -> None:
    model = open_model(ModelSpec(name="m", upstream="x", base_url=base_url, api_key="sk"))
    assert isinstance(model, OpenAIModel)
    call = call_of()
    call.static_key = key
    assert msgspec.json.decode(model._body(call, stream=False)).get("prompt_cache_key") == sent
    own = call_of(prompt_cache_key="mine")
    own.static_key = key
    assert msgspec.json.decode(model._body(own, stream=False))["prompt_cache_key"] == "mine"


# What it is told of a schema.

SCHEMA = (
    b'{"type":"object","properties":{"a":{"type":"string"}},"required":["a"],'
    b'"additionalProperties":false}'
)


async def ask_for_json(upstream: FaultyUpstream, times: int = 1) -> list[bool]:
    """Return of each request that came whether it was told the schema."""
    model, before = open_at(upstream), upstream.received
    try:
        for _ in range(times):
            call = call_of()
            call.output_schema = SCHEMA
            await model.answer(call)
    finally:
        await model.close()
    bodies = [msgspec.json.decode(one.body) for one in upstream.requests]
    return ["response_format" in body for body in bodies[before - upstream.received :]]


async def test_it_is_told_the_schema_that_answers_have_to_keep(upstream: FaultyUpstream) -> None:
    assert await ask_for_json(upstream) == [True]


async def test_one_that_does_not_take_schemas_is_asked_without_from_then_on(
    upstream: FaultyUpstream,
) -> None:
    upstream.next(Fault.REJECTED)
    assert await ask_for_json(upstream, times=3) == [True, False, False, False]


async def test_one_that_refuses_the_request_anyhow_is_told_it_again(
    upstream: FaultyUpstream,
) -> None:
    upstream.next(Fault.REJECTED, Fault.REJECTED)
    model, before = open_at(upstream), upstream.received
    call = call_of()
    call.output_schema = SCHEMA
    with pytest.raises(ModelRejected):
        await model.answer(call)
    await model.answer(call)
    await model.close()
    told = ["response_format" in msgspec.json.decode(one.body) for one in upstream.requests]
    assert told[before - upstream.received :] == [True, False, True]


@pytest.mark.parametrize("fault", [Fault.CONTEXT_TOO_LONG, Fault.CONTENT_REFUSED])
async def test_another_refusal_is_not_taken_for_one_of_the_schema(
    fault: Fault, upstream: FaultyUpstream
) -> None:
    upstream.next(fault)
    before = upstream.received
    with pytest.raises(ModelRejected):
        await ask_for_json(upstream)
    assert upstream.received == before + 1


@pytest.mark.parametrize(
    ("change", "strict"),
    [
        ({}, True),
        ({"additionalProperties": True}, False),
        ({"required": []}, False),
        ({"properties": {"a": {"type": "string", "maxLength": 9}}}, False),
        ({"properties": {"a": {"type": "string", "format": "uuid"}}}, True),
        ({"properties": {"a": {"type": "string", "format": "uri"}}}, False),
        ({"properties": {"a": {"anyOf": [{"type": "string"}, {"type": "null"}]}}}, True),
        ({"properties": {"a": {"oneOf": [{"type": "string"}]}}}, False),
        ({"properties": {"a": {"type": "object"}}}, False),
        ({"properties": {"a": {}}}, False),
        ({"properties": {"a": {"$ref": "#/$defs/b"}}, "$defs": {"b": {"enum": [1]}}}, True),
        ({"anyOf": [{"type": "object"}]}, False),
    ],
)
def test_a_schema_is_strict_only_where_it_fits_the_subset(
    change: dict[str, object], strict: bool
) -> None:
    assert is_strict(msgspec.json.decode(SCHEMA) | change) is strict
