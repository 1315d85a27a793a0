"""Evidence of one metric of a rollout, that may be looked at after every pair.

A pair is the loss of the candidate's user less that of the champion's users who closed beside it,
from -1 to 1. Two fortunes grow with it: one bets that the candidate is worse, the other that it is
not worse than allowed (`risk.bets.log_wealth_of_pairs`, a pair at a time and without numpy, so that
a plain server can decide). Each step of a rollout begins with the fortune that the last one left,
spread anew over all bets: what shows only under more traffic is found as fast as at the start, and
the whole rollout still spends its false alarm once.
"""

from __future__ import annotations

import math

import msgspec

BETS = (0.03, 0.06, 0.12, 0.2, 0.35, 0.5, 0.7, 0.9)
MOST_UNITS = 10_000_000
"""Beyond so many units a decision counts as out of reach."""
_NARROWEST, _WIDER, _HALVINGS = 1 / 1024, 1.35, 10


class Evidence(msgspec.Struct):
    """What the pairs of one metric say.

    Attributes:
        allowed: How much worse is allowed: what the second fortune bets on.
        n, total, squares: Pairs of this step, their sum, and that of their squares.
        worse, better: Per bet, the log of each fortune as a multiple of that at the step's start.
        worse_before, better_before: The logs of the fortunes at the step's start.
        most_worse: The largest log that the first fortune ever was: once enough stays enough.
        earlier: n, total and squares of each earlier step.
    """

    allowed: float
    n: int = 0
    total: float = 0.0
    squares: float = 0.0
    worse: list[float] = msgspec.field(default_factory=lambda: [0.0] * len(BETS))
    better: list[float] = msgspec.field(default_factory=lambda: [0.0] * len(BETS))
    worse_before: float = 0.0
    better_before: float = 0.0
    most_worse: float = 0.0
    earlier: list[tuple[int, float, float]] = []

    @property
    def pairs(self) -> int:
        """How many pairs there were, in all steps."""
        return self.n + sum(n for n, _, _ in self.earlier)

    @property
    def difference(self) -> float | None:
        """The mean of all pairs; None before there is one."""
        if not self.pairs:
            return None
        return (self.total + sum(total for _, total, _ in self.earlier)) / self.pairs

    @property
    def log_worse(self) -> float:
        """The log of the evidence that the candidate is worse."""
        return self.worse_before + _log_mean_exp(self.worse)

    @property
    def log_better(self) -> float:
        """The log of the evidence that it is not worse than allowed."""
        return self.better_before + _log_mean_exp(self.better)


def see(evidence: Evidence, difference: float) -> None:
    """Count one pair, in place.

    Raises:
        ValueError: The difference lies outside of [-1, 1].

    >>> evidence = Evidence(0.02)
    >>> for _ in range(40):
    ...     see(evidence, 0.5)
    >>> evidence.log_worse > math.log(20)
    True
    """
    if not -1 <= difference <= 1:
        raise ValueError(f"expected a difference from -1 to 1, got {difference}")
    allowed = evidence.allowed
    gain = (allowed - difference) / (1 - allowed)
    evidence.worse = _after(evidence.worse, difference)
    evidence.better = _after(evidence.better, gain)
    evidence.n += 1
    evidence.total += difference
    evidence.squares += difference * difference
    evidence.most_worse = max(evidence.most_worse, evidence.log_worse)


def _after(fortune: list[float], gain: float) -> list[float]:
    """Return the logs of a fortune after a gain, as a share of each bet."""
    return [log + math.log1p(bet * gain) for log, bet in zip(fortune, BETS, strict=True)]


def begin_step(evidence: Evidence) -> None:
    """Spread what each fortune has come to over all bets anew, in place."""
    if not evidence.n:
        return
    evidence.worse_before, evidence.better_before = evidence.log_worse, evidence.log_better
    evidence.worse, evidence.better = [0.0] * len(BETS), [0.0] * len(BETS)
    evidence.earlier = [*evidence.earlier, (evidence.n, evidence.total, evidence.squares)]
    evidence.n, evidence.total, evidence.squares = 0, 0.0, 0.0


