"""What the control plane may do with releases on their way, by the functions that all use."""

from __future__ import annotations

from functools import partial

from ..release import bundle, promotion, registry
from ..store.rollouts import stop_rollout
from ..web.shipping import Shipping
from .comparisons import compare_releases
from .ground import Ground
from .replays import replay_request


def shipping_of(ground: Ground) -> Shipping:
    """Return the acts on releases of a project; what no room of it can do is None."""
    state, clock = ground.state, ground.clock
    return Shipping(
        roll_back=partial(_roll_back, ground),
        freeze=partial(promotion.freeze, state, clock),
        unfreeze=partial(promotion.unfreeze, state, clock),
        stop_rollout=partial(_stop_rollout, ground),
        compare=partial(compare_releases, state, ground.artifacts),
        replay=partial(replay_request, ground),
    )


def _roll_back(ground: Ground, service: str, *, to: str, by: str, why: str) -> registry.Release:
    """Go back to a release whose files are whole.

    Raises:
        NotFound: Nothing served before.
        StoreError: One of its files is gone or damaged.
    """
    back = to or promotion.aliases(ground.state, service)["last_good"]
    if back:
        bundle.check_whole(registry.read_release(ground.state, back), ground.artifacts)
    return promotion.roll_back(ground.state, ground.clock, service, to=to, by=by, why=why)


def _stop_rollout(ground: Ground, service: str, *, by: str, why: str) -> None:
    """End the rollout of a service, so that everybody meets the champion again."""
    stop_rollout(ground.state, ground.clock, service, by=by, why=why)
