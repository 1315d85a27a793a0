"""A rehearsal: the same engine answers, and nothing of it is kept, charged or shown to anybody.

Evaluations, replays and shadows ask a release so. What was tested is what runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

import msgspec

from ..cost.ledger import Ceiling, Ledger
from ..cost.limits import NO_LIMITS
from ..errors import RoadworthyError
from ..types import (
    Call,
    Clock,
    FeatureSource,
    FeatureVector,
    Passage,
    Record,
    SpoolEntry,
    SystemClock,
)
from .context import Context
from .engine import Engine
from .failover import Failover
from .identify import LOCAL_KEY, Keyring
from .ladder import HumanModel
from .opened import OpenRelease
from .request import Reply, Request
from .routing import without_audits

_given: ContextVar[Mapping[str, Any] | None] = ContextVar("given", default=None)
_found: ContextVar[list[Passage] | None] = ContextVar("found", default=None)
NO_LIMIT_MICRO = 2**62
SCOPE = "rehearsal"
"""What all that is paid in a rehearsal counts against."""


class Rehearsed(msgspec.Struct, frozen=True):
    """What a rehearsal gave: the reply as a caller would get it, and its record.

    Attributes:
        record: None where the request did not come so far as to leave one.
        passages: What was found for the question, with its text, which no record keeps.
    """

    reply: Reply | None
    record: Record | None
    error: RoadworthyError | None = None
    passages: tuple[Passage, ...] = ()


class Rehearsal:
    """Answers with one release, beside what is served.

    Args:
        opened: The release. What decides whether a person is asked is left out: a rehearsal gives
            what the models and the ladder say.
        clock: Where its times come from.
        budget_micro: The most that all its answers together may cost, in micro-dollars.
        what: What sets that, for the message of who reaches it.
        ledger: What its answers are paid from, where several rehearsals share one budget.
        close_also: Closes what was opened for the release beside its models.

    Attributes:
        opened: What answers.
    """

    def __init__(
        self,
        opened: OpenRelease,
        clock: Clock,
        *,
        environment_hash: str = "",
        budget_micro: int | None = None,
        what: str = "evaluation.max_cost_usd",
        ledger: Ledger | None = None,
        close_also: Callable[[], None] = lambda: None,
    ) -> None:
        ceiling = NO_LIMIT_MICRO if budget_micro is None else budget_micro
        self.opened = msgspec.structs.replace(
            beside(opened),
            features=None if opened.features is None else GivenFeatures(opened.features),
            context=None if opened.context is None else _Noting(opened.context),
            service_ceilings=(Ceiling(SCOPE, ceiling, what),),
            keeps_bodies=True,
        )
        self._close_also = close_also
        self._kept = _Kept()
        self._engine = Engine(
            clock=clock,
            keyring=Keyring(clock, {}),
            releases={opened.name: self.opened},
            stopped=frozenset(),
            ledger=ledger or open_purse(clock),
            spool=self._kept,
            environment_hash=environment_hash,
        )

    async def ask(
        self,
        values: Mapping[str, Any],
        *,
        body: Mapping[str, msgspec.Raw] | None = None,
        features: Mapping[str, Any] | None = None,
        user: str = "",
        role: str = "",
        tags: tuple[str, ...] = (),
        conversation: str = "",
    ) -> Rehearsed:
        """Answer one input.

        Args:
            values: Fields of a predict, variables of a generate.
            body: A chat body in the place of `values`, as a client sent it.
            features: What the views said then; None reads them as they are now.
            user: On whose behalf it is asked.
            role: Theirs.
            tags: What the request bears.
            conversation: Which one it is of.
        """
        request = Request(
            service=self.opened.name,
            key=LOCAL_KEY,
            protocol="python" if body is None else "openai",
            input=dict(values),
            body=dict(body or {}),
            user=user,
            role=role,
            tags=tags,
            conversation=conversation,
        )
        passages: list[Passage] = []
        given, found = _given.set(features), _found.set(passages)
        try:
            reply = await self._engine.answer(request)
        except RoadworthyError as error:
            return Rehearsed(None, None, error)
        finally:
            _given.reset(given)
            _found.reset(found)
        record = self._kept.take(reply.request_id)
        return Rehearsed(reply, record, reply.error, tuple(passages))

    async def close(self) -> None:
        """Close the release's models and what was opened for it."""
        await self.opened.close()
        self._close_also()


def open_purse(clock: Clock) -> Ledger:
    """Return a ledger that nobody else pays from, and that ends with its rehearsals.

    Its ceilings hold for all of them together, also when midnight strikes meanwhile.
    """
    return Ledger(_Still(clock.now_us()), lambda hold: None, lambda day_us: {})


class _Still(SystemClock):
    """A clock by which no day ever ends."""

    def __init__(self, now_us: int) -> None:
        self._now_us = now_us

    def now_us(self) -> int:
        return self._now_us


def beside(opened: OpenRelease) -> OpenRelease:
    """Return a release that answers beside what is served.

    No person is asked for it, and nothing is given again or kept.
    """

    def without_people(ladder: Failover | None) -> Failover | None:
        links = () if ladder is None else ladder.links
        kept = [link for link in links if not isinstance(link.model, HumanModel)]
        if len(kept) == len(links):
            return ladder
        return Failover("ladder", kept, opened.judge) if kept else None

    return msgspec.structs.replace(
        opened,
        desk=None,
        cache=None,
        router=without_audits(opened.router),
        user_ceiling=None,
        limits=NO_LIMITS,
        is_shared=False,
        ladder=without_people(opened.ladder),
        free_ladder=without_people(opened.free_ladder),
        declared_ladder=without_people(opened.declared_ladder),
    )


class GivenFeatures:
    """Gives a request the features that it came with, or else what the views say now.

    Attributes:
        contracts, views: As those of what it stands before.
    """

    def __init__(self, online: FeatureSource) -> None:
        self._online = online
        self.contracts = online.contracts
        self.views = online.views

    def vector(self, input: Mapping[str, Any]) -> FeatureVector:
        """Return the features of the request at work.

        Raises:
            StoreError: The online store cannot be read.
        """
        given = _given.get()
        return self._online.vector(input) if given is None else _Given(dict(given))


class _Given(msgspec.Struct, frozen=True):
    values: dict[str, Any]

    def as_record(self) -> dict[str, Any]:
        return {"values": self.values, "views": {}}


class _Noting(Context):
    """Fills a call as the release's own context does, and notes the passages that it found."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def __getattr__(self, name: str) -> Any:
        """Return whatever else there is of the context that it stands before."""
        return getattr(self._context, name)

    @property
    def missing(self) -> str:
        return self._context.missing

    async def fill(self, call: Call) -> None:
        try:
            await self._context.fill(call)
        finally:
            found = _found.get()
            if found is not None:
                found.extend(call.passages)

    def close(self) -> None:
        self._context.close()


class _Kept:
    """What stands in for the spool: the records of requests at work, until each is taken."""

    is_full = False
    trouble = ""

    def __init__(self) -> None:
        self._records: dict[str, Record] = {}

    def append(self, entry: SpoolEntry) -> None:
        if isinstance(entry, Record):
            self._records[entry.id] = entry

    def take(self, id: str) -> Record | None:
        return self._records.pop(id, None)
