"""Everything that led to one answer: the release behind its record, and who let it serve."""

from __future__ import annotations

import msgspec
from sqlalchemy import Engine

from ..errors import NotFound, StoreError
from ..store.actions import Action, list_actions
from ..store.logged_models import LoggedModel, read_logged_model
from ..types import Record
from .registry import PinnedModel, Release, read_release


class AsReleased(msgspec.Struct, frozen=True, kw_only=True):
    """Whether what answered is what the release was built with."""

    declaration: bool
    environment: bool


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """What led to the answer that a record tells of.

    Attributes:
        release: What answered; None where no release was reached or it cannot be read.
        problem: Why the release cannot be read; empty when it can.
        model: The pin of the model that answered; None where none of the release's did.
        promotions: The acts that let the release serve, or serve again, newest first.
        logged: What training code or another registry said of the model's file.
    """

    release: Release | None = None
    problem: str = ""
    model: PinnedModel | None = None
    promotions: tuple[Action, ...] = ()
    logged: LoggedModel | None = None
    as_released: AsReleased | None = None


def lineage(engine: Engine, record: Record) -> Lineage:
    """Return what led to the answer of `record`, as far as it can be read."""
    if not record.release:
        return Lineage()
    try:
        release = read_release(engine, record.release)
    except (NotFound, StoreError) as error:
        # A trace is asked for when something went wrong: it shows what it can.
        return Lineage(problem=str(error))
    manifest = release.manifest
    model = next((pin for pin in manifest.models if pin.name == record.model), None)
    acts = [
        act
        for did in ("release.promote", "release.rollback")
        for act in list_actions(engine, action=did, subject=release.id)
    ]
    return Lineage(
        release=release,
        model=model,
        promotions=tuple(sorted(acts, key=lambda act: -act.seq)),
        logged=_logged(engine, release.service, model),
        as_released=AsReleased(
            declaration=record.declaration_hash == manifest.declaration_hash,
            environment=record.environment_hash == manifest.environment.hash,
        ),
    )


def _logged(engine: Engine, service: str, model: PinnedModel | None) -> LoggedModel | None:
    """Return what is known of the file of a model; None of one that has none of its own."""
    if model is None or not model.digest:
        return None
    return read_logged_model(engine, service, model.digest)
