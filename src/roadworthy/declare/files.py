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
    if name.endswith((".odcs.yaml", ".odcs.yml")):
        got = f"{shown(name)}, a data contract, which is not enforced yet"
        yield Finding(path, "a JSON Schema file", got, "name a JSON Schema file")
        return
    expected = "a relative path below the service's folder"
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or "\\" in name or re.match(r"[A-Za-z]:", name):
        yield Finding(path, expected, shown(name))
        return
    if str(pure) != name:
        # One file has one name, because a release finds files by it.
        yield Finding(path, f"`{pure}`", shown(name))
        return
    try:
        target = (service.folder / name).resolve()
        roots = (project.folder.resolve(), service.folder.resolve())
        if not any(target.is_relative_to(root) for root in roots):
            yield Finding(path, expected, f"{shown(name)}, a link out of the project")
        elif not target.is_file():
            yield Finding(
                path, "a file", f"{shown(name)}, which does not exist", near(service.folder)
            )
    except (OSError, RuntimeError, ValueError):
        yield Finding(path, expected, f"{shown(name)}, which cannot be followed")


def near(folder: Path) -> str:
    """Return what lies in a folder, as advice for who names something that does not."""
    files = sorted(path.name for path in folder.iterdir() if path.is_file())[:12]
    return f"files there: {', '.join(files)}"
