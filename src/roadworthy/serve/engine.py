"""The engine: what is enforced on every request, in the order it is enforced.

The core is synchronous and knows no HTTP; the only wait is for the model. Whatever happens on the
way (an answer, an error, a timeout, a client that left), the request settles its reservation once
and leaves one record.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import TypeGuard

from ..cost.ledger import Ledger
from ..declare.budgets import Budgets
from ..errors import (
    AllModelsFailed,
    BudgetExhausted,
    ContractViolation,
    GuardDenied,
    ModelError,
    ModelUnavailable,
    NoPassages,
    NotFound,
    NotSure,
    RoadworthyError,
    ServiceStopped,
    StoreError,
)
from ..guard.slot import run_guards
from ..models.spec import wants_usage
from ..review.desk import Desk, digest_of_input
from ..review.scoring import Scored
from ..types import Answer, Call, Clock, Ids, Judgement
from .chat import read_chat, refuse_choices, write_chat
from .failover import Failover
from .identify import Keyring, caller_of
from .ladder import AskPerson
from .opened import OpenRelease
from .paying import Till
from .record import record_of, reply_of
from .request import Journal, Meeting, Plan, Reply, Request
from .reviewing import entries_of
from .sse import DONE, completion_events, error_event

CORRECTION = "correction"
"""What records call what a person said of the same input before."""


class Engine:
    """Answers requests with the champions of the services it was given.

    Args:
        clock: Where every time comes from.
        keyring: The valid keys.
        releases: Service name → its champion, opened. Replaced when the switchboard changes.
        stopped: Names of services that a person has stopped; replaced likewise.
        splits: Service name → where its requests meet a candidate; replaced likewise.
        ledger: The budgets.
        spool: Where holds and records are written before an answer is sent.
        environment_hash: What is installed here, for the record.
        budgets: `[budgets]` of the project; None where nothing counts in them.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        keyring: Keyring,
        releases: Mapping[str, OpenRelease],
        stopped: frozenset[str],
        ledger: Ledger,
        spool: Journal,
        environment_hash: str,
        splits: Mapping[str, Meeting] | None = None,
        budgets: Budgets | None = None,
    ) -> None:
        self.keyring = keyring
        self.releases = releases
        self.stopped = stopped
        self.splits = splits or {}
        self.in_flight = 0
        self._clock = clock
        self._ids = Ids(clock)
        self._till = Till(ledger, clock, self._ids, budgets)
        self._spool = spool
        self._environment_hash = environment_hash

    def release_of(self, service: str) -> OpenRelease:
        """Return the release that answers for `service`.

        Raises:
            NotFound: There is no such service; the message lists those there are.
        """
        release = self.releases.get(service)
        if release is None:
            known = ", ".join(f"`{name}`" for name in sorted(self.releases)) or "none"
            raise NotFound(f"no service `{service:.80}`; services: {known}")
        return release

    def new_parent(self) -> str:
        """Return an id for requests that belong together."""
        return self._ids.new("rp")

    async def answer(self, request: Request) -> Reply:
        """Answer `request`, whole.

        Raises:
            Unauthenticated, Forbidden, NotFound: It is not known whose request this is or for which
                service; it is counted, not recorded.
            StoreError: It could not be recorded, so it is not begun.
        """
        plan = self._begin(request)
        try:
            try:
                await self._answer(plan)
            except RoadworthyError as error:
                await self._descend(plan, error)
        finally:
            self._settle(plan)
        return reply_of(plan)

    async def stream(self, request: Request) -> Reply:
        """Answer `request` as server-sent events; the reply comes with the first of them ready.

        Raises:
            Unauthenticated, Forbidden, NotFound: As `answer` does.
        """
        plan = self._begin(request)
        events = self._events(plan)
        try:
            first = await anext(events)
        except StopAsyncIteration:
            return reply_of(plan)
        reply = reply_of(plan)
        reply.first, reply.events = first, events
        return reply

    async def _events(self, plan: Plan) -> AsyncGenerator[bytes, None]:
        try:
            try:
                if plan.release.is_held:  # until judged: what is shown cannot be unshown
                    await self._answer(plan)
                else:
                    call = await self._admit(plan)
                    if plan.answer is None:  # else it is known already
                        async with aclosing(plan.release.chain.stream(call)) as events:
                            async for event in events:
                                if isinstance(event, Answer):
                                    self._accept(plan, event)
                                else:
                                    self._note_first_token(plan)
                                    yield event
            except RoadworthyError as error:
                await self._descend(plan, error)
        finally:
            self._settle(plan)
        if plan.error is not None:
            if plan.first_token_us:
                yield error_event(plan.error, plan.id)
            return
        if not plan.first_token_us:
            yield completion_events(reply_of(plan), wants_usage=wants_usage(plan.request.body))
        yield DONE

    async def _answer(self, plan: Plan) -> None:
        """Ask the models, unless it is known already, and decide what becomes of their answer."""
        call = await self._admit(plan)
        if plan.answer is None:
            self._accept(plan, await plan.release.chain.answer(call))
            self._decide(plan)

    def _begin(self, request: Request) -> Plan:
        """Identify the caller and the release: without both there is nobody to record."""
        key = request.key or self.keyring.find(request.authorization)
        caller = caller_of(request, key)
        release = self.release_of(request.service)
        if self._spool.is_full:
            raise StoreError(f"no room to record another request: {self._spool.trouble}")
        at_us = self._clock.now_us()
        plan = Plan(
            request=request,
            id=self._ids.new("rq", at_us),
            at_us=at_us,
            caller=caller,
            release=release,
            marked_ns=request.started_ns,
        )
        if self.splits and (split := self.splits.get(release.name)) is not None:
            split.meet(plan)
        if caller.parent:
            self._till.find_parent(plan)
        self.in_flight += 1
        plan.mark("identify")
        return plan

    async def _admit(self, plan: Plan) -> Call:
        """Do all that comes before the model is asked, and return what to ask it."""
        if plan.release.name in self.stopped:
            raise ServiceStopped(
                f"service `{plan.release.name}` is stopped; `roadworthy resume` starts it"
            )
        call = plan.call = self._read(plan)
        self._till.limit(plan, call)
        self._check_contract(plan, call)
        plan.mark("contract")
        if plan.release.last_good is not None:
            call.given = (call.input, call.body)
        if plan.release.desk is not None:
            plan.digest = digest_of_input(call)  # of what was asked, before anything joins it
        self._add_features(plan, call)
        self._guard_input(plan, call)
        if self._is_corrected(plan) or await self._is_cached(plan, call):
            return call
        if plan.release.context is not None:
            try:
                await plan.release.context.fill(call)
            finally:
                plan.mark("context")
        if plan.release.is_paid:
            self._till.reserve(plan, call)
            plan.mark("reserve")
        if call.forgotten:
            await self._summarise(plan, call)
        if plan.release.router is not None and plan.route is None:
            try:
                await plan.release.router.choose(plan, call)
            finally:
                plan.mark("route")
        return call

    def _read(self, plan: Plan) -> Call:
        request, release = plan.request, plan.release
        values, body = request.input, request.body
        if release.kind == "generate":
            names = () if release.context is None else release.context.variables
            body = body or write_chat(values, release.chat, names)
            values, body = read_chat(body, release.chat, is_read=release.reads_input, names=names)
            if "n" in body and release.is_held:
                refuse_choices(body["n"])
        deadline_s = release.deadline_s
        if request.deadline_ms is not None:
            deadline_s = min(deadline_s, request.deadline_ms / 1000)
        elapsed_s = (time.perf_counter_ns() - request.started_ns) / 1e9
        deadline = self._clock.monotonic() - elapsed_s + deadline_s
        if plan.below is not None:
            deadline = min(deadline, plan.below.tree.deadline)
        return Call(
            input=values,
            caller=plan.caller,
            deadline=deadline,
            body=body,
            id=plan.id,
            output_schema=release.judge.told,
        )

    def _check_contract(self, plan: Plan, call: Call) -> None:
        check = plan.release.input_check
        problem = check.first_problem(call.input) if check is not None else ""
        context = plan.release.context
        if not problem and context is not None and context.inputs is not None:
            problem = context.inputs.first_problem(call.input)
        if problem:
            raise ContractViolation(problem, param=problem.partition(":")[0])

    def _add_features(self, plan: Plan, call: Call) -> None:
        source = plan.release.features
        if source is None:
            return
        try:
            vector = source.vector(call.input)
        except StoreError as error:
            raise ModelUnavailable(f"the features cannot be read: {error}") from error
        finally:
            plan.mark("features")
        plan.features = vector.as_record()
        call.input = {**call.input, **vector.values}

    def _guard_input(self, plan: Plan, call: Call) -> None:
        guards = plan.release.input_guards
        if not guards:
            return
        plan.verdicts = run_guards(guards, call, None, "input")
        plan.mark("guard_input")
        denied = next((v for v in plan.verdicts if not v.is_acceptable), None)
        if denied is not None:
            plan.reasons.append(f"guard `{denied.guard}`: {denied.reason or denied.verdict}")
            raise GuardDenied(f"guard `{denied.guard}` denied the request")

    def _is_corrected(self, plan: Plan) -> bool:
        """Give what a person said of the same input before, if anybody did: no error persists."""
        desk = plan.release.desk
        known = None if desk is None else desk.known(plan.digest, plan.caller)
        if known is None or plan.release.judge.problem(known.output):
            return False  # said of an older release, whose schema was another
        plan.answer = Answer(model=CORRECTION, output=known.output)
        plan.disposition = "cached"
        plan.cache = {"kind": "correction", "review": known.review_id}
        plan.reasons.append(f"corrected in review {known.review_id}")
        plan.mark("cache")
        return True

    async def _is_cached(self, plan: Plan, call: Call) -> bool:
        """Give an answer again, where the cache has one that may be."""
        cache = plan.release.cache
        if cache is None:
            return False
        try:
            plan.answer = await cache.find(plan, call)
        finally:
            plan.mark("cache")
        if plan.answer is None:
            return False
        plan.disposition = "cached"
        return True

    async def _summarise(self, plan: Plan, call: Call) -> None:
        """Let a model write what went out of the chat in few words, from the money set aside."""
        summariser = plan.release.summariser
        if summariser is None:
            return
        try:
            tried = await summariser.summarise(call)
        finally:
            plan.mark("summary")
        plan.attempts.extend(tried)
        if call.max_cost_micro is not None:
            call.max_cost_micro -= sum([attempt.cost_micro for attempt in tried])

    def _accept(self, plan: Plan, answer: Answer) -> None:
        """Take an answer of the chain that the judge let pass."""
        plan.mark("call")
        plan.answer = answer
        plan.attempts.extend(answer.attempts)
        plan.disposition = "answered"
        self._note_judgement(plan, answer)

    def _note_judgement(self, plan: Plan, answer: Answer) -> None:
        judgement = answer.judgement
        if judgement is None:
            return
        if judgement.schema_us or judgement.verdicts:
            guards_us = sum(verdict.us for verdict in judgement.verdicts)
            plan.timings["schema"] = judgement.schema_us
            plan.timings["guard_output"] = guards_us
            plan.timings["call"] -= min(judgement.schema_us + guards_us, plan.timings["call"])

    def _decide(self, plan: Plan) -> None:
        """Let the desk decide whether the answer is given alone, or hold it back.

        Raises:
            NotSure: It is not given, and no person is asked either.
        """
        desk, call, answer = plan.release.desk, plan.call, plan.answer
        if desk is None or call is None or answer is None:
            return
        scored = self._rate(plan, desk, call, answer)
        plan.draft = answer
        decision = desk.decide(plan.id, plan.at_us, call, answer, scored)
        plan.decision = decision = decision._replace(scorer=scored.scorer)
        plan.mark("decide")
        if decision.path == "alone":
            return
        plan.answer = None
        if decision.path == "ladder":
            raise NotSure(f"the answer may not be given alone: {decision.why}")
        self._hold_for_person(plan, decision.why)

    def _rate(self, plan: Plan, desk: Desk, call: Call, answer: Answer) -> Scored:
        """Note how sure an answer is."""
        scored = _read_by(desk, call, answer)
        plan.score, plan.signals = scored.score, scored.signals
        plan.confidence = desk.confidence_of(plan.score)
        plan.mark("confidence")
        return scored

    def _hold_for_person(self, plan: Plan, why: str) -> None:
        plan.review_id = self._ids.new("rv", plan.at_us)
        plan.disposition = "review"
        plan.reasons.append(why)
        plan.error = None

    async def _descend(self, plan: Plan, error: RoadworthyError) -> None:
        """Go down the ladder after `error`, where it allows that, or end with it."""
        plan.error = error
        if isinstance(error, ModelError):
            plan.attempts.extend(error.attempts)
            if error.attempts:  # nobody was asked where the context could not be filled
                plan.mark("call")
        if plan.call is not None:
            plan.call.first = ()  # what a router wants is said of the chain alone
        ladder = self._ladder_for(plan, error)
        if ladder is None or plan.call is None or plan.first_token_us:
            self._refuse(plan, error)
            return
        try:
            answer = await ladder.answer(plan.call)
        except AllModelsFailed as last:
            plan.attempts.extend(last.attempts)
            self._refuse(plan, error)
        except AskPerson:
            self._hold_for_person(plan, f"{error.code}: {error}")
        else:
            plan.answer = answer
            plan.attempts.extend(answer.attempts)
            plan.disposition = "fallback"
            plan.reasons.append(f"{error.code}: {error}")
            plan.error = None
        plan.mark("decide")

    def _ladder_for(self, plan: Plan, error: RoadworthyError) -> Failover | None:
        if isinstance(error, ModelError):
            return plan.release.ladder
        if isinstance(error, NoPassages):
            return plan.release.declared_ladder
        if isinstance(error, NotSure):
            desk = plan.release.desk
            falls = desk is not None and desk.policy.overflow == "fallback"
            return plan.release.ladder if falls else None
        spends_on = plan.release.declaration.cost.on_exhausted == "fallback"
        if isinstance(error, BudgetExhausted) and spends_on:
            return plan.release.free_ladder
        return None

    def _refuse(self, plan: Plan, error: RoadworthyError) -> None:
        """End without an answer: `refused` if this one may not be given, `failed` if none came."""
        if isinstance(error, AllModelsFailed) and _was_turned_down(error.judgement):
            plan.reasons.append(error.judgement.reason)
            against = next((v.guard for v in error.judgement.verdicts if not v.is_acceptable), "")
            by = f"guard `{against}`" if against else "the output schema"
            plan.error = error = GuardDenied(f"no answer may be shown: {by} is against each")
        plan.error_code = error.code
        plan.reasons.append(f"{error.code}: {error}")
        is_theirs = error.status == 422 or not (
            isinstance(error, ModelError) or error.status == 500
        )
        plan.disposition = "refused" if is_theirs else "failed"

    def _note_first_token(self, plan: Plan) -> None:
        if not plan.first_token_us:
            plan.disposition = "answered"
            plan.first_token_us = (time.perf_counter_ns() - plan.request.started_ns) // 1000

    def _settle(self, plan: Plan) -> None:
        """Settle the reservation and write the record: once, on every way out."""
        self.in_flight -= 1
        if plan.answer is None and plan.error is None and not plan.review_id:
            self._note_abandoned(plan)
        if plan.call is not None:
            plan.verdicts += plan.call.verdicts
        plan.cost_micro = sum([attempt.cost_micro for attempt in plan.attempts])
        plan.latency_us = (time.perf_counter_ns() - plan.request.started_ns) // 1000
        self._till.settle(plan)
        try:
            self._write_down(plan)
        finally:
            if plan.release.cache is not None:  # others may wait for what it keeps
                plan.release.cache.settled(plan)
        if plan.release.router is not None:
            plan.release.router.settled(plan)

    def _write_down(self, plan: Plan) -> None:
        record = record_of(plan, self._environment_hash)
        if plan.release.desk is not None:
            for entry in entries_of(plan, record, self._ids):
                self._spool.append(entry)
        self._spool.append(record)
        if plan.split is not None:
            plan.split.settled(plan)

    def _note_abandoned(self, plan: Plan) -> None:
        """Nobody waits any more, or our own code failed: what was used until now still counts."""
        plan.disposition = "failed"
        if isinstance(sys.exception(), asyncio.CancelledError | GeneratorExit):
            plan.error_code = "cancelled"
            plan.reasons.append("cancelled: the client left before the answer was complete")
        else:
            plan.error_code = RoadworthyError.code
        if plan.call is not None:
            plan.attempts.extend(plan.call.abandoned)


def _read_by(desk: Desk, call: Call, answer: Answer) -> Scored:
    """Return how sure an answer is; where that cannot be computed now, it is unknown."""
    scorer = desk.scorer  # another thread may put another in its place at any time
    try:
        return scorer.read(call, answer)._replace(scorer=scorer.id)
    except ModelError:
        return Scored(None, scorer=scorer.id)


def _was_turned_down(judgement: Judgement | None) -> TypeGuard[Judgement]:
    """Whether the last answer may not be shown; one that is only not sure enough might have."""
    return judgement is not None and not judgement.unsure
