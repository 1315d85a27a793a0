"""Whether a candidate goes on, waits or goes back: a pure decision over closed users.

The unit is the user (or the entity or conversation that `[outcomes]` declares), closed a window
after its first request of the step: requests of one user fail together, and tests of requests
rolled back every fourth good release. Users of both arms are paired in the order in which they
close; a shadow answers the same requests, so that each user is a pair of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from ..risk import rollout
from ..store.rollouts import Figure, RolloutVerdict, Word
from .forecast import MOST_DAYS, Forecast, expected_duration
from .terms import Terms, terms_of

__all__ = [
    "CONSECUTIVE_FAILURES",
    "MOST_DAYS",
    "Asked",
    "ClosedUnit",
    "Forecast",
    "Progress",
    "Terms",
    "decide",
    "expected_duration",
    "plain_of",
    "progress_of",
    "take",
    "take_asked",
    "take_requests",
    "terms_of",
]

CONSECUTIVE_FAILURES = 5
"""So many failed requests of the candidate in a row roll back at once, whatever the bets say."""
_MOST_FALLEN = 64
_BY_CHANCE = 1e-6
"""How likely it may be that chance alone lets so many users of the candidate fail in a row."""
_MOST_BLOCKS = 10
"""Users that wait for the other arm, in blocks; older ones are dropped, so that pairs are of one
time. The coin of the split decides which, and no outcome does."""


class ClosedUnit(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A user whose window is over, or whose outcomes have come.

    Hand a user over once with what was known when its window closed, and once more with nothing but
    `wrong` (or `brier`) when the time for its outcomes is over; not at all where none came. Not as
    soon as they come: those of right answers come sooner, so that a candidate that is worse by more
    than allowed was promoted in every third rollout. Each metric pairs the users that have it.

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
        fallen: Users of the candidate whom its models failed one after the other, by their hashes.
        others, others_fallen: Requests of the champion meanwhile, and those its models failed.
        crash: How it crashed, where its ladder still answers.
    """

    tracks: dict[str, Track] = {}
    step: int = 0
    since_us: int = 0
    until_us: int = 0
    consecutive_failures: int = 0
    has_crashed: bool = False
    fallen: tuple[str, ...] = ()
    others: int = 0
    others_fallen: int = 0
    crash: str = ""


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


class Asked(NamedTuple):
    """One request, in the order in which they came.

    Attributes:
        arm: Which release it met; `both` of a shadow.
        unit: Hash of its user.
        has_failed: Whether the models of that release did not answer, even if its ladder did; of a
            shadow those of the candidate.
        others_failed: Of a shadow, the same of the champion.
    """

    arm: Literal["champion", "candidate", "both"]
    unit: str
    has_failed: bool
    others_failed: bool = False


def take_asked(progress: Progress, asked: Iterable[Asked]) -> Progress:
    """Return the progress after requests, whose ladders may hide that no model answers any more.

    Nobody gets a 5xx then, yet to wait until windows are over would be to let all of them down.
    Users are counted, since requests of one fail together; and the champion meanwhile, since what
    fails both is no crash of the candidate.
    """
    if progress.has_crashed:
        return progress
    run, crash = list(progress.fallen), ""
    others, fallen = progress.others, progress.others_fallen
    for one in asked:
        if one.arm == "champion":
            others, fallen = others + bool(run), fallen + bool(run and one.has_failed)
            continue
        is_its_own = one.has_failed and not one.others_failed
        if one.arm == "both" and run:
            others, fallen = others + 1, fallen + one.others_failed
        if not one.has_failed:
            run, others, fallen = [], 0, 0
        elif is_its_own and one.unit not in run:
            run = [*run, one.unit][-_MOST_FALLEN:]
        chance = ((fallen + 2) / (others + 3)) ** len(run)  # few others say little
        if len(run) >= CONSECUTIVE_FAILURES and chance <= _BY_CHANCE and not crash:
            crash = f"the models of the candidate answered none of {len(run)} users in a row"
    return msgspec.structs.replace(
        progress,
        fallen=tuple(run),
        others=others,
        others_fallen=fallen,
        crash=crash,
        has_crashed=bool(crash),
    )


