"""Answers given again: the same question, or one that means the same within a certified bound."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple, Protocol

import msgspec

from ..bounds.in_force import Within
from ..declare.service import ServiceDeclaration
from ..errors import MissingExtra
from ..plugins import load_plugin
from ..signals.personal import is_personal
from ..types import MICRO, SHOWN, Answer, Call, Clock
from .cache_keys import Sharing, UnlikeAny, key_of
from .kept import Entry, Gone, Kept, Why, as_json
from .request import Audits, Plan
from .vectors import Questions

MB = 1_000_000
WAIT_SHARE = 0.5
"""Of the time that is left, how much a request waits for another that asked the same before it."""
_NEVER_STREAMED = frozenset({"n", "logprobs", "top_logprobs", "tools", "functions", "audio"})
"""Parameters of a chat of whose streamed answer more than a text would have to be kept."""


class Looked(msgspec.Struct):
    """What the cache found of a call, for when it is settled.

    Attributes:
        key: Under which its answer is kept.
        is_known: Whether it was answered from here.
        alike: Whose answer another question might be given, and how sure that is; None where that
            was not looked for.
    """

    key: bytes
    is_known: bool = False
    alike: Any = None


class Alike(Protocol):
    """What finds answers to questions that mean the same, of a release's cache."""

    scorer: str

    async def look(self, cache: ReleaseCache, plan: Plan, call: Call) -> Entry | None:
        """Return the entry whose answer a call may be given; notes on it what it found."""

    def mark(self, entry: Entry, call: Call) -> None:
        """Note on the entry that a call's answer becomes what others are compared with."""

    def keep(self, entry: Entry, call: Call) -> None:
        """Let others find it."""

    def drop(self, entry: Entry) -> None:
        """Let nobody find it any more."""

    def settled(self, cache: ReleaseCache, plan: Plan, call: Call) -> None:
        """Hold what was, or would have been, given again against a fresh answer."""

    async def close(self) -> None:
        """End what is at work for it."""


class _Flight(NamedTuple):
    """A request at work that others wait for, since they ask the same."""

    call: Call
    landed: asyncio.Future[None]


