"""Audits: what was answered is asked again, to compare, and nobody is shown what comes."""

from __future__ import annotations

from typing import Any

import msgspec

from ..bounds.in_force import Within
from ..cost.ledger import Ledger
from ..types import Call, Clock, Pair
from .engine import Engine
from .identify import Keyring
from .opened import OpenRelease
from .rehearsal import beside
from .request import Journal, Plan, Reply, Told
from .unseen import Asked, SharedFeatures, Unseen, UnseenJournal, asked_again, asked_now


class Auditing(Unseen):
    """Asks a release again in the background, and keeps what a comparison says.

    It is paid from the service's ceilings, as what it compares is the service's, and from none of
    the user or the key. Nobody is asked of it, no correction or cache answers it, and it is not
    itself shadowed or compared. Its records bear the arm `audit` and the request as their parent.

    Args:
        release: What is served.
        clock: Where its times come from.
        ledger: Holds the ceilings.
        spool: Takes its records and the pairs.
        environment_hash: What is installed here, for the records.
    """

    def __init__(
        self,
        release: OpenRelease,
        clock: Clock,
        ledger: Ledger,
        spool: Journal,
        environment_hash: str = "",
    ) -> None:
        source = release.features
        self.opened = msgspec.structs.replace(
            beside(release),
            features=None if source is None else SharedFeatures(source),
            cache=None,
            router=_AsAsked(),
        )
        self._again = _Again(
            clock=clock,
            keyring=Keyring(clock, {}),
            releases={release.name: self.opened},
            stopped=frozenset(),
            ledger=ledger,
            spool=UnseenJournal(spool),
            environment_hash=environment_hash,
        )
        self._spool = spool
        super().__init__(self._again)

    def ask(self, plan: Plan, told: Told, *, first: tuple[str, ...] = ()) -> bool:
        """Let a settled request be answered once more in the background, not from the cache.

        Args:
            plan: As it ended.
            told: Called with what a model answered, None where none did, and the id of its record.
            first: The models to be tried first; empty leaves it to the order of the file.

        Returns:
            Whether it will be: too many may wait.
        """
        again = asked_again(plan)
        asked = Asked(again, plan.id, "audit", "", 1.0, plan.entity, plan.features, first, told)
        return self.submit(asked)

    def keep(self, pair: Pair) -> None:
        """Write a pair of answers to the spool."""
        self._spool.append(pair)

    def answered(self, asked: Asked, reply: Reply | None) -> None:
        """Tell whoever asked what a model answered; what the ladder says is no model's answer."""
        plan = self._again.ended.pop(id(asked.request), None)
        if asked.told is None:
            return
        if plan is None:
            asked.told(None, "")
        else:
            asked.told(plan.answer if plan.disposition == "answered" else None, plan.id)


class _Again(Engine):
    """The engine, but it remembers how a request ended until that was told."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self.ended: dict[int, Plan] = {}

    def _settle(self, plan: Plan) -> None:
        super()._settle(plan)
        self.ended[id(plan.request)] = plan


class _AsAsked:
    """Chooses the models that whoever asks again wants tried first."""

    audits = None
    learned = None
    scorer = ""

    def __init__(self) -> None:
        self.within = Within()

    async def choose(self, plan: Plan, call: Call) -> None:
        asked = asked_now()
        if asked is not None:
            call.first = asked.first

    def settled(self, plan: Plan) -> None:
        """Compare nothing: this is the comparison."""

    async def close(self) -> None:
        """There is nothing to close."""
