"""The tries of one walk along a chain: its time, its purse, and what each try leaves behind."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterable, Iterator, Sequence

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
from ..net import StreamLimit
from ..signals.tokens import Counter
from ..types import Answer, Attempt, Call, CallSize, Judgement, Model, Usage
from .breaker import Health
from .counted import COUNTED, counted_cost
from .judge import ACCEPTED
from .pacing import Pace, Turn
from .retries import Policy, wait_before_retry_s
from .size import size_of
from .structured import asked_again, larger_by_reask
from .window import Window

DEFAULT_OUTPUT_TOKENS = 4096
"""What a priced model may write where nobody says: a call without an end has no worst case."""
COOLING = "cooling"
"""How a try ends that was not made, since its model is left alone for now."""
BUSY = "busy"
"""How a try ends for which there was no turn in time."""

TOO_LONG, CUT_OFF = "too_long", "cut_off"
"""How a try ends that was not made, since its model could not read so much; and one whose answer
was not whole."""
ASKED_BYTES = 256
"""What a model is told, at most, so that it goes on where it stopped, with the JSON around it."""
_THEIRS = frozenset({ModelRejected.code, TOO_LONG})
_LATE = frozenset({ModelTimeout.code, "no_time_left"})
_AWAY = frozenset(
    {ModelUnavailable.code, ModelRateLimited.code, "no_key", "stopped", COOLING, BUSY}
)
"""Ends of tries; where all are among them, it is known what went wrong."""
_REFUSED = frozenset({"server", "rate_limit", "auth", "no_credit", "rejected", "context_length"})
"""Causes of tries that no tokens were spent on."""
_WAITS_FOR = 0.5
"""The share of its time that a try may wait for its turn, if answers may take that long."""
_COUNTS_FROM = 0.5
"""A try that was given less than this share of its usual time says nothing where it is late."""
_LEAST_IDLE_S = 0.01
_LEAST_RETRY_S = 0.02
"""What must be left for a retry where nobody knows how long answers take."""


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """One model in a chain, and what bounds its tries.

    Attributes:
        name, is_free: The model's name and whether it costs nothing, from `model` and `meter`.
        is_instant: Answers without waiting for anything, so it also works after the deadline.
        timeout_s: Most one try may take; None is an equal share of what is left.
        provider: Whose it is, as roadworthy.toml names it.
        weight: Its share of first tries, where the order is by chance.
        context_tokens: Its window of tokens; None where that is not known.
        counter: Counts its answers where its provider does not; None where that is not exact.
        window: Says what does not fit it; None where it is not known.
        continues: How often it may be asked to go on where an answer was cut off.
        health: Its breaker, which all chains share; None of one that is never away.
        pace: What paces the calls to its provider; None where nothing limits them.
        usual_s: What a try is given where no client asks for less; 0 where that is not known.
    """

    model: Model
    meter: Meter
    is_instant: bool = False
    timeout_s: float | None = None
    max_output_tokens: int | None = None
    provider: str = ""
    weight: float = 1.0
    context_tokens: int | None = None
    health: Health | None = None
    pace: Pace | None = None
    usual_s: float = 0.0
    counter: Counter | None = None
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


class Tries:
    """The log and the purse of one walk along a chain.

    Attributes:
        deadline: By when all of them are over.
        attempts: What was tried, in order.
        left: How many models are still to come.
        holds: Whether the try at work may hold a turn or the place of a probe, to be given back.
        has_begun: Whether the stream at work has begun.
        broken: The error that a stream broke off with which begins anew; empty before.
    """

    def __init__(
        self, call: Call, links: Sequence[Link], stopped: frozenset[str], policy: Policy
    ) -> None:
        self.call = call
        self.deadline = call.deadline
        self.attempts: list[Attempt] = []
        self.judgement: Judgement | None = None
        self.left = len(links)
        self.holds = False
        self.has_begun = False
        self.broken = ""
        self._policy = policy
        self._is_again = False
        self._stopped = stopped
        self._spent = call.spent_micro
        self._started = 0
        self._retry = 0
        self._turn: Turn | None = None
        self._asked: tuple[dict[str, msgspec.Raw], CallSize | None] | None = None
        self._is_probe = False
        self._retry_after_s: list[float] = []
        self._not_taken: list[str] = []

    def walk(self, links: Iterable[Link]) -> Iterator[Link]:
        """Yield each model that is to be tried, once for each try."""
        for link in links:
            if self._prepare(link):
                yield link
                while self._is_again:
                    self._is_again = False
                    yield link

    def _prepare(self, link: Link) -> bool:
        """Set the call's time and money for this try; False if there is too little of either."""
        call, left = self.call, self.left
        self.left -= 1
        self._retry = 0
        self._meter = link.meter  # a price that changes meanwhile is the next try's
        if link.name in self._stopped:
            return self._skip(link, "stopped")
        if call.barred and link.provider in call.barred:
            return self._skip(link, BudgetExhausted.code)
        call.asked = link.name
        call.left_micro = None
        self._started = time.perf_counter_ns()
        if not link.is_instant:
            now = time.monotonic()
            remaining = self.deadline - now
            if remaining <= 0:
                return self._skip(link, "no_time_left")
            health = link.health
            if health is not None and not health.is_closed and not health.may_try(now):
                return self._skip_cooling(link, health, now)
            share = remaining / left if link.timeout_s is None else link.timeout_s
            call.deadline = now + min(share, remaining)
        return self._set_tokens(link) and self._fits(link)

    def _fits(self, link: Link) -> bool:
        """Whether the call fits the model's window with what it may write; else it is skipped."""
        if link.window is None:
            return True
        call = self.call
        output = call.max_output_tokens or (call.size and call.size.output_tokens) or 1
        why = link.window.refuses(call, output)
        if why:
            self._not_taken.append("messages")
        return not why or self._skip(link, TOO_LONG, why, "context_length")

    def _set_tokens(self, link: Link) -> bool:
        """Set what the model may write; False if the purse pays for nothing."""
        call = self.call
        size = call.size
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

    def _affordable_tokens(self, link: Link, size: CallSize, purse: int) -> int:
        wanted = link.output_tokens(size)
        if link.worst_case_micro(size) <= purse - self._spent:
            return wanted
        affordable = link.meter.affordable_output_tokens(
            purse - self._spent, size.input_bytes, size.images
        )
        return wanted if affordable is None else min(wanted, affordable // size.choices)

    def _skip(self, link: Link, status: str, detail: str = "", cause: str = "") -> bool:
        self.attempts.append(
            Attempt(link.name, status, 0, detail=detail, provider=link.provider, cause=cause)
        )
        return False

    def _skip_cooling(self, link: Link, health: Health, now: float) -> bool:
        left_s = health.for_s(now)
        self._retry_after_s.append(left_s)
        return self._skip(link, COOLING, _cooling(health, left_s), health.cause)

    async def enter(self, link: Link) -> None:
        """Wait for a turn where there are limits, and take the place of a probe where there is one.

        Raises:
            ModelUnavailable: There is none in time, or somebody else has it.
        """
        self.holds = True
        if link.pace is not None:
            self._turn = await link.pace.enter(self._most_tokens(link), self._waits_until(link))
            if self._turn is None:
                busy = f"provider `{link.provider}` is at its limits: no turn in time"
                raise _not_made(link, BUSY, busy)
        health = link.health
        if health is None or health.is_closed:
            return
        now = time.monotonic()
        self._is_probe = health.enter(now)
        if not self._is_probe:
            left_s = health.for_s(now)
            self._retry_after_s.append(left_s)
            raise _not_made(link, COOLING, _cooling(health, left_s))

    def _most_tokens(self, link: Link) -> int:
        if link.pace is None or link.pace.tokens is None:
            return 0
        size = self.call.size or size_of(self.call.body)
        return size.input_bytes + link.output_tokens(size) * size.choices

    def _waits_until(self, link: Link) -> float:
        """Return until when a turn is waited for: then there is still time for an answer."""
        left_s = self.call.deadline - time.monotonic()
        needs_s = left_s * _WAITS_FOR
        if link.health is not None and link.health.answer_s:
            needs_s = min(link.health.answer_s, needs_s)
        return self.call.deadline - needs_s

    def let_go(self, link: Link) -> None:
        """Give back what a try holds, however it ended."""
        self.holds = False
        if self._turn is not None and link.pace is not None:
            last = self.attempts[-1] if self.attempts else None
            used = None if last is None else last.usage
            tokens = None if used is None else used.input_tokens + used.output_tokens
            was_refused = used is None and last is not None and last.cause in _REFUSED
            link.pace.leave(self._turn, tokens, was_refused=was_refused)
            self._turn = None
        if self._is_probe and link.health is not None:
            self._is_probe = False
            link.health.left()

    def began(self, link: Link, limit: StreamLimit) -> StreamLimit:
        """Note that a stream has begun; returns the limit of the rest of it.

        It has all the time there is, and may be silent for half of what is left; where another
        model may begin anew, for no longer than leaves that as much as this one.
        """
        limit.close()
        self.has_begun = True
        self.call.deadline = self.deadline
        now = time.monotonic()
        if link.health is not None:
            took_s = (time.perf_counter_ns() - self._started) / 1e9
            link.health.began(took_s, now, is_probe=self._is_probe)
        others = self.left if self._policy.restart_streams else 0
        idle_s = max((self.deadline - now) / (2 + others), _LEAST_IDLE_S)
        return StreamLimit(self.deadline, now, idle_s)

    def answered(self, link: Link, answer: Answer, judgement: Judgement) -> bool:
        """Note an answer, with what it cost; returns whether it may be shown."""
        is_acceptable = judgement is ACCEPTED or judgement.is_acceptable
        if self._asked is not None:
            answer.mended = "reask"
        usage = answer.usage
        if len(answer.attempts) > 1:
            self._take_over(answer.attempts[:-1])
            usage = answer.attempts[-1].usage
        if not is_acceptable:
            status = "unsure" if judgement.unsure else "rejected"
            self._note(link, status, usage, judgement.reason, answer=answer)
        elif answer.is_cut_off and self._policy.truncated == "next":
            is_acceptable = False
            self._note(link, CUT_OFF, usage, "it ended at its limit of tokens", answer=answer)
        else:
            self._note(link, "ok", usage, answer=answer)
        health = link.health
        if health is not None:
            if self.has_begun:
                health.ended()
            else:
                took_s = self.attempts[-1].us / 1e6
                health.answered(took_s, time.monotonic(), is_probe=self._is_probe)
        self.judgement = answer.judgement = judgement
        if judgement.verdicts:
            self.call.verdicts += judgement.verdicts
        answer.attempts = tuple(self.attempts)
        self._ask_as_before()
        return is_acceptable

    def failed(self, link: Link, error: ModelError) -> None:
        """Note a try that ended in an error.

        One that was refused costs nothing. One that was cut off while its upstream worked costs
        what it may have cost at most, unless it was counted: nobody knows how far it came.
        """
        self._take_over(self.call.before)
        is_cut = error.may_cost
        if isinstance(error, ModelTimeout) and not error.attempts and self.call.unfinished:
            error.attempts = (self.call.unfinished,)
            is_cut = True
        usage = error.attempts[-1].usage if error.attempts else None
        status = error.attempts[-1].status if error.attempts else error.code
        status = error.code if status == "cancelled" else status
        is_billed = is_cut or usage is not None
        self._note(
            link, status, usage, str(error), is_billed=is_billed, is_cut=is_cut, cause=error.cause
        )
        if link.health is not None and self._says_something(link, link.health, error):
            now = time.monotonic()
            advised_s, is_probe = error.retry_after_s, self._is_probe
            link.health.failed(error.cause, now, advised_s=advised_s, is_probe=is_probe)
            self._is_probe = False
        if error.retry_after_s is not None:
            self._retry_after_s.append(error.retry_after_s)
        if error.param is not None:
            self._not_taken.append(error.param)

    def _says_something(self, link: Link, health: Health, error: ModelError) -> bool:
        """Whether an error tells how the model is; a try that was given too little time does not.

        Else one caller in a hurry, or one service with a short deadline, would take a model away
        from all.
        """
        if error.cause != "timeout":
            return True
        took_s = self.attempts[-1].us / 1e6
        return took_s >= _COUNTS_FROM * link.usual_s and took_s >= health.answer_s

    async def broke(self, link: Link, error: ModelError) -> None:
        """Note a try that ended in an error, and see to it that what is to come next comes.

        Raises:
            ModelError: The same, of a stream that had begun and does not begin anew.
        """
        self.failed(link, error)
        self._ask_as_before()
        self.let_go(link)
        if not self.has_begun:
            self._is_again = await self._waits_to_ask_again(link, error)
        elif self._policy.restart_streams and self.left:
            self.has_begun, self.broken = False, error.code
        else:
            error.attempts = tuple(self.attempts)
            raise error

    def ask_for_json(self, link: Link, answer: Answer) -> None:
        """Let a model be asked once more for its JSON, told what is wrong, if that is of use."""
        call, judgement = self.call, answer.judgement
        told = "" if judgement is None else judgement.mendable
        if not told or answer.mended == "reask" or "messages" not in call.body:
            return
        now = time.monotonic()
        remaining = self.deadline - now
        if remaining <= 0:
            return
        share = remaining / (self.left + 1) if link.timeout_s is None else link.timeout_s
        call.deadline = now + min(share, remaining)
        self._asked = call.body, call.size
        call.body = asked_again(call.body, answer, told)
        call.size = None if call.size is None else larger_by_reask(call.size)
        call.unfinished = None
        self._started = time.perf_counter_ns()
        self._is_again = self._set_tokens(link)
        if not self._is_again:
            self._ask_as_before()

    def _ask_as_before(self) -> None:
        """Put back what was asked at first, once a model was asked again."""
        if self._asked is not None:
            self.call.body, self.call.size = self._asked
            self._asked = None

    async def _waits_to_ask_again(self, link: Link, error: ModelError) -> bool:
        """Wait, if the same model is to be asked again after `error`; returns whether it is."""
        policy, health = self._policy, link.health
        if health is None or not health.can_be_away or self.broken:
            return False
        if self._retry >= policy.retries:
            return False
        draw = random.random()  # noqa: S311 - when, not what
        wait_s = wait_before_retry_s(error, self._retry, draw, is_last=not self.left)
        now = time.monotonic()
        latest = self.call.deadline - max(health.answer_s, _LEAST_RETRY_S)
        if wait_s is None or now + wait_s >= latest:
            return False
        if health.for_s(now) > wait_s or not self._affords_again(link):
            return False
        if not policy.budget.take(now):
            return False
        try:
            await asyncio.sleep(wait_s)
        except asyncio.CancelledError:
            self.call.abandoned = tuple(self.attempts)
            raise
        if time.monotonic() >= latest:  # a busy machine slept longer than it was told to
            return False
        self._retry += 1
        self.call.unfinished = None
        self._started = time.perf_counter_ns()
        return self._set_tokens(link)

    def _affords_again(self, link: Link) -> bool:
        """Whether another try can be paid: money was set aside for one of each model.

        So what may have been charged is not asked for again, where money is counted.
        """
        is_counted = self.call.size is not None and self.call.max_cost_micro is not None
        return link.is_free or not is_counted or not self.attempts[-1].cost_micro

    def _take_over(self, attempts: Sequence[Attempt]) -> None:
        """Take over tries that are over and priced, of a model that asks several times."""
        self.call.before = ()
        self.attempts.extend(attempts)
        self._spent += sum([attempt.cost_micro for attempt in attempts])

    def cancelled(self, link: Link) -> None:
        """Leave on the call what a try may have used when everything was cancelled."""
        self._take_over(self.call.before)
        unfinished = self.call.unfinished
        usage = unfinished.usage if unfinished else None
        is_cut = unfinished is not None
        self._note(link, "cancelled", usage, is_billed=is_cut, is_cut=is_cut)
        self._ask_as_before()
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
        cause: str = "",
        answer: Answer | None = None,
    ) -> None:
        cost, source = 0, "free" if link.is_free else ""
        size = self.call.size
        if is_billed and not link.is_free:
            cost, source = self._meter.cost(usage)
            if source == "unknown" and answer is not None and usage is None:
                found = counted_cost(link.counter, self._meter, self.call, answer)
                if found is not None:
                    (usage, cost), source = found, COUNTED
            if (is_cut or source == "unknown") and size is not None:
                most = link.worst_case_micro(size)
                cost, source = self._meter.cost(usage, most)
                cost = min(cost, most)
            self._spent += cost
            self.call.spent_micro = self._spent
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
                "" if answer is None else answer.mended,
                False if answer is None else answer.finish_reason == "length",
                self._retry,
                cause,
                0 if size is None else size.input_bytes,
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
        if self._not_taken and len(self._not_taken) == len(self.attempts):
            error.status, error.param = 422, self._not_taken[0]  # no model takes the request
        if error.status == ModelUnavailable.status:
            error.retry_after_s = min(self._retry_after_s, default=None)
        return error


def _cooling(health: Health, left_s: float) -> str:
    return f"left alone for {left_s:.1f} s more ({health.cause})"


def _not_made(link: Link, status: str, why: str) -> ModelUnavailable:
    """Return the error of a try that was not made, which says nothing of its model."""
    error = ModelUnavailable(why, attempts=(Attempt(link.name, status, 0),))
    error.cause = ""
    return error
