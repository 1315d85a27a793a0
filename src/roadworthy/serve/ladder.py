"""The ladder: what answers when the models fail, are late, or are too dear."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any

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
