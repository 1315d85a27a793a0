"""Shadows: a candidate answers what was answered already, and nobody is shown what it says."""

from __future__ import annotations

import msgspec

from ..cost.ledger import Ceiling, Ledger
from ..errors import BudgetExhausted, GuardDenied, NotSure
from ..store.rollouts import Split
from ..store.spending import SHADOW
from ..types import Clock
from .engine import Engine
from .identify import Keyring
from .opened import OpenRelease
from .rehearsal import NO_LIMIT_MICRO, beside
from .request import Journal, Plan
from .unseen import Asked, SharedFeatures, Unseen, UnseenJournal, asked_again

_OVER_BUDGET = f"{BudgetExhausted.code}:"
_OF_AN_ANSWER = (GuardDenied.code, NotSure.code)


class Shadows(Unseen):
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
        engine = _Unseen(
            clock=clock,
            keyring=Keyring(clock, {}),
            releases={candidate.name: self.opened},
            stopped=frozenset(),
            ledger=ledger,
            spool=UnseenJournal(spool),
            environment_hash=environment_hash,
        )
        engine.desk_of = candidate
        super().__init__(engine)

    def offer(self, plan: Plan, split: Split) -> None:
        """Let the candidate answer a settled request too, unless it could not have met it."""
        if _is_comparable(plan):
            again = asked_again(plan)
            met = (split.id, split.share, plan.entity, plan.features)
            self.submit(Asked(again, plan.id, "shadow", *met))


class _Unseen(Engine):
    """The engine, but what it answers is up for no decision: only how sure it is, is read."""

    desk_of: OpenRelease

    def _decide(self, plan: Plan) -> None:
        desk = self.desk_of.desk
        if desk is not None and plan.call is not None and plan.answer is not None:
            self._rate(plan, desk, plan.call, plan.answer)


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
