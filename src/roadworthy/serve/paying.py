"""What a request may cost and how often it may come: limits, reservation, settlement, its tree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..cost.ceilings import Shared
from ..cost.ledger import Ceiling, Ledger
from ..cost.limits import Limit, Limiter, SharedLimits
from ..declare.budgets import Budgets
from ..errors import BudgetExhausted
from ..store.spending import PROVIDER, provider_costs
from ..types import DAY_US, Call, CallSize, Clock, Ids
from .opened import OpenRelease
from .request import Plan
from .size import size_of
from .trees import Trees
from .tries import Link

LEASE_US = 60_000_000
"""How long past its deadline a hold counts if nobody settles it: a crashed process's requests."""
BYTES_PER_TOKEN = 4
"""By which input is estimated for limits of tokens, until it is counted."""
SOFT = "soft"
"""What records call it when the cheapest model is asked first, since a ceiling is soon spent."""

_NO_PARTS: Mapping[str, int] = {}


class Till:
    """Sets money aside for requests and settles it, and counts them against rate limits.

    Args:
        ledger: The budgets.
        clock: Where every time comes from.
        ids: Makes the ids of requests.
        budgets: `[budgets]` of the project; None where requests count in none of them.
    """

    def __init__(self, ledger: Ledger, clock: Clock, ids: Ids, budgets: Budgets | None) -> None:
        budgets = budgets or Budgets()
        self._ledger = ledger
        self._clock = clock
        self._ids = ids
        self._shared = Shared(budgets)
        self._shared_limits = SharedLimits(budgets)
        self._limiter = Limiter(clock)
        self._trees = Trees(clock)

    def find_parent(self, plan: Plan) -> None:
        """Note on a plan the request that asked for it, where it names one as its parent.

        Raises:
            RequestError: There are too many requests one below the other.
        """
        plan.below = self._trees.find(plan.caller)
        if plan.below is not None:
            self._trees.join(plan.id, plan.below)

    def limit(self, plan: Plan, call: Call) -> None:
        """Count a request against the limits of its service, user, team, tags and project.

        Raises:
            Overloaded: One is reached.
        """
        limits = self._limits(plan)
        if not limits:
            return
        tokens = 0
        if any(limit.unit == "tokens" for limit in limits):
            tokens = _estimate(plan.release, size_of(call.body, len(call.output_schema)))
        plan.rates = self._limiter.take(limits, tokens)
        plan.limited = (limits, tokens)

    def _limits(self, plan: Plan) -> tuple[Limit, ...]:
        release, caller, shared = plan.release, plan.caller, self._shared_limits
        found, of_user = release.limits
        if of_user:
            user = caller.user
            own = [Limit(scope + user, unit, most, what) for scope, unit, most, what in of_user]
            found = (*own, *found)
        if not shared.is_empty and release.is_shared:
            found = (*found, *shared.of(caller.key, caller.tags))
        return found

    def reserve(self, plan: Plan, call: Call) -> None:
        """Set aside what a request may cost at most, in every scope that it counts against.

        A provider whose own ceiling leaves no room is passed over, as long as another is left.

        Raises:
            BudgetExhausted: A ceiling, or the request that asked for this one, has no room for it.
        """
        release = plan.release
        call.size = size_of(call.body, len(call.output_schema))
        if call.forgotten and release.summariser is not None:
            call.size, call.summary_micro = release.summariser.sizes(call, call.size)
        self._stay_within_a_day(plan)
        ceilings = self._ceilings(plan)
        while True:
            worst, full = self._worst(plan, call, call.size)
            counted, parts = self._providers(plan, call, call.size, worst)
            try:
                self._place(plan, (*counted, *ceilings), worst, parts)
                break
            except BudgetExhausted as error:
                if not _may_pass_over(plan, call, error):
                    raise
        call.max_cost_micro = worst
        call.is_covered = worst == full
        if release.last_good is not None:
            call.kept_micro = release.kept_micro(call.size, max(worst - call.summary_micro, 0))
        self._enter_tree(plan, call, worst)
        if release.prefers_cheap and self._ledger.is_soft((*counted, *ceilings)):
            _ask_cheapest_first(plan, call, call.size)

    def _place(
        self, plan: Plan, ceilings: Sequence[Ceiling], worst: int, parts: Mapping[str, int]
    ) -> None:
        release = plan.release
        plan.hold = self._ledger.reserve(
            plan.id,
            ceilings,
            worst,
            plan.at_us + int(release.deadline_s * 1e6) + LEASE_US,
            release.name,
            plan.caller.key.id,
            release.kind,
            at_us=plan.at_us,
            parts=parts,
        )
        plan.at_us = plan.hold.at_us  # the same, unless midnight struck just now

    def _worst(self, plan: Plan, call: Call, size: CallSize) -> tuple[int, int]:
        """Return the most the request may cost, and what all its tries together could."""
        release = plan.release
        if call.barred:
            full = sum([micro for _, micro in _left(release, call, size)])
            if release.last_good is not None:
                full += release.last_good.worst_case_micro(size)
        else:
            full = release.full_case_micro(size)
        full += call.summary_micro
        ceiling = release.per_request_micro
        worst = full if ceiling is None or full < ceiling else ceiling
        if plan.below is not None and worst > plan.below.tree.left_micro:
            worst = max(plan.below.tree.left_micro, 0)
            links = [link for link in release.chain.links if link.provider not in call.barred]
            if not any(_pays(worst, link, size) for link in links):
                raise plan.below.tree.refusal()
        return worst, full

    def _providers(
        self, plan: Plan, call: Call, size: CallSize, worst: int
    ) -> tuple[tuple[Ceiling, ...], Mapping[str, int]]:
        """Return the ceilings of the providers that may be asked, and what each may cost there."""
        known = self._shared.providers
        if not known or not plan.release.is_shared:
            return (), _NO_PARTS
        parts: dict[str, int] = {}
        tries = _left(plan.release, call, size)
        last_good = plan.release.last_good
        if last_good is not None and last_good.opened is not None:
            before = last_good.opened.chain.paid_links
            tries += [(link, link.worst_case_micro(size)) for link in before]
        for link, micro in tries:
            scope = PROVIDER + link.provider
            if scope in known:
                parts[scope] = parts.get(scope, 0) + micro
        for link in plan.release.summarising_links if call.summary_micro else ():
            scope = PROVIDER + link.provider
            if scope in known and link.provider not in call.barred:
                parts[scope] = parts.get(scope, 0) + call.summary_micro
        counted = tuple([known[scope] for scope in parts])
        return counted, {scope: min(part, worst) for scope, part in parts.items()}

    def _stay_within_a_day(self, plan: Plan) -> None:
        """Let a request whose day has ended since it came begin anew: it counts on one day only.

        Its id changes with its time, since whoever looks for a time looks through ids.
        """
        now_us = self._clock.now_us()
        if now_us // DAY_US != plan.at_us // DAY_US:
            plan.at_us, plan.id = now_us, self._ids.new("rq", now_us)
            if plan.below is not None:
                self._trees.join(plan.id, plan.below)

    def _ceilings(self, plan: Plan) -> tuple[Ceiling, ...]:
        release, caller = plan.release, plan.caller
        ceilings = release.service_ceilings
        user = release.user_ceiling
        if user is not None:
            ceilings = (Ceiling(user[0] + caller.user, *user[1:]), *ceilings)
        if not release.is_shared:
            return ceilings
        return (*ceilings, *self._shared.of(caller.key, caller.tags))

    def _enter_tree(self, plan: Plan, call: Call, worst: int) -> None:
        """Count what is held in the tree of the request, or let one begin with it."""
        if plan.below is not None:
            plan.tree = plan.below.tree
        elif plan.release.per_request_micro is not None:
            ceiling = plan.release.per_request_micro
            plan.tree = self._trees.begin(plan.id, plan.caller, ceiling, call.deadline)
        if plan.tree is not None:
            plan.tree.hold(worst)

    def settle(self, plan: Plan) -> None:
        """Settle what was set aside for a request, once, and correct what it counted as."""
        hold = plan.hold
        if hold is not None:
            parts = provider_costs(hold.scopes, plan.attempts) if hold.parts else _NO_PARTS
            self._ledger.settle(hold, plan.cost_micro, parts)
            if plan.tree is not None:
                plan.tree.settle(hold.micro, plan.cost_micro)
            plan.mark("settle")
        if plan.limited is not None:
            limits, estimated = plan.limited
            tokens = _tokens_of(plan, estimated)
            if tokens != estimated:
                self._limiter.correct(limits, estimated, tokens)


