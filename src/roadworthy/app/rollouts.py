"""The job that looks at candidates on their way, and lets them go on, serve, or go back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal, NamedTuple

import msgspec
from sqlalchemy import Connection

from ..declare.service import ServiceDeclaration
from ..errors import Conflict, NotFound, NotReady, RequestError, StoreError
from ..release import bundle, gates, registry
from ..release.canary import (
    CONSECUTIVE_FAILURES,
    Forecast,
    Terms,
    decide,
    expected_duration,
    plain_of,
    progress_of,
    take,
    take_asked,
    take_requests,
    terms_of,
)
from ..release.gathered import Gathered, Gatherer, Judged, id_at, time_in
from ..release.losses import Measures, measures_of, unit_of
from ..release.promotion import finish_rollout
from ..serve.splits import OpenSplit
from ..store.actions import append_action
from ..store.rollout_units import save_units
from ..store.rollouts import (
    Judge,
    Rollout,
    RolloutVerdict,
    add_look,
    add_rollout,
    forget_units,
    open_rollouts,
    point,
    save_rollout,
)
from ..store.switchboard import hold_pointers, read_pointer
from ..store.truth import Truth
from ..types import MICRO, Ids
from .ground import Ground
from .traffic import Traffic, measure_traffic

BY = "job:rollouts"
SET_BACK_US = 600 * MICRO
"""By how much the clock may go back: whoever comes before what was counted is counted by nobody."""
SETTLED_S = 1.0
"""How long after its deadline a request may take to leave its record."""


class Started(NamedTuple):
    """A rollout that has begun, and how long it is expected to take."""

    rollout: Rollout
    forecast: Forecast


class Rollouts:
    """Looks after the rollouts of a project.

    Args:
        ground: Has the releases and the records.
        splits: What meets candidates in this process.
    """

    def __init__(self, ground: Ground, splits: Callable[[], Mapping[str, OpenSplit]]) -> None:
        self._ground = ground
        self._splits = splits

    def look(self, now_us: int) -> str:
        """Look at each rollout that runs, and say what came of it.

        Args:
            now_us: The project's time; the spool must have been drained since.
        """
        said, failed = [], []
        for rollout in open_rollouts(self._ground.state):
            if rollout.state != "running":
                continue
            try:
                said.append(f"{rollout.service}: {self._look_at(rollout, now_us)}")
            except Exception as error:  # noqa: BLE001 - outer edge: one must not keep the others
                failed.append(error)
        if failed:
            raise failed[0]
        return "; ".join(said) or "no rollout runs"

    def give_up(self, rollout: Rollout, why: str) -> None:
        """Take a candidate back that cannot be judged; what serves is not touched."""
        verdict = RolloutVerdict(word="roll_back", why=why, figures=rollout.verdict.figures)
        self._write(rollout, Gathered([], [], [], [], rollout.seen), rollout.progress, verdict)

    def _look_at(self, rollout: Rollout, now_us: int) -> str:
        ground = self._ground
        champion = declared_of(ground, rollout.champion)
        try:
            candidate = declared_of(ground, rollout.candidate)
        except (NotFound, StoreError) as error:
            self.give_up(rollout, str(error))
            return f"went back: {error}"
        if time_in(rollout.seen) > now_us + SET_BACK_US:
            why = "the clock was set back behind what was counted; begin again"
            self.give_up(rollout, why)
            return f"went back: {why}"
        judged, terms = _judged(ground, rollout, champion, candidate)
        found = Gatherer(ground.state, rollout, judged, now_us).gather()
        progress = take_requests(progress_of(rollout.progress), found.failures)
        progress = take_asked(progress, found.asked)
        split = self._splits().get(rollout.service)
        if split is not None and split.is_off and split.split.id == rollout.id:
            progress = take_requests(progress, [True] * CONSECUTIVE_FAILURES)
        progress = take(progress, found.closed, terms)
        verdict = self._unless_held_up(rollout, decide(progress, terms))
        if verdict.word != "wait" or found.units or found.seen != rollout.seen:
            try:
                self._write(rollout, found, plain_of(progress), verdict)
            except Conflict as error:
                return str(error)  # somebody else acted meanwhile: the next look sees what
        return f"{verdict.word}: {verdict.why}"

    def _unless_held_up(self, rollout: Rollout, verdict: RolloutVerdict) -> RolloutVerdict:
        """Let what would be promoted wait while a gate no longer holds: a waiver may have ended."""
        if verdict.word != "promote":
            return verdict
        ground = self._ground
        release = registry.read_release(ground.state, rollout.candidate)
        found = ground.standing_of(release.id)
        try:
            if gates.is_gated(ground.state, ground.artifacts, release):
                risk = gates.risk_of(ground.state, ground.artifacts, release)
                gates.check_ready(release, found, risk)
        except NotReady as error:
            return msgspec.structs.replace(verdict, word="wait", why=f"{verdict.why}; but {error}")
        return verdict

    def _write(
        self,
        rollout: Rollout,
        found: Gathered,
        progress: dict[str, object],
        verdict: RolloutVerdict,
    ) -> None:
        """Keep what a look saw and do what follows from it: all of it, or nothing.

        Raises:
            Conflict: Somebody else wrote the rollout, or changed what serves, since it was read.
        """
        now_us = self._ground.clock.now_us()
        kept = msgspec.structs.replace(rollout, seen=found.seen, progress=progress, verdict=verdict)
        with self._ground.state.begin() as connection:
            act = _ACTS.get(verdict.word)
            if act is not None:
                kept = act(self._ground, connection, kept, verdict.why, now_us)
            save_rollout(connection, kept)
            if kept.state == "running" and kept.step == rollout.step:
                save_units(connection, found.units)
            else:
                forget_units(connection, rollout.id)
            if found.closed or act is not None:
                add_look(connection, rollout.id, now_us, verdict)


def _advance(
    ground: Ground, connection: Connection, rollout: Rollout, why: str, now_us: int
) -> Rollout:
    declared = declared_of(ground, rollout.candidate)
    step = rollout.step + 1
    share = declared.release.canary.steps[step]
    moved = msgspec.structs.replace(rollout, step=step, share=share, step_at_us=now_us)
    point(connection, moved)
    detail = {"service": rollout.service, "share": share, "why": why}
    append_action(connection, ground.clock, BY, "release.advance", rollout.candidate, detail)
    return moved


def _finish(
    ground: Ground,
    connection: Connection,
    rollout: Rollout,
    why: str,
    now_us: int,
    *,
    word: Literal["promote", "roll_back"],
) -> Rollout:
    finish_rollout(connection, ground.clock, rollout, word, why, BY)
    return msgspec.structs.replace(
        rollout,
        state="promoted" if word == "promote" else "rolled_back",
        ended_at_us=now_us,
        why=why,
        version=rollout.version + 1,
    )


_ACTS: Mapping[str, Callable[[Ground, Connection, Rollout, str, int], Rollout]] = {
    "advance": _advance,
    "promote": partial(_finish, word="promote"),
    "roll_back": partial(_finish, word="roll_back"),
}


def begin_rollout(ground: Ground, service: str, candidate: str, *, by: str) -> Started:
    """Let a candidate meet live traffic as its `[release]` declares, and judge it there.

    Whether its files are whole and its gates hold, is for the caller to see to before.

    Args:
        ground: The project.
        service: Whose candidate it is.
        candidate: Id of the release.
        by: Who decides it.

    Raises:
        RequestError: It declares no judge, or at the present traffic it would never be decided.
        Conflict: Another rollout runs, nothing serves yet, it serves already, or all is frozen.
        NotFound: There is no such release, or it declares what cannot be read.
    """
    champion = registry.champion_id_of(ground.state, service)
    declared = declared_of(ground, candidate)
    judge = declared.release.judge
    if judge == "none":
        raise RequestError(
            f"release.judge: expected `shadow` or `canary`, got `none` - `{candidate}`; "
            "it can only be promoted at once"
        )
    _check_champion(service, champion, candidate)
    terms = _terms_of(ground, declared_of(ground, champion), declared, candidate, step=0)
    traffic = measure_traffic(ground, service, declared.outcomes)
    forecast = forecast_of(terms, declared, traffic)
    if not forecast.is_decidable:
        raise RequestError(f"a rollout of `{candidate}` would not be decided: {forecast.why}")
    rollout = _new_rollout(ground, service, champion, candidate, judge, declared, by)
    with ground.state.begin() as connection:
        hold_pointers(connection)
        _check_pointers(connection, service, champion)
        add_rollout(connection, rollout)
        detail = {"service": service, "champion": champion, "judge": judge, "why": forecast.why}
        append_action(connection, ground.clock, by, "release.begin", candidate, detail)
    return Started(rollout, forecast)


def forecast_of(terms: Terms, declared: ServiceDeclaration, traffic: Traffic) -> Forecast:
    """Return how long a rollout takes at the present traffic."""
    units = traffic.units_per_day
    if terms.judge == "shadow":
        units *= declared.release.shadow.share
    return expected_duration(terms, units, traffic.base or _BASE)


_BASE = 0.01
"""The mean loss that is reckoned with where none was seen."""


def declared_of(ground: Ground, release_id: str) -> ServiceDeclaration:
    """Return what a release declares.

    Raises:
        NotFound: There is no such release, or its declaration cannot be read.
    """
    release = registry.read_release(ground.state, release_id)
    declared = bundle.read_declared(release.manifest, ground.artifacts)
    if declared is None:
        raise NotFound(f"the declaration of `{release_id}` is gone or damaged; build it again")
    return declared


def _new_rollout(
    ground: Ground,
    service: str,
    champion: str,
    candidate: str,
    judge: Judge,
    declared: ServiceDeclaration,
    by: str,
) -> Rollout:
    now_us, policy = ground.clock.now_us(), declared.release
    return Rollout(
        id=Ids(ground.clock).new("ro", now_us),
        service=service,
        champion=champion,
        candidate=candidate,
        judge=judge,
        state="running",
        step=0,
        share=policy.shadow.share if judge == "shadow" else policy.canary.steps[0],
        started_at_us=now_us,
        step_at_us=now_us,
        ended_at_us=None,
        by=by,
        why="",
        seen=id_at(now_us),
        version=1,
        progress={},
        verdict=RolloutVerdict(),
    )


def _check_champion(service: str, champion: str, candidate: str) -> None:
    if not champion:
        raise Conflict(f"expected a release that serves `{service}`, got none; promote it at once")
    if champion == candidate:
        raise Conflict(f"`{candidate}` serves `{service}` already")


def _check_pointers(connection: Connection, service: str, champion: str) -> None:
    serves = read_pointer(connection, f"champion:{service}")
    if serves != champion:
        raise Conflict(
            f"expected `{champion}` to serve `{service}`, got `{serves}`; decide again with that"
        )
    if read_pointer(connection, f"freeze:{service}"):
        raise Conflict(
            f"`{service}` is frozen; `roadworthy release unfreeze {service}` lets others serve"
        )


def _judged(
    ground: Ground, rollout: Rollout, champion: ServiceDeclaration, candidate: ServiceDeclaration
) -> tuple[Judged, Terms]:
    policy, outcomes = candidate.release, candidate.outcomes
    terms = _terms_of(ground, champion, candidate, rollout.candidate, step=rollout.step)
    is_shadow = rollout.judge == "shadow"
    deadline_ms = max(d.objectives.deadline_ms for d in (champion, candidate))
    judged = Judged(
        measures=_measures(ground, champion, candidate, rollout.candidate),
        truth=Truth(outcomes.right),
        unit_of=unit_of(outcomes),
        again_us=outcomes.window_us if outcomes.unit == "entity" else 0,
        window_us=0 if outcomes.unit == "request" else policy.canary.window_us,
        labels_us=(policy.shadow if is_shadow else policy.canary).labels_within_us,
        lag_us=int((deadline_ms / 1000 + SETTLED_S) * MICRO),
    )
    return judged, terms


def _terms_of(
    ground: Ground,
    champion: ServiceDeclaration,
    candidate: ServiceDeclaration,
    release: str,
    *,
    step: int,
) -> Terms:
    measures = _measures(ground, champion, candidate, release)
    metrics, required = measures.metrics, measures.required
    return terms_of(candidate.release, metrics, step=step, required=required)


def _measures(
    ground: Ground, champion: ServiceDeclaration, candidate: ServiceDeclaration, release: str
) -> Measures:
    stored = registry.read_release(ground.state, release)
    return measures_of(champion, candidate, _output_fields(ground, stored, candidate))


def _output_fields(
    ground: Ground, stored: registry.Release, declared: ServiceDeclaration
) -> tuple[str, ...]:
    """Return the fields of an output whose JSON Schema names them.

    Beside a label of more than two, `probability` is that of the label, which has no Brier loss.
    """
    digest = stored.manifest.files.get(declared.contract.output or "")
    if digest is None:
        return ()
    try:
        schema = msgspec.json.decode(ground.artifacts.read(digest))
    except (msgspec.DecodeError, NotFound, StoreError):
        return ()  # another kind of contract, or none that can be read
    fields = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(fields, dict):
        return ()
    label = fields.get("label")
    is_of_two = not isinstance(label, dict) or label.get("type", "boolean") == "boolean"
    return tuple(name for name in fields if is_of_two or name != "probability")
