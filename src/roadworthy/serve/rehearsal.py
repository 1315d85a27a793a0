"""A rehearsal: the same engine answers, and nothing of it is kept, charged or shown to anybody.

Evaluations, replays and shadows ask a release so. What was tested is what runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

import msgspec

from ..cost.ledger import Ceiling, Ledger
from ..errors import RoadworthyError
from ..types import Clock, FeatureSource, FeatureVector, Record, SpoolEntry
from .engine import Engine
from .failover import Failover
from .identify import LOCAL_KEY, Keyring
from .ladder import HumanModel
from .opened import OpenRelease
from .request import Reply, Request

_given: ContextVar[Mapping[str, Any] | None] = ContextVar("given", default=None)
NO_LIMIT_MICRO = 2**62


class Rehearsed(msgspec.Struct, frozen=True):
    """What a rehearsal gave: the reply as a caller would get it, and its record.

    Attributes:
        record: None where the request did not come so far as to leave one.
    """

    reply: Reply | None
    record: Record | None
    error: RoadworthyError | None = None


class Rehearsal:
    """Answers with one release, beside what is served.

    Args:
        opened: The release. What decides whether a person is asked is left out: a rehearsal gives
            what the models and the ladder say.
        clock: Where its times come from.
        budget_micro: The most that all its answers together may cost, in micro-dollars.
        what: What sets that, for the message of who reaches it.

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
    ) -> None:
        ceiling = NO_LIMIT_MICRO if budget_micro is None else budget_micro
        self.opened = msgspec.structs.replace(
            beside(opened),
            features=None if opened.features is None else GivenFeatures(opened.features),
            service_ceilings=(Ceiling("rehearsal", ceiling, what),),
            keeps_bodies=True,
        )
        self._kept = _Kept()
        self._engine = Engine(
            clock=clock,
            keyring=Keyring(clock, {}),
            releases={opened.name: self.opened},
            stopped=frozenset(),
            ledger=Ledger(clock, self._kept.append, lambda day_us: {}),
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
        token = _given.set(features)
        try:
            reply = await self._engine.answer(request)
        except RoadworthyError as error:
            return Rehearsed(None, None, error)
        finally:
            _given.reset(token)
        return Rehearsed(reply, self._kept.take(reply.request_id), reply.error)


def beside(opened: OpenRelease) -> OpenRelease:
    """Return a release that answers beside what is served: no person is asked for it."""

    def without_people(ladder: Failover | None) -> Failover | None:
        links = () if ladder is None else ladder.links
        kept = [link for link in links if not isinstance(link.model, HumanModel)]
        if len(kept) == len(links):
            return ladder
        return Failover("ladder", kept, opened.judge) if kept else None

    return msgspec.structs.replace(
        opened,
        desk=None,
        per_user_micro=None,
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
