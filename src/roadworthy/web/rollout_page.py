"""One candidate on its way as its page shows it: steps, evidence, what happens next."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec

from ..declare.release import ReleasePolicy
from ..store.clock import time_of
from ..store.rollouts import Figure, Look, Rollout
from ..store.switchboard import Stop
from . import rollout_words as words
from .control import Ask
from .release_figures import (
    FigureShown,
    LookShown,
    RolloutPage,
    RolloutRow,
    RolloutShown,
    StepShown,
)
from .release_rows import looks_of, rollouts_of
from .shapes import Stopped
from .states import State, rank
from .units import show

MOST_LOOKS = 60
MOST_EARLIER = 20
MOST_FIGURES = 12
HALFWAY = 0.5
"""From this level on, on a log scale, evidence of harm puts a metric at risk."""


def rollout_page(ask: Ask, service: str) -> RolloutPage:
    """Return what the page of a service's rollout shows."""
    now = time_of(ask.control.clock.now_us())
    found = rollouts_of(ask.control.state, service, MOST_EARLIER)
    newest = found[0] if found else None
    frozen = frozen_of(ask, service)
    shown = rollout_shown(ask, newest) if newest else None
    return RolloutPage(
        says=words.headline(newest, now) if newest else words.none(service),
        as_of=now,
        service=service,
        frozen=frozen,
        says_frozen=says_frozen(frozen, now),
        last_good=ask.control.switchboard.get(f"last_good:{service}"),
        rollout=shown,
        earlier=tuple(map(_row, found[1:])),
        command=f"roadworthy release promote {service} RELEASE",
    )


def rollout_shown(ask: Ask, rollout: Rollout) -> RolloutShown:
    """Return one rollout with its evidence.

    Args:
        ask: Who asks.
        rollout: The candidate on its way, whose file declares the steps.
    """
    policy, now = _policy_of(ask, rollout), time_of(ask.control.clock.now_us())
    shares = _shares(policy, rollout)
    terms = policy.shadow if rollout.judge == "shadow" else policy.canary
    figures = sorted(map(figure_of, rollout.verdict.figures[:MOST_FIGURES]), key=_worst_first)
    drawn = figures[0].name if figures else ""
    expected_us = rollout.verdict.expected_us
    # A time that is over says nothing: no look was taken since, or traffic stopped.
    expected = None if expected_us is None else time_of(expected_us)
    expected = expected if expected is not None and expected > now else None
    return show(
        RolloutShown,
        rollout,
        progress=rollout.state,
        word=words.WORDS[rollout.state],
        state=words.STATES[rollout.state],
        steps=tuple(_steps(shares, rollout.step)),
        says=tuple(words.says(_with_worst_first(rollout, drawn))),
        next=words.next_of(rollout, shares, expected, now),
        verdict=rollout.verdict.word,
        allowed=terms.max_regression,
        false_alarm=terms.false_alarm,
        sure=terms.sure,
        figures=tuple(figures),
        expected=expected,
        looks=tuple(_look(look, drawn) for look in _looks(ask, rollout)),
    )


def _policy_of(ask: Ask, rollout: Rollout) -> ReleasePolicy:
    """Return what the candidate declares, by which it is judged; of one that is gone, a guess."""
    read = ask.control.shipping.declared
    declared = None if read is None else read(rollout.candidate)
    if declared is None:
        return policy_of(ask, rollout.service, rollout.champion)
    return declared.release


def policy_of(ask: Ask, service: str, champion: str) -> ReleasePolicy:
    """Return how a candidate becomes what serves, as what serves declares it."""
    declared = ask.declared(service, champion)
    return ReleasePolicy() if declared is None else declared.release


def open_rollout(ask: Ask, service: str) -> Rollout | None:
    """Return the rollout that runs or stands still, if there is one."""
    found = rollouts_of(ask.control.state, service, 1)
    return found[0] if found and found[0].state in ("running", "frozen") else None


def why_taken_back(ask: Ask, service: str, candidate: str) -> str:
    """Return why the last rollout of a candidate took it back; empty where none did."""
    found = rollouts_of(ask.control.state, service, MOST_EARLIER)
    last = next((one for one in found if one.candidate == candidate), None)
    if last is None or last.state != "rolled_back":
        return ""
    return f"its {last.judge} took it back: {last.why or last.verdict.why}"


def frozen_of(ask: Ask, service: str) -> Stopped | None:
    """Return who lets nothing else serve for now, if anyone does."""
    value = ask.control.switchboard.get(f"freeze:{service}")
    if not value:
        return None
    try:
        return show(Stopped, msgspec.json.decode(value, type=Stop))
    except msgspec.MsgspecError:
        return show(Stopped, Stop("", 0, value))