def _left(release: OpenRelease, call: Call, size: CallSize) -> list[tuple[Link, int]]:
    """Return the paid models and rungs whose providers may be asked, with what each may cost."""
    tries = release.tries(size)
    return [each for each in tries if each[0].provider not in call.barred]


def _pays(micro: int, link: Link, size: CallSize) -> bool:
    """Whether so much money pays for at least a token of each completion that is asked for."""
    if link.is_free:
        return True
    tokens = link.meter.affordable_output_tokens(micro, size.input_bytes, size.images)
    return tokens is None or tokens >= size.choices


def _may_pass_over(plan: Plan, call: Call, error: BudgetExhausted) -> bool:
    """Bar the provider whose ceiling is in the way; False where nothing would be left to ask."""
    if not error.scope.startswith(PROVIDER):
        return False
    barred = call.barred | {error.scope.removeprefix(PROVIDER)}
    if barred == call.barred or all(link.provider in barred for link in plan.release.chain.links):
        return False
    call.barred = barred
    return True


def _ask_cheapest_first(plan: Plan, call: Call, size: CallSize) -> None:
    links = sorted(plan.release.chain.links, key=lambda link: link.worst_case_micro(size))
    call.first = tuple([link.name for link in links])
    plan.route = {
        "strategy": SOFT,
        "choice": call.first[0],
        "why": "a ceiling is soon spent: the cheapest is asked first",
    }


def _estimate(release: OpenRelease, size: CallSize) -> int:
    """Return about how many tokens a call takes: its bytes over four, and all it may write."""
    links = release.chain.links
    most = max([link.output_tokens(size) for link in links], default=0)
    return size.input_bytes // BYTES_PER_TOKEN + most * size.choices


def _tokens_of(plan: Plan, estimated: int) -> int:
    """Return how many tokens a request took, as far as anybody counted them."""
    used = [attempt.usage for attempt in plan.attempts if attempt.usage is not None]
    if used:
        return sum([usage.input_tokens + usage.output_tokens for usage in used])
    is_unknown = any(attempt.cost_micro for attempt in plan.attempts)
    return estimated if is_unknown else 0
