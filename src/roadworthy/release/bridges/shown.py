"""What of a release another registry is told: files, facts, figures, and how it stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec
from sqlalchemy import Engine, select

from ...store.artifacts import Artifacts
from ...store.release_tables import moves
from ...store.tables import switchboard
from ..bundle import check_whole, read_declared
from ..registry import Release, commit_of

Standing = Literal["pending", "approved", "rejected"]
ALIASES = ("champion", "candidate", "last_good")


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A release as another registry is told of it.

    Attributes:
        files: Path below the service's folder → SHA-256 of its content.
        facts: What it is made of, as short texts: commit, declaration, models, training set.
        metrics: Figures of its newest evaluation.
        prompts: Files among `files` that are prompts.
        aliases: Which of `ALIASES` point at it.
        standing: `approved` once it served, `rejected` once it was rolled back.
    """

    release: str
    service: str
    files: Mapping[str, str]
    facts: Mapping[str, str]
    metrics: Mapping[str, float]
    prompts: tuple[str, ...]
    aliases: tuple[str, ...]
    standing: Standing


def shown_of(
    release: Release, engine: Engine, artifacts: Artifacts, metrics: Mapping[str, float]
) -> Shown:
    """Return what another registry is told of a release.

    Raises:
        StoreError: One of its files is gone or damaged.
    """
    check_whole(release, artifacts)
    manifest = release.manifest
    declared = read_declared(manifest, artifacts)
    facts = {
        "roadworthy.release": release.id,
        "roadworthy.declaration": manifest.declaration_hash,
        "roadworthy.commit": commit_of(manifest),
        "roadworthy.built_by": release.by,
        "roadworthy.python": manifest.environment.python,
    }
    facts |= {f"roadworthy.model.{m.name}": m.digest or m.model for m in manifest.models}
    facts |= {
        f"roadworthy.contract.{k}": f"{c.id}@{c.version}" for k, c in manifest.contracts.items()
    }
    if manifest.training is not None:
        facts["roadworthy.snapshot"] = manifest.training.id
        facts["roadworthy.views"] = ", ".join(manifest.training.views)
    return Shown(
        release=release.id,
        service=release.service,
        files=manifest.files,
        facts={key: value for key, value in facts.items() if value},
        metrics=metrics,
        prompts=() if declared is None or declared.prompt is None else (declared.prompt.file,),
        aliases=tuple(_aliases(engine, release)),
        standing=standing_of(engine, release),
    )


def standing_of(engine: Engine, release: Release) -> Standing:
    """Return how a release stands: whoever was rolled back last is rejected until it serves again.

    Approved is what serves, and what was left for a newer one.
    """
    query = (
        select(moves.c.kind, moves.c.from_release, moves.c.to_release)
        .where(moves.c.service == release.service)
        .order_by(moves.c.at_us, moves.c.id)
    )
    standing: Standing = "pending"
    with engine.connect() as connection:
        for kind, left, reached in connection.execute(query):
            if reached == release.id:
                standing = "approved"
            elif left == release.id and kind == "rollback":
                standing = "rejected"
        if standing == "pending" and _pointer(engine, "champion", release) == release.id:
            return "approved"
    return standing


def _aliases(engine: Engine, release: Release) -> list[str]:
    return [alias for alias in ALIASES if _pointer(engine, alias, release) == release.id]


def _pointer(engine: Engine, alias: str, release: Release) -> str:
    query = select(switchboard.c.value).where(switchboard.c.name == f"{alias}:{release.service}")
    with engine.connect() as connection:
        return connection.execute(query).scalar() or ""
