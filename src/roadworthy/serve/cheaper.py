"""Cheaper models: which one answers is a bet, within a certified bound and under audit.

Until a threshold is certified the strongest model answers every request. Whether the other side is
asked too, unseen, is said by a coin of the request's id before either has answered; its odds stand
in the record. What both said becomes a `Pair`: the evidence that certifies, and later the audit.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from ..bounds.in_force import Within
from ..declare.service import ServiceDeclaration
from ..errors import ModelError
from ..review.desk import compared, unit_of
from ..review.scoring import text_of
from ..risk.coin import coin_of, is_drawn
from ..signals.sameness import is_same
from ..types import Answer, Call, Clock, Ids, Pair
from .ranking import Ranking
from .request import Audits, Plan
from .vectors import Questions

if TYPE_CHECKING:
    from .learned import Learned as Predictor

OUTCOMES = "outcomes"
"""The reference that is no model."""
COIN = "route"
NOT_YET = "nothing is certified yet"

_log = logging.getLogger("roadworthy.serve")


class Heard(NamedTuple):
    """An answer of a cheaper model, given or not, and how sure it was."""

    answer: Answer
    score: float | None


class Comparison(NamedTuple):
    """One request's two sides, until both have answered.

    Attributes:
        heard: What the cheaper models said.
        reference: What the strongest said.
        audit_id: The record of what nobody was shown.
        is_given: Whether a cheaper answer was given.
    """

    plan: Plan
    call: Call
    heard: tuple[Heard, ...] = ()
    reference: Answer | None = None
    audit_id: str = ""
    is_given: bool = False


class Cheaper:
    """What all strategies share that bet on a cheaper model.

    Args:
        service: The declaration.
        release_id: Which release it is of.
        ranking: The models, cheapest to strongest.
        clock: Where times come from.

    Attributes:
        strategy: As declared.
        ranking: The models.
        within, audits, learned: As those of every `Router`.
    """

    def __init__(
        self, service: ServiceDeclaration, release_id: str, ranking: Ranking, clock: Clock
    ) -> None:
        routing = service.routing
        self.strategy: str = routing.strategy
        self.within = Within(audit_share=routing.audit_share, pairs_share=routing.pairs_share)
        self.learned: Predictor | None = None
        self.audits: Audits | None = None
        self.ranking = ranking
        self._service = service
        self._release_id = release_id
        self._clock = clock
        self._ids = Ids(clock)

    @property
    def scorer(self) -> str:
        """Which score decides."""
        raise NotImplementedError

    async def close(self) -> None:
        """Nothing is held."""

    @property
    def _threshold(self) -> float | None:
        return self.within.threshold_for(self._release_id, self.scorer)

    def _strongest_first(self, plan: Plan, call: Call, why: str, score: float | None) -> None:
        """Let the strongest answer; the coin says whether the cheaper ones are asked too."""
        call.first = self.ranking.order
        self._note(plan, self.ranking.strongest, why, score, self.within.pairs_share)

    def _note(self, plan: Plan, choice: str, why: str, score: float | None, share: float) -> None:
        plan.route = {
            "strategy": self.strategy,
            "choice": choice,
            "why": why,
            "score": score,
            "share": share,
            "is_drawn": is_drawn(plan.id, share, COIN),
        }

    def _why_not(self) -> str:
        return "a person stopped it" if self.within.is_stopped else NOT_YET

    def _ask_reference(self, plan: Plan, call: Call, audits: Audits, given: Heard) -> None:
        """Let the strongest answer unseen what a cheaper model answered."""
        strongest = self.ranking.strongest

        def told(answer: Answer | None, record_id: str) -> None:
            if answer is not None and answer.model == strongest:
                self._keep(Comparison(plan, call, (given,), answer, record_id, is_given=True))

        audits.ask(plan, told, first=(strongest,))

    def _keep(self, found: Comparison) -> None:
        """Hand a pair on; what is wrong with one answer must not end the others."""
        audits = self.audits
        if audits is None or not found.heard or found.reference is None:
            return
        try:
            pair = self._pair_of(found, found.reference)
        except (ModelError, TypeError, ValueError, msgspec.MsgspecError):
            _log.warning("a pair of `%s` cannot be kept", self._service.name, exc_info=True)
            return
        audits.keep(pair)

    def _pair_of(self, found: Comparison, reference: Answer) -> Pair:
        plan, call, route = found.plan, found.call, found.plan.route or {}
        now_us = self._clock.now_us()
        outcomes = self._service.outcomes
        scores = [heard.score for heard in found.heard if heard.score is not None]
        pair = Pair(
            id=self._ids.new("pr", now_us),
            at_us=plan.at_us,
            decision="route",
            service=self._service.name,
            release=self._release_id,
            request_id=plan.id,
            audit_id=found.audit_id,
            scorer=str(route.get("scorer", self.scorer)),
            score=max(scores, default=None),
            share=float(route.get("share", 1.0)),
            is_given=found.is_given,
            certificate=str(route.get("certificate", "")),
            unit=unit_of(outcomes, plan.id, call),
            model=found.heard[-1].answer.model,
            reference=reference.model,
            vector=_half(call.vector),
            tags=call.caller.tags,
        )
        if self._service.routing.reference == OUTCOMES:
            return msgspec.structs.replace(
                pair,
                answers=tuple([compared(outcomes, said(one.answer)) for one in found.heard]),
                reference_answer=compared(outcomes, said(reference)),
            )
        same = float(all(self._is_same(one.answer, reference) for one in found.heard))
        return msgspec.structs.replace(
            pair, quality=same, reference_quality=1.0, loss=1.0 - same, known_at_us=now_us
        )

    def _is_same(self, one: Answer, other: Answer) -> bool:
        """Whether two answers say the same, as far as a label or a reader would tell."""
        outcomes, mine, theirs = self._service.outcomes, said(one), said(other)
        if compared(outcomes, mine) == compared(outcomes, theirs):
            return True
        return self._service.kind == "generate" and is_same(mine, theirs)


def said(answer: Answer) -> Any:
    """Return what an answer says; of a completion that nobody read yet, its text."""
    return {"text": text_of(answer)} if answer.output is None else answer.output


def _half(vector: Any) -> bytes:
    """Return a vector as float16 bytes; empty where nobody needed one."""
    return b"" if vector is None else bytes(vector.astype("float16").tobytes())


def given_by(plan: Plan, names: Sequence[str]) -> Answer | None:
    """Return the answer of one of these models that a request ended with, shown or held back."""
    answer = plan.draft or plan.answer
    return answer if answer is not None and answer.model in names else None


class Learned(Cheaper):
    """Asks the cheapest model where a frozen score of the question clears the threshold.

    Args:
        service: The declaration.
        release_id: Which release it is of.
        ranking: The models.
        clock: Where times come from.
        questions: Makes the vector that is scored.
    """

    def __init__(
        self,
        service: ServiceDeclaration,
        release_id: str,
        ranking: Ranking,
        clock: Clock,
        questions: Questions,
    ) -> None:
        super().__init__(service, release_id, ranking, clock)
        self._questions = questions

    @property
    def scorer(self) -> str:
        """Which learned score decides; empty until one was learned."""
        return "" if self.learned is None else self.learned.id

    async def choose(self, plan: Plan, call: Call) -> None:
        """Put the predicted cheaper model first where that is certified, else the strongest."""
        learned, scorer = self.learned, self.scorer  # another may be put in its place meanwhile
        cheap, score, why = self._any_cheaper(plan), None, self._why_not()
        try:
            vector = await self._questions.vector(call)
        except ModelError as error:
            learned, why = None, str(error)
        if learned is not None:
            cheap, score = learned.choose(vector, call.caller.tags)
        threshold = self.within.threshold_for(self._release_id, scorer)
        if threshold is not None and score is not None:
            why = f"score {score:.3f}, certified from {threshold:.3f} on"
        if threshold is None or score is None or score < threshold:
            self._strongest_first(plan, call, why, score)
        else:
            rest = [name for name in self.ranking.order if name != cheap]
            call.first = (cheap, *rest)
            self._note(plan, cheap, why, score, self.within.audit_share)
        route = plan.route or {}
        route |= {"scorer": scorer, "cheaper": cheap}
        if route["choice"] == cheap:
            route["certificate"] = self.within.certificate
        plan.route = route

    def _any_cheaper(self, plan: Plan) -> str:
        """Return the cheaper model that is compared while nothing is learned: each as often."""
        cheaper = self.ranking.cheaper
        return cheaper[coin_of(plan.id, "which") % len(cheaper)]

    def settled(self, plan: Plan) -> None:
        """Let the side that did not answer do so unseen, where the coin fell so."""
        audits, call, route = self.audits, plan.call, plan.route
        if audits is None or call is None or route is None or not route["is_drawn"]:
            return
        cheap, score = route["cheaper"], route["score"]
        given = given_by(plan, (route["choice"],))  # another answered where that one failed
        if given is None:
            return
        if given.model == cheap:
            self._ask_reference(plan, call, audits, Heard(given, score))
            return

        def told(answer: Answer | None, record_id: str) -> None:
            if answer is not None and answer.model == cheap:
                heard = (Heard(answer, score),)
                self._keep(Comparison(plan, call, heard, given, record_id))

        audits.ask(plan, told, first=(cheap,))
