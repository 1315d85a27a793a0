"""Builds releases from a service's folder, lays them out to be served, and compares the two."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec
from pydantic import ValidationError
from sqlalchemy import Engine

from ..declare.check_evaluation import evaluation_files
from ..declare.project import ProjectDeclaration, Provider
from ..declare.service import ModelEntry, ServiceDeclaration
from ..declare.training import read_training
from ..errors import DeclarationError, NotFound, StoreError
from ..net import is_private_host
from ..store.artifacts import Artifacts, digest_of
from ..types import Clock, Problem
from .agreement import Contracts, check_agreed, pin_contracts
from .environment import describe_environment, may_use_anything, read_commit
from .manifests import keep_manifest
from .pins import is_pinned
from .registry import (
    SERVICE_FILE,
    Manifest,
    Pin,
    PinnedModel,
    PinnedProvider,
    Release,
    add_release,
)

_NONE: Contracts = {}
_PIN_OF_KIND: dict[str, Pin] = {
    "builtin": "declaration",
    "llama_cpp": "digest",
    "onnx": "digest",
    "python": "files",
    "rule": "declaration",
    "scripted": "digest",
}
"""How models that run here are held still; those of a plugin by all files, like your own code."""


class Difference(msgspec.Struct, frozen=True):
    """One thing that is not as it was released.

    Attributes:
        name: A file's path, `provider <name>` or `package <name>`.
        change: What became of it since: `added`, `changed` or `removed`.
    """

    name: str
    change: str

    def __str__(self) -> str:
        return f"{self.name} {self.change}"


def build_release(
    service: ServiceDeclaration,
    project: ProjectDeclaration,
    artifacts: Artifacts,
    engine: Engine,
    clock: Clock,
    by: str,
    contracts: Contracts = _NONE,
) -> Release:
    """Make the release that these files are, and return it; it may have been there before.

    Args:
        service: What is released.
        project: The project it belongs to.
        artifacts: Where its files are kept.
        engine: The state database.
        clock: Where its time comes from.
        by: Who builds it.
        contracts: The contracts of the sources that the service's views read.

    Raises:
        DeclarationError: A model's name does not say which version it means, or a contract changed
            in a way that breaks the service and that it has not agreed to.
        StoreError: A file changed meanwhile, or the store cannot be written.
    """
    check_agreed(service.name, contracts, service.contract.accepts, engine)
    manifest = msgspec.structs.replace(
        describe(service, project),
        contracts=pin_contracts(contracts, engine, clock, by),
        accepts=service.contract.accepts,
    )
    for name, digest in manifest.files.items():
        if artifacts.put(service.folder / name) != digest:
            raise StoreError(f"{service.folder / name} changed while it was released; build again")
    release = add_release(engine, clock, manifest, by)
    keep_manifest(artifacts, release)
    return release


def describe(service: ServiceDeclaration, project: ProjectDeclaration) -> Manifest:
    """Return what a release of the files as they stand would be made of.

    Raises:
        DeclarationError: A model's name does not say which version it means.
    """
    _check_pins(service, project)
    providers = {entry.provider: project.providers[entry.provider] for entry in service.models}
    kinds = {provider.kind for provider in providers.values()}
    kinds.update(f"guards.{guard.use}" for guard in service.guards)
    kinds.update(["prompt.file"] if service.prompt else [])
    kinds.update(["context.retrieval"] if service.context.retrieval else [])
    names = {SERVICE_FILE, *service.files}
    if may_use_anything(kinds):
        names.update(_all_files(service.folder) - evaluation_files(service))
    files = {name: digest_of(service.folder / name) for name in sorted(names)}
    environment = describe_environment()
    training = service.features.training
    return Manifest(
        service=service.name,
        declaration_hash=service.hash,
        files=files,
        models=tuple(_pin(entry, providers[entry.provider], files) for entry in service.models),
        providers={
            name: PinnedProvider(provider.kind, provider.base_url or "")
            for name, provider in sorted(providers.items())
        },
        packages=environment.deciding(kinds),
        environment=environment,
        commit=read_commit(project.folder),
        training=None if training is None else read_training(service.folder / training),
        prompt="" if service.prompt is None else service.prompt.file,
    )


def differences(
    release: Release, service: ServiceDeclaration, project: ProjectDeclaration
) -> tuple[Difference, ...]:
    """Return what a release built now would not have in common with `release`.

    Raises:
        DeclarationError: A model's name does not say which version it means.
    """
    released, now = release.manifest.facts, describe(service, project).facts
    changed = sorted(k for k in released.keys() | now.keys() if released.get(k) != now.get(k))
    return tuple(Difference(name, _change(name in released, name in now)) for name in changed)


def check_whole(release: Release, artifacts: Artifacts) -> None:
    """Check that every file of a release is kept, each with the content it was released with.

    Raises:
        StoreError: Some are gone or damaged; the message names each.
    """
    problems = []
    for name, digest in release.manifest.files.items():
        try:
            artifacts.path(digest)
        except (NotFound, StoreError) as error:
            problems.append(f"`{name}`: {error}")
    if problems:
        raise StoreError(f"release `{release.id}` is not whole: {'; '.join(problems)}")


def read_declared(manifest: Manifest, artifacts: Artifacts) -> ServiceDeclaration | None:
    """Return what a release declared; None where its file is gone, or is read no more.

    It was checked whole when it was released; here it is only read.
    """
    try:
        text = artifacts.read(manifest.files[SERVICE_FILE]).decode()
        return ServiceDeclaration.model_validate(tomllib.loads(text))
    except (NotFound, StoreError, KeyError, ValueError, ValidationError):
        return None


def materialise(release: Release, artifacts: Artifacts, folder: Path) -> Path:
    """Lay out a release's files, checked against their digests, and return their folder.

    It is `folder/<release id>/<service>`, named like a service's folder, and holds nothing else
    afterwards. Laying out again repairs what was changed there.

    Raises:
        NotFound: An artifact is gone.
        StoreError: An artifact is damaged.
    """
    root = folder / release.id / release.service
    files = release.manifest.files
    for name, digest in files.items():
        target = root / name
        if not target.resolve().is_relative_to(root.resolve()):
            raise StoreError(f"release `{release.id}` names `{name}`, outside its own folder")
        artifacts.link(digest, target)
    for path in root.rglob("*"):
        is_folder = path.is_dir() and not path.is_symlink()
        if not is_folder and path.relative_to(root).as_posix() not in files:
            path.unlink(missing_ok=True)
    return root


def as_released(project: ProjectDeclaration, release: Release) -> ProjectDeclaration:
    """Return `project` with its providers where they were when the release was built.

    Keys, prices and limits stay as they are now: they may change without another release.

    Raises:
        DeclarationError: A provider the release uses is no longer declared.
    """
    providers = dict(project.providers)
    for name, released in release.manifest.providers.items():
        if name not in providers:
            raise DeclarationError(
                f"providers.{name}: expected the provider that release `{release.id}` uses, got "
                "none - roadworthy.toml; declare it again, or promote another release"
            )
        where = {"kind": released.kind, "base_url": released.base_url or None}
        providers[name] = providers[name].model_copy(update=where)
    return project.model_copy(update={"providers": providers})


def _check_pins(service: ServiceDeclaration, project: ProjectDeclaration) -> None:
    file = (service.folder / SERVICE_FILE).relative_to(project.folder).as_posix()
    problems = [
        Problem(
            f"models[{index}].model",
            "a name with a date or version, like `gpt-5-2025-08-07`",
            f"`{entry.model}`, which its provider may point at another model any day",
            file,
            "name the version you tested",
        )
        for index, entry in enumerate(service.models)
        if _floats(entry, project.providers[entry.provider])
    ]
    if problems:
        raise DeclarationError("\n".join(map(str, problems)), problems)


def _floats(entry: ModelEntry, provider: Provider) -> bool:
    """Whether somebody else decides which model the entry's name means."""
    return _how_pinned(provider) == "name" and not is_pinned(entry.model)


def _pin(entry: ModelEntry, provider: Provider, files: dict[str, str]) -> PinnedModel:
    pin = _how_pinned(provider)
    # A file that a package brings is held still by the package's version.
    digest = files.get(entry.model, "") if pin == "digest" else ""
    return PinnedModel(entry.name, entry.provider, provider.kind, entry.model, pin, digest)


def _how_pinned(provider: Provider) -> Pin:
    if not provider.base_url:
        return _PIN_OF_KIND.get(provider.kind, "files")
    return "host" if is_private_host(provider.base_url) else "name"


def _all_files(folder: Path) -> set[str]:
    """Return every file below `folder`: code that is not ours may import or load any of them."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {path.as_posix() for path in paths if not any(map(_is_passing, path.parts))}


def _is_passing(name: str) -> bool:
    return name.startswith(".") or name == "__pycache__"


def _change(was: bool, is_now: bool) -> str:
    if was and is_now:
        return "changed"
    return "removed" if was else "added"
