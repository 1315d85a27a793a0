"""Which files changed since a commit, and which services that touches."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import msgspec

from ..declare.project import PROJECT_FILE, ProjectDeclaration
from ..declare.service import ServiceDeclaration
from ..errors import StoreError

_TIMEOUT_S = 120
_SERVICES = "services"
_FEATURES = "features"


class Touched(msgspec.Struct, frozen=True, kw_only=True):
    """Which services a change touches.

    Attributes:
        base: The commit that was compared with; empty where none could be.
        services: Their names, sorted; why each of them, by name, is in `why`.
        files: What changed below the project's folder; None where that is not known.
        note: Why all services count, where they do; empty where they do not.
    """

    base: str
    services: tuple[str, ...]
    why: Mapping[str, str] = {}
    files: tuple[str, ...] | None = None
    note: str = ""


def touched_services(
    project: ProjectDeclaration,
    services: Mapping[str, ServiceDeclaration | None],
    base: str,
    changed: Collection[str] | None,
) -> Touched:
    """Return which services a change touches: by their folders, views, contracts and data.

    Args:
        project: The project as it is now.
        services: Name → declaration; None where the file is wrong.
        base: What the change is against.
        changed: Paths below the project's folder; None where nobody knows.
    """
    names = tuple(sorted(services))
    if changed is None:
        note = f"what changed since `{base}` is not known, so all services count"
        return Touched(base="", services=names, note=note)
    files = tuple(sorted(changed))
    if PROJECT_FILE in files:
        note = f"{PROJECT_FILE} changed, so all services count"
        return Touched(base=base, services=names, files=files, note=note)
    why: dict[str, str] = {}
    for name in names:
        found = next(filter(lambda file: _touches(file, name, services[name], project), files), "")
        if found:
            why[name] = found
    return Touched(base=base, services=tuple(why), why=why, files=files)


def _touches(
    file: str, name: str, service: ServiceDeclaration | None, project: ProjectDeclaration
) -> bool:
    path = PurePosixPath(file)
    if path.parts[:2] == (_SERVICES, name):
        return True
    if service is None:
        return False
    views = {view.partition("@")[0] for view in service.features.views}
    if path.parts[0] == _FEATURES:
        return path.stem in views
    read = {source for view in views for source in _sources_of(view, project)}
    return any(
        file in (one.contract, one.url) for name, one in project.sources.items() if name in read
    )


def _sources_of(view: str, project: ProjectDeclaration) -> Iterator[str]:
    """Yield the sources that the file of a view names; all where it cannot be read."""
    try:
        text = (project.folder / _FEATURES / f"{view}.sql").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        yield from project.sources
        return
    head = next((line for line in text.splitlines() if line.startswith("-- sources")), "")
    yield from (name for name in project.sources if f'"{name}"' in head)


def resolve_base(folder: Path, base: str) -> str:
    """Return the commit in which the checked-out state and `base` begin to differ; else empty."""
    if base.startswith("-"):
        return ""  # git would take it for an option
    return _git_text(folder, "merge-base", base, "HEAD")


def changed_files(folder: Path, commit: str) -> tuple[str, ...] | None:
    """Return the paths below a folder that are not as in a commit, new ones too; None outside git.

    What is not committed counts: it is what is going to be tested.
    """
    tracked = _git(folder, "diff", "--relative", "--no-renames", "--name-only", "-z", commit, "--")
    new = _git(folder, "ls-files", "--others", "--exclude-standard", "-z")
    if tracked is None or new is None:
        return None
    names = (tracked + new).decode(errors="replace").split("\0")
    return tuple(sorted({name for name in names if name}))


@contextmanager
def files_of_commit(folder: Path, commit: str) -> Iterator[Path]:
    """Give a folder with the files that `folder` had in a commit; it goes at the end.

    Raises:
        StoreError: git cannot give them.
    """
    with tempfile.TemporaryDirectory(prefix="roadworthy-base-") as place:
        packed, root = Path(place) / "base.tar", Path(place) / "base"
        if _git(folder, "archive", "--format=tar", f"--output={packed}", commit) is None:
            raise StoreError(
                f"expected the files of commit `{commit:.40}`, and git gives none; fetch its "
                "history (`git fetch --unshallow`)"
            )
        with tarfile.open(packed) as tar:
            tar.extractall(root, filter="data")
        yield root


def _git_text(folder: Path, *arguments: str) -> str:
    found = _git(folder, *arguments)
    return "" if found is None else found.decode(errors="replace").strip()


def _git(folder: Path, *arguments: str) -> bytes | None:
    """Return what git prints, or None if it is absent, refuses or takes too long."""
    git = shutil.which("git")
    if git is None:
        return None
    # Reading must not take the repository's lock, nor start the programs its configuration names.
    command = [git, "--no-optional-locks", "-c", "core.fsmonitor=false", "-C", str(folder)]
    try:
        done = subprocess.run(  # noqa: S603 - our own words, a folder and a commit's name
            [*command, *arguments], capture_output=True, check=True, timeout=_TIMEOUT_S
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
