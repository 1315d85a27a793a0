"""Failover: a model that holds models and takes the first acceptable answer, in order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence

import msgspec

from ..cost.prices import Meter
from ..errors import (
    AllModelsFailed,
    BudgetExhausted,
    ModelError,
    ModelRateLimited,
    ModelRejected,
    ModelTimeout,
    ModelUnavailable,
)
from ..net import expire_at
from ..types import Answer, Attempt, Call, CallSize, Judge, Judgement, Model, Usage
from .draining import Drained
from .judge import ACCEPTED

DEFAULT_OUTPUT_TOKENS = 4096
"""What a priced model may write where nobody says: a call without an end has no worst case."""


_LATE = frozenset({ModelTimeout.code, "no_time_left"})
_AWAY = frozenset({ModelUnavailable.code, ModelRateLimited.code, "no_key", "stopped"})
"""Ends of tries; where all are among them, it is known what went wrong."""


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """One model in a chain, and what bounds its tries.

    Attributes:
        name, is_free: The model's name and whether it costs nothing, from `model` and `meter`.
        is_instant: Answers without waiting for anything, so it also works after the deadline.
        timeout_s: Most one try may take; None is an equal share of what is left.
        provider: Whose it is, as roadworthy.toml names it.
        weight: Its share of first tries, where the order is by chance.
        context_tokens: Its window of tokens; None where that is not known.
    """

    model: Model
    meter: Meter
    is_instant: bool = False
    timeout_s: float | None = None
    max_output_tokens: int | None = None
    provider: str = ""
    weight: float = 1.0
    context_tokens: int | None = None

    name: str = ""
    is_free: bool = False

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "name", self.model.name)
        msgspec.structs.force_setattr(self, "is_free", self.meter.is_free)

    def output_tokens(self, size: CallSize) -> int:
        """Return the most tokens a try may write, as client and declaration say."""
        limit = self.max_output_tokens or DEFAULT_OUTPUT_TOKENS
        wanted = limit if size.output_tokens is None else size.output_tokens
        return min(wanted, limit) if self.max_output_tokens else wanted

    def worst_case_micro(self, size: CallSize) -> int:
        """Return the most one try can cost."""
        return self.meter.worst_case_micro(
            size.input_bytes, self.output_tokens(size) * size.choices, size.images
        )


class Failover:
    """Tries models in order with the time and the money that are left.

    Attributes:
        stopped: Names of models that a person has stopped; they are skipped.

    Args:
        name: What it is called where a chain of chains is tried.
        links: The models, first choice first.
        judge: Says whether an answer may be shown; one that may not counts as a failed try.
    """

    def __init__(self, name: str, links: Sequence[Link], judge: Judge) -> None:
        self.name = name
        self.links = tuple(links)
        self.stopped: frozenset[str] = frozenset()
        self._judge = judge

    @property
    def paid_links(self) -> tuple[Link, ...]:
        """Those of its models that cost something."""
        return tuple(link for link in self.links if not link.is_free)

    def _in_order(self, call: Call) -> Sequence[Link]:
        """Return the links as they are tried: first those that a router wants."""
        if not call.first:
            return self.links
        wanted = {name: place for place, name in enumerate(call.first)}
        last = len(wanted)
        return sorted(self.links, key=lambda link: wanted.get(link.name, last))

    def unjudged(self) -> Failover:
        """Return the same models in a chain whose answers somebody else judges."""
        chain = Failover(self.name, self.links, _accept)
        chain.stopped = self.stopped
        return chain

    async def answer(self, call: Call) -> Answer:
        """Return the first acceptable answer, with all attempts.

        Raises:
            AllModelsFailed: None was; the message names each model and why.
        """
        tries = _Tries(call, self.links, self.stopped)
        for link in self._in_order(call):
            if not tries.prepare(link):
                continue
            try:
                if link.is_instant:
                    answer = await link.model.answer(call)
                else:
                    with expire_at(call.deadline, time.monotonic()):
                        answer = await link.model.answer(call)
            except ModelError as error:
                tries.failed(link, error)
                continue
            except asyncio.CancelledError:
                tries.cancelled(link)
                raise
            if tries.answered(link, answer, self._judge(call, answer)):
                return answer
        raise tries.exhausted()

    async def stream(self, call: Call) -> AsyncGenerator[bytes | Answer, None]:
        """Yield the events of the first model that begins to answer, then its `Answer`.

        Until the first event the next model can still take over; after it, an error is final.

        Raises:
            AllModelsFailed: No model began.
            ModelError: The one that began broke off.
        """
        tries = _Tries(call, self.links, self.stopped)
        for link in self._in_order(call):
            if not tries.prepare(link):
                continue
            has_begun = False
            limit = expire_at(call.deadline, time.monotonic(), is_stream=True)
            try:
                async with Drained(link.model.stream(call), call, link) as events:
                    while True:
                        with limit:
                            event = await anext(events)
                        if isinstance(event, bytes):
                            if not has_begun:
                                has_begun = True
                                limit.close()
                                call.deadline = tries.deadline
                                limit = expire_at(call.deadline, time.monotonic(), is_stream=True)
                            yield event
                        elif tries.answered(link, event, self._judge(call, event)):
                            yield event
                            return
                        else:
                            break
            except ModelError as error:
                tries.failed(link, error)
                if has_begun:
                    error.attempts = tuple(tries.attempts)
                    raise
            except (asyncio.CancelledError, GeneratorExit):
                tries.cancelled(link)
                raise
            finally:
                limit.close()
        raise tries.exhausted()

    async def close(self) -> None:
        """Close every model."""
        for link in self.links:
            await link.model.close()


def _accept(call: Call, answer: Answer) -> Judgement:
    return ACCEPTED


class _Tries:
    """The log and the purse of one walk along a chain."""

    def __init__(self, call: Call, links: Sequence[Link], stopped: frozenset[str]) -> None:
        self.call = call
        self._stopped = stopped
        self.deadline = call.deadline
        self.attempts: list[Attempt] = []
        self.judgement: Judgement | None = None
        self._left = len(links)
        self._spent = 0
        self._started = 0
        self._retry_after_s: list[float] = []

    def prepare(self, link: Link) -> bool:
        """Set the call's time and money for this try; False if there is too little of either."""
        call, left = self.call, self._left
        self._left -= 1
        if link.name in self._stopped:
            return self._skip(link, "stopped")
        if call.barred and link.provider in call.barred:
            return self._skip(link, BudgetExhausted.code)
        call.asked = link.name
        self._started = time.perf_counter_ns()
        if not link.is_instant:
            now = time.monotonic()
            remaining = self.deadline - now
            if remaining <= 0:
                return self._skip(link, "no_time_left")
            share = remaining / left if link.timeout_s is None else link.timeout_s
            call.deadline = now + min(share, remaining)
        size = call.size
        if link.is_free or size is None:
            call.max_output_tokens = link.max_output_tokens
            return True
        purse = call.max_cost_micro
        if purse is None or (call.is_covered and not self._spent):
            call.max_output_tokens = link.output_tokens(size)
            return True
        tokens = call.max_output_tokens = self._affordable_tokens(link, size, purse)
        return tokens > 0 or self._skip(link, "too_dear")

    def _affordable_tokens(self, link: Link, size: CallSize, purse: int) -> int:
        wanted = link.output_tokens(size)
        if link.worst_case_micro(size) <= purse - self._spent:
            return wanted
        affordable = link.meter.affordable_output_tokens(
            purse - self._spent, size.input_bytes, size.images
        )
        return wanted if affordable is None else min(wanted, affordable // size.choices)

    def _skip(self, link: Link, status: str) -> bool:
        self.attempts.append(Attempt(link.name, status, 0))
        return False

    def answered(self, link: Link, answer: Answer, judgement: Judgement) -> bool:
        """Note an answer, with what it cost; returns whether it may be shown."""
        is_acceptable = judgement is ACCEPTED or judgement.is_acceptable
        if len(answer.attempts) > 1:
            self.attempts.extend(answer.attempts[:-1])
        if is_acceptable:
            self._note(link, "ok", answer.usage)
        else:
            self._note(link, "rejected", answer.usage, judgement.reason)
        self.judgement = answer.judgement = judgement
        if judgement.verdicts:
            self.call.verdicts += judgement.verdicts
        answer.attempts = tuple(self.attempts)
        return is_acceptable

    def failed(self, link: Link, error: ModelError) -> None:
        """Note a try that ended in an error.

        One that was refused costs nothing. One that was cut off while its upstream worked costs
        what it may have cost at most, unless it was counted: nobody knows how far it came.
        """
        is_cut = error.may_cost
        if isinstance(error, ModelTimeout) and not error.attempts and self.call.unfinished:
            error.attempts = (self.call.unfinished,)
            is_cut = True
        usage = error.attempts[-1].usage if error.attempts else None
        status = error.attempts[-1].status if error.attempts else error.code
        status = error.code if status == "cancelled" else status
        is_billed = is_cut or usage is not None
        self._note(link, status, usage, str(error), is_billed=is_billed, is_cut=is_cut)
        if error.retry_after_s is not None:
            self._retry_after_s.append(error.retry_after_s)

    def cancelled(self, link: Link) -> None:
        """Leave on the call what a try may have used when everything was cancelled."""
        unfinished = self.call.unfinished
        usage = unfinished.usage if unfinished else None
        is_cut = unfinished is not None
        self._note(link, "cancelled", usage, is_billed=is_cut, is_cut=is_cut)
        self.call.abandoned = tuple(self.attempts)

    def _note(
        self,
        link: Link,
        status: str,
        usage: Usage | None,
        detail: str = "",
        *,
        is_billed: bool = True,
        is_cut: bool = False,
    ) -> None:
        cost, source = 0, "free" if link.is_free else ""
        if is_billed and not link.is_free:
            cost, source = link.meter.cost(usage)
            if (is_cut or source == "unknown") and self.call.size is not None:
                most = link.worst_case_micro(self.call.size)
                cost, source = link.meter.cost(usage, most)
                cost = min(cost, most)
            self._spent += cost
        us = (time.perf_counter_ns() - self._started) // 1000
        self.attempts.append(
            Attempt(link.name, status, us, usage, cost, source, detail, link.provider)
        )

    def exhausted(self) -> AllModelsFailed:
        """Return the error that names every try."""
        tried = "; ".join(f"`{a.model}`: {a.detail or a.status}" for a in self.attempts)
        error = AllModelsFailed(f"no model gave an answer: {tried}", attempts=self.attempts)
        error.judgement = self.judgement
        ends = {attempt.status for attempt in self.attempts}
        if ends <= _LATE:
            error.status = ModelTimeout.status
        elif ends <= _AWAY:
            error.status = ModelUnavailable.status
        error.retryable = ends != {ModelRejected.code}
        if error.status == ModelUnavailable.status:
            error.retry_after_s = min(self._retry_after_s, default=None)
        return error
