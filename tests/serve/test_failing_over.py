"""What a chain does when a model does not answer: breakers, retries, turns, order, streams."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from test_failover import DEAR, FREE, Stuck, accept, call_of

from roadworthy.errors import (
    AllModelsFailed,
    BadAnswer,
    ModelError,
    ModelRateLimited,
    ModelRejected,
    ModelTimeout,
    ModelUnavailable,
)
from roadworthy.serve.breaker import FAILURES, Health, Timed
from roadworthy.serve.failover import Failover, Link
from roadworthy.serve.pacing import Pace
from roadworthy.serve.retries import ALWAYS, ALWAYS_EVERY_S, Policy, RetryBudget
from roadworthy.testing import ScriptedModel
from roadworthy.types import Answer, Attempt


def linked(model: Any, health: Health | None = None, **more: Any) -> Link:
    return Link(model=model, meter=more.pop("meter", FREE), health=health, **more)


def a_health(name: str = "m") -> Health:
    return Health("openai", name, 30.0)


def policy(retries: int = 1, share: float = 1.0, **more: Any) -> Policy:
    return Policy(retries=retries, budget=RetryBudget(share), **more)


def statuses(tried: Sequence[Attempt]) -> list[tuple[str, str, int]]:
    return [(attempt.model, attempt.status, attempt.retry) for attempt in tried]


def down(**more: Any) -> ModelUnavailable:
    return ModelUnavailable("503", cause="server", **more)


async def test_a_model_that_is_left_alone_is_skipped_at_every_place_of_a_chain() -> None:
    shared = a_health()
    shared.failed("no_credit", time.monotonic())
    for place in (0, 1, 2):
        models = [ScriptedModel(name, [down()]) for name in ("a", "b")]
        models.insert(place, ScriptedModel("poor", ["not asked"]))
        links = [linked(m, shared if m.name == "poor" else None) for m in models]
        with pytest.raises(AllModelsFailed) as caught:
            await Failover("models", links, accept).answer(call_of())
        skipped = caught.value.attempts[place]
        assert (skipped.model, skipped.status, skipped.us) == ("poor", "cooling", 0)
        assert skipped.cause == "no_credit"
        assert "left alone for 3600" in skipped.detail
        assert not models[place].calls


async def test_what_one_chain_learns_of_a_model_the_others_know() -> None:
    shared = a_health()
    for _ in range(FAILURES):
        first = linked(ScriptedModel("m", [down()]), shared)
        with pytest.raises(AllModelsFailed):
            await Failover("one", [first], accept).answer(call_of())
    other = ScriptedModel("same", ["hello"])
    with pytest.raises(AllModelsFailed) as caught:
        await Failover("other", [linked(other, shared)], accept).answer(call_of())
    assert statuses(caught.value.attempts) == [("same", "cooling", 0)]
    assert caught.value.status == 503
    assert caught.value.retry_after_s == pytest.approx(30, abs=1)


async def test_what_may_pass_is_asked_again_and_each_try_is_an_attempt() -> None:
    model = ScriptedModel("m", [down(), ModelUnavailable("reset"), "hello"])
    chain = Failover("models", [linked(model, a_health())], accept, policy(retries=2))
    answer = await chain.answer(call_of())
    assert statuses(answer.attempts) == [
        ("m", "model_unavailable", 0),
        ("m", "model_unavailable", 1),
        ("m", "ok", 2),
    ]
    assert [attempt.cause for attempt in answer.attempts] == ["server", "connection", ""]


@pytest.mark.parametrize(
    "error",
    [
        ModelRejected("too long", cause="context_length"),
        ModelRejected("filtered", cause="content_filter"),
        ModelUnavailable("no key", cause="auth"),
        ModelUnavailable("no money", cause="no_credit"),
        ModelTimeout("late"),
        ModelRateLimited("slow down"),
        BadAnswer("malformed"),
    ],
)
async def test_what_would_be_the_same_again_is_not_asked_again(error: ModelError) -> None:
    first, second = ScriptedModel("first", [error, "again"]), ScriptedModel("second", ["hello"])
    links = [linked(first, a_health()), linked(second, a_health())]
    answer = await Failover("models", links, accept, policy(retries=3)).answer(call_of())
    assert answer.model == "second"
    assert len(first.calls) == 1


async def test_an_hour_of_patience_is_not_waited_for_within_two_seconds() -> None:
    shared = a_health()
    first = ScriptedModel("first", [ModelRateLimited("slow down", retry_after_s=3_600)])
    second = ScriptedModel("second", ["hello"])
    started = time.monotonic()
    chain = Failover("models", [linked(first, shared), linked(second)], accept, policy(5))
    answer = await chain.answer(call_of(seconds=2))
    assert answer.model == "second"
    assert time.monotonic() - started < 0.5
    assert shared.for_s(time.monotonic()) == pytest.approx(3_600, abs=2)


async def test_a_rate_limit_that_ends_in_time_is_waited_for_where_nobody_else_can_be_asked() -> (
    None
):
    limited = ModelRateLimited("slow down", retry_after_s=0.3)
    model = ScriptedModel("m", [limited, "hello"])
    started = time.monotonic()
    answer = await Failover("m", [linked(model, a_health())], accept, policy()).answer(call_of())
    assert time.monotonic() - started >= 0.3
    assert statuses(answer.attempts) == [("m", "model_rate_limited", 0), ("m", "ok", 1)]

    first, second = ScriptedModel("m", [limited, "late"]), ScriptedModel("second", ["now"])
    links = [linked(first, a_health()), linked(second, a_health())]
    answer = await Failover("m", links, accept, policy()).answer(call_of())
    assert answer.model == "second"


async def test_a_retry_never_begins_after_the_share_of_time_of_its_model() -> None:
    model = ScriptedModel("m", [down(), "late"])
    links = [linked(model, a_health(), timeout_s=0.01), linked(ScriptedModel("n", ["hello"]))]
    answer = await Failover("models", links, accept, policy(retries=5)).answer(call_of())
    assert (answer.model, len(model.calls)) == ("n", 1)


async def test_a_retry_is_not_begun_where_answers_take_longer_than_is_left() -> None:
    slow = a_health()
    slow.answered(0.5, 1.0)
    model = ScriptedModel("m", [down(), "late"])
    links = [linked(model, slow, timeout_s=0.3), linked(ScriptedModel("n", ["hello"]))]
    answer = await Failover("models", links, accept, policy()).answer(call_of())
    assert (answer.model, len(model.calls)) == ("n", 1)


async def test_an_empty_budget_of_retries_ends_them() -> None:
    budget = RetryBudget(0.0)
    asked = 0
    for _ in range(20):
        model = ScriptedModel("m", [down(), down()])
        chain = Failover("m", [linked(model, a_health())], accept, Policy(retries=1, budget=budget))
        with pytest.raises(AllModelsFailed):
            await chain.answer(call_of())
        asked += len(model.calls)
    assert asked == 20 + ALWAYS, "a few are always allowed"
    assert budget.refused == 20 - ALWAYS


def test_the_budget_of_retries_is_a_share_of_the_requests() -> None:
    budget, taken = RetryBudget(0.1), 0
    for _ in range(1_000):
        budget.asked += 1
        taken += budget.take(1.0)
    assert 100 <= taken <= 100 + ALWAYS
    assert not budget.take(0.5), "a clock that goes back gives nothing"
    assert budget.take(1.0 + ALWAYS_EVERY_S), "and a few come back with time"


async def test_what_may_have_been_charged_is_not_asked_for_again_where_money_is_counted() -> None:
    broke = BadAnswer("broke off", cause="server")
    broke.may_cost = True
    for error, purse, is_made in (
        (broke, 1_000_000, False),
        (broke, None, True),
        (down(), 1_000_000, True),
    ):
        model = ScriptedModel("m", [error, "hello"])
        link = linked(model, a_health(), meter=DEAR, max_output_tokens=10)
        call = call_of(purse=purse)
        with suppress(AllModelsFailed):
            await Failover("m", [link], accept, policy()).answer(call)
        assert (len(model.calls) == 2) is is_made
        assert call.size is not None
        assert purse is None or call.spent_micro <= link.worst_case_micro(call.size)


async def test_what_a_chain_has_spent_its_ladder_cannot_spend_again() -> None:
    broke = BadAnswer("broke off")
    broke.may_cost = True
    link = linked(ScriptedModel("m", [broke]), meter=DEAR, max_output_tokens=10)
    rung = linked(ScriptedModel("rung", ["dear"]), meter=DEAR, max_output_tokens=10)
    call = call_of(purse=250)
    with pytest.raises(AllModelsFailed):
        await Failover("models", [link], accept).answer(call)
    spent = call.spent_micro
    with suppress(AllModelsFailed):
        await Failover("ladder", [rung], accept).answer(call)
    assert spent > 125
    assert call.max_output_tokens is not None
    assert call.max_output_tokens < 10


async def test_only_the_probe_is_let_through_after_an_outage() -> None:
    shared = a_health()
    shared.failed("rate_limit", time.monotonic() - 10, advised_s=1)
    model = Stuck("m")
    chain = Failover("models", [linked(model, shared)], accept)
    probe = asyncio.create_task(chain.answer(call_of()))
    await asyncio.sleep(0.01)
    herd = await asyncio.gather(
        *(chain.answer(call_of()) for _ in range(100)), return_exceptions=True
    )
    ends = {e.attempts[0].status for e in herd if isinstance(e, AllModelsFailed)}
    assert (len(herd), ends) == (100, {"cooling"})
    probe.cancel()
    await asyncio.gather(probe, return_exceptions=True)
    assert shared.may_try(time.monotonic()), "a probe that was cancelled gives its place back"


async def test_a_caller_in_a_hurry_takes_no_model_away_from_the_others() -> None:
    shared = a_health()
    chain = Failover("models", [linked(Stuck("m"), shared, usual_s=5.0)], accept)
    for _ in range(FAILURES * 2):
        with pytest.raises(AllModelsFailed):
            await chain.answer(call_of(seconds=0.005))
    assert shared.is_closed
    usual = Failover("models", [linked(Stuck("m"), shared, usual_s=0.005)], accept)
    for _ in range(FAILURES):
        with pytest.raises(AllModelsFailed):
            await usual.answer(call_of(seconds=0.005))
    assert not shared.is_closed


async def test_where_there_is_no_turn_in_time_the_next_model_is_asked() -> None:
    pace = Pace(max_concurrent=1)
    stuck = Stuck("a")
    first = Failover("models", [linked(stuck, pace=pace)], accept)
    at_work = asyncio.create_task(first.answer(call_of()))
    await asyncio.sleep(0.01)
    links = [linked(ScriptedModel("b", ["no"]), pace=pace), linked(ScriptedModel("c", ["yes"]))]
    answer = await Failover("models", links, accept).answer(call_of(seconds=0.2))
    assert answer.model == "c"
    assert statuses(answer.attempts)[0] == ("b", "busy", 0)
    at_work.cancel()
    await asyncio.gather(at_work, return_exceptions=True)
    assert pace.at_work == 0
    assert (await Failover("m", links, accept).answer(call_of())).model == "b"
    assert pace.at_work == 0


async def test_a_stream_holds_its_turn_until_it_ends() -> None:
    pace = Pace(max_concurrent=1)
    events: list[bytes | Answer | Exception] = [
        b"data: 1\n\n",
        b"data: 2\n\n",
        Answer(model="m", output={"text": "1"}),
    ]
    chain = Failover("m", [linked(ScriptedModel("m", [events]), a_health(), pace=pace)], accept)
    seen = []
    async for event in chain.stream(call_of()):
        seen.append(event)
        assert pace.at_work == (0 if len(seen) > 3 else 1)
    assert pace.at_work == 0


async def test_by_weight_the_first_tries_fall_as_declared() -> None:
    models = [ScriptedModel("heavy", ["h"] * 4_000), ScriptedModel("light", ["l"] * 4_000)]
    links = [linked(models[0], weight=3.0), linked(models[1], weight=1.0)]
    chain = Failover("models", links, accept, policy(order="weighted"))
    heavy = 0
    for number in range(2_000):
        call = call_of()
        call.id = f"rq_{number:012x}"
        heavy += (await chain.answer(call)).model == "heavy"
    assert 0.71 < heavy / 2_000 < 0.79
    call = call_of()
    call.id, call.first = "rq_1", ("light",)
    assert (await chain.answer(call)).model == "light", "what a router wants goes first"


async def test_the_fastest_is_asked_first_and_the_others_now_and_then() -> None:
    slow, fast, new = a_health("slow"), a_health("fast"), a_health("new")
    slow.answered(0.9, 1.0)
    fast.answered(0.1, 1.0)
    models = {name: ScriptedModel(name, ["x"] * 1_000) for name in ("slow", "fast", "new")}
    links = [linked(models["slow"], slow), linked(models["fast"], fast)]
    chain = Failover("models", links, accept, policy(order="fastest"))
    firsts = []
    for number in range(1_000):
        call = call_of()
        call.id = f"rq_{number:012x}"
        firsts.append(chain._in_order(call)[0].name)
    assert 5 < firsts.count("slow") < 45
    chain = Failover("m", [*links, linked(models["new"], new)], accept, policy(order="fastest"))
    call = call_of()
    call.id = "rq_1"
    assert chain._in_order(call)[0].name == "new", "what is unknown is asked to be known"


async def test_a_model_of_this_process_is_timed_and_never_away() -> None:
    timed = Timed("local", "onnx", 0.0)
    model = ScriptedModel("m", [down(), "hello"])
    chain = Failover("m", [linked(model, timed)], accept, policy(retries=3))
    with pytest.raises(AllModelsFailed):
        await chain.answer(call_of())
    for _ in range(FAILURES * 2):
        timed.failed("server", 1.0)
    assert timed.is_closed
    assert (await chain.answer(call_of())).model == "m"
    assert timed.answer_s > 0


def begun(text: bytes, error: ModelError) -> list[Any]:
    return [text, error]


async def test_a_stream_begins_anew_only_where_that_is_declared() -> None:
    good = Answer(model="good", output={"text": "whole"})
    for restarts in (False, True):
        cut = ScriptedModel("cut", [begun(b"data: half\n\n", ModelUnavailable("broke off"))])
        whole = ScriptedModel("good", [[b"data: whole\n\n", good]])
        links = [linked(cut, a_health()), linked(whole, a_health())]
        chain = Failover("m", links, accept, policy(restart_streams=restarts))
        seen: list[bytes | Answer] = []
        call = call_of()
        call.id = "rq_7"
        with suppress(ModelUnavailable):
            async for event in chain.stream(call):
                seen.append(event)  # noqa: PERF401 - what came before an error counts
        if not restarts:
            assert seen == [b"data: half\n\n"]
            continue
        half, mark, again, answer = seen
        assert isinstance(mark, bytes)
        told = msgspec.json.decode(mark.removeprefix(b"data: "))
        assert told["roadworthy"] == {"restart": True, "model": "good", "why": "model_unavailable"}
        assert told["choices"][0]["delta"] == {}
        assert (half, again) == (b"data: half\n\n", b"data: whole\n\n")
        assert isinstance(answer, Answer)
        assert [a.status for a in answer.attempts] == ["model_unavailable", "ok"]


async def test_a_stream_that_falls_silent_leaves_time_for_the_one_that_begins_anew() -> None:
    good: list[bytes | Answer | Exception] = [
        b"data: whole\n\n",
        Answer(model="good", output={"text": "whole"}),
    ]
    links = [linked(Stuck("stuck"), a_health()), linked(ScriptedModel("good", [good]))]
    chain = Failover("m", links, accept, policy(restart_streams=True))
    started = time.monotonic()
    seen = [event async for event in chain.stream(call_of(seconds=0.6))]
    assert time.monotonic() - started < 0.5
    assert isinstance(seen[-1], Answer)
    assert [a.status for a in seen[-1].attempts] == ["model_timeout", "ok"]


async def test_a_slow_reader_is_no_silence() -> None:
    events: list[bytes | Answer | Exception] = [
        b"data: 1\n\n",
        b"data: 2\n\n",
        Answer(model="m", output={"text": "1"}),
    ]
    chain = Failover("m", [linked(ScriptedModel("m", [events]), a_health())], accept)
    seen = []
    async for event in chain.stream(call_of(seconds=0.3)):
        seen.append(event)
        if len(seen) == 1:
            await asyncio.sleep(0.2)
    assert len(seen) == 3
