"""Opens a stored release from its own files, to be served or to be rehearsed."""

from __future__ import annotations

from functools import partial

import msgspec

from ..declare.load import load_service
from ..declare.service import ServiceDeclaration
from ..errors import DeclarationError
from ..release import bundle
from ..release.environment import describe_environment, what_differs
from ..release.registry import Release
from ..review.desk import Desk
from ..serve.opened import OpenDesk, OpenRelease, open_release
from ..serve.upstreams import Upstreams
from ..types import OpenSource
from .desks import look_at_desk
from .ground import Ground
from .rooms import ENFORCES, open_signals
from .token_rates import learn_rates


def open_stored(
    ground: Ground,
    stored: Release,
    open_source: OpenSource,
    open_desk: OpenDesk | None = None,
    *,
    is_served: bool = False,
    upstreams: Upstreams | None = None,
) -> OpenRelease:
    """Open what was released, from its own files: the working tree may say something else.

    Args:
        ground: The project.
        stored: The release.
        open_source: Gives the features of its views.
        open_desk: Gives the desk of a service with `[review]`; without it, one that asks nobody.
        is_served: Whether people are given its answers: then a high risk is refused where things
            are not as they were when it was built.
        upstreams: How each model is doing, for all that is served together.

    Raises:
        DeclarationError, MissingExtra: It cannot be opened as things are here.
        NotFound, StoreError: One of its files is gone or damaged.
    """
    differs = differs_here(stored)
    if is_served and differs:
        _check_environment(ground, stored, differs)
    folder = bundle.materialise(stored, ground.artifacts, ground.folder / ".roadworthy/releases")
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
        open_source,
        open_desk or partial(_desk_that_asks_nobody, ground),
        upstreams,
    )
    learn_rates(ground.state, ground.clock, (opened,))
    warnings = (*opened.warnings, *differs)
    return msgspec.structs.replace(opened, warnings=warnings) if differs else opened


def differs_here(stored: Release) -> tuple[str, ...]:
    """Return what is not as it was where a release was built, and may decide its answers."""
    manifest = stored.manifest
    found = what_differs(manifest.environment, manifest.packages, describe_environment())
    return tuple(found)


def _check_environment(ground: Ground, stored: Release, differs: tuple[str, ...]) -> None:
    declared = bundle.read_declared(stored.manifest, ground.artifacts)
    if declared is not None and declared.risk == "high":
        raise DeclarationError(
            f"expected to serve `{stored.id}`, whose risk is high, where it was built, got: "
            f"{'; '.join(differs)}; install what it was built with, or build and release it anew"
        )


def _desk_that_asks_nobody(ground: Ground, service: ServiceDeclaration, release_id: str) -> Desk:
    return look_at_desk(ground.declaration, service, release_id)
