"""What people said is wrong goes out of the caches at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from ..errors import NotFound
from ..serve.opened import OpenRelease
from ..store.records import read_record
from ..store.reviews import answers_turned_down
from ..store.switchboard import Switchboard

if TYPE_CHECKING:
    from .serving import Serving


class Caches:
    """Keeps the caches of all releases at work in step with what became known.

    Args:
        state: Has what people decided, and where cached answers were from.
        switchboard: Says when somebody turned an answer down, in whatever process.
        opened: The releases at work.
    """

    def __init__(
        self,
        state: Engine,
        switchboard: Switchboard,
        opened: Callable[[], Iterable[OpenRelease]],
    ) -> None:
        self._state = state
        self._switchboard = switchboard
        self._opened = opened
        self._seen: dict[str, tuple[int, int]] = {}

    async def refresh(self) -> None:
        """Forget the answers that people have turned down since the last look."""
        for name in {release.name for release in self._opened() if release.cache is not None}:
            epoch = self._switchboard.epoch_of(f"corrections:{name}")
            known, since_us = self._seen.get(name, (-1, 0))
            if epoch == known:
                continue
            found = await asyncio.to_thread(answers_turned_down, self._state, name, since_us)
            for request_id, decided_at_us in found:
                since_us = max(since_us, decided_at_us)
                await self.forget(name, request_id)
            self._seen[name] = (epoch, since_us)

    async def forget(self, service: str, request_id: str) -> None:
        """Never give the answer of a request again, nor the one that it was given itself."""
        caches = [
            release.cache
            for release in self._opened()
            if release.name == service and release.cache is not None
        ]
        if not caches:
            return
        source = await asyncio.to_thread(self._source_of, request_id)
        for cache in caches:
            cache.forget(request_id)
            if source:
                cache.forget(source)

    def _source_of(self, request_id: str) -> str:
        with suppress(NotFound):
            cache = read_record(self._state, request_id).cache
            return str((cache or {}).get("source", ""))
        return ""


async def asked_by(serving: Serving, state: Engine, request_id: str) -> tuple[str, str] | None:
    """Return the service and the key of a request that was answered before, or None.

    What was answered a moment ago may still be in the spool, so one drain is waited for.
    """
    for _ in range(2):
        with suppress(NotFound):
            record = read_record(state, request_id)
            return record.service, record.key
        await asyncio.to_thread(serving.writer.drain)
    return None
