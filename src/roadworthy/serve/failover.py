"""Failover: a model that holds models and takes the first acceptable answer, in order."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Sequence

from ..errors import ModelError
from ..net import StreamLimit, expire_at
from ..risk.coin import coin_of
from ..types import Answer, Call, Judge, Judgement
from .draining import Drained
from .judge import ACCEPTED
from .retries import Policy
from .sse import restart_event
from .tries import Link as Link
from .tries import Tries

EXPLORED = 0.02
"""The share of requests that ask another than the fastest first, to see whether it still is."""
_COIN = 2.0**64
_AS_DECLARED = Policy()


class Failover:
    """Tries models in order with the time and the money that are left.

    Attributes:
        stopped: Names of models that a person has stopped; they are skipped.

    Args:
        name: What it is called where a chain of chains is tried.
        links: The models, first choice first.
        judge: Says whether an answer may be shown; one that may not counts as a failed try.
        policy: In which order, and what happens when a model does not answer; by default each is
            tried once, in the order of `links`.
    """

    def __init__(
        self, name: str, links: Sequence[Link], judge: Judge, policy: Policy = _AS_DECLARED
    ) -> None:
        self.name = name
        self.links = tuple(links)
        self.stopped: frozenset[str] = frozenset()
        self.policy = policy
        self._judge = judge
        self._is_ordered = policy.order == "declared" or len(self.links) < 2

    @property
    def paid_links(self) -> tuple[Link, ...]:
        """Those of its models that cost something."""
        return tuple(link for link in self.links if not link.is_free)

    def _in_order(self, call: Call, *, is_stream: bool = False) -> Sequence[Link]:
        """Return the links as they are tried: first those that a router wants."""
        self.policy.budget.asked += 1
        links = self.links if self._is_ordered else self._ordered(call, is_stream=is_stream)
        if not call.first:
            return links
        wanted = {name: place for place, name in enumerate(call.first)}
        last = len(wanted)
        return sorted(links, key=lambda link: wanted.get(link.name, last))

    def _ordered(self, call: Call, *, is_stream: bool) -> Sequence[Link]:
        if self.policy.order == "weighted":
            return sorted(self.links, key=lambda link: _draw(call, link), reverse=True)
        links = sorted(self.links, key=lambda link: _took_s(link, is_stream=is_stream))
        if coin_of(call.id, "explore") < EXPLORED * _COIN:
            other = links.pop(1 + coin_of(call.id, "explored") % (len(links) - 1))
            links.insert(0, other)
        return links

    def unjudged(self) -> Failover:
        """Return the same models in a chain whose answers somebody else judges."""
        chain = Failover(self.name, self.links, accept_all, self.policy)
        chain.stopped = self.stopped
        return chain

    async def answer(self, call: Call) -> Answer:
        """Return the first acceptable answer, with all attempts.

        Raises:
            AllModelsFailed: None was; the message names each model and why.
        """
        tries = Tries(call, self.links, self.stopped, self.policy)
        for link in tries.walk(self._in_order(call)):
            try:
                answer = await self._ask(link, call, tries)
                if tries.answered(link, answer, self._judge(call, answer)):
                    return answer
                if self.policy.reasks:
                    tries.ask_for_json(link, answer)
            except ModelError as error:
                await tries.broke(link, error)
            except asyncio.CancelledError:
                tries.cancelled(link)
                raise
            finally:
                if tries.holds:
                    tries.let_go(link)
        raise tries.exhausted()

    async def _ask(self, link: Link, call: Call, tries: Tries) -> Answer:
        if link.is_instant:
            return await link.model.answer(call)
        with expire_at(call.deadline, time.monotonic()):
            if link.pace is not None or (link.health is not None and not link.health.is_closed):
                await tries.enter(link)
            return await link.model.answer(call)

    async def stream(self, call: Call) -> AsyncGenerator[bytes | Answer, None]:
        """Yield the events of the first model that begins to answer, then its `Answer`.

        Until the first event the next model can still take over. After it, an error is final, but
        where streams begin anew: then an event says that what came so far no longer counts.

        Raises:
            AllModelsFailed: No model began, or none ended what was begun.
            ModelError: The one that began broke off.
        """
        tries = Tries(call, self.links, self.stopped, self.policy)
        for link in tries.walk(self._in_order(call, is_stream=True)):
            limit = StreamLimit(call.deadline, time.monotonic())
            try:
                if link.pace is not None or link.health is not None:
                    with limit:
                        await tries.enter(link)
                async with Drained(link.model.stream(call), call, link) as events:
                    while True:
                        with limit:
                            event = await anext(events)
                        if not isinstance(event, bytes):
                            break
                        if not tries.has_begun:
                            limit = tries.began(link, limit)
                            if tries.broken:
                                yield restart_event(call.id, link.name, tries.broken)
                        yield event
                    if tries.answered(link, event, self._judge(call, event)):
                        yield event
                        return
            except ModelError as error:
                await tries.broke(link, error)
            except (asyncio.CancelledError, GeneratorExit):
                tries.cancelled(link)
                raise
            finally:
                limit.close()
                tries.let_go(link)
        raise tries.exhausted()

    async def close(self) -> None:
        """Close every model."""
        for link in self.links:
            await link.model.close()


def _draw(call: Call, link: Link) -> float:
    """Return what the link with the highest of is tried first: with the chance of its weight.

    That is Efraimidis and Spirakis' way to draw without putting back (2006): a uniform number to
    the power of 1/weight, here its logarithm.
    """
    draw = (coin_of(call.id, f"order:{link.name}") + 1) / (_COIN + 1)
    return math.log(draw) / link.weight if link.weight > 0 else -math.inf


def _took_s(link: Link, *, is_stream: bool) -> float:
    health = link.health
    if health is None:
        return 0.0
    return health.first_token_s if is_stream else health.answer_s


def accept_all(call: Call, answer: Answer) -> Judgement:
    """Let an answer pass."""
    return ACCEPTED
