"""What a service names beside its file: where it leads, and whether it is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from .project import ProjectDeclaration
from .service import ServiceDeclaration
from .source import Finding
from .validate import shown

Findings = Iterator[Finding]


def check_file(
    service: ServiceDeclaration, project: ProjectDeclaration, path: str, name: str
) -> Findings:
    """Yield what is wrong with naming the file `name`: where it leads, or that it is not there."""
    roots = (project.folder, service.folder)
    yield from check_below("the service's folder", service.folder, roots, path, name)


def check_below(
    place: str, folder: Path, roots: tuple[Path, ...], path: str, name: str
) -> Findings:
    """Yield what is wrong with naming the file `name` in `folder`; links may lead below `roots`."""
    expected = f"a relative path below {place}"
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or "\\" in name or re.match(r"[A-Za-z]:", name):
        yield Finding(path, expected, shown(name))
        return
    if str(pure) != name:
        # One file has one name, because a release finds files by it.
        yield Finding(path, f"`{pure}`", shown(name))
        return
    try:
        target = (folder / name).resolve()
        if not any(target.is_relative_to(root.resolve()) for root in roots):
            yield Finding(path, expected, f"{shown(name)}, a link out of the project")
        elif not target.is_file():
            got = f"{shown(name)}, which does not exist"
            yield Finding(path, "a file", got, near((folder / name).parent, folder))
    except (OSError, RuntimeError, ValueError):
        yield Finding(path, expected, f"{shown(name)}, which cannot be followed")


def near(folder: Path, otherwise: Path | None = None) -> str:
    """Return what lies in a folder, as advice for who names something that does not.

    Where there is no such folder, it is what lies in `otherwise`.
    """
    folder = folder if otherwise is None or folder.is_dir() else otherwise
    files = sorted(path.name for path in folder.iterdir() if path.is_file())[:12]
    return f"files there: {', '.join(files)}"