def take(progress: Progress, units: Sequence[ClosedUnit], terms: Terms) -> Progress:
    """Return the progress after more closed users; the same however they are batched.

    Args:
        progress: So far; it is not changed.
        units: In the order in which they were closed, each once.
        terms: Of the step that they belong to.

    Raises:
        ValueError: A loss is no number from 0 to 1.
    """
    tracks = msgspec.convert(msgspec.to_builtins(progress.tracks), dict[str, Track])
    since_us, until_us, step = progress.since_us, progress.until_us, progress.step
    if terms.step != step:
        since_us, step = 0, terms.step
        for track in tracks.values():
            _begin_step(track)
    for unit in units:
        since_us = since_us or unit.closed_us
        until_us = max(until_us, unit.closed_us)
        for name, loss in unit.losses.items():
            if name in terms.metrics:
                if name not in tracks:
                    evidence = rollout.Evidence(terms.max_regression)
                    tracks[name] = Track(evidence, Arm(), Arm())
                _see(tracks[name], unit, name, loss, terms.block)
    return msgspec.structs.replace(
        progress, tracks=tracks, step=step, since_us=since_us, until_us=until_us
    )


def _begin_step(track: Track) -> None:
    rollout.begin_step(track.evidence)
    track.step_units = 0
    for arm in (track.champion, track.candidate):
        arm.part, arm.blocks = [], []


def _see(track: Track, unit: ClosedUnit, name: str, loss: float, block: tuple[int, int]) -> None:
    """Count one user in one metric, in place."""
    if unit.arm == "both":
        other = unit.champion_losses.get(name)
        if other is None:
            return
        _count(track.candidate, loss)
        _count(track.champion, other)
        track.step_units += 1
        rollout.see(track.evidence, loss - other)
        return
    is_candidate = unit.arm == "candidate"
    arm, other_arm = track.champion, track.candidate
    if is_candidate:
        arm, other_arm = other_arm, arm
        track.step_units += 1
    _count(arm, loss)
    arm.part.append(loss)
    if len(arm.part) < block[0 if is_candidate else 1]:
        return
    mean, arm.part = sum(arm.part) / len(arm.part), []
    if other_arm.blocks:
        other_mean = other_arm.blocks.pop(0)
        rollout.see(track.evidence, mean - other_mean if is_candidate else other_mean - mean)
    else:
        arm.blocks = [*arm.blocks, mean][-_MOST_BLOCKS:]


def _count(arm: Arm, loss: float) -> None:
    if not 0 <= loss <= 1:
        raise ValueError(f"expected a loss from 0 to 1, got {loss}")
    arm.units += 1
    arm.total += loss


def decide(progress: Progress, terms: Terms) -> RolloutVerdict:
    """Return what the evidence says by now; it may be asked as often as one likes."""
    if progress.step != terms.step:
        progress = take(progress, (), terms)
    figures = tuple(_figure(name, progress.tracks.get(name), terms) for name in terms.metrics)
    if progress.has_crashed:
        why = progress.crash or f"{CONSECUTIVE_FAILURES} requests of the candidate failed in a row"
        return RolloutVerdict(word="roll_back", why=why, figures=figures)
    worse = [figure for figure in figures if figure.worse >= figure.worse_needed]
    if worse:
        why = "; ".join(_worse(figure) for figure in worse)
        return RolloutVerdict(word="roll_back", why=why, figures=figures)
    if terms.judge == "canary" and terms.share >= 1:
        why = "every step before was passed"
        return RolloutVerdict(word="promote", why=why, figures=figures)
    counted = [figure for figure in figures if _counts(figure, terms)]
    open_ = [figure for figure in counted if figure.better < figure.better_needed]
    here = max((track.step_units for track in progress.tracks.values()), default=0)
    if counted and not open_ and here >= terms.min_units:
        word: Word = "promote" if terms.is_last else "advance"
        why = f"not worse than allowed in {_names(counted)}, on {_units(here, terms)}"
        return RolloutVerdict(word=word, why=why, figures=figures)
    return RolloutVerdict(
        why=_waiting(open_, here, terms),
        figures=figures,
        expected_us=_expected(counted, open_, here, progress, terms),
    )


