"""Rollouts: candidates on their way to serving, as the state database remembers them."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Judge = Literal["shadow", "canary"]
RolloutState = Literal["running", "frozen", "promoted", "rolled_back", "stopped"]
Word = Literal["wait", "advance", "promote", "roll_back"]


class Split(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the pointer `rollout:<service>` says, as JSON; empty while there is none.

    Attributes:
        id: Of the rollout, which also salts the coin that splits users.
        share: Share (0-1) of users that meet the candidate, or of requests that it shadows.
    """

    id: str
    release: str
    judge: Judge
    share: float


class Figure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One metric of a rollout as it stands: candidate's less champion's, above 0 is worse.

    Attributes:
        name: `errors`, `late`, `cost`, `denials`, `doubt` (1 - confidence), `wrong`, `brier`.
        units: How many closed users of the candidate, or compared users, it stands on.
        low, high: A band that holds at every look; None before there is one.
        worse: Evidence that the candidate is worse, and what is enough of it; it rolls back.
        better: Evidence that it is not worse than allowed, and what is enough; it promotes.
        needed: How many more units would decide it at the present difference; None where unknown.
    """

    name: str
    units: int = 0
    champion: float | None = None
    candidate: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    worse: float = 1.0
    worse_needed: float = 0.0
    better: float = 1.0
    better_needed: float = 0.0
    needed: int | None = None


class RolloutVerdict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the evidence says by now, in a word, a sentence, and numbers.

    Attributes:
        expected_us: When it is expected to be decided, at the present traffic; None where unknown.
    """

    word: Word = "wait"
    why: str = ""
    figures: tuple[Figure, ...] = ()
    expected_us: int | None = None


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """One candidate on its way.

    Attributes:
        step: Which of the steps it is at, from 0.
        step_at_us: When that began; units of the step are those that began after it.
        why: What ended it.
        seen: Id of the last record that was counted.
        version: Grows with every write: who would write over another's is refused.
        progress: The evidence so far, as JSON values; only `release.canary` reads it.
    """

    id: str
    service: str
    champion: str
    candidate: str
    judge: Judge
    state: RolloutState
    step: int
    share: float
    started_at_us: int
    step_at_us: int
    ended_at_us: int | None
    by: str
    why: str
    seen: str
    version: int
    progress: dict[str, Any]
    verdict: RolloutVerdict
