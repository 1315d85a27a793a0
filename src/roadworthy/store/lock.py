"""One serving process per project, as long as its counters live in that process's memory.

The lock is the operating system's (`flock`): it ends with the process, however that ends. What
stands in the file only tells people who holds it, and is believed only while the lock is held.
"""

from __future__ import annotations

import fcntl
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Annotated

import msgspec

from ..errors import StoreBusy, StoreError
from ..types import MICRO, SystemClock

_NOTE_APPEARS_S = 0.2


class Holder(msgspec.Struct, frozen=True):
    """Who serves a project: a process, since when (Unix microseconds), and its URL, once known."""

    pid: Annotated[int, msgspec.Meta(gt=0, lt=2**31)]
    since_us: Annotated[int, msgspec.Meta(ge=0, lt=2**57)]
    address: str = ""


class ProjectLock:
    """The right to serve one project, until `close` or the end of the process.

    Attributes:
        holder: What others read about this process.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.holder = Holder(os.getpid(), SystemClock().now_us())
        self._write(msgspec.json.encode(self.holder))

    def announce(self, address: str) -> None:
        """Tell who is refused where this process can be reached instead, as a URL."""
        self.holder = msgspec.structs.replace(self.holder, address=address)
        self._write(msgspec.json.encode(self.holder))

    def close(self) -> None:
        """Let another process serve; more than once is harmless."""
        if self._descriptor >= 0:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = -1

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
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, note, 0)


def hold_project(folder: Path) -> ProjectLock:
    """Take the right to serve the project in `folder`.

    Reading commands do not need it.

    Raises:
        StoreBusy: A living process has it; the message says which and what to do.
        StoreError: The project's folder cannot be written.
    """
    path = folder / ".roadworthy" / "serving.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _take(descriptor, folder)
            return ProjectLock(descriptor)
        except (OSError, StoreBusy):
            os.close(descriptor)
            raise
    except OSError as error:
        raise StoreError(
            f"expected a file that can be written and locked, got `{error.strerror}` - {path}; "
            "check its permissions and the free space"
        ) from error


def _take(descriptor: int, folder: Path) -> None:
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
                raise StoreBusy(_refusal(folder, holder)) from None
            time.sleep(0.01)
        else:
            return


def find_holder(folder: Path) -> Holder | None:
    """Return who serves the project in `folder`, or None if nobody does.

    A holder that did not say who it is has the pid 0.
    """
    try:
        descriptor = os.open(folder / ".roadworthy" / "serving.lock", os.O_RDONLY)
    except FileNotFoundError:
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


def _refusal(folder: Path, holder: Holder | None) -> str:
    if holder is None:
        return f"the project in {folder} is served by another process; stop that one first"
    since = datetime.fromtimestamp(holder.since_us // MICRO, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    address = f" {holder.address}" if holder.address else ""
    return (
        f"the project in {folder} is served by process {holder.pid} since {since}; "
        f"stop it, or use its HTTP address{address}"
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
