"""Which releases there are, and which of them serves."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Any, Literal

import msgspec
from sqlalchemy import Engine, Row, insert, select
from sqlalchemy.exc import IntegrityError

from ..declare.training import Training
from ..errors import NotFound, StoreError
from ..store.actions import append_action
from ..store.tables import releases, switchboard
from ..types import Clock
from .environment import Commit, Environment

SERVICE_FILE = "service.toml"

Pin = Literal["declaration", "digest", "files", "host", "name"]


class PinnedModel(msgspec.Struct, frozen=True):
    """One model of a release, and what holds it still.

    Attributes:
        model: What the declaration names: a file, `module:callable`, an upstream's name.
        pin: `digest` of its file; `files`, all files of the service; `declaration`, which
            holds it whole; `name`, which says its version; `host`, which is the team's own.
        digest: SHA-256 of its file in hex; empty for the others.
    """

    name: str
    provider: str
    kind: str
    model: str
    pin: Pin
    digest: str = ""


class PinnedProvider(msgspec.Struct, frozen=True):
    """Where a provider's models were when the release was built; its key and prices may change."""

    kind: str
    base_url: str = ""


class PinnedContract(msgspec.Struct, frozen=True):
    """The contract of a source as it was when the release was built.

    Attributes:
        id: The contract's own id.
        version: As its author counts.
        digest: SHA-256 of its file in hex.
        table: The one of its tables that the source is.
        fields: The fields of it that the service reads.
    """

    id: str
    version: str
    digest: str
    table: str
    fields: tuple[str, ...]


PROMPT_DIGITS = 12
"""Hex digits of a prompt's digest that its version has."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a release is made of.

    Attributes:
        declaration_hash: Of what the service file means, with defaults filled in.
        files: SHA-256 in hex by path below the service's folder.
        packages: The part of `environment` that decides answers.
        commit: Of the code where it was built first; None outside a repository.
        contracts: Source -> its contract, of the sources that the service's views read.
        accepts: The versions of them that the service has agreed to.
        training: What the model learned from, where the service says so.
        prompt: Path of its prompt; empty where it has none.
    """

    service: str
    declaration_hash: str
    files: dict[str, str]
    models: tuple[PinnedModel, ...]
    providers: dict[str, PinnedProvider]
    packages: dict[str, str]
    environment: Environment
    commit: Commit | None
    contracts: dict[str, PinnedContract] = {}
    accepts: tuple[str, ...] = ()
    training: Training | None = None
    prompt: str = ""

    @property
    def prompt_version(self) -> str:
        """The version of its prompt: the beginning of the SHA-256 of the file."""
        return self.files.get(self.prompt, "")[:PROMPT_DIGITS]

    @property
    def facts(self) -> dict[str, str]:
        """What decides answers, as short texts under the names a person knows it by.

        The bytes of the service file are not among it, only what it means: a comment makes no other
        release. Neither are the commit, the time and the packages that only tools use: the same
        files are the same release, wherever and whenever they are built. The version of a package
        that computes answers is: another onnxruntime is not silently the same.
        """
        return (
            {SERVICE_FILE: self.declaration_hash}
            | {name: digest for name, digest in self.files.items() if name != SERVICE_FILE}
            | {f"provider {k}": f"{v.kind} {v.base_url}" for k, v in self.providers.items()}
            | {f"package {name}": version for name, version in self.packages.items()}
        )

    @property
    def release_id(self) -> str:
        """`<service>@` and the first 12 hex digits of the SHA-256 of `facts`."""
        facts = msgspec.json.encode(self.facts, order="sorted")
        return f"{self.service}@{hashlib.sha256(facts).hexdigest()[:12]}"


class Release(msgspec.Struct, frozen=True):
    """An immutable bundle that answers for one service; `by` built it at `created_at_us`."""

    id: str
    service: str
    manifest: Manifest
    created_at_us: int
    by: str


