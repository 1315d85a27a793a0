"""How much memory this process takes while something runs, and how much there is for it."""

from __future__ import annotations

import os
import resource
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

_EVERY_S = 0.01
_STATM = Path("/proc/self/statm")
_CGROUPS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
_MB = 1e6


class Peak:
    """The most memory of the process while the block runs, looked at a hundred times a second.

    Where the machine has no `/proc`, it is the most since the process began.

    Attributes:
        mb: MB of resident memory, also what was there before.
    """

    def __init__(self) -> None:
        self.mb = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="peak", daemon=True)

    def __enter__(self) -> Self:
        self.mb = _resident_mb()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        self.mb = max(self.mb, _resident_mb())

    def _watch(self) -> None:
        while not self._ended.wait(_EVERY_S):
            self.mb = max(self.mb, _resident_mb())


def _resident_mb() -> float:
    try:
        pages = int(_STATM.read_text().split()[1])
    except (OSError, ValueError, IndexError):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most / _MB if sys.platform == "darwin" else most * 1024 / _MB
    return pages * os.sysconf("SC_PAGE_SIZE") / _MB


def memory_mb() -> int:
    """Return the memory of this machine in MB, or of its container where that has less."""
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for path in _CGROUPS:
        try:
            whole = min(whole, int(path.read_text()))
        except (OSError, ValueError):
            continue  # no container, or one without a limit
    return int(whole / _MB)
