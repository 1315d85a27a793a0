"""What a request was promised: the declaration of the release that answered, not of today's."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable

from pydantic import ValidationError
from sqlalchemy import Engine

from ..declare.project import SERVICE_FILE
from ..declare.service import ServiceDeclaration
from ..errors import NotFound, StoreError
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
        manifest = read_release(state, record.release).manifest
        text = artifacts.read(manifest.files[SERVICE_FILE]).decode()
        # The file was checked whole when it was released; here it is only read.
        return ServiceDeclaration.model_validate(tomllib.loads(text))
    except (NotFound, StoreError, KeyError, ValueError, ValidationError):
        return None
