"""What an open project stands on: its declarations, its store, its clock."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from functools import partial
from pathlib import Path

from sqlalchemy import Engine as StateEngine

from ..cost.prices import Rates, load_rates
from ..declare.load import load_service
from ..declare.project import ProjectDeclaration
from ..declare.service import ServiceDeclaration
from ..errors import NotFound, RoadworthyError, StoreError
from ..release import bundle, gates, promotion, registry
from ..release.agreement import check_promotion
from ..release.measures import Gate
from ..store.approvals import Approval, Waiver, list_waivers
from ..store.artifacts import Artifacts
from ..store.clock import open_clock
from ..store.lock import find_holder
from ..store.rollouts import stop_rollout
from ..store.state import database_of, open_state, open_state_to_read
from ..types import Clock
from .rooms import ENFORCES, contracts_of, open_features, source_contracts


class Ground:
    """A project's files and its store, opened.

    Args:
        declaration: What roadworthy.toml says.
        is_reading: Whether nothing is made or written: then the state must be there.

    Attributes:
        declaration: What roadworthy.toml says.
        clock: Where its times come from.
        store_url: Where its database is.
        state: Its database.
    """

    def __init__(self, declaration: ProjectDeclaration, *, is_reading: bool = False) -> None:
        self.declaration = declaration
        self.folder = declaration.folder
        self.store_url: str = declaration.store.resolved_url(self.folder)
        self._check_state(is_reading=is_reading)
        if not is_reading:
            _open_folder(self.folder / ".roadworthy")
        self.clock: Clock = open_clock(declaration.clock, self.folder)
        open_it = open_state_to_read if is_reading else open_state
        self.state: StateEngine = open_it(self.store_url)
        self.artifacts = Artifacts(self.folder / declaration.store.artifacts)
        self.rates: Rates = load_rates()

    def _check_state(self, *, is_reading: bool) -> None:
        """Make no new state beside a process that still writes to the one that was here.

        Raises:
            StoreError: A process serves the project, and its state is gone.
            NotFound: There is none to read.
        """
        path = database_of(self.store_url)
        if path is None or path.exists():
            return
        holder = find_holder(self.folder, self.store_url)
        if holder is not None:
            raise StoreError(
                f"expected the state of process {holder.pid}, which serves this project, got none "
                f"- {path}; stop that process, put a backup there, start it again"
            )
        if is_reading:
            raise NotFound(
                f"expected a state, got none - {path}; `roadworthy up` makes it, or name another "
                "project with `--project`"
            )

    @property
    def service_names(self) -> tuple[str, ...]:
        """The names of the declared services."""
        return tuple(folder.name for folder in self.declaration.service_folders())

    def check_declared(self, name: str) -> None:
        """Check that there is a service of this name.

        Raises:
            NotFound: There is none; the message lists those there are.
        """
        if name not in self.service_names:
            known = ", ".join(f"`{name}`" for name in self.service_names) or "none"
            raise NotFound(f"no service `{name:.80}` in this project; services: {known}")

    def load(self, name: str, parts: Collection[str] = ()) -> ServiceDeclaration:
        """Load one service's declaration, or some sections of it, as the working tree has it.

        Raises:
            NotFound: There is no such service.
            DeclarationError: Its file is wrong.
        """
        self.check_declared(name)
        return load_service(self.folder / "services" / name, self.declaration, ENFORCES, parts)

    def views_served(self) -> dict[str, tuple[str, ...]]:
        """Return the feature views that each champion names; of one whose files are gone, none."""
        found = {}
        for name in self.service_names:
            champion = registry.champion_of(self.state, name)
            declared = champion and bundle.read_declared(champion.manifest, self.artifacts)
            if declared and declared.features.views:
                found[name] = declared.features.views
        return found

    def build_release(self, name: str, *, by: str) -> registry.Release:
        """Build the release that the files of `name` are; the same content gives the same id.

        Raises:
            DeclarationError: A source's contract changed in a way that the service has not agreed
                to.
        """
        service = self.load(name)
        return bundle.build_release(
            service,
            self.declaration,
            self.artifacts,
            self.state,
            self.clock,
            by=by,
            contracts=source_contracts(service, self.declaration, self.state),
        )

    def promote(self, release_id: str, *, by: str, why: str = "") -> registry.Release:
        """Let a whole release serve its service, in every process; also an older one again.

        Raises:
            NotFound: There is no such release.
            StoreError: One of its files is gone or damaged.
            DeclarationError: A source's contract changed since in a way that it has not agreed to.
            NotReady: Gates hold it up.
            Conflict: Somebody else changed meanwhile what serves, or the service is frozen.
        """
        release = registry.read_release(self.state, release_id)
        serves = registry.champion_id_of(self.state, release.service)
        bundle.check_whole(release, self.artifacts)
        self.check_contracts(release)
        if serves != release.id:
            self.check_gates(release)
        return promotion.promote(
            self.state, self.clock, release_id, by=by, why=why, expected=serves
        )

    def check_gates(self, release: registry.Release) -> None:
        """Check that no gate holds a release up; what has served is held up by none.

        Raises:
            NotReady: Some do.
        """
        if gates.is_gated(self.state, self.artifacts, release):
            risk = gates.risk_of(self.state, self.artifacts, release)
            gates.check_ready(release, self.gates_of(release.id), risk)

    def gates_of(self, release_id: str) -> tuple[Gate, ...]:
        """Measure how a release stands to every gate, from the evidence that there is.

        Raises:
            NotFound: There is no such release, or what it declares is gone.
        """
        release = registry.read_release(self.state, release_id)
        self._measure_skew(release)
        check = partial(self.check_contracts, release)
        return gates.measure_gates(self.state, self.artifacts, self.clock, release, check)

    def standing_of(self, release_id: str) -> tuple[Gate, ...]:
        """Return how a release stood to its gates when they were measured last; empty before.

        Nothing is measured or written; a waiver counts as it stands now.
        """
        return gates.standing_of(self.state, release_id, self.clock.now_us())

    def stop_rollout(self, service: str, *, by: str, why: str) -> None:
        """End the rollout of a service without a verdict: what serves goes on serving everybody.

        Raises:
            NotFound: None runs.
        """
        stop_rollout(self.state, self.clock, service, by=by, why=why)

    def _measure_skew(self, release: registry.Release) -> None:
        """Hold what was served lately against what a release was trained on, and what serves too.

        The seasons move the features of both; what matters is whether it is farther away than what
        serves. Where that cannot be done its gate says that nothing is known.
        """
        views: dict[str, tuple[str, ...]] = {}
        sets: dict[str, str] = {}
        champion = None
        with suppress(NotFound, StoreError):  # what cannot be read is to be replaced
            champion = registry.champion_of(self.state, release.service)
        for one in (release, champion):
            declared = None
            with suppress(NotFound, StoreError):
                declared = one and bundle.read_declared(one.manifest, self.artifacts)
            if one and declared and one.manifest.training and declared.features.views:
                views[one.id], sets[one.id] = declared.features.views, one.manifest.training.id
        if release.id not in views:
            return
        with suppress(RoadworthyError):
            features = open_features(self.declaration, self.state, self.clock)
            try:
                features.measure_skew(views, sets, {})
            finally:
                features.close()

    def roll_back(self, service: str, *, to: str = "", by: str, why: str) -> registry.Release:
        """Let an earlier champion serve again, by default the last good one, with all its own.

        Raises:
            NotFound: It never served, or nothing served before.
            StoreError: One of its files is gone or damaged.
            Conflict: Somebody else changed meanwhile what serves.
        """
        back = registry.read_release(self.state, to or promotion.before(self.state, service))
        bundle.check_whole(back, self.artifacts)
        return promotion.roll_back(self.state, self.clock, service, to=back.id, by=by, why=why)

    def freeze(self, service: str, *, by: str, reason: str) -> None:
        """Let nothing else serve a service until it is thawed; going back stays possible."""
        promotion.freeze(self.state, self.clock, service, by=by, reason=reason)

    def unfreeze(self, service: str, *, by: str, reason: str = "") -> None:
        """Let releases of a service be promoted again.

        Raises:
            Conflict: It is not frozen.
        """
        promotion.unfreeze(self.state, self.clock, service, by=by, reason=reason)

    def approve(self, release_id: str, *, owner: str, by: str, note: str = "") -> Approval:
        """Write down that an owner lets a release ship.

        Raises:
            NotFound: There is no such release.
            RequestError: There is no such owner.
            Conflict: Its risk is high, and the same person spoke for another owner.
        """
        release = registry.read_release(self.state, release_id)
        return gates.approve(
            self.state, self.artifacts, self.clock, release, owner=owner, by=by, note=note
        )

    def waive(self, release_id: str, gate: str, *, by: str, reason: str, expires_us: int) -> Waiver:
        """Let a release ship although a gate does not hold, until a time.

        Raises:
            NotFound: There is no such release.
            RequestError: There is no such gate, it can not be waived, there is no reason, or the
                time is over.
        """
        release = registry.read_release(self.state, release_id)
        return gates.waive(
            self.state,
            self.clock,
            release,
            gate,
            by=by,
            reason=reason,
            expires_us=expires_us,
        )

    def waivers_of(self, release_id: str, gate: str) -> tuple[Waiver, ...]:
        """Return the waivers of a gate that count now.

        Raises:
            NotFound: There are none.
        """
        now_us = self.clock.now_us()
        found = tuple(
            one
            for one in list_waivers(self.state, release_id)
            if one.gate == gate and one.holds_at(now_us)
        )
        if not found:
            raise NotFound(f"expected a waiver of `{gate:.40}` of `{release_id:.80}`, got none")
        return found

    def check_contracts(self, release: registry.Release) -> None:
        """Check that a release agrees with its sources' contracts as they stand.

        Raises:
            DeclarationError: It does not.
        """
        now = partial(contracts_of, self.declaration, self.declaration.sources.keys())
        check_promotion(release, now, self.state)


def _open_folder(path: Path) -> None:
    """Make the folder of records and bodies, for its owner alone; a store elsewhere needs none."""
    with suppress(OSError):  # the store says what is wrong, if it needs the folder
        path.mkdir(mode=0o700, exist_ok=True)
