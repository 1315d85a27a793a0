"""Files kept under the SHA-256 of their content, so that what was released cannot change unseen."""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from ..errors import NotFound, StoreError

_DIGEST = re.compile(r"[0-9a-f]{64}")
_READ_ONLY = 0o444


class Artifacts:
    """A folder of read-only files, each at `ab/cdef…` after its digest.

    What nothing needs any more, `release gc` removes, and nothing else does.

    Args:
        folder: Made when the first file is put.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, content: Path | bytes) -> str:
        """Keep a copy of a file or of bytes and return its digest in hex.

        A copy that is there and whole is left alone; a damaged one is replaced.

        Raises:
            StoreError: The folder cannot be written.
        """
        with content.open("rb") if isinstance(content, Path) else io.BytesIO(content) as source:
            digest = _digest(source)
            place = self._place(digest)
            if place.is_file() and digest_of(place) == digest:
                _touch(place)
                return digest
            source.seek(0)
            return self._keep(source)

    def path(self, digest: str) -> Path:
        """Return where the file is, once its content was checked against its name.

        Raises:
            NotFound: There is no such file.
            StoreError: The file is damaged.
        """
        path = self._place(digest)
        if not path.is_file():
            raise NotFound(
                f"expected an artifact with SHA-256 {digest}, got none - {path}; put it back from "
                "a backup, or build its release again from unchanged files"
            )
        got = digest_of(path)
        if got != digest:
            raise StoreError(
                f"artifact {path} is damaged: expected content with SHA-256 {digest}, got {got}; "
                "put it back from a backup, or build its release again from unchanged files"
            )
        return path

    def read(self, digest: str) -> bytes:
        """Return the content; raises as `path` does."""
        return self.path(digest).read_bytes()

    def link(self, digest: str, target: Path) -> None:
        """Put the file at `target`, as a hard link where the file system allows, else as a copy.

        What was there is replaced in one step. Raises as `path` does.
        """
        source = self.path(digest)
        with _beside(target.parent) as beside:
            new = beside / "new"
            _link_or_copy(source, new)
            new.replace(target)

    def digests(self) -> Iterator[tuple[str, int, float]]:
        """Yield of each file its digest, its bytes, and when it was put last (Unix seconds)."""
        for path in self.folder.glob("??/*"):
            digest = path.parent.name + path.name
            if _DIGEST.fullmatch(digest):
                found = path.stat()
                yield digest, found.st_size, found.st_mtime

    def remove(self, digest: str) -> None:
        """Remove a file that nothing needs; one that is gone is no error."""
        self._place(digest).unlink(missing_ok=True)

    def keep_named(self, name: str, content: bytes) -> None:
        """Write a file under a name of its own, in one step.

        Raises:
            StoreError: The folder cannot be written.
        """
        target = self.folder / name
        with _beside(target.parent) as beside:
            new = beside / "new"
            with new.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            new.replace(target)

    def _place(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise NotFound(f"expected a SHA-256 in 64 hex digits, got `{digest[:80]}`")
        return self.folder / digest[:2] / digest[2:]

    def _keep(self, source: IO[bytes]) -> str:
        with _beside(self.folder) as beside:
            copy = beside / "copy"
            with copy.open("wb") as file:
                shutil.copyfileobj(source, file)
                file.flush()
                os.fsync(file.fileno())
            # The source may have changed since it was read first: the copy is what counts.
            digest = digest_of(copy)
            place = self._place(digest)
            place.parent.mkdir(exist_ok=True)
            copy.chmod(_READ_ONLY)
            copy.replace(place)
        return digest


def _touch(place: Path) -> None:
    """Let a file be as young as if it were new: whoever puts it needs it from now on."""
    with suppress(OSError):  # another user's file: it is kept as long as something names it
        os.utime(place)


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file's content in hex."""
    with path.open("rb") as file:
        return _digest(file)


def _digest(file: IO[bytes]) -> str:
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


@contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """Give a place to write what is then renamed into `folder`, so that nobody sees half a file."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".put-") as beside:
            yield Path(beside)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise StoreError(
            f"expected a folder that can be written, got `{reason}` - {folder}; "
            "check its permissions and the free space"
        ) from error


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        # Another file system, or one without hard links.
        shutil.copyfile(source, target)
        target.chmod(_READ_ONLY)
