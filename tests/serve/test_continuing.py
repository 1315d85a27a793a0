"""Answers that were cut off: marked, failed over, or gone on with."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.cost.prices import Meter, usd_per_million
from roadworthy.errors import ModelUnavailable
from roadworthy.serve.continuing import GO_ON, MOST_CONTINUATIONS, Continued, overlap_of
from roadworthy.serve.failover import Failover, Link, accept_all
from roadworthy.serve.retries import Policy
from roadworthy.serve.size import size_of
from roadworthy.testing import ScriptedModel
from roadworthy.types import Answer, Attempt, Call, Caller, Key, Usage

CALLER = Caller(Key("k_1", "test", frozenset({"answer"})), "user-1")
DEAR = Meter(usd_per_million(Decimal(1), Decimal(10)), None, "override")
"""One micro-dollar a token in, ten a token out."""
FREE = Meter(None, None, "free")


def call_of(seconds: float = 5.0, purse: int | None = None, **body: Any) -> Call:
    raw = {"messages": [{"role": "user", "content": "Tell me"}], **body}
    values = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in raw.items()}
    call = Call(input={}, caller=CALLER, deadline=time.monotonic() + seconds, body=values)
    if purse is not None:
        call.size, call.max_cost_micro = size_of(values), purse
    return call


def part(text: str, reason: str = "length", output: int = 10, **more: Any) -> Answer:
    usage = Usage(20, output)
    return Answer(model="m", output={"text": text}, usage=usage, finish_reason=reason, **more)


def chain(answers: Sequence[Any], meter: Meter = FREE) -> tuple[Failover, ScriptedModel]:
    model = ScriptedModel("m", answers)
    link = Link(
        model=Continued(model, meter),
        meter=meter,
        max_output_tokens=10,
        continues=MOST_CONTINUATIONS,
        provider="up",
    )
    return Failover("models", [link], accept_all, Policy(truncated="continue")), model


async def test_a_cut_off_answer_is_gone_on_with_until_it_is_whole() -> None:
    models, model = chain([part("The fee is"), part(" $110 each"), part(" way.", "stop", 3)])
    answer = await models.answer(call_of())
    assert answer.output == {"text": "The fee is $110 each way."}
    assert (answer.finish_reason, answer.is_cut_off) == ("stop", False)
    assert answer.usage == Usage(60, 23), "what all of it took"
    assert [(a.status, a.is_cut_off) for a in answer.attempts] == [
        ("ok", True),
        ("ok", True),
        ("ok", False),
    ]
    asked = msgspec.json.decode(model.calls[2].body["messages"])
    assert asked == [
        {"role": "user", "content": "Tell me"},
        {"role": "assistant", "content": "The fee is $110 each"},
        {"role": "user", "content": GO_ON},
    ]


async def test_what_is_said_twice_is_joined_once() -> None:
    models, _ = chain([part("The fee is $110 each"), part("is $110 each way.", "stop")])
    assert (await models.answer(call_of())).output == {"text": "The fee is $110 each way."}


@given(text=st.text("ab c.", max_size=40), cut=st.integers(0, 40), back=st.integers(0, 40))
def test_a_text_that_is_repeated_from_a_word_on_is_whole_again(
    text: str, cut: int, back: int
) -> None:
    first, more = text[:cut], text[max(cut - back, 0) :]
    size = overlap_of(first, more)
    assert first.endswith(more[:size])


async def test_numbers_are_not_taken_for_repetitions() -> None:
    models, _ = chain([part("It is 1000"), part("0000 km.", "stop")])
    assert (await models.answer(call_of())).output == {"text": "It is 10000000 km."}


async def test_it_ends_after_a_number_of_times_and_stays_marked() -> None:
    models, model = chain([part(f"{k} and so on, ") for k in "abcdefgh"])
    answer = await models.answer(call_of())
    assert len(model.calls) == 1 + MOST_CONTINUATIONS
    assert answer.is_cut_off
    assert answer.attempts[-1].is_cut_off


async def test_each_try_is_paid_by_itself() -> None:
    models, _ = chain([part("one"), part(" two", "stop", 4)], DEAR)
    answer = await models.answer(call_of(purse=100_000))
    assert [a.cost_micro for a in answer.attempts] == [120, 60]
    assert [a.price_source for a in answer.attempts] == ["override", "override"]


async def test_it_ends_where_the_money_does() -> None:
    call = call_of(purse=0)
    assert call.size is not None
    call.max_cost_micro = DEAR.worst_case_micro(call.size.input_bytes, 10) + 20
    models, model = chain([part("one"), part(" two")], DEAR)
    answer = await models.answer(call)
    assert len(model.calls) == 1
    assert answer.is_cut_off
    assert sum(a.cost_micro for a in answer.attempts) <= call.max_cost_micro


@pytest.mark.parametrize("purse", [150, 400, 700, 1_000, 1_500, 3_000])
async def test_it_never_spends_more_than_the_purse(purse: int) -> None:
    def says(call: Call) -> Answer:
        size = len(bytes(call.body["messages"]))
        assert call.max_output_tokens is not None
        usage = Usage(size, call.max_output_tokens)  # as dear as can be
        return Answer(model="m", output={"text": "so on, "}, usage=usage, finish_reason="length")

    models, _ = chain(says, DEAR)  # type: ignore[arg-type]
    answer = await models.answer(call_of(purse=purse))
    assert sum(a.cost_micro for a in answer.attempts) <= purse


async def test_what_is_reserved_covers_all_tries() -> None:
    def says(call: Call) -> Answer:
        size = len(bytes(call.body["messages"]))
        usage = Usage(size, 10)
        return Answer(model="m", output={"text": "x" * 10}, usage=usage, finish_reason="length")

    models, model = chain(says, DEAR)  # type: ignore[arg-type]
    call = call_of(purse=0)
    assert call.size is not None
    call.max_cost_micro = models.links[0].worst_case_micro(call.size)
    call.is_covered = True
    answer = await models.answer(call)
    assert len(model.calls) == 1 + MOST_CONTINUATIONS
    assert sum(a.cost_micro for a in answer.attempts) <= call.max_cost_micro


async def test_what_there_is_is_given_when_going_on_fails() -> None:
    models, _ = chain([part("The fee"), ModelUnavailable("gone")])
    answer = await models.answer(call_of())
    assert answer.output == {"text": "The fee"}
    assert answer.is_cut_off
    assert [a.status for a in answer.attempts] == ["model_unavailable", "ok"]


class Stalls:
    """Writes one part and then hangs."""

    name = "m"

    def __init__(self) -> None:
        self.asked = 0

    async def answer(self, call: Call) -> Answer:
        self.asked += 1
        if self.asked == 1:
            return part("The fee", attempts=(Attempt("m", "ok", 0, Usage(20, 10)),))
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            call.unfinished = Attempt("m", "cancelled", 0)
            raise
        raise AssertionError

    async def stream(self, call: Call) -> AsyncGenerator[bytes | Answer, None]:
        yield await self.answer(call)

    async def close(self) -> None:
        pass


async def test_what_there_is_is_given_in_time_when_going_on_hangs() -> None:
    link = Link(model=Continued(Stalls(), DEAR), meter=DEAR, max_output_tokens=10, continues=3)
    models = Failover("models", [link], accept_all)
    started = time.monotonic()
    answer = await models.answer(call_of(seconds=0.4, purse=100_000))
    assert time.monotonic() - started < 0.4
    assert answer.output == {"text": "The fee"}
    assert [a.status for a in answer.attempts] == ["model_timeout", "ok"]
    assert answer.attempts[0].cost_micro > 0, "nobody knows how far it came"


async def test_a_client_that_leaves_pays_for_what_was_over() -> None:
    link = Link(model=Continued(Stalls(), DEAR), meter=DEAR, max_output_tokens=10, continues=3)
    call = call_of(seconds=5, purse=100_000)
    task = asyncio.ensure_future(Failover("models", [link], accept_all).answer(call))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [a.status for a in call.abandoned] == ["ok", "cancelled"]
    assert call.abandoned[0].cost_micro == 120


@pytest.mark.parametrize(
    "body", [{"response_format": {"type": "json_object"}}, {"n": 2}], ids=["json", "choices"]
)
async def test_what_cannot_be_joined_is_not_gone_on_with(body: dict[str, Any]) -> None:
    models, model = chain([part('{"fee": 1')])
    answer = await models.answer(call_of(**body))
    assert (len(model.calls), answer.is_cut_off) == (1, True)


async def test_the_upstream_s_completion_tells_the_whole() -> None:
    body = {
        "id": "c1",
        "choices": [{"index": 0, "message": {"content": "The"}, "finish_reason": "length"}],
        "usage": {"prompt_tokens": 20, "completion_tokens": 10},
    }
    first = part("The", completion=msgspec.json.encode(body))
    models, _ = chain([first, part(" fee.", "stop", 3)])
    answer = await models.answer(call_of())
    assert answer.completion is not None
    told = msgspec.json.decode(answer.completion)
    assert told["choices"][0]["message"]["content"] == "The fee."
    assert told["choices"][0]["finish_reason"] == "stop"
    assert told["usage"]["total_tokens"] == 53


def event(text: str | None, reason: str | None = None) -> bytes:
    delta = {} if text is None else {"content": text}
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    head = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m-1"}
    return b"data: " + msgspec.json.encode({**head, "choices": [choice]}) + b"\n\n"


def streamed(text: str, reason: str) -> list[Any]:
    pieces = [event(text[k : k + 4]) for k in range(0, len(text), 4)]
    return [*pieces, event(None, reason), part(text, reason)]


async def read(models: Failover, call: Call) -> tuple[list[dict[str, Any]], Answer]:
    events, answer = b"", None
    async for each in models.stream(call):
        if isinstance(each, Answer):
            answer = each
        else:
            events += each
    assert answer is not None
    lines = [line[6:] for line in events.split(b"\n\n") if line]
    return [msgspec.json.decode(line) for line in lines], answer


def told_by(chunks: list[dict[str, Any]]) -> str:
    return "".join(c["delta"].get("content", "") for each in chunks for c in each["choices"])


async def test_a_stream_goes_on_as_if_nothing_had_been() -> None:
    parts = [streamed("The fee is $110 each", "length"), streamed("is $110 each way.", "stop")]
    models, _ = chain(parts)
    body: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
    chunks, answer = await read(models, call_of(**body))
    assert told_by(chunks) == "The fee is $110 each way." == answer.output["text"]
    reasons = [c["finish_reason"] for each in chunks for c in each["choices"]]
    assert [reason for reason in reasons if reason] == ["stop"], "one end, at the end"
    assert {each["id"] for each in chunks} == {"c1"}
    assert chunks[-1]["usage"] == {
        "prompt_tokens": 40,
        "completion_tokens": 20,
        "total_tokens": 60,
    }
    assert [a.status for a in answer.attempts] == ["ok", "ok"]


async def test_a_stream_that_is_whole_passes_untouched() -> None:
    parts = streamed("All of it.", "stop")
    models, _ = chain([parts])
    events = [each async for each in models.stream(call_of(stream=True)) if isinstance(each, bytes)]
    assert b"".join(events) == b"".join(each for each in parts if isinstance(each, bytes))


async def test_a_stream_that_breaks_off_while_going_on_ends_as_cut_off() -> None:
    parts = [
        streamed("The fee", "length"),
        [event(" is $11"), event("0 eac"), ModelUnavailable("x")],
    ]
    models, _ = chain(parts)
    chunks, answer = await read(models, call_of(stream=True))
    assert told_by(chunks) == "The fee is $110 eac" == answer.output["text"]
    assert answer.is_cut_off
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"


async def test_a_model_that_streams_whole_is_gone_on_with_too() -> None:
    models, _ = chain([[part("one")], part(" two", "stop")])
    answers = [each async for each in models.stream(call_of(stream=True))]
    assert answers[-1].output == {"text": "one two"}  # type: ignore[union-attr]


async def test_next_lets_a_cut_off_answer_count_as_a_failed_try() -> None:
    first, second = ScriptedModel("a", [part("The f")]), ScriptedModel("b", ["The fee."])
    links = [Link(model=first, meter=DEAR, max_output_tokens=10), Link(model=second, meter=FREE)]
    models = Failover("models", links, accept_all, Policy(truncated="next"))
    answer = await models.answer(call_of(purse=10_000))
    assert answer.output == {"text": "The fee."}
    assert [(a.model, a.status) for a in answer.attempts] == [("a", "cut_off"), ("b", "ok")]
    assert answer.attempts[0].cost_micro == 120, "it is paid for all the same"


async def test_mark_gives_a_cut_off_answer_as_what_it_is() -> None:
    link = Link(model=ScriptedModel("a", [part("The f")]), meter=FREE)
    answer = await Failover("models", [link], accept_all).answer(call_of())
    assert answer.is_cut_off
    assert answer.attempts[0].is_cut_off