def band(evidence: Evidence, log_low: float, log_high: float) -> tuple[float | None, float | None]:
    """Return where the mean difference lies, at every look.

    All differences are left out against which the bets would have won enough. They are not replayed
    for each: log(1 + b x) >= b x + (log(1 - b) + b) x^2 for x >= -1 (Fan, Grama and Liu, 2015), so
    that three sums are enough, for a band that is a little wider; at 0 and at what is allowed the
    bets themselves decide, so that the band never contradicts the verdict.

    Args:
        evidence: Of the pairs.
        log_low: The log of 1 over the chance that `low` is ever above the truth.
        log_high: The same of `high`.
    """
    mean = evidence.difference
    if mean is None:
        return None, None
    sums = [*evidence.earlier, (evidence.n, evidence.total, evidence.squares)]
    low, high = _low(sums, mean, log_low), None
    mirrored = _low([(n, -total, squares) for n, total, squares in sums], -mean, log_high)
    high = None if mirrored is None else -mirrored
    if evidence.most_worse >= log_low:
        low = max(low or 0.0, 0.0)
    elif low is not None:
        low = min(low, 0.0)
    if evidence.log_better >= log_high:
        high = evidence.allowed if high is None else min(high, evidence.allowed)
    elif high is not None:
        high = max(high, evidence.allowed)
    return low, high


def _low(sums: list[tuple[int, float, float]], mean: float, enough: float) -> float | None:
    """Return the largest difference below the mean that the bets leave out; None without one."""
    width, inside, outside = _NARROWEST, mean, None
    while outside is None:
        if mean - width < -0.95:
            return None
        if _log_least(sums, mean - width) >= enough:
            outside = mean - width
        else:
            inside, width = mean - width, width * _WIDER
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        if _log_least(sums, middle) >= enough:
            outside = middle
        else:
            inside = middle
    return outside


def _log_least(sums: list[tuple[int, float, float]], least: float) -> float:
    """Return a log that the evidence of a mean above `least` is at least."""
    found = 0.0
    for n, total, squares in sums:
        first = (total - n * least) / (1 + least)
        second = (squares - 2 * least * total + n * least * least) / (1 + least) ** 2
        found += _log_mean_exp([bet * first + (math.log1p(-bet) + bet) * second for bet in BETS])
    return found


def needed(evidence: Evidence, log_worse: float, log_better: float) -> int | None:
    """Return how many more pairs would settle it, one way or the other, if they go on as they did.

    Args:
        evidence: Of the pairs.
        log_worse: The log of the evidence that is enough that it is worse.
        log_better: The log of the evidence that is enough that it is not worse than allowed.

    Returns:
        0 where it is settled; None where no number would, or before there is a pair in this step.
    """
    if evidence.most_worse >= log_worse or evidence.log_better >= log_better:
        return 0
    if not evidence.n:
        return None
    ways = (
        pairs_needed(
            [log / evidence.n for log in evidence.worse],
            log_worse - evidence.worse_before,
            evidence.n,
        ),
        pairs_needed(
            [log / evidence.n for log in evidence.better],
            log_better - evidence.better_before,
            evidence.n,
        ),
    )
    found = [way - evidence.n for way in ways if way is not None]
    return max(min(found), 1) if found else None


def pairs_needed(growth: list[float], enough: float, least: int = 0) -> int | None:
    """Return after how many pairs a fortune is enough whose bets grow as fast as told.

    Args:
        growth: Per bet, the mean log factor of a pair.
        enough: The log that is enough.
        least: So many pairs are known not to be enough.

    Returns:
        None beyond `MOST_UNITS`.
    """

    def is_enough(n: int) -> bool:
        return _log_mean_exp([n * each for each in growth]) >= enough

    low, high = least, max(2 * least, 2)
    while not is_enough(high):
        low, high = high, high * 2
        if high > MOST_UNITS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high


def _log_mean_exp(logs: list[float]) -> float:
    most = max(logs)
    return most + math.log(sum(math.exp(log - most) for log in logs) / len(logs))
