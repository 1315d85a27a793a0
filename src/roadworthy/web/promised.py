"""What a request was promised: the declaration of the release that answered, not of today's."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Engine

from ..declare.service import ServiceDeclaration
from ..errors import NotFound
from ..release.bundle import read_declared
from ..release.registry import read_release
from ..serve.opened import OpenRelease
from ..store.artifacts import Artifacts
from ..types import Record


def declaration_behind(
    record: Record, serving: Iterable[OpenRelease], state: Engine, artifacts: Artifacts
) -> ServiceDeclaration | None:
    """Return what the release behind a record declared; None where its files are gone.

    Args:
        record: The request.
        serving: What is open already, and needs no reading.
        state: The database.
        artifacts: The files of every release.
    """
    for release in serving:
        if record.declaration_hash and release.declaration_hash == record.declaration_hash:
            return release.declaration
    if not record.release:
        return None
    try:
        return read_declared(read_release(state, record.release).manifest, artifacts)
    except NotFound:
        return None
