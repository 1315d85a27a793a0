"""Opens any stored release so that it can be asked beside what serves."""

from __future__ import annotations

from functools import partial

from ..declare.load import load_service
from ..plugins import load_plugin
from ..release import bundle, registry
from ..release.environment import describe_environment
from ..serve.opened import open_release
from ..serve.rehearsal import Rehearsal
from .desks import look_at_desk
from .ground import Ground
from .rooms import ENFORCES, open_signals


def open_rehearsal(
    ground: Ground, release_id: str, *, budget_micro: int | None = None
) -> Rehearsal:
    """Open a stored release for a rehearsal, also while another process serves the project.

    Raises:
        NotFound: There is no such release, or one of its files is gone.
        DeclarationError: It cannot be opened as the project is declared now.
    """
    stored = registry.read_release(ground.state, release_id)
    releases = ground.folder / ".roadworthy" / "releases"
    folder = bundle.materialise(stored, ground.artifacts, releases)
    declared = bundle.as_released(ground.declaration, stored)
    service = load_service(folder, declared, ENFORCES)
    opened = open_release(
        stored.id,
        service,
        declared,
        folder,
        ground.rates,
        ground.clock,
        open_signals,
        lambda views, fields: load_plugin("features", "local")(
            ground.declaration, ground.state, ground.clock
        ).open_source(views, fields),
        partial(look_at_desk, declared),
    )
    return Rehearsal(
        opened,
        ground.clock,
        environment_hash=describe_environment().hash,
        budget_micro=budget_micro,
    )
