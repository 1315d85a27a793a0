"""The cascade: the cheapest model answers, and what it is not sure of goes on to the next.

It is failover by another reason: an answer below the certified score is a try that did not do, as
one that failed. What it cost is paid, and the next model has the time and the money that are left.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Sequence
from functools import partial
from typing import Any

import msgspec

from ..declare.service import ServiceDeclaration
from ..errors import ModelError
from ..review.scoring import SIGNALS, OwnScore, Scored, Scorer, read_signals
from ..risk.coin import is_drawn
from ..signals.confident import raw_score
from ..types import Answer, Call, Clock, Judge, Judgement, Model
from .cheaper import COIN, Cheaper, Comparison, Heard, given_by
from .failover import Link
from .ladder import AbsentModel
from .ranking import Ranking
from .request import Audits, Plan

_LOGPROB = SIGNALS.index("mean_logprob")
_SUPPORT = SIGNALS.index("least_support")
_SPOILT = (SIGNALS.index("is_cut"), SIGNALS.index("refuses"))


class AnswerScore:
    """How sure a generated answer is: the least of all that it shows.

    Known may be the `confidence` that its JSON states, the mean probability of its tokens where the
    upstream tells it (`logprobs`), and the support of its least supported sentence where passages
    were looked up. One that is cut off or refuses is not sure at all. Where nothing is known, it is
    unknown, and a stronger model is asked.

    Attributes:
        id: `answer-1`; what reads texts is a part of the release.
    """

    id = "answer-1"

    def read(self, call: Call, answer: Answer) -> Scored:
        """Return how sure it is."""
        signals = read_signals(call, answer)
        if any(signals[place] for place in _SPOILT):
            return Scored(0.0, signals)
        logprob = signals[_LOGPROB]
        own = raw_score(answer.output) if isinstance(answer.output, dict) else None
        shown = (own, None if logprob is None else math.exp(logprob), signals[_SUPPORT])
        return Scored(min((one for one in shown if one is not None), default=None), signals)


class SureEnough:
    """Judges as another judge does, and then whether a cheaper answer is sure enough to be given.

    Args:
        judge: Says whether an answer may be shown at all.
    """

    def __init__(self, judge: Judge) -> None:
        self._judge = judge

    def __call__(self, call: Call, answer: Answer) -> Judgement:
        """Judge `answer`."""
        judgement = self._judge(call, answer)
        if call.accepts is None or not judgement.is_acceptable:
            return judgement
        why = call.accepts(answer)
        return msgspec.structs.replace(judgement, unsure=why) if why else judgement


class HeldModel:
    """A cheaper model whose streams come whole: until it is accepted nobody sees any of it.

    Args:
        model: The model.

    Attributes:
        name: Its name.
        held: The model.
    """

    def __init__(self, model: Model) -> None:
        self.name = model.name
        self.held = model

    def __getattr__(self, name: str) -> Any:
        """Return what the model itself says of everything else."""
        return getattr(self.held, name)

    async def answer(self, call: Call) -> Answer:
        """Answer as the model does.

        Raises:
            ModelError: It could not.
        """
        return await self.held.answer(call)

    async def stream(self, call: Call) -> AsyncGenerator[bytes | Answer, None]:
        """Yield the answer, whole.

        Raises:
            ModelError: It could not.
        """
        yield await self.held.answer(call)

    async def close(self) -> None:
        """Close the model."""
        await self.held.close()


def held(links: Sequence[Link], ranking: Ranking) -> list[Link]:
    """Return the links of a cascade: streams of cheaper models wait until they are accepted."""
    return [
        msgspec.structs.replace(link, model=HeldModel(link.model))
        if link.name in ranking.cheaper and not isinstance(link.model, AbsentModel)
        else link
        for link in links
    ]


class Cascade(Cheaper):
    """Asks from the cheapest model up, and takes the first answer that is sure enough.

    Args:
        service: The declaration.
        release_id: Which release it is of.
        ranking: The models.
        clock: Where times come from.
    """

    def __init__(
        self, service: ServiceDeclaration, release_id: str, ranking: Ranking, clock: Clock
    ) -> None:
        super().__init__(service, release_id, ranking, clock)
        self._score: Scorer = OwnScore() if service.kind == "predict" else AnswerScore()

    @property
    def scorer(self) -> str:
        """Which score decides."""
        return self._score.id

    async def choose(self, plan: Plan, call: Call) -> None:
        """Put the cheapest first where a threshold is certified, else the strongest."""
        threshold = self._threshold
        if threshold is None:
            self._strongest_first(plan, call, self._why_not(), None)
            return
        ranking = self.ranking
        rest = [name for name in ranking.order if name not in (*ranking.cheaper, ranking.strongest)]
        call.first = (*ranking.cheaper, ranking.strongest, *rest)
        why = f"no answer was sure enough, certified from {threshold:.3f} on"
        self._note(plan, ranking.strongest, why, None, 1.0)
        call.accepts = Walk(plan, call, self, threshold)

    def read(self, call: Call, answer: Answer) -> float | None:
        """Return how sure an answer is; None where that cannot be told."""
        try:
            return self._score.read(call, answer).score
        except ModelError:
            return None

    def accept(self, plan: Plan, heard: Heard, threshold: float) -> None:
        """Note that a cheaper answer is given."""
        share, score = self.within.audit_share, heard.score or 0.0
        route = plan.route or {}
        route |= {
            "choice": heard.answer.model,
            "why": f"score {score:.3f}, certified from {threshold:.3f} on",
            "score": score,
            "share": share,
            "is_drawn": is_drawn(plan.id, share, COIN),
            "certificate": self.within.certificate,
        }
        plan.route = route

    def settled(self, plan: Plan) -> None:
        """Keep what both sides said, or let the other side answer unseen where the coin fell so."""
        audits, call, route = self.audits, plan.call, plan.route
        if audits is None or call is None or route is None or not route["is_drawn"]:
            return
        given = given_by(plan, (*self.ranking.cheaper, self.ranking.strongest))
        if given is None:
            return
        walk = call.accepts
        if not isinstance(walk, Walk):
            if given.model == self.ranking.strongest:
                self._ask_cheaper(Comparison(plan, call, reference=given), audits, 0)
        elif given.model == self.ranking.strongest:
            self._keep(Comparison(plan, call, tuple(walk.heard), given))
        elif walk.heard and walk.heard[-1].answer.model == given.model:
            self._ask_reference(plan, call, audits, walk.heard[-1])

    def _ask_cheaper(self, found: Comparison, audits: Audits, place: int) -> None:
        """Let every cheaper model answer unseen, one after the other, and keep what they said."""
        if place == len(self.ranking.cheaper):
            self._keep(found)
            return
        told = partial(self._told, found, audits, place)
        audits.ask(found.plan, told, first=(self.ranking.cheaper[place],))

    def _told(
        self,
        found: Comparison,
        audits: Audits,
        place: int,
        answer: Answer | None,
        record_id: str,
    ) -> None:
        if answer is not None and answer.model == self.ranking.cheaper[place]:
            heard = Heard(answer, self.read(found.call, answer))
            found = found._replace(heard=(*found.heard, heard), audit_id=record_id)
        self._ask_cheaper(found, audits, place + 1)


class Walk:
    """One request on its way up the cascade: says of each cheaper answer whether it is given.

    Attributes:
        heard: The answers that were asked about, with their scores.
    """

    def __init__(self, plan: Plan, call: Call, cascade: Cascade, threshold: float) -> None:
        self.heard: list[Heard] = []
        self._plan = plan
        self._call = call
        self._cascade = cascade
        self._threshold = threshold

    def __call__(self, answer: Answer) -> str:
        """Return why an answer is not sure enough; empty where it is given."""
        cascade = self._cascade
        if answer.model not in cascade.ranking.cheaper:
            return ""
        if cascade.within.is_stopped:  # by a person, while it was on its way
            return "a person stopped it"
        score = cascade.read(self._call, answer)
        heard = Heard(answer, score)
        self.heard.append(heard)
        if score is None:
            return "how sure the answer is, is unknown"
        if score < self._threshold:
            return f"score {score:.3f}, certified from {self._threshold:.3f} on only"
        cascade.accept(self._plan, heard, self._threshold)
        return ""
