"""The ladder: what answers when the models fail, are late, or are too dear; and who cannot."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import MissingExtra, ModelUnavailable, NoPassages, StoreError
from ..types import Answer, Attempt, Call, CallSize
from .size import size_of

if TYPE_CHECKING:
    from .opened import OpenRelease


class StaticModel:
    """Always gives the declared answer.

    Args:
        name: What records call it.
        output: The answer, as declared.
    """

    def __init__(self, name: str, output: Mapping[str, Any]) -> None:
        self.name = name
        self._output = dict(output)

    async def answer(self, call: Call) -> Answer:
        """Give the declared answer."""
        return Answer(
            model=self.name, output=dict(self._output), attempts=(Attempt(self.name, "ok", 0),)
        )

    async def stream(self, call: Call) -> AsyncGenerator[bytes | Answer, None]:
        """Give the declared answer, whole."""
        yield await self.answer(call)

    async def close(self) -> None:
        """Nothing is held."""


class AbsentModel:
    """Stands for a model whose extra is not installed: it counts as down, and the next one answers.

    Args:
        name: The name the declaration gives it.
        missing: Says which line installs it.

    Attributes:
        missing: What it lacks, and the line that installs that.
    """

    def __init__(self, name: str, missing: MissingExtra) -> None:
        self.name = name
        self.missing = str(missing)

    async def answer(self, call: Call) -> Answer:
        """Raise.

        Raises:
            ModelUnavailable: Always; the message is the line that installs what is missing.
        """
        attempt = Attempt(self.name, ModelUnavailable.code, 0, detail=self.missing)
        raise ModelUnavailable(self.missing, attempts=[attempt], cause="missing")

    async def stream(self, call: Call) -> AsyncGenerator[bytes | Answer, None]:
        """Raise as `answer` does."""
        yield await self.answer(call)

    async def close(self) -> None:
        """Nothing is held."""


class AskPerson(Exception):
    """The ladder has come to the rung where a person is asked; the engine catches it."""


class HumanModel:
    """The rung where a person is asked.

    Args:
        name: What records call it.
        takes_one: Takes a place of the queue's day, and says whether there was one.
    """

    def __init__(self, name: str, takes_one: Callable[[], bool]) -> None:
        self.name = name
        self._takes_one = takes_one

    async def answer(self, call: Call) -> Answer:
        """Ask a person, by raising what says so.

        Raises:
            AskPerson: There is room in the queue's day.
            ModelUnavailable: There is none.
        """
        if self._takes_one():
            raise AskPerson("no model answered")
        full = "the queue's day is full"
        attempt = Attempt(self.name, ModelUnavailable.code, 0, detail=full)
        raise ModelUnavailable(full, attempts=[attempt])

    async def stream(self, call: Call) -> AsyncGenerator[bytes | Answer, None]:
        """Ask a person as `answer` does."""
        yield await self.answer(call)

    async def close(self) -> None:
        """Nothing is held."""


class StaleModel:
    """The rung where an answer to the same question is given again although its time is over.

    Args:
        name: What records call it.
        find: Returns such an answer, where the cache still keeps one.
    """

    def __init__(self, name: str, find: Callable[[Call], Answer | None]) -> None:
        self.name = name
        self._find = find

    async def answer(self, call: Call) -> Answer:
        """Give an old answer.

        Raises:
            ModelUnavailable: None is kept, or the client wants none from the cache.
        """
        answer = self._find(call)
        if answer is None:
            none = "no earlier answer to the same question is kept"
            attempt = Attempt(self.name, ModelUnavailable.code, 0, detail=none)
            raise ModelUnavailable(none, attempts=[attempt])
        answer.usage = None
        answer.attempts = (Attempt(self.name, "ok", 0),)
        return answer

    async def stream(self, call: Call) -> AsyncGenerator[bytes | Answer, None]:
        """Give it whole."""
        yield await self.answer(call)

    async def close(self) -> None:
        """Nothing is held."""


class LastGoodModel:
    """The rung where the release answers that served before.

    Its chain is asked what was asked at first, with features, passages and a prompt of its own; the
    checks of what serves now judge the answer.

    Args:
        name: What records call it.

    Attributes:
        opened: The release; None while none served before, or it could not be opened.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.opened: OpenRelease | None = None

    def worst_case_micro(self, size: CallSize) -> int:
        """Return the most that its chain can cost for one request."""
        paid = () if self.opened is None else self.opened.chain.paid_links
        return sum(link.worst_case_micro(size) for link in paid)

    async def answer(self, call: Call) -> Answer:
        """Let the chain of that release answer.

        Raises:
            ModelUnavailable: There is none, or what its models are to be given cannot be read.
            AllModelsFailed: None of its models answered.
        """
        opened = self.opened
        if opened is None:
            raise self._unavailable("no release served before this one")
        own = self._asked(call)
        try:
            if opened.features is not None:
                own.input = {**own.input, **opened.features.vector(own.input).values}
            if opened.context is not None:
                await opened.context.fill(own)
        except (StoreError, NoPassages) as error:
            raise self._unavailable(str(error)) from error
        answer = await opened.chain.unjudged().answer(own)
        call.passages, call.support = own.passages, own.support  # by these it is judged
        answer.attempts = (*answer.attempts, Attempt(self.name, "ok", 0))
        return answer

    async def stream(self, call: Call) -> AsyncGenerator[bytes | Answer, None]:
        """Give the answer whole."""
        yield await self.answer(call)

    async def close(self) -> None:
        """Nothing is held: who opened the release closes it."""

    def _asked(self, call: Call) -> Call:
        """Return what was asked at first, with the money that is set aside for this rung."""
        values, body = call.given or (call.input, call.body)
        schema = b"" if self.opened is None else self.opened.judge.told
        size = size_of(body, len(schema))
        purse = 0  # nothing was set aside: only what is free may answer
        if call.max_cost_micro is not None:
            purse = min(self.worst_case_micro(size), call.kept_micro)
        return Call(
            input=dict(values),
            caller=call.caller,
            deadline=call.deadline,
            body=body,
            id=call.id,
            size=size,
            max_cost_micro=purse,
            barred=call.barred,
            output_schema=schema,
        )

    def _unavailable(self, why: str) -> ModelUnavailable:
        attempt = Attempt(self.name, ModelUnavailable.code, 0, detail=why)
        return ModelUnavailable(why, attempts=[attempt])
