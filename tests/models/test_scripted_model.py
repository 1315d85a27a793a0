from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from model_calls import ask

from roadworthy.errors import (
    BadAnswer,
    DeclarationError,
    ModelRateLimited,
    ModelTimeout,
    ModelUnavailable,
)
from roadworthy.models.scripted import Part, ScriptedModel, ScriptLine, open_model
from roadworthy.models.spec import ModelSpec
from roadworthy.testing import check_model
from roadworthy.types import Answer, Usage

EVENT = b'data: {"choices": []}\n\n'


def outputs_of(model: ScriptedModel, count: int) -> list[Any]:
    async def collect() -> list[Any]:
        return [(await model.answer(ask())).output for _ in range(count)]

    return asyncio.run(collect())


async def stream_of(model: ScriptedModel) -> list[bytes | Answer]:
    return [event async for event in model.stream(ask())]


def scripted(folder: Path, *lines: str) -> ScriptedModel:
    (folder / "script.jsonl").write_text("\n".join(lines))
    return open_model(ModelSpec(name="actor", upstream="script.jsonl", folder=folder))


def test_answers_come_in_order_and_then_from_the_start() -> None:
    model = ScriptedModel("actor", ["one", {"label": 2}, Answer(model="actor", output=3)])
    assert outputs_of(model, 4) == [{"text": "one"}, {"label": 2}, 3, {"text": "one"}]


def test_an_exception_is_raised_with_the_attempt_of_its_model() -> None:
    model = ScriptedModel("actor", [ModelRateLimited("slow down", retry_after_s=2.0)])
    with pytest.raises(ModelRateLimited) as caught:
        asyncio.run(model.answer(ask()))
    assert caught.value.retry_after_s == 2.0
    assert [(a.model, a.status) for a in caught.value.attempts] == [("actor", "model_rate_limited")]


def test_an_exception_that_is_no_model_error_comes_through_as_it_is() -> None:
    model = ScriptedModel("actor", [ZeroDivisionError()])
    with pytest.raises(ZeroDivisionError):
        asyncio.run(model.answer(ask()))


def test_a_callable_answers_each_call_by_what_it_asks() -> None:
    model = ScriptedModel("actor", lambda call: {"doubled": call.input["n"] * 2})
    assert asyncio.run(model.answer(ask({"n": 21}))).output == {"doubled": 42}


def test_it_remembers_the_calls_it_saw() -> None:
    model = ScriptedModel("actor", ["yes"])
    call = ask({"n": 1})
    asyncio.run(model.answer(call))
    assert list(model.calls) == [call]


def test_a_stream_yields_the_parts_it_was_handed() -> None:
    model = ScriptedModel("actor", [[EVENT, EVENT, Answer(model="actor", output={"text": "ab"})]])
    first, second, answer = asyncio.run(stream_of(model))
    assert first == second == EVENT
    assert isinstance(answer, Answer)
    assert answer.attempts[0].status == "ok"


def test_a_stream_breaks_where_its_script_says() -> None:
    model = ScriptedModel("actor", [[EVENT, ModelUnavailable("cut")]])
    seen = []

    async def read() -> None:
        async for event in model.stream(ask()):
            seen.append(event)  # noqa: PERF401 - what came before the error counts

    with pytest.raises(ModelUnavailable, match="cut"):
        asyncio.run(read())
    assert seen == [EVENT]


def test_parts_without_an_answer_are_a_bad_answer() -> None:
    with pytest.raises(BadAnswer):
        asyncio.run(stream_of(ScriptedModel("actor", [[EVENT]])))


def test_a_script_file_gives_texts_outputs_usage_and_errors(tmp_path: Path) -> None:
    model = scripted(
        tmp_path,
        '{"text": "hello", "usage": {"input_tokens": 3, "output_tokens": 1}}',
        '{"output": {"label": true}}',
        '{"error": "model_unavailable"}',
    )
    answer = asyncio.run(model.answer(ask()))
    assert answer.output == {"text": "hello"}
    assert answer.usage == answer.attempts[0].usage == Usage(3, 1)
    assert outputs_of(model, 1) == [{"label": True}]
    with pytest.raises(ModelUnavailable):
        asyncio.run(model.answer(ask()))


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("{", "line 2"),
        ('{"text": "a", "error": "model_timeout"}', "exactly one"),
        ('{"delay_ms": 1}', "exactly one"),
        ('{"error": "no_such_code"}', "model_timeout"),
        ('{"txt": "a"}', "txt"),
    ],
)
def test_a_wrong_line_is_named_with_its_number(tmp_path: Path, line: str, hint: str) -> None:
    with pytest.raises(DeclarationError, match=r"script\.jsonl, line 2") as caught:
        scripted(tmp_path, '{"text": "fine"}', line)
    assert hint in str(caught.value)


def test_a_missing_or_empty_script_is_no_declaration(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match="found none"):
        open_model(ModelSpec(name="actor", upstream="nowhere.jsonl", folder=tmp_path))
    with pytest.raises(DeclarationError, match="at least one line"):
        scripted(tmp_path, "")


def test_a_delay_beyond_the_deadline_is_a_timeout() -> None:
    model = ScriptedModel("actor", [ScriptLine(text="late", delay_ms=60_000)])
    with pytest.raises(ModelTimeout):
        asyncio.run(model.answer(ask(within_s=0.01)))


def test_a_cancelled_call_says_what_it_had_used() -> None:
    line = ScriptLine(text="late", delay_ms=60_000, usage=Usage(5, 0))
    call = ask(within_s=100)

    async def leave() -> None:
        work = asyncio.create_task(ScriptedModel("actor", [line]).answer(call))
        await asyncio.sleep(0)
        work.cancel()
        await asyncio.wait([work])

    asyncio.run(leave())
    assert call.unfinished is not None
    assert (call.unfinished.status, call.unfinished.usage) == ("cancelled", Usage(5, 0))


def test_scripts_keep_what_every_model_must() -> None:
    check_model(lambda: ScriptedModel("actor", ["yes"]), ask())
    check_model(lambda: ScriptedModel("actor", [ModelUnavailable("down")]), ask())
    parts: list[Part] = [EVENT, Answer(model="actor", output={"text": ""})]
    check_model(lambda: ScriptedModel("actor", [parts]), ask())
    check_model(lambda: ScriptedModel("actor", [ScriptLine(text="a", delay_ms=5)]), ask())
