"""What releases are made of, kept beside their files: a store from before them learns them again.

A backup of the state may be older than the releases whose files are here. Each has its manifest as
a file of its own, whose content gives its id: so nothing can be slipped in under another's name.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from sqlalchemy import Engine, insert, select
from sqlalchemy.exc import IntegrityError

from ..errors import NotFound, StoreError
from ..store.actions import append_action
from ..store.artifacts import Artifacts
from ..store.tables import records, releases
from ..types import Clock
from .registry import Manifest, Release

_FOLDER = "manifests"


class _Kept(msgspec.Struct, frozen=True):
    """One release, as its file has it."""

    manifest: Manifest
    created_at_us: int
    by: str


class Recovered(msgspec.Struct, frozen=True, kw_only=True):
    """What was learned again.

    Attributes:
        learned: Releases that the store did not know.
        incomplete: Of them, those of which a file is gone or damaged: they cannot serve.
        lost: Releases that records name, and that neither the store nor a file knows.
        unreadable: Files that hold no manifest, or another one than their name says.
    """

    learned: tuple[str, ...] = ()
    incomplete: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()


def keep_manifest(artifacts: Artifacts, release: Release) -> None:
    """Write what a release is made of beside its files, unless it is there.

    Raises:
        StoreError: The folder cannot be written.
    """
    name = f"{_FOLDER}/{release.id}.json"
    if not (artifacts.folder / name).exists():
        kept = _Kept(release.manifest, release.created_at_us, release.by)
        artifacts.keep_named(name, msgspec.json.encode(kept, order="sorted"))


def drop_manifest(artifacts: Artifacts, release_id: str) -> None:
    """Remove what a release was made of, once nothing needs it."""
    (artifacts.folder / _FOLDER / f"{release_id}.json").unlink(missing_ok=True)


def recover(engine: Engine, artifacts: Artifacts, clock: Clock, *, by: str) -> Recovered:
    """Let the store know every release again whose manifest lies beside its files.

    Nothing else is changed: what serves is what the store says.
    """
    learned, incomplete, unreadable = [], [], []
    known = _known(engine)
    for name, release in _kept(artifacts):
        if release is None:
            unreadable.append(name)
        elif release.id not in known and _add(engine, clock, release, by):
            learned.append(release.id)
            if not _is_whole(artifacts, release):
                incomplete.append(release.id)
    named = select(records.c.release).distinct().where(records.c.release != "")
    with engine.connect() as connection:
        asked = set(connection.execute(named).scalars())
    return Recovered(
        learned=tuple(learned),
        incomplete=tuple(incomplete),
        lost=tuple(sorted(asked - known - set(learned))),
        unreadable=tuple(unreadable),
    )


def _known(engine: Engine) -> set[str]:
    with engine.connect() as connection:
        return set(connection.execute(select(releases.c.id)).scalars())


def _kept(artifacts: Artifacts) -> Iterator[tuple[str, Release | None]]:
    """Yield each file's name, and the release in it; None of one that holds another or none."""
    for path in sorted((artifacts.folder / _FOLDER).glob("*.json")):
        try:
            found = msgspec.json.decode(path.read_bytes(), type=_Kept)
        except (OSError, msgspec.MsgspecError):
            yield path.name, None
            continue
        manifest = found.manifest
        if manifest.release_id != path.name.removesuffix(".json"):
            yield path.name, None
            continue
        yield (
            path.name,
            Release(manifest.release_id, manifest.service, manifest, found.created_at_us, found.by),
        )


def _add(engine: Engine, clock: Clock, release: Release, by: str) -> bool:
    """Say whether a release was unknown until now."""
    row = msgspec.structs.asdict(release)
    row["manifest"] = msgspec.json.encode(release.manifest, order="sorted").decode()
    try:
        with engine.begin() as connection:
            connection.execute(insert(releases).values(row))
            detail = {"service": release.service, "built_by": release.by}
            append_action(connection, clock, by, "release.recover", release.id, detail)
    except IntegrityError:
        return False  # another process learned it in the same moment
    return True


def _is_whole(artifacts: Artifacts, release: Release) -> bool:
    try:
        for digest in release.manifest.files.values():
            artifacts.path(digest)
    except (NotFound, StoreError):
        return False
    return True
