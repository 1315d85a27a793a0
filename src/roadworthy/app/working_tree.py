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
        self._found: dict[tuple[str, bool], tuple[str, Stamp, tuple[str, ...]]] = {}
        self._files: dict[str, tuple[str, ...]] = {}

    def differences(self, opened: OpenRelease, candidate: str = "") -> tuple[str, ...]:
        """Return what is not as it was released, one text a difference; empty when all is.

        Args:
            opened: What serves, and is compared with.
            candidate: Another release of the service, which is compared with instead.
        """
        id, place = candidate or opened.id, (opened.name, bool(candidate))
        stamp = self._stamp(opened, candidate)
        found = self._found.get(place)
        if found is None or found[:2] != (id, stamp):
            found = (id, stamp, self._compare(opened.name, id))
            self._found[place] = found
        return found[2]

    def _compare(self, name: str, release: str) -> tuple[str, ...]:
        ground = self._ground
        try:
            stored = registry.read_release(ground.state, release)
            service = ground.load(name)
            return tuple(map(str, bundle.differences(stored, service, ground.declaration)))
        except RoadworthyError as error:
            return (f"the folder cannot be released: {error}",)

    def _stamp(self, opened: OpenRelease, candidate: str) -> Stamp:
        root = self._ground.folder
        folder = root / "services" / opened.name
        names = {"service.toml", *opened.declaration.files}
        if candidate:
            names.update(self._files_of(candidate))
        return tuple(map(look, [root / "roadworthy.toml", folder, *(folder / n for n in names)]))

    def _files_of(self, release: str) -> tuple[str, ...]:
        """Return the files of a release, which never changes."""
        if release not in self._files:
            stored = registry.read_release(self._ground.state, release)
            self._files[release] = tuple(stored.manifest.files)
        return self._files[release]


def look(path: Path) -> tuple[int, int]:
    """Return when a file changed last and how large it is; zeros where there is none."""
    try:
        status = path.stat()
    except (OSError, ValueError):  # the second where a stored name holds what no path can
        return (0, 0)
    return (status.st_mtime_ns, status.st_size)


def differences_of(ground: Ground, opened: OpenRelease) -> list[str]:
    """Return how a service's files differ from what serves, and what takes them over."""
    stored = registry.read_release(ground.state, opened.id)
    try:
        service = ground.load(opened.name)
        changes = bundle.differences(stored, service, ground.declaration)
    except RoadworthyError as error:
        return [f"the working tree cannot be released: {error}"]
    if not changes:
        return []
    advice = "`roadworthy release build` and `release promote` take them over"
    return [*map(str, changes), advice]
