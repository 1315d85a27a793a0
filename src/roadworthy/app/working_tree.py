"""How a service's folder differs from what is served, looked at again only when a file changed."""

from __future__ import annotations

from pathlib import Path

from ..errors import RoadworthyError
from ..release import bundle, registry
from ..serve.opened import OpenRelease
from .ground import Ground

Stamp = tuple[tuple[int, int], ...]


class WorkingTree:
    """Compares folders with releases.

    A comparison reads every file of a service and takes some milliseconds. A look at their times
    and sizes takes microseconds, and says whether the last comparison still holds.
    """

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._found: dict[str, tuple[str, Stamp, tuple[str, ...]]] = {}

    def differences(self, opened: OpenRelease) -> tuple[str, ...]:
        """Return what is not as it was released, one text a difference; empty when all is."""
        stamp = self._stamp(opened)
        found = self._found.get(opened.name)
        if found is None or found[:2] != (opened.id, stamp):
            found = (opened.id, stamp, self._compare(opened))
            self._found[opened.name] = found
        return found[2]

    def _compare(self, opened: OpenRelease) -> tuple[str, ...]:
        ground = self._ground
        try:
            stored = registry.read_release(ground.state, opened.id)
            service = ground.load(opened.name)
            return tuple(map(str, bundle.differences(stored, service, ground.declaration)))
        except RoadworthyError as error:
            return (f"the folder cannot be released: {error}",)

    def _stamp(self, opened: OpenRelease) -> Stamp:
        root = self._ground.folder
        folder = root / "services" / opened.name
        names = {"service.toml", *opened.declaration.files}
        return tuple(map(look, [root / "roadworthy.toml", folder, *(folder / n for n in names)]))


def look(path: Path) -> tuple[int, int]:
    """Return when a file changed last and how large it is; zeros where there is none."""
    try:
        status = path.stat()
    except OSError:
        return (0, 0)
    return (status.st_mtime_ns, status.st_size)
