"""The ladder: what answers when the models fail, are late, or are too dear; and who cannot."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

from ..errors import MissingExtra, ModelUnavailable
from ..types import Answer, Attempt, Call


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
        raise ModelUnavailable(self.missing, attempts=[attempt])

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
