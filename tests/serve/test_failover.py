"""A chain of models: order, time, money, and what each try leaves behind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from decimal import Decimal

import msgspec
import pytest

from roadworthy.cost.prices import Meter, usd_per_million
from roadworthy.errors import AllModelsFailed, ModelRateLimited, ModelUnavailable
from roadworthy.serve.failover import Failover, Link
from roadworthy.serve.judge import ACCEPTED
from roadworthy.serve.size import size_of
from roadworthy.testing import ScriptedModel
from roadworthy.types import Answer, Attempt, Call, Caller, Judgement, Key, Usage

FREE = Meter(None, None, "free")
DEAR = Meter(usd_per_million(Decimal(1), Decimal(10)), None, "override")
"""One micro-dollar a token in, ten a token out."""

CALLER = Caller(Key("k_1", "test", frozenset({"answer"})), "user-1")


def accept(call: Call, answer: Answer) -> Judgement:
    return ACCEPTED


def call_of(seconds: float = 5.0, max_tokens: int | None = None, purse: int | None = None) -> Call:
    body = {"messages": msgspec.Raw(b'[{"role":"user","content":"hello"}]')}
    if max_tokens is not None:
        body["max_tokens"] = msgspec.Raw(b"%d" % max_tokens)
    call = Call(input={}, caller=CALLER, deadline=time.monotonic() + seconds, body=body)
    call.size = size_of(body)
    call.max_cost_micro = purse
    return call


class Stuck:
    """A model that never answers."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.was_cancelled = False

    async def answer(self, call: Call) -> Answer:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            call.unfinished = Attempt(self.name, "cancelled", 0, Usage(5, 2))
            raise
        raise AssertionError

    async def stream(self, call: Call) -> AsyncGenerator[bytes | Answer, None]:
        yield b"data: {}\n\n"
        yield await self.answer(call)

    async def close(self) -> None:
        pass


async def test_the_first_model_that_answers_wins() -> None:
    first = ScriptedModel("first", [ModelRateLimited("slow down")])
    second = ScriptedModel("second", ["hello"])
    third = ScriptedModel("third", ["not asked"])
    chain = Failover("models", [Link(model=m, meter=FREE) for m in (first, second, third)], accept)

    answer = await chain.answer(call_of())

    assert answer.model == "second"
    tried = [(a.model, a.status) for a in answer.attempts]
    assert tried == [("first", "model_rate_limited"), ("second", "ok")]
    assert not third.calls


async def test_all_failures_are_kept_by_name_in_the_order_tried() -> None:
    models = [ScriptedModel(n, [ModelUnavailable(f"{n} is down")]) for n in ("a", "b")]
    chain = Failover("models", [Link(model=m, meter=FREE) for m in models], accept)

    with pytest.raises(AllModelsFailed, match=r"`a`: a is down; `b`: b is down") as caught:
        await chain.answer(call_of())

    assert [attempt.model for attempt in caught.value.attempts] == ["a", "b"]


async def test_a_model_that_hangs_leaves_time_for_the_next_one() -> None:
    stuck, second = Stuck("stuck"), ScriptedModel("second", ["hello"])
    chain = Failover("models", [Link(model=m, meter=FREE) for m in (stuck, second)], accept)
    started = time.monotonic()

    answer = await chain.answer(call_of(seconds=0.4))

    assert answer.model == "second"
    assert stuck.was_cancelled
    assert time.monotonic() - started < 0.35
    assert answer.attempts[0].status == "model_timeout"


async def test_after_the_deadline_only_instant_models_are_asked() -> None:
    slow, rule = ScriptedModel("slow", ["late"]), ScriptedModel("rule", [{"value": 1}])
    links = [Link(model=slow, meter=FREE), Link(model=rule, meter=FREE, is_instant=True)]
    call = call_of(seconds=0)
    call.deadline -= 1

    with pytest.raises(AllModelsFailed):  # the scripted rule minds the deadline by itself
        await Failover("ladder", links, accept).answer(call)

    assert not slow.calls
    assert len(rule.calls) == 1


async def test_an_answer_the_judge_turns_down_is_a_failed_try_and_is_paid() -> None:
    def wants_brief(call: Call, answer: Answer) -> Judgement:
        return Judgement(schema="too long" if len(answer.output["text"]) > 5 else "")

    long = Answer(model="first", output={"text": "too much"}, usage=Usage(10, 4))
    first, second = ScriptedModel("first", [long]), ScriptedModel("second", ["brief"])
    links = [Link(model=first, meter=DEAR), Link(model=second, meter=FREE)]

    answer = await Failover("models", links, wants_brief).answer(call_of())

    assert answer.model == "second"
    rejected = answer.attempts[0]
    assert (rejected.status, rejected.cost_micro) == ("rejected", 10 + 40)