def add_release(engine: Engine, clock: Clock, manifest: Manifest, by: str) -> Release:
    """Keep a release and return it, or the one that is there with the same content."""
    release = Release(manifest.release_id, manifest.service, manifest, clock.now_us(), by)
    text = msgspec.json.encode(manifest, order="sorted").decode()
    try:
        with engine.begin() as connection:
            row = msgspec.structs.asdict(release) | {"manifest": text}
            connection.execute(insert(releases).values(row))
            detail = {"service": release.service, "commit": commit_of(manifest)}
            append_action(connection, clock, by, "release.build", release.id, detail)
    except IntegrityError:
        return read_release(engine, release.id)
    return release


def commit_of(manifest: Manifest) -> str:
    """Return the commit as people write it, with `+` when files differed; empty without one."""
    return commit_text(manifest.commit)


def commit_text(commit: Commit | None) -> str:
    """Return a commit as people write it, with `+` when files differed; empty for none."""
    return f"{commit.id}{'+' if commit.is_dirty else ''}" if commit else ""


def read_release(engine: Engine, release_id: str) -> Release:
    """Return one release.

    Raises:
        NotFound: There is none of this id.
        StoreError: What is stored is not what was built.
    """
    with engine.connect() as connection:
        query = select(releases).where(releases.c.id == release_id)
        row = connection.execute(query).first()
    if row is None:
        raise NotFound(
            f"no release `{release_id}`; `roadworthy release list` shows those there are"
        )
    return _release(row)


class _Trained(msgspec.Struct):
    training: Training | None = None


def trainings(engine: Engine, service: str, since_us: int, until_us: int) -> int:
    """Return how many trainings were first released in a span: one a training set that is named."""
    first: dict[str, int] = {}
    query = select(releases.c.manifest, releases.c.created_at_us)
    with engine.connect() as connection:
        rows = connection.execute(query.where(releases.c.service == service)).all()
    for row in rows:  # of a release that was changed in the store, this is read all the same
        training = msgspec.json.decode(row.manifest, type=_Trained).training
        if training is not None:
            first[training.id] = min(first.get(training.id, row.created_at_us), row.created_at_us)
    return sum(since_us <= at_us < until_us for at_us in first.values())


def list_releases(
    engine: Engine, service: str = "", limit: int = 100, *, services: Collection[str] = ()
) -> list[Release]:
    """Return the latest releases, newest first, of one service, of some or of all."""
    query = select(releases).order_by(releases.c.created_at_us.desc(), releases.c.id).limit(limit)
    if service:
        query = query.where(releases.c.service == service)
    if services:
        query = query.where(releases.c.service.in_(services))
    with engine.connect() as connection:
        return [_release(row) for row in connection.execute(query)]


def list_release_ids(engine: Engine, services: Collection[str], limit: int) -> tuple[str, ...]:
    """Return the ids alone of the latest releases, newest first; of all where none are named."""
    query = select(releases.c.id).order_by(releases.c.created_at_us.desc(), releases.c.id)
    if services:
        query = query.where(releases.c.service.in_(services))
    with engine.connect() as connection:
        return tuple(connection.execute(query.limit(limit)).scalars())


def champion_of(engine: Engine, service: str) -> Release | None:
    """Return the release that serves, or None while none was promoted."""
    release_id = champion_id_of(engine, service)
    return read_release(engine, release_id) if release_id else None


def champion_id_of(engine: Engine, service: str) -> str:
    """Return the id of what serves, or an empty string while nothing was promoted."""
    query = select(switchboard.c.value).where(switchboard.c.name == _pointer(service))
    with engine.connect() as connection:
        return connection.execute(query).scalar() or ""


def _pointer(service: str) -> str:
    return f"champion:{service}"


def _release(row: Row[Any]) -> Release:
    manifest = msgspec.json.decode(row.manifest, type=Manifest)
    if manifest.release_id != row.id:
        raise StoreError(
            f"release `{row.id}` was changed in the store: its content gives "
            f"`{manifest.release_id}`; build it again from its commit and promote that"
        )
    return Release(row.id, row.service, manifest, row.created_at_us, row.by)
