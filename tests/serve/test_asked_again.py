"""A model that is asked once more for its JSON: what it is told, and what is put back after it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator

import msgspec
import pytest

from roadworthy.cost.prices import Meter
from roadworthy.declare.schemas import compile_schema
from roadworthy.errors import AllModelsFailed, ModelUnavailable
from roadworthy.serve.failover import Failover, Link
from roadworthy.serve.judge import OutputJudge
from roadworthy.serve.retries import Policy
from roadworthy.testing import ScriptedModel
from roadworthy.types import Answer, Call, Caller, Key

FREE = Meter(None, None, "free")
CALLER = Caller(Key("k_1", "test", frozenset({"answer"})), "user-1")
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
JUDGE = OutputJudge(compile_schema(SCHEMA, "output"), (), reads_json=True)
MESSAGES = b'[{"role":"user","content":"hello"}]'


def call_of(seconds: float = 5.0) -> Call:
    body = {"messages": msgspec.Raw(MESSAGES)}
    return Call(input={}, caller=CALLER, deadline=time.monotonic() + seconds, body=body)


def chain(*models: object, reasks: bool = True) -> Failover:
    links = [Link(model=model, meter=FREE) for model in models]  # type: ignore[arg-type]
    return Failover("models", links, JUDGE, Policy(reasks=reasks))


class Bodies:
    """A model that keeps what it was asked, and says or does what it is told."""

    name = "m"

    def __init__(self, *texts: str | Exception | None) -> None:
        self.texts = list(texts)
        self.asked: list[list[dict[str, str]]] = []

    async def answer(self, call: Call) -> Answer:
        self.asked.append(json.loads(bytes(call.body["messages"])))
        text = self.texts.pop(0)
        if text is None:
            await asyncio.Event().wait()
        if isinstance(text, Exception):
            raise text
        return Answer(model=self.name, output={"text": text})

    async def stream(self, call: Call) -> AsyncGenerator[bytes | Answer, None]:
        yield await self.answer(call)

    async def close(self) -> None:
        pass


async def test_it_is_told_its_own_words_and_what_is_wrong_and_then_all_is_as_before() -> None:
    model, call = Bodies('{"a": "x"}', '{"a": 1}'), call_of()
    answer = await chain(model).answer(call)
    assert answer.output == {"a": 1}
    first, second = model.asked
    assert second[: len(first)] == first
    assert [one["role"] for one in second] == ["user", "assistant", "user"]
    assert second[1]["content"] == '{"a": "x"}'
    assert "output.a: expected integer, got string of 1 characters" in second[2]["content"]
    assert bytes(call.body["messages"]) == MESSAGES
    assert [(a.status, a.mended) for a in answer.attempts] == [("rejected", ""), ("ok", "reask")]


async def test_the_next_model_is_asked_what_was_asked_at_first() -> None:
    first, second = Bodies("no", "still no"), Bodies('{"a": 1}')
    second.name = "n"
    answer = await chain(first, second).answer(call_of())
    assert answer.model == "n"
    assert second.asked == [json.loads(MESSAGES)]


async def test_one_that_breaks_off_the_second_time_is_a_failed_try() -> None:
    first, second = Bodies("no", ModelUnavailable("down")), Bodies('{"a": 1}')
    answer = await chain(first, second).answer(call_of())
    assert [a.status for a in answer.attempts] == ["rejected", "model_unavailable", "ok"]
    assert second.asked == [json.loads(MESSAGES)]


async def test_it_is_asked_twice_and_never_three_times() -> None:
    model = Bodies("no", "no", '{"a": 1}')
    with pytest.raises(AllModelsFailed) as caught:
        await chain(model).answer(call_of())
    assert len(model.asked) == 2
    assert [(a.status, a.mended) for a in caught.value.attempts] == [
        ("rejected", ""),
        ("rejected", "reask"),
    ]


async def test_without_reasks_it_is_asked_once() -> None:
    model = Bodies("no", '{"a": 1}')
    with pytest.raises(AllModelsFailed):
        await chain(model, reasks=False).answer(call_of())
    assert len(model.asked) == 1


async def test_the_second_try_ends_with_the_deadline_of_both() -> None:
    model, call = Bodies("no", None), call_of(0.3)
    started = time.monotonic()
    with pytest.raises(AllModelsFailed) as caught:
        await chain(model).answer(call)
    assert time.monotonic() - started < 2
    assert [a.status for a in caught.value.attempts] == ["rejected", "model_timeout"]
    assert bytes(call.body["messages"]) == MESSAGES


async def test_one_that_is_cancelled_leaves_the_call_as_it_was() -> None:
    model, call = Bodies("no", None), call_of()
    task = asyncio.create_task(chain(model).answer(call))
    while len(model.asked) < 2:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert bytes(call.body["messages"]) == MESSAGES
    assert [a.status for a in call.abandoned] == ["rejected", "cancelled"]


async def test_mended_json_is_not_asked_for_again() -> None:
    model = ScriptedModel("m", ['Sure: {"a": 1,}'])
    answer = await chain(model).answer(call_of())
    assert (answer.output, answer.mended, answer.content) == ({"a": 1}, "repair", '{"a":1}')
    assert [a.mended for a in answer.attempts] == ["repair"]
