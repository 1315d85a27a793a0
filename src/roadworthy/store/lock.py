"""One serving process per project and store, as long as counters live in that process's memory.

The lock is the operating system's (`flock`): it ends with the process, however that ends. What
stands in the file only tells people who holds it, and is believed only while the lock is held.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Annotated, NamedTuple

import msgspec

from ..declare.project import STORE_URL_VARIABLE
from ..errors import StoreBusy, StoreError
from ..types import MICRO, SystemClock
from .state import database_of

_NOTE_APPEARS_S = 0.2


class Holder(msgspec.Struct, frozen=True):
    """Who serves a project: a process, since when (Unix microseconds), and its URL, once known."""

    pid: Annotated[int, msgspec.Meta(gt=0, lt=2**31)]
    since_us: Annotated[int, msgspec.Meta(ge=0, lt=2**57)]
    address: str = ""


class ProjectLock:
    """The right to serve one project and its store, until `close` or the end of the process.

    Attributes:
        holder: What others read about this process.
    """

    def __init__(self, descriptors: Sequence[int]) -> None:
        self._descriptors = tuple(descriptors)
        self.holder = Holder(os.getpid(), SystemClock().now_us())
        self._write(msgspec.json.encode(self.holder))

    def announce(self, address: str) -> None:
        """Tell who is refused where this process can be reached instead, as a URL."""
        self.holder = msgspec.structs.replace(self.holder, address=address)
        self._write(msgspec.json.encode(self.holder))

    def close(self) -> None:
        """Let another process serve; more than once is harmless."""
        for descriptor in self._descriptors:
            os.ftruncate(descriptor, 0)
            os.close(descriptor)
        self._descriptors = ()

    def __enter__(self) -> ProjectLock:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _write(self, note: bytes) -> None:
        for descriptor in self._descriptors:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, note, 0)


class _Place(NamedTuple):
    """A file to lock, and what that holds, as people read it."""

    file: Path
    held: str
    advice: str


def _places(folder: Path, store_url: str) -> list[_Place]:
    """Return what one process alone may serve: the folder's spool, and the store that counts."""
    places = [_Place(folder / ".roadworthy" / "serving.lock", f"the project in {folder}", "")]
    database = database_of(store_url) if store_url else None
    if database is not None:
        # Beside the database, wherever a link to it lies: two folders may name one store. Its name
        # begins with a dot, so that who deletes `state.db*` does not delete the lock as well.
        real = database.resolve()
        advice = f", or give this project a store of its own (`store.url`, {STORE_URL_VARIABLE})"
        file = real.with_name(f".{real.name}.lock")
        places.append(_Place(file, f"the store {real}", advice))
    return places


def hold_project(folder: Path, store_url: str = "") -> ProjectLock:
    """Return the right to serve the project in `folder`, with its store, without waiting.

    Args:
        folder: The project's folder.
        store_url: Its store, which another folder may name too; empty locks the folder alone.

    Raises:
        StoreBusy: Another process has it; the message says which and what to do.
        StoreError: The project's folder, or that of its store, cannot be written.
    """
    taken = []
    with ExitStack() as undo:
        for place in _places(folder, store_url):
            descriptor = _hold(place)
            undo.callback(os.close, descriptor)
            taken.append(descriptor)
        undo.pop_all()
    return ProjectLock(taken)


def _hold(place: _Place) -> int:
    """Return the descriptor of a file that is locked now."""
    try:
        place.file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(place.file, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _take(descriptor, place)
        except (OSError, StoreBusy):
            os.close(descriptor)
            raise
    except OSError as error:
        raise StoreError(
            f"expected a file that can be written and locked, got `{error.strerror}` - "
            f"{place.file}; check its permissions and the free space"
        ) from error
    return descriptor


def _take(descriptor: int, place: _Place) -> None:
    """Take the lock, or say who has it.

    A process that has just taken it may not have written its name yet, and one that only looks who
    has it holds it for a moment: neither is a reason to refuse before a moment has passed.
    """
    last = time.monotonic() + _NOTE_APPEARS_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _read_holder(descriptor)
            if holder or time.monotonic() > last:
                raise StoreBusy(_refusal(place, holder)) from None
            time.sleep(0.01)
        else:
            return


def find_holder(folder: Path, store_url: str = "") -> Holder | None:
    """Return who serves the project in `folder` or its store, or None if nobody does.

    A holder that did not say who it is has the pid 0.
    """
    found = (_find(place.file) for place in _places(folder, store_url))
    return next(filter(None, found), None)


def _find(file: Path) -> Holder | None:
    try:
        descriptor = os.open(file, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        # Shared, and let go of at once: to look is not to take.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read_holder(descriptor) or Holder(0, 0)
    else:
        return None
    finally:
        os.close(descriptor)


def _refusal(place: _Place, holder: Holder | None) -> str:
    if holder is None:
        return f"{place.held} is served by another process; stop that one first{place.advice}"
    since = datetime.fromtimestamp(holder.since_us // MICRO, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    address = f" {holder.address}" if holder.address else ""
    return (
        f"{place.held} is served by process {holder.pid} since {since}; "
        f"stop it, or use its HTTP address{address}{place.advice}"
    )


def _read_holder(descriptor: int) -> Holder | None:
    """Return who wrote its name into the file; None if nobody did, or nobody who lives.

    The name of a process that was killed stays there until another one takes the lock.
    """
    try:
        holder = msgspec.json.decode(os.pread(descriptor, 4096, 0), type=Holder)
        os.kill(holder.pid, 0)
    except (msgspec.MsgspecError, ProcessLookupError):
        return None
    except PermissionError:
        return holder  # it lives and belongs to someone else
    return holder