class ReleaseCache:
    """The answers of one release; another one begins with none.

    Args:
        service: What is declared.
        release_id: Whose answers they are.
        clock: The project's time: by it they grow old.
        alike: Finds what means the same; None where only the same question is answered again.

    Attributes:
        within: What is certified of its reuse for another question; replaced when that changes.
        audits: Asks again, unseen; None in a rehearsal.
        kept: The answers.
        hits: How many were given, by kind, since it was opened.
        max_error: Share of answers to other questions that may be wrong; 0 where none is given.
    """

    def __init__(
        self, service: ServiceDeclaration, release_id: str, clock: Clock, alike: Alike | None
    ) -> None:
        declared = service.cache
        self.within = Within()
        self.audits: Audits | None = None
        self.release_id = release_id
        self.alike = alike
        self.clock = clock
        self.scope: Sharing = declared.scope
        self.hits = {"exact": 0, "semantic": 0, "stale": 0}
        semantic = declared.semantic
        self.max_error = 0.0 if semantic is None else semantic.max_error
        self._exact_us = (declared.exact_ttl_s or 0) * MICRO
        has_stale = any(rung.use == "stale_cache" for rung in service.fallback)
        self._stale_us = declared.stale_for_us if has_stale else 0
        alike_us = 0 if semantic is None else semantic.ttl_us
        self.kept = Kept(
            clock,
            max_entries=declared.max_entries,
            max_bytes=declared.max_mb * MB,
            keep_us=max(self._exact_us + self._stale_us, alike_us),
            dropped=self._dropped,
        )
        self._flights: dict[bytes, _Flight] = {}

    @property
    def scorer(self) -> str:
        """Which score its pairs bear; empty where only the same question is answered again."""
        return "" if self.alike is None else self.alike.scorer

    async def find(self, plan: Plan, call: Call) -> Answer | None:
        """Return an answer to give again, and note on the plan where it is from."""
        wants = plan.request.cache
        if wants == "no-store":
            return None
        try:
            key = key_of(plan, call, self.scope)
        except UnlikeAny:
            return None
        looked = call.looked = Looked(key)
        if wants:
            return None
        if self._exact_us:
            entry = self._same(plan, key) or await self._await_same(plan, call, key)
            if entry is not None:
                answer = self._give(plan, call, entry, {"kind": "exact"})
                if answer is not None:
                    looked.is_known = True
                    return answer
        if self.alike is None:
            return None
        entry = await self.alike.look(self, plan, call)
        return None if entry is None else self._give_alike(plan, call, entry, looked)

    def _same(self, plan: Plan, key: bytes) -> Entry | None:
        return self.kept.find(key, plan.at_us, self._exact_us)

    async def _await_same(self, plan: Plan, call: Call, key: bytes) -> Entry | None:
        """Wait for a request at work that asked the same, or be the one that others wait for.

        A stream that begins at once waits for nobody.
        """
        flight = self._flights.get(key)
        if flight is None:
            landed = asyncio.get_running_loop().create_future()
            self._flights[key] = _Flight(call, landed)
            return None
        if plan.request.is_stream and not plan.release.is_held:
            return None
        left_s = call.deadline - self.clock.monotonic()
        await asyncio.wait((flight.landed,), timeout=max(0.0, WAIT_SHARE * left_s))
        entry = self._same(plan, key)
        if entry is None and key not in self._flights:
            landed = asyncio.get_running_loop().create_future()
            self._flights[key] = _Flight(call, landed)
        return entry

    def _give_alike(self, plan: Plan, call: Call, entry: Entry, looked: Looked) -> Answer | None:
        about = {
            "kind": "semantic",
            "score": round(looked.alike.score, 4),
            "similarity": round(looked.alike.similarity, 4),
            "certificate": self.within.certificate,
        }
        answer = self._give(plan, call, entry, about)
        looked.is_known = answer is not None
        return answer

    def _give(self, plan: Plan, call: Call, entry: Entry, about: dict[str, Any]) -> Answer | None:
        """Return the answer of an entry, where it may still be given without a person."""
        answer = entry.answer()
        desk = plan.release.desk
        if desk is not None and not desk.lets_again(entry.certificate, call, answer):
            return None
        self.hits[about["kind"]] += 1
        plan.cache = {**about, "source": entry.source, "age_s": _age_s(plan.at_us, entry)}
        return answer

    def find_stale(self, call: Call) -> Answer | None:
        """Return an answer to the same question whose time is over, by `cache.stale_for` at most.

        It leaves on the call where that is from.
        """
        looked = call.looked
        if not isinstance(looked, Looked):
            return None
        now_us = self.clock.now_us()
        entry = self.kept.find(looked.key, now_us, self._exact_us + self._stale_us)
        if entry is None:
            return None
        self.hits["stale"] += 1
        call.reused = {"kind": "stale", "source": entry.source, "age_s": _age_s(now_us, entry)}
        return entry.answer()

    def settled(self, plan: Plan) -> None:
        """Take note of how a request ended: keep its answer, or compare what was given again."""
        call = plan.call
        if call is None or not isinstance(call.looked, Looked):
            return
        looked: Looked = call.looked
        try:
            if self.alike is not None:
                self.alike.settled(self, plan, call)
            self._keep(plan, call, looked)
        finally:
            flight = self._flights.get(looked.key)
            if flight is not None and flight.call is call:
                del self._flights[looked.key]
                _land(flight)

    def _keep(self, plan: Plan, call: Call, looked: Looked) -> None:
        answer = plan.answer
        if answer is None or not _may_be_kept(plan, answer):
            return
        output = as_json(answer.output)
        if output is None or (self.scope != "user" and self._is_personal(plan, call, output)):
            return
        decision = plan.decision
        entry = Entry(
            key=looked.key,
            source=plan.id,
            at_us=plan.at_us,
            model=answer.model,
            output=output,
            completion=answer.completion,
            finish_reason=answer.finish_reason,
            usage=answer.usage,
            certificate="" if decision is None else decision.certificate,
            user=plan.caller.user,
        )
        if self.alike is not None:
            self.alike.mark(entry, call)
        if self.kept.put(entry) and self.alike is not None:
            self.alike.keep(entry, call)

    def _is_personal(self, plan: Plan, call: Call, output: bytes) -> bool:
        asked = msgspec.json.encode(call.input) + b"".join(bytes(raw) for raw in call.body.values())
        user = plan.caller.user
        known = "" if user.startswith("key:") else user
        return is_personal(output.decode(), asked.decode(errors="replace"), known)

    def _dropped(self, entry: Entry) -> None:
        if self.alike is not None:
            self.alike.drop(entry)

    def forget(self, request_id: str, why: Why = "corrected") -> None:
        """Never give the answer of a request again: it was corrected, or found wrong."""
        entry = self.kept.of_source(request_id)
        if entry is not None:
            self.kept.drop(entry, why)

    def forget_user(self, user: str) -> int:
        """Forget all that a user was answered, and return how much that was."""
        return self.kept.drop_user(user)

    @property
    def gone(self) -> tuple[Gone, ...]:
        """The last answers that went for a reason that somebody may want to look into."""
        return tuple(self.kept.told)

    async def close(self) -> None:
        """Let whoever waits go on."""
        for flight in self._flights.values():
            _land(flight)
        self._flights.clear()
        if self.alike is not None:
            await self.alike.close()


def _may_be_kept(plan: Plan, answer: Answer) -> bool:
    """Whether an answer is one: whole, of a model that was asked, shown, and no call of a tool."""
    if plan.disposition != "answered" or plan.error is not None or plan.review_id:
        return False
    if plan.arm not in SHOWN or answer.is_cut_off or answer.finish_reason != "stop":
        return False
    if plan.decision is not None and plan.decision.path != "alone":
        return False
    if answer.completion is not None:
        return b"tool_calls" not in answer.completion and b"function_call" not in answer.completion
    is_streamed = plan.request.is_stream and plan.first_token_us > 0
    return not (is_streamed and _NEVER_STREAMED.intersection(plan.request.body))


def _land(flight: _Flight) -> None:
    if not flight.landed.done():
        flight.landed.set_result(None)


def _age_s(now_us: int, entry: Entry) -> int:
    return (now_us - entry.at_us) // MICRO


def open_cache(
    service: ServiceDeclaration, release_id: str, clock: Clock, questions: Questions | None
) -> ReleaseCache | None:
    """Open what a service declares of a cache; None where it declares none.

    Raises:
        MissingExtra: What finds questions that mean the same is not installed.
    """
    if not service.cache.is_on:
        return None
    alike = None
    if service.cache.semantic is not None:
        if questions is None:
            raise MissingExtra("embed", f"`cache.semantic` of `{service.name}`")
        alike = load_plugin("routing", "semantic")(service, questions)
    return ReleaseCache(service, release_id, clock, alike)
