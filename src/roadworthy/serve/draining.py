"""Reads on what nobody waits for any more, for a moment: an answer's end says what it cost."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from ..errors import ModelError
from ..net import expire_at
from ..types import Answer, Attempt, Call

if TYPE_CHECKING:
    from .tries import Link

DRAIN_S = 1.0
"""How long a stream is read on whose client left. The upstream may write, and charge, as long."""
DRAIN_BYTES = 256 * 1024
"""How much of it is read on, at most."""


class Drained:
    """A model's stream, which is read on for a moment when whoever reads it leaves.

    Only where its answer is paid for by tokens: there its end says what it cost.

    Args:
        events: What the model says.
        call: What it was asked; what the try used is left there if the stream ends in time.
        link: The model.
    """

    def __init__(
        self, events: AsyncGenerator[bytes | Answer, None], call: Call, link: Link
    ) -> None:
        self._events = events
        self._call = call
        self._link = link

    async def __aenter__(self) -> AsyncGenerator[bytes | Answer, None]:
        """Return the events."""
        return self._events

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        """Close the stream, after its end was waited for where its reader left."""
        try:
            if kind is GeneratorExit and not self._link.is_free and self._call.size is not None:
                await self._read_on()
        finally:
            await self._events.aclose()

    async def _read_on(self) -> None:
        started, now = time.perf_counter_ns(), time.monotonic()
        seen = 0
        try:
            with expire_at(min(self._call.deadline, now + DRAIN_S), now):
                async for event in self._events:
                    if isinstance(event, Answer):
                        us = (time.perf_counter_ns() - started) // 1000
                        name, usage = self._link.name, event.usage
                        self._call.unfinished = Attempt(name, "cancelled", us, usage)
                        return
                    seen += len(event)
                    if seen > DRAIN_BYTES:
                        return
        except ModelError:
            return  # it came to no end in time, or to a bad one: what it cost is not known
