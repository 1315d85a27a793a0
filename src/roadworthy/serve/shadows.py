"""Shadows: a candidate answers what was answered already, and nobody is shown what it says."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, NamedTuple

import msgspec

from ..cost.ledger import Ceiling, Ledger
from ..errors import BudgetExhausted, GuardDenied, NotSure, RoadworthyError
from ..store.rollouts import Split
from ..store.spending import SHADOW
from ..types import Clock, FeatureSource, FeatureVector, Key, Record, SpoolEntry
from .engine import Engine
from .identify import Keyring
from .opened import OpenRelease
from .rehearsal import NO_LIMIT_MICRO, beside
from .request import Journal, Plan, Request

MOST_AT_WORK = 4
"""Shadows of one service that are answered at the same time."""
MOST_WAITING = 64
"""Shadows of one service that wait for their turn; what comes then is dropped, and counted."""
_OVER_BUDGET = f"{BudgetExhausted.code}:"
_OF_AN_ANSWER = (GuardDenied.code, NotSure.code)


class _Shadowed(NamedTuple):
    """A request that was answered, and how the candidate met it.

    Attributes:
        entity: What it is about, where that is what counts once.
        features: What its record keeps of its features; None where it had none.
    """

    request: Request
    id: str
    share: float
    rollout: str
    entity: str
    features: Mapping[str, Any] | None


_log = logging.getLogger("roadworthy.serve")
_now: ContextVar[_Shadowed | None] = ContextVar("shadowed", default=None)


class Shadows:
    """Lets a candidate answer unseen, in the background, within a budget of its own.

    What is asked is asked once the answer that is shown has been settled, so it costs nobody any
    time. No person is asked for it, nothing is corrected by it, and it counts in no ceiling but its
    own.

    Args:
        candidate: The release, opened.
        clock: Where its times come from.
        ledger: Holds its ceiling beside all others.
        spool: Takes its records.
        environment_hash: What is installed here, for the records.

    Attributes:
        opened: What answers: the candidate without what asks or tells anybody.
        dropped: How many were not answered since too many waited.
        refused: How many were not answered for want of money, room or a release that can.
    """

    def __init__(
        self,
        candidate: OpenRelease,
        clock: Clock,
        ledger: Ledger,
        spool: Journal,
        environment_hash: str = "",
    ) -> None:
        shadow = candidate.declaration.release.shadow
        most = NO_LIMIT_MICRO if shadow.per_day_micro is None else shadow.per_day_micro
        scope = Ceiling(scope_of(candidate.name), most, "release.shadow.per_day_usd")
        source = candidate.features
        self.opened = msgspec.structs.replace(
            beside(candidate),
            features=None if source is None else SharedFeatures(source),
            service_ceilings=(scope,),
        )
        self.dropped = 0
        self.refused = 0
        self._waiting: deque[_Shadowed] = deque()
        self._at_work: set[asyncio.Task[None]] = set()
        self._engine = _Unseen(
            clock=clock,
            keyring=Keyring(clock, {}),
            releases={candidate.name: self.opened},
            stopped=frozenset(),
            ledger=ledger,
            spool=_ShadowJournal(spool),
            environment_hash=environment_hash,
        )
        self._engine.desk_of = candidate

    def offer(self, plan: Plan, split: Split) -> None:
        """Let the candidate answer a settled request too, unless it could not have met it."""
        if not _is_comparable(plan):
            return
        if len(self._waiting) >= MOST_WAITING:
            self.dropped += 1
            return
        asked = _Shadowed(
            _asked_again(plan), plan.id, split.share, split.id, plan.entity, plan.features
        )
        self._waiting.append(asked)
        if len(self._at_work) < MOST_AT_WORK:
            task = asyncio.get_running_loop().create_task(self._work())
            self._at_work.add(task)
            task.add_done_callback(self._at_work.discard)

    async def _work(self) -> None:
        while self._waiting:
            await asyncio.sleep(0)  # whoever waits for an answer goes first
            if not self._waiting:  # another one took it meanwhile
                return
            asked = self._waiting.popleft()
            asked.request.started_ns = time.perf_counter_ns()
            _now.set(asked)
            try:
                reply = await self._engine.answer(asked.request)
            except RoadworthyError:
                self.refused += 1
            except Exception:  # noqa: BLE001 - outer edge: whatever one does, others are asked too
                self.refused += 1
                _log.exception("a shadow of `%s` failed inside", asked.request.service)
            else:
                self.refused += isinstance(reply.error, BudgetExhausted)

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


class SharedFeatures:
    """Gives a shadow the features that the shown answer was given, of the views both have.

    What only the candidate reads is read as it is now.

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


class _Unseen(Engine):
    """The engine, but what it answers is up for no decision: only how sure it is, is read."""

    desk_of: OpenRelease

    def _decide(self, plan: Plan) -> None:
        desk = self.desk_of.desk
        if desk is not None and plan.call is not None and plan.answer is not None:
            self._rate(plan, desk, plan.call, plan.answer)


class _ShadowJournal:
    """Passes records on to the spool as those of shadows."""

    def __init__(self, spool: Journal) -> None:
        self._spool = spool

    @property
    def is_full(self) -> bool:
        return self._spool.is_full

    @property
    def trouble(self) -> str:
        return self._spool.trouble

    def append(self, entry: SpoolEntry) -> None:
        asked = _now.get()
        if isinstance(entry, Record) and asked is not None:
            entry = msgspec.structs.replace(
                entry,
                arm="shadow",
                canary=asked.rollout,
                propensity=asked.share,
                entity=asked.entity,
            )
        self._spool.append(entry)


def scope_of(service: str) -> str:
    """Return the scope that the shadows of a service count against."""
    return f"{SHADOW}{service}"


def _is_comparable(plan: Plan) -> bool:
    """Whether the candidate could have met a request, and its answer be held against the shown one.

    What its key, its contract, its budget or a person who stopped the service refused, says nothing
    of either release; what a person corrected before neither. An answer that was only not given
    alone is one: compared is what the models said.
    """
    if plan.call is None or plan.disposition == "cached" or plan.error_code == "cancelled":
        return False
    if plan.disposition == "refused" and plan.error_code not in _OF_AN_ANSWER:
        return False
    return not any(reason.startswith(_OVER_BUDGET) for reason in plan.reasons)


def _asked_again(plan: Plan) -> Request:
    """Return the same request for the candidate; its key has no ceiling, since that is spent."""
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
