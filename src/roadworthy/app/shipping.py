"""A candidate's way to serving: its gates first, then live traffic as its `[release]` declares."""

from __future__ import annotations

from typing import NamedTuple

from ..release import bundle, gates, promotion, registry
from ..release.measures import Gate
from ..release.registry import Release
from ..store.moves import Move
from ..store.rollouts import Rollout, list_rollouts
from ..store.switchboard import Stop
from ..web.control import Promoted
from .ground import Ground
from .rollouts import Started, begin_rollout, declared_of


class Shipped(NamedTuple):
    """What became of a candidate.

    Attributes:
        before: What served; empty where nothing did.
        gates: How it stands to them; empty where none was asked for.
        started: The rollout that judges it; None where it serves at once.
    """

    release: Release
    before: str
    gates: tuple[Gate, ...]
    started: Started | None

    @property
    def not_measured(self) -> tuple[str, ...]:
        """The gates that were let pass because nothing was declared for them."""
        return tuple(gate.name for gate in self.gates if gate.state == "not_measured")


class Status(NamedTuple):
    """How the releases of a service stand.

    Attributes:
        rollout: The one that runs, or the last that did; None where there was none.
        gates: Of the candidate; empty without one.
    """

    service: str
    champion: str
    candidate: str
    last_good: str
    frozen: Stop | None
    rollout: Rollout | None
    gates: tuple[Gate, ...]


def ship(ground: Ground, release_id: str, *, by: str, now: bool = False, why: str = "") -> Shipped:
    """Let a candidate serve once it may: at once, or after a rollout has judged it.

    Args:
        ground: The project.
        release_id: The candidate.
        by: Who decides it.
        now: Whether to spare it the rollout; its gates it is never spared.
        why: What for, in a sentence.

    Raises:
        NotFound: There is no such release.
        StoreError: One of its files is gone or damaged.
        DeclarationError: A source's contract changed since in a way that it has not agreed to.
        NotReady: Gates hold it up.
        RequestError: Its rollout would never be decided at the present traffic.
        Conflict: Somebody else changed meanwhile what serves, a rollout runs, or all is frozen.
    """
    release = registry.read_release(ground.state, release_id)
    before = registry.champion_id_of(ground.state, release.service)
    bundle.check_whole(release, ground.artifacts)
    is_gated = gates.is_gated(ground.state, ground.artifacts, release)
    if now or not is_gated or not before or _judge_of(ground, release) == "none":
        promoted = ground.promote(release.id, by=by, why=why)
        found = _standing(ground, release) if is_gated and before != release.id else ()
        return Shipped(promoted, before, found, None)
    ground.check_contracts(release)
    ground.check_gates(release)
    started = begin_rollout(ground, release.service, release.id, by=by)
    return Shipped(release, before, _standing(ground, release), started)


def status_of(ground: Ground, service: str) -> Status:
    """Return how the releases of a service stand."""
    found = promotion.aliases(ground.state, service)
    rollouts = list_rollouts(ground.state, (service,), limit=1)
    candidate = found["candidate"]
    now_us = ground.clock.now_us()
    return Status(
        service=service,
        champion=found["champion"],
        candidate=candidate,
        last_good=found["last_good"],
        frozen=promotion.frozen(ground.state, service),
        rollout=rollouts[0] if rollouts else None,
        gates=gates.standing_of(ground.state, candidate, now_us) if candidate else (),
    )


def history_of(ground: Ground, service: str) -> tuple[Move, ...]:
    """Return how what serves a service changed, newest first."""
    return promotion.history(ground.state, service)


def promote_by_hand(ground: Ground, release_id: str, *, by: str) -> Promoted:
    """Let a candidate serve as it declares: it may be judged by a rollout first."""
    shipped = ship(ground, release_id, by=by)
    started = shipped.started
    if started is None:
        return Promoted(shipped.release)
    return Promoted(shipped.release, started.rollout, started.forecast)


def _standing(ground: Ground, release: Release) -> tuple[Gate, ...]:
    return gates.standing_of(ground.state, release.id, ground.clock.now_us())


def _judge_of(ground: Ground, release: Release) -> str:
    return declared_of(ground, release.id).release.judge