def _figure(name: str, track: Track | None, terms: Terms) -> Figure:
    enough_worse, enough_better = math.exp(terms.log_worse), math.exp(terms.log_better)
    if track is None:
        return Figure(name=name, worse_needed=enough_worse, better_needed=enough_better)
    evidence = track.evidence
    low, high = rollout.band(evidence, terms.log_worse, terms.log_better)
    pairs = rollout.needed(evidence, terms.log_worse, terms.log_better)
    return Figure(
        name=name,
        units=track.candidate.units,
        champion=track.champion.mean,
        candidate=track.candidate.mean,
        difference=evidence.difference,
        low=low,
        high=high,
        worse=_exp(evidence.most_worse, terms.log_worse),
        worse_needed=enough_worse,
        better=_exp(evidence.log_better, terms.log_better),
        better_needed=enough_better,
        needed=None if pairs is None else pairs * terms.block[0],
    )


def _exp(log: float, enough: float) -> float:
    """Return the evidence, at least what is enough where its log is, and finite."""
    found = math.exp(min(log, 700.0))
    return max(found, math.exp(enough)) if log >= enough else found


def _counts(figure: Figure, terms: Terms) -> bool:
    """Return whether nothing is promoted before this metric allows it."""
    return figure.name in terms.required or figure.units >= terms.min_units


def _expected(
    counted: list[Figure], open_: list[Figure], here: int, progress: Progress, terms: Terms
) -> int | None:
    """Return when it is expected to be decided; None where that is unknown."""
    passed = progress.until_us - progress.since_us
    if not here or passed <= 0:
        return None
    needs = [figure.needed for figure in open_]
    worse = [
        figure.needed
        for figure in open_
        if figure.needed and (figure.difference or 0.0) > terms.max_regression
    ]
    if worse:
        more: int | None = min(worse)
    elif not counted:
        more = terms.min_units - here
    elif None in needs:
        more = None
    else:
        more = max([terms.min_units - here, *(need for need in needs if need is not None)])
    return None if more is None else progress.until_us + round(max(more, 1) * passed / here)


_WORSE = {
    "errors": "more failures",
    "late": "more late answers",
    "cost": "higher cost",
    "denials": "more answers that guards deny",
    "doubt": "more doubt",
    "wrong": "more wrong answers",
    "brier": "a larger squared error of probabilities",
}
"""How each metric is worse, in words."""
_SCORES = ("cost", "doubt", "brier")
"""Metrics that are means of numbers from 0 to 1, and no shares of requests."""
_MANY = 1_000
"""So many times what is enough needs no number."""


def _worse(figure: Figure) -> str:
    times = figure.worse / figure.worse_needed if figure.worse_needed else 1.0
    far = "over a thousand times" if times > _MANY else f"{max(times, 1.0):,.1f} times"
    return (
        f"{_WORSE.get(figure.name, figure.name)} with the candidate: "
        f"{_mean(figure.name, figure.candidate)} instead of {_mean(figure.name, figure.champion)} "
        f"over {figure.units:,} users, {far} the evidence that is enough"
    )


def _waiting(open_: list[Figure], here: int, terms: Terms) -> str:
    if here < terms.min_units:
        return f"{here:,} of at least {terms.min_units:,} users of the candidate were seen"
    if not open_:
        return "no metric was measured yet"
    least = min(open_, key=lambda figure: figure.better)
    more = "" if least.needed is None else f"; about {least.needed:,} users more would decide it"
    return (
        f"{least.name}: evidence {least.better:,.1f} of {least.better_needed:,.0f} that it is not "
        f"worse than allowed{more}"
    )


def _names(figures: list[Figure]) -> str:
    return ", ".join(figure.name for figure in figures)


def _units(count: int, terms: Terms) -> str:
    return f"{count:,} {'compared users' if terms.judge == 'shadow' else 'users of this step'}"


def _mean(name: str, value: float | None) -> str:
    if value is None:
        return "nothing"
    return f"{value:.3f}" if name in _SCORES else f"{value:.1%}"
