"""What the control plane may do with releases on their way, by the functions that all use."""

from __future__ import annotations

from functools import partial

from ..declare.service import ServiceDeclaration
from ..errors import NotFound, StoreError
from ..release import gates, registry
from ..release.bundle import read_declared
from ..store.rollouts import stop_rollout
from ..web.shipping import Shipping
from .comparisons import compare_releases
from .ground import Ground
from .replays import replay_request


def shipping_of(ground: Ground) -> Shipping:
    """Return the acts on releases of a project."""
    state, clock = ground.state, ground.clock
    return Shipping(
        roll_back=ground.roll_back,
        freeze=ground.freeze,
        unfreeze=ground.unfreeze,
        stop_rollout=partial(stop_rollout, state, clock),
        approve=ground.approve,
        waive=ground.waive,
        measure_gates=ground.gates_of,
        risk=partial(_risk, ground),
        declared=partial(_declared, ground),
        compare=partial(compare_releases, state, ground.artifacts),
        replay=partial(replay_request, ground),
    )


def _declared(ground: Ground, release_id: str) -> ServiceDeclaration | None:
    """Return what a release declares; None where that is gone, or is not what was built."""
    try:
        release = registry.read_release(ground.state, release_id)
        return read_declared(release.manifest, ground.artifacts)
    except (NotFound, StoreError):
        return None


def _risk(ground: Ground, release_id: str) -> str:
    """Return the risk by which a release is judged: high where what it declares is gone."""
    release = registry.read_release(ground.state, release_id)
    try:
        return gates.risk_of(ground.state, ground.artifacts, release)
    except NotFound:
        return "high"
