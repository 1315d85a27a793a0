"""From the records of a rollout to closed users: each counted once, whenever one looks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from sqlalchemy import Engine

from ..store.met import Met, unit_key
from ..store.rollout_units import (
    Unit,
    UnitArm,
    read_drafted,
    read_met,
    read_outcomes,
    read_records,
    read_units,
    units_due,
)
from ..store.rollouts import Rollout
from ..store.truth import Truth
from ..types import Arm, Outcome, Record
from .canary import Asked, ClosedUnit
from .losses import (
    CANCELLED,
    Measures,
    has_failed,
    known_of_both,
    label_loss,
    losses_of,
    means_of,
)

PAGE = 2_000
MOST_AT_ONCE = 10_000
"""Records, and users, that one look takes; the next one goes on there."""
_NAME = 4
"""Hex of a user's hash that tells it from a few others, and is many people's: it is not deleted."""
MOST_OF_A_UNIT = 32
"""Requests of one user whose outcomes are waited for; the rest counts without."""
_ARMS: dict[Arm, UnitArm] = {"champion": "champion", "candidate": "candidate"}


class Judged(NamedTuple):
    """What the declarations of a rollout say of how it is judged.

    Attributes:
        unit_of: Names the user, entity or conversation of a record.
        again_us: After how long a unit counts anew; 0 where it counts once in a step.
        window_us: How long a unit is watched.
        labels_us: How long outcomes are waited for after that.
        lag_us: How long a request may take to leave its record.
    """

    measures: Measures
    truth: Truth
    unit_of: Callable[[Record], str]
    again_us: int
    window_us: int
    labels_us: int
    lag_us: int


class Gathered(NamedTuple):
    """What one look found.

    Attributes:
        units: Those that are not as they were.
        closed: Those whose evidence is complete, in the order in which they closed.
        failures: Of each request of the candidate, in their order, whether it failed.
        asked: All requests in their order, and whether models failed them, even if a ladder did
            not.
        seen: Id of the last record that was read.
    """

    units: list[Unit]
    closed: list[ClosedUnit]
    failures: list[bool]
    asked: list[Asked]
    seen: str


class Gatherer:
    """Reads what is new of one rollout.

    Args:
        state: The database; what the spool holds must have been drained.
        rollout: As it was read.
        judged: What its declarations say.
        now_us: The project's time.
    """

    def __init__(self, state: Engine, rollout: Rollout, judged: Judged, now_us: int) -> None:
        self._state = state
        self._rollout = rollout
        self._judged = judged
        self._until_us = now_us - judged.lag_us
        self._units: dict[str, Unit] = {}
        self._closed: list[ClosedUnit] = []
        self._asked: list[Asked] = []

    def gather(self) -> Gathered:
        """Return what is new."""
        found, seen = self._read()
        self._add(found)
        self._close()
        self._judge(self._ripe())
        is_ours: Arm = "shadow" if self._rollout.judge == "shadow" else "candidate"
        ours = [r for r in found if r.arm == is_ours and r.error_code != CANCELLED]
        failures = [record.disposition == "failed" for record in ours]
        self._closed.sort(key=lambda unit: unit.closed_us)
        return Gathered(list(self._units.values()), self._closed, failures, self._asked, seen)

    def _read(self) -> tuple[list[Record], str]:
        """Return the records of this step that nobody counted yet, and the last id that was read.

        A request that is slow leaves its record after later ones. So none is read before all that
        came by then have left theirs.
        """
        rollout, found = self._rollout, list[Record]()
        arms: tuple[Arm, ...] = ("candidate", "champion")
        if rollout.judge == "shadow":
            arms = ("shadow",)
        seen = last = rollout.seen or id_at(rollout.started_at_us)
        while len(found) < MOST_AT_ONCE:
            until = id_at(self._until_us)
            page = read_met(self._state, rollout.service, arms, last, until, PAGE)
            found += [r for r in page if r.canary == rollout.id and r.at_us >= rollout.step_at_us]
            seen = last = page[-1].id if page else last
            if len(page) < PAGE:
                return found, seen
        self._until_us = found[-1].at_us  # what came later is the next look's
        return found, seen

    def _add(self, found: list[Record]) -> None:
        """Add records to their users."""
        is_shadow = self._rollout.judge == "shadow"
        shown: Mapping[str, Record] = {}
        if is_shadow:
            shown = read_records(self._state, {record.parent for record in found})
        pairs = [(self._key(record), record) for record in found]
        before = read_units(self._state, self._rollout.id, {key for key, _ in pairs})
        for key, record in pairs:
            champion = shown.get(record.parent)
            if is_shadow and champion is None:
                continue
            self._note(key, record, champion)
            unit = self._units.get(key) or before.get(key) or self._new_unit(key, record)
            if unit.state != "open" or record.at_us > unit.due_us:
                continue
            if not is_shadow and unit.arm != record.arm:
                continue  # what moved it meanwhile is no evidence
            if self._count(unit.met, record, champion):
                self._units[key] = unit

    def _note(self, key: str, record: Record, champion: Record | None) -> None:
        """Note whether models answered, unless that says nothing of them."""
        if "errors" in losses_of(record, self._judged.measures):
            arm = _ARMS.get(record.arm, "both")
            others_failed = champion is not None and has_failed(champion)
            name = key[:_NAME]
            self._asked.append(Asked(arm, name, has_failed(record), others_failed))

    def _count(self, met: Met, record: Record, champion: Record | None) -> bool:
        """Add a request to those of its user, unless it says nothing: that begins no window."""
        losses = losses_of(record, self._judged.measures)
        if champion is not None:
            shown = losses_of(champion, self._judged.measures)
            losses = {name: loss for name, loss in losses.items() if name in shown}
            _add_up(met.champion_sums, met.champion_counts, {n: shown[n] for n in losses})
        _add_up(met.sums, met.counts, losses)
        if len(met.requests) < MOST_OF_A_UNIT and losses:
            met.requests.append((record.parent if champion is not None else record.id, record.id))
        return bool(losses)

    def _key(self, record: Record) -> str:
        judged, rollout = self._judged, self._rollout
        window = record.at_us // judged.again_us if judged.again_us else 0
        return unit_key(rollout.id, rollout.step, judged.unit_of(record), window)

    def _new_unit(self, key: str, record: Record) -> Unit:
        rollout, at_us = self._rollout, record.at_us
        arm = _ARMS.get(record.arm, "both")
        due_us = at_us + self._judged.window_us
        return Unit(rollout.id, key, rollout.step, arm, "open", at_us, due_us, Met())

    def _close(self) -> None:
        """Close the users whose window is over; from now on they wait for outcomes."""
        due = units_due(self._state, self._rollout.id, "open", self._until_us, MOST_AT_ONCE)
        here = {unit.unit: unit for unit in due} | self._units
        for unit in here.values():
            if unit.state != "open" or unit.due_us > self._until_us:
                continue
            losses = means_of(unit.met.sums, unit.met.counts)
            others = means_of(unit.met.champion_sums, unit.met.champion_counts)
            if losses:
                self._hand_over(unit, losses, others, unit.due_us)
            met = Met(requests=unit.met.requests)
            until_us = unit.due_us + self._judged.labels_us
            self._units[unit.unit] = unit._replace(state="waiting", due_us=until_us, met=met)

    def _ripe(self) -> list[Unit]:
        """Return the users whose outcomes have had their time: all the same, whatever they are.

        Those of right answers may come sooner: counted as they come, they flatter.
        """
        due = units_due(self._state, self._rollout.id, "waiting", self._until_us, MOST_AT_ONCE)
        closed = (u for u in self._units.values() if u.due_us <= self._until_us)
        here = {unit.unit: unit for unit in (*due, *closed) if unit.state == "waiting"}
        return list(here.values())

    def _judge(self, waiting: list[Unit]) -> None:
        """Hand over what became known of users; those of whom nothing did are done without."""
        about = {shown for unit in waiting for shown, _ in unit.met.requests}
        known = read_outcomes(self._state, about)
        asked = [pair for u in waiting for pair in u.met.requests if pair[0] in known]
        outputs = read_drafted(self._state, {id for pair in asked for id in pair})
        name = self._judged.measures.label
        for unit in waiting:
            found = [self._labels(pair, known, outputs) for pair in unit.met.requests]
            labels = [pair for pair in found if pair is not None]
            if labels:
                ours, theirs = (sum(side) / len(labels) for side in zip(*labels, strict=True))
                others = {name: theirs} if unit.arm == "both" else {}
                self._hand_over(unit, {name: ours}, others, unit.due_us)
            self._units[unit.unit] = unit._replace(state="done", met=Met())

    def _labels(
        self,
        pair: tuple[str, str],
        known: Mapping[str, list[Outcome]],
        outputs: Mapping[str, bytes],
    ) -> tuple[float, float] | None:
        """Return how wrong the judged answer and the shown one were, once that is known."""
        shown, own = pair
        measures, truth = self._judged.measures, self._judged.truth
        said, output = known.get(shown, []), outputs.get(own, b"")
        if own != shown:
            said = known_of_both(outputs.get(shown, b""), said)
        theirs = label_loss(outputs.get(shown, b""), said, measures, truth)
        ours = label_loss(output, said, measures, truth)
        return None if ours is None or theirs is None else (ours, theirs)

    def _hand_over(
        self, unit: Unit, losses: dict[str, float], others: dict[str, float], closed_us: int
    ) -> None:
        self._closed.append(
            ClosedUnit(arm=unit.arm, closed_us=closed_us, losses=losses, champion_losses=others)
        )


def time_in(id: str) -> int:
    """Return the time in microseconds that an id sorts by.

    >>> time_in(id_at(1_700_000_000_000_000)) == 1_700_000_000_000_000
    True
    """
    return int(id[3:15], 16) * 1000


def id_at(at_us: int) -> str:
    """Return what sorts before every id of a request of this time, and after every earlier one."""
    return f"rq_{max(at_us, 0) // 1000:012x}"


def _add_up(sums: dict[str, float], counts: dict[str, int], losses: Mapping[str, float]) -> None:
    for name, loss in losses.items():
        sums[name] = sums.get(name, 0.0) + loss
        counts[name] = counts.get(name, 0) + 1
