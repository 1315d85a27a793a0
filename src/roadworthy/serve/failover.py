"""Failover: a model that holds models and takes the first acceptable answer, in order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Literal

import msgspec

from ..cost.prices import Meter
from ..errors import (
    AllModelsFailed,
    ModelError,
    ModelRateLimited,
    ModelRejected,
    ModelTimeout,
    ModelUnavailable,
)
from ..net import expire_at
from ..types import Answer, Attempt, Call, CallSize, Judge, Judgement, Model, Usage
from .judge import ACCEPTED
from .window import Window

Truncated = Literal["mark", "next", "continue"]
ASKED_BYTES = 256
"""What a model is told, at most, so that it goes on where it stopped, with the JSON around it."""
DEFAULT_OUTPUT_TOKENS = 4096
"""What a priced model may write where nobody says: a call without an end has no worst case."""


_LATE = frozenset({ModelTimeout.code, "no_time_left"})
TOO_LONG, CUT_OFF = "too_long", "cut_off"
_THEIRS = frozenset({ModelRejected.code, TOO_LONG})
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
        window: Says what does not fit it; None where it is not known.
        continues: How often it may be asked to go on where an answer was cut off.
    """

    model: Model
    meter: Meter
    is_instant: bool = False
    timeout_s: float | None = None
    max_output_tokens: int | None = None
    provider: str = ""
    weight: float = 1.0
    context_tokens: int | None = None
    window: Window | None = None
    continues: int = 0

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
        """Return the most one try can cost, with all that it may be asked to go on."""
        output = self.output_tokens(size)
        worst = self.meter.worst_case_micro(size.input_bytes, output * size.choices, size.images)
        for k in range(1, self.continues + 1):
            # What was written goes in again: as many tokens as came out, whatever its bytes.
            grown = size.input_bytes + k * (output + ASKED_BYTES)
            worst += self.meter.worst_case_micro(grown, output, size.images)
        return worst


class Failover:
    """Tries models in order with the time and the money that are left.

    Attributes:
        stopped: Names of models that a person has stopped; they are skipped.

    Args:
        name: What it is called where a chain of chains is tried.
        links: The models, first choice first.
        judge: Says whether an answer may be shown; one that may not counts as a failed try.
        truncated: `next` lets an answer that was cut off count as a failed try, too.
    """

    def __init__(
        self, name: str, links: Sequence[Link], judge: Judge, *, truncated: Truncated = "mark"
    ) -> None:
        self.name = name
        self._truncated = truncated
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
        chain = Failover(self.name, self.links, accept_all, truncated=self._truncated)
        chain.stopped = self.stopped
        return chain

    async def answer(self, call: Call) -> Answer:
        """Return the first acceptable answer, with all attempts.

        Raises:
            AllModelsFailed: None was; the message names each model and why.
        """
        tries = _Tries(call, self.links, self.stopped, self._truncated == "next")
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
        tries = _Tries(call, self.links, self.stopped, self._truncated == "next")
        for link in self._in_order(call):
            if not tries.prepare(link):
                continue
            has_begun = False
            limit = expire_at(call.deadline, time.monotonic(), is_stream=True)
            try:
                async with aclosing(link.model.stream(call)) as events:
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


def accept_all(call: Call, answer: Answer) -> Judgement:
    """Let an answer pass."""
    return ACCEPTED


class _Tries:
    """The log and the purse of one walk along a chain."""

    def __init__(
        self, call: Call, links: Sequence[Link], stopped: frozenset[str], fails_cut_off: bool
    ) -> None:
        self.call = call
        self._fails_cut_off = fails_cut_off
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
        call.asked = link.name
        call.left_micro = None
        self._started = time.perf_counter_ns()
        if not link.is_instant:
            now = time.monotonic()
            remaining = self.deadline - now
            if remaining <= 0:
                return self._skip(link, "no_time_left")
            share = remaining / left if link.timeout_s is None else link.timeout_s
            call.deadline = now + min(share, remaining)
        return self._set_money(link) and self._fits(link)

    def _set_money(self, link: Link) -> bool:
        call, size = self.call, self.call.size
        if link.is_free or size is None:
            call.max_output_tokens = link.max_output_tokens
            return True
        purse = call.max_cost_micro
        if purse is not None and link.continues:
            call.left_micro = min(purse - self._spent, link.worst_case_micro(size))
        if purse is None or (call.is_covered and not self._spent):
            call.max_output_tokens = link.output_tokens(size)
            return True
        tokens = call.max_output_tokens = self._affordable_tokens(link, size, purse)
        return tokens > 0 or self._skip(link, "too_dear")

    def _fits(self, link: Link) -> bool:
        """Whether the call fits the model's window with what it may write; else it is skipped."""
        if link.window is None:
            return True
        call = self.call
        output = call.max_output_tokens or (call.size and call.size.output_tokens) or 1
        why = link.window.refuses(call, output)
        return not why or self._skip(link, TOO_LONG, why)

    def _affordable_tokens(self, link: Link, size: CallSize, purse: int) -> int:
        wanted = link.output_tokens(size)
        if link.worst_case_micro(size) <= purse - self._spent:
            return wanted
        affordable = link.meter.affordable_output_tokens(
            purse - self._spent, size.input_bytes, size.images
        )
        return wanted if affordable is None else min(wanted, affordable // size.choices)

    def _skip(self, link: Link, status: str, detail: str = "") -> bool:
        self.attempts.append(Attempt(link.name, status, 0, detail=detail, provider=link.provider))
        return False

    def answered(self, link: Link, answer: Answer, judgement: Judgement) -> bool:
        """Note an answer, with what it cost; returns whether it may be shown."""
        is_acceptable = judgement is ACCEPTED or judgement.is_acceptable
        usage = answer.usage
        if len(answer.attempts) > 1:
            self.attempts.extend(answer.attempts[:-1])
            self._spent += sum([attempt.cost_micro for attempt in answer.attempts[:-1]])
            usage = answer.attempts[-1].usage
        is_cut_off = answer.is_cut_off
        if not is_acceptable:
            self._note(link, "rejected", usage, judgement.reason, is_cut_off=is_cut_off)
        elif is_cut_off and self._fails_cut_off:
            is_acceptable = False
            self._note(link, CUT_OFF, usage, "it ended at its limit of tokens", is_cut_off=True)
        else:
            self._note(link, "ok", usage, is_cut_off=is_cut_off)
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
        self._add_before()
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

    def _add_before(self) -> None:
        """Take over the tries that were over when the last one was cancelled."""
        before, self.call.before = self.call.before, ()
        self.attempts.extend(before)
        self._spent += sum([attempt.cost_micro for attempt in before])

    def cancelled(self, link: Link) -> None:
        """Leave on the call what a try may have used when everything was cancelled."""
        self._add_before()
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
        is_cut_off: bool = False,
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
            Attempt(
                link.name,
                status,
                us,
                usage,
                cost,
                source,
                detail,
                link.provider,
                is_cut_off=is_cut_off,
            )
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
        error.retryable = not ends <= _THEIRS
        if ends and ends <= {TOO_LONG}:
            error.status = 422
            error.param = "messages"
        if error.status == ModelUnavailable.status:
            error.retry_after_s = min(self._retry_after_s, default=None)
        return error
