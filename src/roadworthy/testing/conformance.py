"""What every plugin of a kind must keep, as checks that its author calls from a test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from contextlib import aclosing
from typing import Any

import msgspec

from ..errors import ModelError
from ..types import Answer, Attempt, Call, Model

GRACE_S = 0.5
"""How much later than its deadline a model may be, on a busy machine."""

Events = list[bytes | Answer]


def check_model(
    open_model: Callable[[], Model],
    call: Call,
    *,
    within_s: float = 5.0,
    names: Collection[str] | None = None,
) -> None:
    """Check that a model keeps what the engine relies on. Call it where no event loop runs.

    It answers or raises a `ModelError`, nothing else, and does so before the deadline; both carry
    their attempts; many calls at once, a cancelled call and a stream that is left early do no harm
    to the next; a stream ends in exactly one `Answer`; closing is idempotent and leaves no task.

    Args:
        open_model: Opens a fresh model.
        call: What to ask it; it gets a deadline of its own each time.
        within_s: Seconds that a call is given.
        names: Whose attempts may appear; by default only the model's own.

    Raises:
        AssertionError: It does not; the message says what was expected.
    """
    for check in CHECKS:
        asyncio.run(_check(check, open_model, call, within_s, names))


class _Subject:
    """The model under check, and fresh copies of the call."""

    def __init__(
        self, model: Model, call: Call, within_s: float, names: Collection[str] | None
    ) -> None:
        self.model = model
        self.within_s = within_s
        self.names = {model.name} if names is None else set(names)
        self._call = call

    def call(self, within_s: float | None = None) -> Call:
        """Return the call with a deadline from now on."""
        left_s = self.within_s if within_s is None else within_s
        deadline = asyncio.get_running_loop().time() + left_s
        return msgspec.structs.replace(self._call, deadline=deadline)

    async def outcome(self, work: Awaitable[Any], within_s: float) -> Any:
        """Return what `work` gives, or the model error it raises."""
        name = self.model.name
        try:
            async with asyncio.timeout(within_s + GRACE_S):
                return await work
        except ModelError as error:
            self.check_attempts(error.attempts, error.code)
            return error
        except TimeoutError as error:
            raise AssertionError(
                f"`{name}`: expected an answer or a ModelError within {within_s} s, got nothing"
            ) from error
        except Exception as error:
            raise AssertionError(
                f"`{name}`: expected an Answer or a ModelError, got {type(error).__name__}: {error}"
            ) from error

    def check_answer(self, answer: Any) -> None:
        """Check one answer, or pass a model error that was checked already."""
        if isinstance(answer, ModelError):
            return
        name = self.model.name
        assert isinstance(answer, Answer), f"`{name}`: expected an Answer, got {type(answer)}"
        assert answer.model in self.names, (
            f"`{name}`: expected Answer.model to be its own name, got `{answer.model}`"
        )
        self.check_attempts(answer.attempts, "ok")

    def check_attempts(self, attempts: Sequence[Attempt], last_status: str) -> None:
        """Check the attempts of an answer or error whose last one ended with `last_status`."""
        name = self.model.name
        assert attempts, f"`{name}`: expected at least one attempt, got none"
        foreign = {attempt.model for attempt in attempts} - self.names
        assert not foreign, f"`{name}`: expected attempts of {self.names}, got {foreign}"
        got = attempts[-1].status
        assert got == last_status, f"`{name}`: expected status `{last_status}`, got `{got}`"
        assert all(attempt.us >= 0 for attempt in attempts), f"`{name}`: expected times >= 0"


async def _check(
    check: Callable[[_Subject], Awaitable[None]],
    open_model: Callable[[], Model],
    call: Call,
    within_s: float,
    names: Collection[str] | None,
) -> None:
    model = open_model()
    try:
        await check(_Subject(model, call, within_s, names))
    finally:
        await model.close()
        await model.close()
    await _check_no_task_is_left(f"`{model.name}` after close")


async def _check_no_task_is_left(where: str) -> None:
    # A cancelled task needs a few turns of the loop to end.
    for _ in range(100):
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if not left:
            return
        await asyncio.sleep(GRACE_S / 100)
    raise AssertionError(f"{where}: expected no task to be left, got {left}")


async def _check_answers(subject: _Subject) -> None:
    for _ in range(3):
        answer = await subject.outcome(subject.model.answer(subject.call()), subject.within_s)
        subject.check_answer(answer)


async def _check_many_at_once(subject: _Subject) -> None:
    calls = [subject.model.answer(subject.call()) for _ in range(10)]
    outcomes = [subject.outcome(call, subject.within_s) for call in calls]
    for answer in await asyncio.gather(*outcomes):
        subject.check_answer(answer)


async def _check_no_time_is_left(subject: _Subject) -> None:
    # A rule or a static answer may still answer: what counts is that nobody waits for it.
    answer = await subject.outcome(subject.model.answer(subject.call(-1.0)), 0.0)
    subject.check_answer(answer)


async def _check_cancelled_call(subject: _Subject) -> None:
    work = asyncio.ensure_future(subject.model.answer(subject.call()))
    await asyncio.sleep(0)
    work.cancel()
    (result,) = await asyncio.gather(work, return_exceptions=True)
    assert isinstance(result, Answer | ModelError | asyncio.CancelledError), (
        f"`{subject.model.name}`: expected a cancelled call to end cancelled, got {result!r}"
    )
    await _check_no_task_is_left(f"`{subject.model.name}` after a cancelled call")
    await _check_answers(subject)


async def _check_stream(subject: _Subject) -> None:
    name = subject.model.name
    events = await subject.outcome(_collect(subject.model.stream(subject.call())), subject.within_s)
    if isinstance(events, ModelError):
        return
    answers = [event for event in events if isinstance(event, Answer)]
    assert len(answers) == 1, f"`{name}`: expected one Answer in a stream, got {len(answers)}"
    subject.check_answer(events[-1])
    for event in events[:-1]:
        assert isinstance(event, bytes), f"`{name}`: expected bytes, got {type(event)}"
        assert event.endswith((b"\n\n", b"\r\n\r\n")), (
            f"`{name}`: expected whole events, each with its blank line"
        )


async def _collect(stream: AsyncGenerator[bytes | Answer, None]) -> Events:
    return [event async for event in stream]


async def _check_stream_left_early(subject: _Subject) -> None:
    async with aclosing(subject.model.stream(subject.call())) as stream:
        await subject.outcome(anext(stream), subject.within_s)
    await _check_no_task_is_left(f"`{subject.model.name}` after a stream was left")
    await _check_answers(subject)


CHECKS = (
    _check_answers,
    _check_many_at_once,
    _check_no_time_is_left,
    _check_cancelled_call,
    _check_stream,
    _check_stream_left_early,
)
