from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest
from model_calls import ask

from roadworthy.errors import ModelUnavailable
from roadworthy.testing import check_model
from roadworthy.types import Answer, Attempt, Call


def good(name: str = "own") -> Answer:
    return Answer(model="own", output={}, attempts=(Attempt(name, "ok", 1),))


class Sound:
    """A model that keeps everything; each of the others breaks one thing."""

    name = "own"

    async def answer(self, call: Call) -> Answer:
        if call.deadline < asyncio.get_running_loop().time():
            raise ModelUnavailable("late", attempts=[Attempt("own", "model_unavailable", 0)])
        return good()

    async def stream(self, call: Call) -> AsyncGenerator[bytes | Answer, None]:
        yield b"data: {}\n\n"
        yield await self.answer(call)

    async def close(self) -> None:
        pass


class RaisesForeignErrors(Sound):
    async def answer(self, call: Call) -> Answer:
        raise ValueError("a foreign error")


class RaisesWithoutAttempts(Sound):
    async def answer(self, call: Call) -> Answer:
        raise ModelUnavailable("down")


class AnswersWithoutAttempts(Sound):
    async def answer(self, call: Call) -> Answer:
        return Answer(model="own", output={})


class NamesAnother(Sound):
    async def answer(self, call: Call) -> Answer:
        return good("another")


class Hangs(Sound):
    async def answer(self, call: Call) -> Answer:
        await asyncio.get_running_loop().create_future()
        return good()


class WaitsAfterTheDeadline(Sound):
    async def answer(self, call: Call) -> Answer:
        if call.deadline < asyncio.get_running_loop().time():
            await asyncio.sleep(60)
        return good()


class SwallowsCancellation(Sound):
    async def answer(self, call: Call) -> Answer:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            raise ValueError("cancelled") from None
        return await super().answer(call)


class LeavesATask(Sound):
    async def answer(self, call: Call) -> Answer:
        self.task = asyncio.create_task(asyncio.sleep(60))
        return await super().answer(call)


class StreamsNoAnswer(Sound):
    async def stream(self, call: Call) -> AsyncGenerator[bytes | Answer, None]:
        yield b"data: {}\n\n"


class StreamsTwoAnswers(Sound):
    async def stream(self, call: Call) -> AsyncGenerator[bytes | Answer, None]:
        yield good()
        yield good()


class StreamsHalfEvents(Sound):
    async def stream(self, call: Call) -> AsyncGenerator[bytes | Answer, None]:
        yield b"data: {"
        yield good()


class ClosesOnce(Sound):
    is_closed = False

    async def close(self) -> None:
        assert not self.is_closed, "closed twice"
        self.is_closed = True


def test_a_sound_model_passes() -> None:
    check_model(Sound, ask())


def test_models_that_hold_models_may_name_theirs() -> None:
    with pytest.raises(AssertionError, match="another"):
        check_model(NamesAnother, ask())
    check_model(NamesAnother, ask(), names=["own", "another"])


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (RaisesForeignErrors, "got ValueError"),
        (RaisesWithoutAttempts, "at least one attempt"),
        (AnswersWithoutAttempts, "at least one attempt"),
        (SwallowsCancellation, "to end cancelled"),
        (StreamsNoAnswer, "one Answer in a stream, got 0"),
        (StreamsTwoAnswers, "one Answer in a stream, got 2"),
        (StreamsHalfEvents, "whole events"),
        (ClosesOnce, "closed twice"),
    ],
)
def test_a_broken_model_is_told_what_was_expected(broken: type[Sound], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_model(broken, ask())


def test_a_model_that_never_answers_is_found_out() -> None:
    with pytest.raises(AssertionError, match="got nothing"):
        check_model(Hangs, ask(), within_s=0.01)


def test_a_model_that_waits_although_no_time_is_left_is_found_out() -> None:
    with pytest.raises(AssertionError, match=r"within 0\.0 s, got nothing"):
        check_model(WaitsAfterTheDeadline, ask())


def test_a_task_that_is_left_behind_is_found_out() -> None:
    with pytest.raises(AssertionError, match="no task to be left"):
        check_model(LeavesATask, ask())
