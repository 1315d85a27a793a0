"""What the control plane may do with releases on their way, by the functions that all use."""

from __future__ import annotations

from functools import partial

from ..declare.release import ReleasePolicy
from ..errors import NotFound, StoreError
from ..release import gates, registry
from ..store.rollouts import stop_rollout
from ..web.shipping import Shipping
from .comparisons import compare_releases
from .ground import Ground
from .replays import replay_request
from .rollouts import declared_of


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
        policy=partial(_policy, ground),
        compare=partial(compare_releases, state, ground.artifacts),
        replay=partial(replay_request, ground),
    )


def _risk(ground: Ground, release_id: str) -> str:
    """Return the risk by which a release is judged: high where what it declares is gone."""
    release = registry.read_release(ground.state, release_id)
    try:
        return gates.risk_of(ground.state, ground.artifacts, release)
    except NotFound:
        return "high"


def _policy(ground: Ground, release_id: str) -> ReleasePolicy | None:
    """Return what a release declares of how it meets live traffic; None where that is gone."""
    try:
        return declared_of(ground, release_id).release
    except (NotFound, StoreError):
        return None
