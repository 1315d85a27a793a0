"""How a candidate meets live traffic: who is answered by it, and what it answers unseen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from ..declare.review import Outcomes
from ..risk.coin import coin_of
from ..store.rollouts import Split
from .engine import Engine
from .opened import OpenRelease
from .request import Plan
from .shadows import Shadows

MOST_FAILED = 5
"""So many requests of a candidate that fail one after the other end it, whatever else is known."""
_CANCELLED = "cancelled"


class OpenSplit:
    """A candidate at work beside what serves.

    The coin falls by the unit, salted with the rollout: who is in stays in while the share grows,
    and the next rollout draws others.

    Args:
        split: What the switchboard says of it.
        candidate: Its release, opened.
        shadows: What lets it answer unseen; None where it is shown to some.

    Attributes:
        split: What the switchboard says of it.
        candidate: Its release, opened.
        shadows: What lets it answer unseen.
        failed: How many of its requests have failed one after the other.
        is_off: Whether that were so many that nobody meets it any more, before anybody decided so.
    """

    def __init__(
        self, split: Split, candidate: OpenRelease, shadows: Shadows | None = None
    ) -> None:
        self.split = split
        self.candidate = candidate
        self.shadows = shadows
        self.failed = 0
        self.is_off = False
        self._bar = int(split.share * 2**64)
        self._unit_of = unit_of(candidate.declaration.outcomes)

    @property
    def releases(self) -> tuple[OpenRelease, ...]:
        """Everything of it that asks models."""
        shadows = self.shadows
        return (self.candidate,) if shadows is None else (self.candidate, shadows.opened)

    def moved(self, split: Split) -> OpenSplit:
        """Return it with another share, as the same candidate goes on."""
        other = OpenSplit(split, self.candidate, self.shadows)
        other.failed, other.is_off = self.failed, self.is_off
        return other

    def meet(self, plan: Plan) -> None:
        """Decide by the coin whether the candidate answers a request that has just begun."""
        if self.is_off:
            return
        plan.split, plan.canary = self, self.split.id
        plan.entity, unit = self._unit_of(plan)
        is_in = coin_of(unit, self.split.id) < self._bar
        if self.shadows is not None:
            plan.is_shadowed = is_in
        elif is_in:
            plan.release, plan.arm = self.candidate, "candidate"
            plan.propensity = self.split.share
        else:
            plan.propensity = 1 - self.split.share

    def settled(self, plan: Plan) -> None:
        """Take note of how a request ended that it met."""
        if plan.is_shadowed and self.shadows is not None:
            self.shadows.offer(plan, self.split)
        elif plan.arm == "candidate" and plan.error_code != _CANCELLED:
            self.failed = self.failed + 1 if plan.disposition == "failed" else 0
            self.is_off |= self.failed >= MOST_FAILED


def unit_of(outcomes: Outcomes) -> Callable[[Plan], tuple[str, str]]:
    """Return what names the entity and the unit of a request, by `[outcomes]`.

    The entity is empty where requests count by something else. Where a field of it is missing, the
    user stands for it.
    """
    names = outcomes.entity

    def by_entity(plan: Plan) -> tuple[str, str]:
        entity = entity_of(plan.request.input, names)
        return entity, entity or plan.caller.user

    by: dict[str, Callable[[Plan], tuple[str, str]]] = {
        "entity": by_entity,
        "conversation": lambda plan: ("", plan.caller.conversation or plan.caller.user),
        "request": lambda plan: ("", plan.id),
        "user": lambda plan: ("", plan.caller.user),
    }
    return by[outcomes.unit]


def entity_of(values: dict[str, Any], names: tuple[str, ...]) -> str:
    """Return what a request is about; empty where a field is missing or holds no plain value."""
    words = []
    for name in names:
        value = values.get(name)
        if value is None or isinstance(value, dict | list):
            return ""
        words.append(value if isinstance(value, str) else msgspec.json.encode(value).decode())
    return "|".join(words)


def forget_user(engine: Engine, user: str) -> int:
    """Forget all that a user was answered, of what serves and of candidates; say how much it was.

    From the event loop: it is what the caches are used on.
    """
    splits = [split for split in engine.splits.values() if isinstance(split, OpenSplit)]
    opened = [*engine.releases.values(), *(split.candidate for split in splits)]
    return sum(release.cache.forget_user(user) for release in opened if release.cache is not None)
