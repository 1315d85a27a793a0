"""Opens a stored release from its own files, to be served or to be rehearsed."""

from __future__ import annotations

from functools import partial

from ..declare.load import load_service
from ..declare.service import ServiceDeclaration
from ..release import bundle
from ..release.registry import Release
from ..review.desk import Desk
from ..serve.opened import OpenDesk, OpenRelease, open_release
from ..types import OpenSource
from .desks import look_at_desk
from .ground import Ground
from .rooms import ENFORCES, open_signals


def open_stored(
    ground: Ground, stored: Release, open_source: OpenSource, open_desk: OpenDesk | None = None
) -> OpenRelease:
    """Open what was released, from its own files: the working tree may say something else.

    Args:
        ground: The project.
        stored: The release.
        open_source: Gives the features of its views.
        open_desk: Gives the desk of a service with `[review]`; without it, one that asks nobody.

    Raises:
        DeclarationError, MissingExtra: It cannot be opened as things are here.
        NotFound, StoreError: One of its files is gone or damaged.
    """
    folder = bundle.materialise(stored, ground.artifacts, ground.folder / ".roadworthy/releases")
    declared = bundle.as_released(ground.declaration, stored)
    service = load_service(folder, declared, ENFORCES)
    return open_release(
        stored.id,
        service,
        declared,
        folder,
        ground.rates,
        ground.clock,
        open_signals,
        open_source,
        open_desk or partial(_desk_that_asks_nobody, ground),
    )


def _desk_that_asks_nobody(ground: Ground, service: ServiceDeclaration, release_id: str) -> Desk:
    return look_at_desk(ground.declaration, service, release_id)
