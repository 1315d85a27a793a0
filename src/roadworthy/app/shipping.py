"""What the control plane may do with releases on their way, by the functions that all use."""

from __future__ import annotations

from functools import partial

from ..errors import Conflict
from ..release import bundle, promotion, registry
from ..web.release_rows import rollouts_of
from ..web.shipping import Shipping
from .ground import Ground


def shipping_of(ground: Ground) -> Shipping:
    """Return the acts on releases of a project; what no room of it can do is None."""
    state, clock = ground.state, ground.clock
    return Shipping(
        roll_back=partial(_roll_back, ground),
        freeze=partial(promotion.freeze, state, clock),
        unfreeze=partial(promotion.unfreeze, state, clock),
        stop_rollout=partial(_stop_rollout, ground),
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
    """End the rollout of a service, so that everybody meets the champion again.

    Raises:
        Conflict: None runs.
    """
    found = rollouts_of(ground.state, service, 1)
    if not found or found[0].state not in ("running", "frozen"):
        raise Conflict(f"expected a rollout of `{service}` that runs, got none")
    because = why or "stopped by a person"
    with ground.state.begin() as connection:
        promotion.finish_rollout(connection, ground.clock, found[0], "roll_back", because, by)
