"""Routing by rules: the first expression that is true says which model is asked first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..bounds.in_force import Within
from ..declare.expressions import Expression, ExpressionError, compile_expression
from ..declare.routing import Routing
from ..types import MICRO, Call, CallSize, Clock
from .failover import Link
from .request import Audits, Plan
from .size import size_of

if TYPE_CHECKING:
    from .learned import Learned

BYTES_PER_TOKEN = 4
"""Of what goes up: English makes a token of about four bytes. Rules ask how long an input is, and
need no exact number for it."""


class Rules:
    """Asks the model of the first rule that is true.

    Args:
        routing: The declared rules.
        default: The model where none is.
        links: The models, for their prices.
        clock: Says how much time is left.
        why: Why the default is asked although no rule was, for records.

    Attributes:
        strategy: As declared.
        within, audits, learned, scorer: Of no use to it.
    """

    def __init__(
        self,
        routing: Routing,
        default: str,
        links: Sequence[Link],
        clock: Clock,
        why: str = "no rule is true",
    ) -> None:
        self._why = why
        self.strategy: str = routing.strategy
        self.within = Within()
        self.learned: Learned | None = None
        self.audits: Audits | None = None
        self.scorer = ""
        rules = [(compile_expression(rule.when, "route"), rule.use) for rule in routing.rules]
        self._rules: tuple[tuple[Expression, str], ...] = tuple(rules)
        self._reads = frozenset(name for rule, _ in rules for name in rule.names)
        self._default = default
        self._links = tuple(links)
        self._clock = clock

    @property
    def reads_input(self) -> bool:
        """Whether a rule looks at the input, so that it must be decoded."""
        return "input" in self._reads

    async def choose(self, plan: Plan, call: Call) -> None:
        """Put the model of the first rule that is true before the others.

        A rule without a value on this input, such as one that reads a field that is not there, is
        not true, and the record says so.
        """
        names = self._names(call)
        route: dict[str, Any] = {"strategy": self.strategy}
        without = []
        choice, why = self._default, self._why
        for number, (rule, use) in enumerate(self._rules):
            try:
                is_true = rule.evaluate(names) is True
            except ExpressionError:
                without.append(number)
                continue
            if is_true:
                choice, why, route["rule"] = use, f"rule {number}: `{rule.source}`", number
                break
        if without:
            route["without_value"] = without
        call.first = (choice,)
        plan.route = {**route, "choice": choice, "why": why}

    def settled(self, plan: Plan) -> None:
        """Keep nothing: rules are no bet."""

    async def close(self) -> None:
        """Nothing is held."""

    def _names(self, call: Call) -> dict[str, Any]:
        caller = call.caller
        names: dict[str, Any] = {
            "input": call.input,
            "tags": list(caller.tags),
            "user": caller.user,
            "role": caller.role,
            "team": caller.key.team,
        }
        if "time_left_ms" in self._reads:
            left_s = call.deadline - self._clock.monotonic()
            names["time_left_ms"] = max(0, int(left_s * 1000))
        if self._reads & {"input_tokens", "price"}:
            size = call.size or size_of(call.body)
            names["input_tokens"] = size.input_bytes // BYTES_PER_TOKEN
            names["price"] = {link.name: _usd(link, size) for link in self._links}
        return names


def _usd(link: Link, size: CallSize) -> float:
    """Return what a try costs at most, in USD: to compare with, not to add up."""
    return 0.0 if link.is_free else link.worst_case_micro(size) / MICRO
