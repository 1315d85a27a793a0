"""The desks of a project: opened with their releases, kept in step with the switchboard."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property, partial
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import Engine

from ..declare.project import ProjectDeclaration
from ..declare.service import ServiceDeclaration
from ..errors import ModelUnavailable, RoadworthyError
from ..plugins import load_plugin
from ..review.capacity import Capacity
from ..review.desk import Correction, Corrections, Desk, InForce
from ..review.scoring import Calibrate, LeastSupport, OwnScore, Scorer
from ..serve.opened import OpenRelease
from ..store.artifacts import Artifacts
from ..store.calibrations import StoredCalibration, read_calibration
from ..store.reviews import asked_since, read_corrections
from ..store.scorers import StoredScorer, read_scorer
from ..store.switchboard import Switchboard
from ..types import Call
from .rooms import open_signals

if TYPE_CHECKING:
    from ..serve.scoping import Scopes

_decode = msgspec.json.Decoder(InForce).decode


class Desks:
    """Opens desks and keeps what they go by.

    Args:
        project: Has the queues.
        state: Has what people said and asked.
        artifacts: Keep what was learned of inputs.
        switchboard: Says what is in force.
    """

    def __init__(
        self,
        project: ProjectDeclaration,
        state: Engine,
        artifacts: Artifacts,
        switchboard: Switchboard,
    ) -> None:
        self._artifacts = artifacts
        self._scope: dict[str, tuple[str, Callable[[Call], float] | None]] = {}
        self._project = project
        self._state = state
        self._switchboard = switchboard
        self._capacities: dict[str, Capacity] = {}
        self._corrections: dict[str, tuple[int, Corrections]] = {}
        self._calibrations: dict[str, StoredCalibration | None] = {}
        self._scorers: dict[str, StoredScorer | None] = {}

    def open(self, service: ServiceDeclaration, release_id: str) -> Desk:
        """Open the desk of one release; what people were asked today counts on."""
        desk = open_desk(self._project, service, release_id, self._capacity_of(service))
        self._refresh(service.name, desk)
        return desk

    def refresh(self, opened: Iterable[OpenRelease]) -> None:
        """Let the desks go by what the switchboard says now."""
        for release in opened:
            if release.desk is not None:
                self._refresh(release.name, release.desk)

    def _refresh(self, name: str, desk: Desk) -> None:
        desk.in_force = self._in_force(name)
        desk.corrections = self._corrections_of(name)
        desk.scorer = self._scorer_of(name, desk)
        desk.calibrate = self._calibrate_of(name, desk)
        if desk.policy.out_of_scope is not None:
            desk.scope = self._scope_of(name, desk)

    def _in_force(self, name: str) -> InForce:
        board = self._switchboard
        said = board.get(f"automation:{name}")
        now = _decode(said) if said else InForce()
        if now.certificate and board.stopped(name, now.certificate) is not None:
            now = msgspec.structs.replace(now, certificate="", threshold=None)
        return msgspec.structs.replace(now, is_stopped=board.asked(name) is not None)

    def _calibrate_of(self, name: str, desk: Desk) -> Calibrate | None:
        """Return what makes a confidence of this release's scores, once it was fitted."""
        id = self._switchboard.get(f"calibration:{name}")
        if not id:
            return None
        if id not in self._calibrations:
            self._calibrations[id] = read_calibration(self._state, id)
        stored = self._calibrations[id]
        whose = (desk.release_id, desk.scorer.id)
        if stored is None or (stored.release, stored.scorer) != whose:
            return None
        chance: Calibrate = load_plugin("review", "calibration")(stored).chance
        return chance

    def _scorer_of(self, name: str, desk: Desk) -> Scorer:
        """Return the score that was fitted for this release, or the one that it came with."""
        id = self._switchboard.get(f"scorer:{name}")
        if not id or id == desk.scorer.id:
            return desk.scorer
        if id not in self._scorers:
            self._scorers[id] = read_scorer(self._state, id)
        stored = self._scorers[id]
        if stored is None or stored.release != desk.release_id:
            return desk.scorer
        fitted: Scorer = load_plugin("review", "fitted_score")(stored)
        return fitted

    @cached_property
    def scopes(self) -> Scopes:
        """What learns the scope of releases; its packages are imported where one is declared."""
        learner: Scopes = load_plugin("review", "scopes")(
            self._state, self._artifacts, self._switchboard, open_signals
        )
        return learner

    def _scope_of(self, name: str, desk: Desk) -> Callable[[Call], float] | None:
        """Return what says how far an input lies; without what was learned, nothing can."""
        said = self._switchboard.get(f"scope:{name}")
        known = self._scope.get(desk.release_id)
        if known is None or known[0] != said:
            known = self._scope[desk.release_id] = (said, self._open_scope(name, desk))
        return known[1]

    def _open_scope(self, name: str, desk: Desk) -> Callable[[Call], float] | None:
        kept = self.scopes.kept(name, desk.release_id)
        try:
            return None if kept is None else self.scopes.open(kept, desk.variable)
        except RoadworthyError as error:
            return partial(_unknown, str(error))

    def _corrections_of(self, name: str) -> Corrections:
        """Return what people said, read again only when a correction has come."""
        epoch = self._switchboard.epoch_of(f"corrections:{name}")
        known = self._corrections.get(name)
        if known is None or known[0] != epoch:
            rows = read_corrections(self._state, name)
            found = {
                (row.input_digest, row.role): Correction(
                    row.review_id, msgspec.json.decode(row.output)
                )
                for row in rows
            }
            known = self._corrections[name] = (epoch, found)
        return known[1]

    def _capacity_of(self, service: ServiceDeclaration) -> Capacity:
        """Return what counts a service's questions to people; it outlives a release."""
        per_day = None if service.review is None else service.review.capacity_per_day
        known = self._capacities.get(service.name)
        if known is None:
            counted = partial(asked_since, self._state, service.name)
            known = self._capacities[service.name] = Capacity(per_day, counted)
        known.per_day = per_day
        return known


def _unknown(why: str, call: Call) -> float:
    raise ModelUnavailable(f"what inputs are held against cannot be read: {why}")


def open_desk(
    project: ProjectDeclaration, service: ServiceDeclaration, release_id: str, capacity: Capacity
) -> Desk:
    """Open the desk of one release, which certifies nothing by itself."""
    queue = None if service.review is None else project.queues.get(service.review.queue or "")
    owner = "" if queue is None else queue.owner
    return Desk(service, release_id, owner, capacity, scorer_of(service))


def look_at_desk(project: ProjectDeclaration, service: ServiceDeclaration, release_id: str) -> Desk:
    """Open a desk to see whether it can be, without a store."""
    return open_desk(project, service, release_id, Capacity(0, lambda since_us: 0))


def scorer_of(service: ServiceDeclaration) -> Scorer:
    """Return what says how sure the answers of a service are."""
    return OwnScore() if service.kind == "predict" else LeastSupport()