def says_frozen(frozen: Stopped | None, now: datetime) -> str:
    """Return who froze a service, in one sentence; empty while nobody did."""
    return words.frozen(frozen.by, frozen.reason, frozen.since, now) if frozen else ""


def figure_of(figure: Figure) -> FigureShown:
    """Return one metric with its evidence as shares of what decides."""
    word, state = _stands(figure)
    return show(
        FigureShown,
        figure,
        label=words.METRICS.get(figure.name, figure.name),
        unit=words.unit_of(figure.name),
        harm=_share(figure.worse, figure.worse_needed),
        gain=_share(figure.better, figure.better_needed),
        harm_level=level_of(figure.worse, figure.worse_needed),
        gain_level=level_of(figure.better, figure.better_needed),
        word=word,
        state=state,
    )


def level_of(evidence: float, needed: float) -> float:
    """Return how far evidence has come on a log scale: 0 is none, 1 is enough.

    >>> level_of(1.0, 20.0), level_of(20.0, 20.0), round(level_of(4.47, 20.0), 2)
    (0.0, 1.0, 0.5)
    >>> level_of(0.2, 20.0), level_of(5.0, 0.0), level_of(float("inf"), 20.0)
    (0.0, 0.0, 1.0)
    """
    if needed <= 1 or evidence <= 1:
        return 1.0 if 0 < needed <= evidence else 0.0
    return 1.0 if math.isinf(evidence) else min(1.0, math.log(evidence) / math.log(needed))


def _stands(figure: Figure) -> tuple[str, State]:
    if words.is_harm(figure):
        return "roll back", "breached"
    if words.is_fine(figure):
        return "no harm", "healthy"
    if level_of(figure.worse, figure.worse_needed) >= HALFWAY:
        return "at risk", "at_risk"
    return "wait", "collecting"


def _share(evidence: float, needed: float) -> float | None:
    if needed <= 0 or not math.isfinite(needed):
        return None
    return 1.0 if math.isinf(evidence) else max(0.0, min(1.0, evidence / needed))


def _worst_first(figure: FigureShown) -> tuple[bool, int, float, bool]:
    """Order metrics; among those that say nothing yet, what has a difference to draw is first.

    What nobody was measured by says nothing, and is last.
    """
    harm = figure.harm_level if figure.harm_level >= HALFWAY else 0.0
    return figure.units == 0, rank(figure.state), -harm, figure.difference is None


def _with_worst_first(rollout: Rollout, name: str) -> Rollout:
    figures = sorted(rollout.verdict.figures, key=lambda one: one.name != name)
    verdict = msgspec.structs.replace(rollout.verdict, figures=tuple(figures))
    return msgspec.structs.replace(rollout, verdict=verdict)


def _shares(policy: ReleasePolicy, rollout: Rollout) -> tuple[float, ...]:
    """Return the steps; a rollout at another share than declared stands alone."""
    if rollout.judge == "shadow":
        return (rollout.share,)
    steps = policy.canary.steps
    is_declared = rollout.step < len(steps) and abs(steps[rollout.step] - rollout.share) < 1e-9
    return steps if is_declared else (rollout.share,)


def _steps(shares: Sequence[float], step: int) -> Iterator[StepShown]:
    here = min(step, len(shares) - 1)
    for number, share in enumerate(shares):
        standing = "now" if number == here else "past" if number < here else "to come"
        yield StepShown(number=number, share=share, standing=standing)  # type: ignore[arg-type]


def _looks(ask: Ask, rollout: Rollout) -> list[Look]:
    return looks_of(ask.control.state, rollout.id, MOST_LOOKS)


def _look(look: Look, name: str) -> LookShown:
    drawn = next((one for one in look.verdict.figures if one.name == name), Figure(name=name))
    figures = [one for one in look.verdict.figures if one.units]
    harm = max((level_of(one.worse, one.worse_needed) for one in figures), default=0.0)
    gain = min((level_of(one.better, one.better_needed) for one in figures), default=0.0)
    return LookShown(
        at=time_of(look.at_us),
        units=drawn.units,
        difference=drawn.difference,
        low=drawn.low,
        high=drawn.high,
        harm_level=harm,
        gain_level=gain,
    )


def _row(rollout: Rollout) -> RolloutRow:
    word, state = words.WORDS[rollout.state], words.STATES[rollout.state]
    return show(RolloutRow, rollout, word=word, state=state)
