"""Requests that are answered once more in the background, and whose answers nobody is shown."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, NamedTuple

import msgspec

from ..errors import BudgetExhausted, RoadworthyError
from ..types import Arm, FeatureSource, FeatureVector, Key, Record, SpoolEntry
from .engine import Engine
from .request import Journal, Plan, Reply, Request, Told

MOST_AT_WORK = 4
"""Unseen answers of one service that are given at the same time."""
MOST_WAITING = 64
"""Unseen answers of one service that wait for their turn; what comes then is dropped, counted."""


class Asked(NamedTuple):
    """A request that was answered, and is asked again.

    Attributes:
        id: Of its record.
        arm: As what the unseen answer is recorded.
        canary, share: For which rollout, and with which chance.
        entity: What it is about, where that is what counts once.
        features: What its record keeps of its features; None where it had none.
        first: The models to be tried first.
        told: Called with what came of it.
    """

    request: Request
    id: str
    arm: Arm
    canary: str = ""
    share: float = 1.0
    entity: str = ""
    features: Mapping[str, Any] | None = None
    first: tuple[str, ...] = ()
    told: Told | None = None


_log = logging.getLogger("roadworthy.serve")
_now: ContextVar[Asked | None] = ContextVar("asked", default=None)


def asked_now() -> Asked | None:
    """Return what is being answered unseen here; None where a request is somebody's."""
    return _now.get()


class Unseen:
    """Asks again in the background: a few at a time, and no more than a few may wait.

    Args:
        engine: Answers; its journal must be an `UnseenJournal`.

    Attributes:
        dropped: How many were not answered since too many waited.
        refused: How many were not answered for want of money, room or a release that can.
    """

    def __init__(self, engine: Engine) -> None:
        self.dropped = 0
        self.refused = 0
        self._engine = engine
        self._waiting: deque[Asked] = deque()
        self._at_work: set[asyncio.Task[None]] = set()

    def submit(self, asked: Asked) -> bool:
        """Let a request be answered once more, and say whether it will be."""
        if len(self._waiting) >= MOST_WAITING:
            self.dropped += 1
            return False
        self._waiting.append(asked)
        if len(self._at_work) < MOST_AT_WORK:
            task = asyncio.get_running_loop().create_task(self._work())
            self._at_work.add(task)
            task.add_done_callback(self._at_work.discard)
        return True

    def answered(self, asked: Asked, reply: Reply | None) -> None:
        """Take note of what came; None where nothing did."""

    async def _work(self) -> None:
        while self._waiting:
            await asyncio.sleep(0)  # whoever waits for an answer goes first
            if not self._waiting:  # another one took it meanwhile
                return
            asked = self._waiting.popleft()
            asked.request.started_ns = time.perf_counter_ns()
            _now.set(asked)
            try:
                await self._answer(asked)
            except Exception:  # noqa: BLE001 - outer edge: whatever one does, others are asked too
                self.refused += 1
                _log.exception("`%s` failed inside, unseen", asked.request.service)

    async def _answer(self, asked: Asked) -> None:
        reply = None
        try:
            reply = await self._engine.answer(asked.request)
            self.refused += isinstance(reply.error, BudgetExhausted)
        except RoadworthyError:
            self.refused += 1
        finally:
            self.answered(asked, reply)

    async def finish(self) -> None:
        """Wait until nothing is at work and nothing waits."""
        while self._at_work:
            await asyncio.gather(*self._at_work, return_exceptions=True)

    async def close(self) -> None:
        """End what is at work, and forget what waits; the models stay open."""
        self._waiting.clear()
        for task in list(self._at_work):
            task.cancel()
        await self.finish()


class UnseenJournal:
    """Passes records on to the spool as those of answers that nobody was shown."""

    def __init__(self, spool: Journal) -> None:
        self._spool = spool

    @property
    def is_full(self) -> bool:
        """Whether there is no room for another entry."""
        return self._spool.is_full

    @property
    def trouble(self) -> str:
        """Why not."""
        return self._spool.trouble

    def append(self, entry: SpoolEntry) -> None:
        """Keep an entry."""
        asked = _now.get()
        if isinstance(entry, Record) and asked is not None:
            entry = msgspec.structs.replace(
                entry,
                arm=asked.arm,
                canary=asked.canary,
                propensity=asked.share,
                entity=asked.entity,
            )
        self._spool.append(entry)


class SharedFeatures:
    """Gives an unseen answer the features that the shown one was given, of the views both have.

    What only the unseen one reads is read as it is now.

    Attributes:
        contracts, views: As those of what it stands before.
    """

    def __init__(self, source: FeatureSource) -> None:
        self._source = source
        self.contracts = source.contracts
        self.views = source.views

    def vector(self, input: Mapping[str, Any]) -> FeatureVector:
        """Return the features of the request at work.

        Raises:
            StoreError: A view of its own cannot be read.
        """
        asked = _now.get()
        given = None if asked is None else asked.features
        read: Mapping[str, Any] = {} if given is None else given["views"]
        shared = [view for view in self.views if view in read]
        if given is None or not shared:
            return self._source.vector(input)
        values: dict[str, Any] = {}
        views: dict[str, Any] = {}
        if len(shared) < len(self.views):
            own = self._source.vector(input)
            values, views = dict(own.values), dict(own.as_record()["views"])
        for view in shared:
            values |= {name: given["values"].get(name) for name in self.views[view]}
            views[view] = read[view]
        return _Shared(values, views)


class _Shared(msgspec.Struct, frozen=True):
    values: dict[str, Any]
    views: dict[str, Any]

    def as_record(self) -> dict[str, Any]:
        return {"values": self.values, "views": self.views}


def asked_again(plan: Plan) -> Request:
    """Return the same request anew; its key has no ceiling, since that is the caller's."""
    request, caller = plan.request, plan.caller
    key = caller.key
    return Request(
        service=request.service,
        key=Key(key.id, key.name, frozenset({"answer", "act_as"}), team=key.team),
        protocol=request.protocol,
        input=request.input,
        body=request.body,
        user=caller.user,
        role=caller.role,
        parent=plan.id,
        conversation=caller.conversation,
        tags=caller.tags,
    )
