"""Whether a candidate goes on, waits or goes back: a pure decision over closed users.

The unit is the user (or the entity or conversation that `[outcomes]` declares), closed a window
after its first request of the step: requests of one user fail together, and tests of requests
rolled back every fourth good release. Users of both arms are paired in the order in which they
close; a shadow answers the same requests, so that each user is a pair of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import msgspec

from ..declare.release import ReleasePolicy
from ..risk import rollout
from ..store.rollouts import Figure, Judge, RolloutVerdict, Word

CONSECUTIVE_FAILURES = 5
"""So many failed requests of the candidate in a row roll back at once, whatever the bets say."""
DAY_US = 86_400_000_000
MOST_DAYS = 90.0
"""A rollout that would take longer is not begun."""
_MOST_BLOCKS = 10
"""Users that wait for the other arm, in blocks; older ones are dropped, so that pairs are of one
time. The coin of the split decides which, and no outcome does."""


class ClosedUnit(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A user whose window is over, or whose outcomes have come.

    Hand a user over once with what was known when its window closed, and once more with nothing but
    `wrong` (or `brier`) when its outcomes came; not at all where they did not come in time. Each
    metric pairs the users that have it.

    Attributes:
        arm: Which release it met; `both` of a shadow.
        closed_us: When it was closed; units are handed over in this order.
        losses: Metric → mean loss (0-1) of its requests in the window; of the candidate, if both.
        champion_losses: The champion's on the same requests, of a shadow.
    """

    arm: Literal["champion", "candidate", "both"]
    closed_us: int
    losses: dict[str, float]
    champion_losses: dict[str, float] = {}


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


class Arm(msgspec.Struct):
    """Users of one release, of one metric.

    Attributes:
        units, total: All of them, and the sum of their losses.
        part: Losses of the block that is being filled.
        blocks: Mean losses of full blocks that wait for the other arm.
    """

    units: int = 0
    total: float = 0.0
    part: list[float] = []
    blocks: list[float] = []

    @property
    def mean(self) -> float | None:
        """The mean loss of its users; None without one."""
        return self.total / self.units if self.units else None


class Track(msgspec.Struct):
    """One metric of a rollout.

    Attributes:
        step_units: Users of the candidate in this step.
    """

    evidence: rollout.Evidence
    champion: Arm
    candidate: Arm
    step_units: int = 0


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """The evidence so far; `plain_of` makes JSON values of it.

    Attributes:
        tracks: By metric.
        step: To which step the newest units belong.
        since_us: When the first unit of the step was closed; 0 before.
        until_us: When the newest was.
        consecutive_failures: Failed requests of the candidate since the last that did not.
        has_crashed: Whether there were ever too many of those.
    """

    tracks: dict[str, Track] = {}
    step: int = 0
    since_us: int = 0
    until_us: int = 0
    consecutive_failures: int = 0
    has_crashed: bool = False


def plain_of(progress: Progress) -> dict[str, Any]:
    """Return it as values that JSON can hold."""
    plain: dict[str, Any] = msgspec.to_builtins(progress)
    return plain


def progress_of(plain: dict[str, Any]) -> Progress:
    """Return what `plain_of` was given, the same to the last bit; of nothing, the beginning.

    Raises:
        msgspec.ValidationError: These are no such values.
    """
    return msgspec.convert(plain, Progress)


def take_requests(progress: Progress, failures: Iterable[bool]) -> Progress:
    """Return the progress after requests of the candidate, told whether each failed (a 5xx).

    They are told at once and in their order, not when their user closes.
    """
    count, has_crashed = progress.consecutive_failures, progress.has_crashed
    for has_failed in failures:
        count = count + 1 if has_failed else 0
        has_crashed = has_crashed or count >= CONSECUTIVE_FAILURES
    return msgspec.structs.replace(progress, consecutive_failures=count, has_crashed=has_crashed)


def take(progress: Progress, units: Sequence[ClosedUnit], terms: Terms) -> Progress:
    """Return the progress after more closed users; the same however they are batched.

    Args:
        progress: So far; it is not changed.
        units: In the order in which they were closed, each once.
        terms: Of the step that they belong to.

    Raises:
        ValueError: A loss is no number from 0 to 1.
    """
    raise NotImplementedError


def decide(progress: Progress, terms: Terms) -> RolloutVerdict:
    """Return what the evidence says by now; it may be asked as often as one likes."""
    raise NotImplementedError


class Forecast(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How long a rollout would take, before it begins.

    Attributes:
        units_per_day: Users of a day, of both arms, that it was reckoned with.
        base: The mean loss that it was reckoned with.
        promote_units, promote_days: Until a candidate that is equal is promoted, in the mean.
        notice_units, notice_days: Until one is rolled back that is worse by twice the margin.
        is_decidable: Whether both are within `MOST_DAYS`.
        why: The numbers in one sentence.
    """

    units_per_day: float
    base: float
    promote_units: int | None = None
    promote_days: float | None = None
    notice_units: int | None = None
    notice_days: float | None = None
    is_decidable: bool = False
    why: str = ""


def expected_duration(
    terms: Terms, units_per_day: float, base: float = 0.05, *, shared: float = 0.5
) -> Forecast:
    """Return how long the declared rollout would take at this traffic.

    Args:
        terms: Of its first step.
        units_per_day: Users of a day, of both arms.
        base: The mean loss (0-1) that is expected of the champion.
        shared: Of a shadow, the share of failures that both releases have in common.
    """
    raise NotImplementedError