async def test_a_model_that_no_money_is_left_for_is_skipped() -> None:
    spender = Answer(model="first", output={"text": "x"}, usage=Usage(30, 10))
    first, second = ScriptedModel("first", [spender]), ScriptedModel("second", ["hello"])
    links = [Link(model=m, meter=DEAR, max_output_tokens=10) for m in (first, second)]

    def refuse(call: Call, answer: Answer) -> Judgement:
        return Judgement(schema="no")

    with pytest.raises(AllModelsFailed) as caught:
        await Failover("models", links, refuse).answer(call_of(purse=140))

    assert [a.status for a in caught.value.attempts] == ["rejected", "too_dear"]
    assert not second.calls


async def test_the_output_limit_shrinks_to_what_the_money_pays_for() -> None:
    model = ScriptedModel("model", ["hello"])
    call = call_of(max_tokens=1000, purse=500)
    assert call.size is not None

    await Failover("models", [Link(model=model, meter=DEAR)], accept).answer(call)

    limit = model.calls[0].max_output_tokens
    assert limit is not None
    assert call.size.input_bytes + limit * 10 <= 500
    assert limit == (500 - call.size.input_bytes) // 10


async def test_an_upstream_that_overran_its_limit_is_paid_and_shown() -> None:
    overrun = Answer(model="model", output={"text": "x"}, usage=Usage(3000, 10))
    link = Link(model=ScriptedModel("model", [overrun]), meter=DEAR)
    call = call_of(max_tokens=10, purse=10_000)
    assert call.size is not None
    assert link.worst_case_micro(call.size) < 3100

    answer = await Failover("models", [link], accept).answer(call)

    assert (answer.attempts[0].cost_micro, answer.attempts[0].price_source) == (3100, "override")


async def test_a_try_that_was_cut_off_costs_what_it_may_have_cost() -> None:
    class Silent(Stuck):
        async def answer(self, call: Call) -> Answer:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                call.unfinished = Attempt(self.name, "cancelled", 0, None)
                raise
            raise AssertionError

    link = Link(model=Silent("silent"), meter=DEAR)
    call = call_of(seconds=0.05, max_tokens=10, purse=10_000)
    assert call.size is not None

    with pytest.raises(AllModelsFailed) as caught:
        await Failover("models", [link], accept).answer(call)

    attempt = caught.value.attempts[0]
    assert attempt.status == "model_timeout"
    assert attempt.cost_micro == link.worst_case_micro(call.size)


async def test_a_cancelled_try_leaves_what_it_had_used() -> None:
    chain = Failover("models", [Link(model=Stuck("stuck"), meter=DEAR)], accept)
    call = call_of()
    task = asyncio.create_task(chain.answer(call))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task

    assert [(a.status, a.cost_micro) for a in call.abandoned] == [("cancelled", 5 + 20)]


async def test_a_stream_falls_over_before_its_first_event_and_not_after() -> None:
    broken = ScriptedModel("broken", [ModelUnavailable("down")])
    good = ScriptedModel("good", [[b"data: 1\n\n", Answer(model="good", output={"text": "1"})]])
    chain = Failover("models", [Link(model=m, meter=FREE) for m in (broken, good)], accept)

    events = [event async for event in chain.stream(call_of())]

    assert events[0] == b"data: 1\n\n"
    assert isinstance(events[1], Answer)

    cut = ScriptedModel("cut", [[b"data: 1\n\n", ModelUnavailable("broke off")]])
    chain = Failover("models", [Link(model=m, meter=FREE) for m in (cut, good)], accept)
    seen = []
    with pytest.raises(ModelUnavailable) as caught:  # noqa: PT012 - what came before counts
        async for event in chain.stream(call_of()):
            seen.append(event)  # noqa: PERF401 - what came before the error counts
    assert seen == [b"data: 1\n\n"]
    assert [a.model for a in caught.value.attempts] == ["cut"]


async def test_a_stream_that_stalls_ends_at_the_deadline() -> None:
    chain = Failover("models", [Link(model=Stuck("stuck"), meter=FREE)], accept)
    started = time.monotonic()
    with pytest.raises(Exception, match="no answer within"):
        async for _ in chain.stream(call_of(seconds=0.2)):
            pass
    assert time.monotonic() - started < 1
