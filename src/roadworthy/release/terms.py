"""What was declared of a rollout: steps, margins, and how much evidence is enough."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from ..declare.release import ReleasePolicy
from ..store.rollouts import Judge


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What was declared of a rollout, and where it stands.

    Attributes:
        metrics: All that may be measured; they share the false alarm, so they are fixed at the
            start.
        required: Those without which nothing is promoted; of the others a metric counts for that
            once `min_units` users have it.
        steps: Shares (0-1) of users that meet the candidate; the step at 1 needs no passing.
        step: At which of them it is, from 0.
    """

    metrics: tuple[str, ...]
    required: tuple[str, ...] = ()
    judge: Judge = "canary"
    steps: tuple[float, ...] = (1.0,)
    step: int = 0
    max_regression: float = 0.02
    sure: float = 0.9
    false_alarm: float = 0.05
    min_units: int = 50

    @property
    def share(self) -> float:
        """The share of users that meet the candidate now."""
        return self.steps[min(self.step, len(self.steps) - 1)]

    @property
    def is_last(self) -> bool:
        """Whether nothing has to be passed after this step."""
        return self.judge == "shadow" or all(share >= 1 for share in self.steps[self.step + 1 :])

    @property
    def log_worse(self) -> float:
        """The log of the evidence that rolls back; all metrics share the false alarm."""
        return math.log(max(len(self.metrics), 1) / self.false_alarm)

    @property
    def log_better(self) -> float:
        """The log of the evidence that promotes; every metric needs it."""
        return -math.log1p(-self.sure)

    @property
    def block(self) -> tuple[int, int]:
        """How many users of the candidate, and of the champion, make a pair."""
        if self.judge == "shadow" or self.share >= 1:
            return 1, 1
        odds = self.share / (1 - self.share)
        return max(1, round(odds)), max(1, round(1 / odds))


def terms_of(
    policy: ReleasePolicy,
    metrics: Sequence[str],
    *,
    step: int = 0,
    required: Sequence[str] = (),
) -> Terms:
    """Return the terms that a service declares, for metrics that it can measure."""
    declared = policy.shadow if policy.judge == "shadow" else policy.canary
    return Terms(
        metrics=tuple(metrics),
        required=tuple(required),
        judge="shadow" if policy.judge == "shadow" else "canary",
        steps=(1.0,) if policy.judge == "shadow" else policy.canary.steps,
        step=step,
        max_regression=declared.max_regression,
        sure=declared.sure,
        false_alarm=declared.false_alarm,
        min_units=declared.min_units,
    )
