"""What benchmarks share: CPU of a process tree, pinned processes, one JSON line at the end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
BIN = Path(sys.executable).parent
SERVER_CORE, LOAD_CORE = 1, 0


def tree(pid: int) -> list[int]:
    """Return a process and all that it started."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(inner for child in children for inner in tree(int(child)))]


def cpu_s(pid: int) -> float:
    """Return the CPU seconds, user and system, that a process tree has used."""
    total = 0
    for one in tree(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total * TICK_S


def rss_mb(pid: int) -> float:
    """Return the resident memory of a process tree in MB."""
    pages = sum(int(Path(f"/proc/{one}/statm").read_text().split()[1]) for one in tree(pid))
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextmanager
def process(
    command: Sequence[str | Path],
    core: int | None = None,
    *,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
) -> Iterator[subprocess.Popen[str]]:
    """Run a command, pinned to a core, and end it with everything it started.

    What it prints goes to `log`, or into a pipe: one that prints for every request needs a log, or
    it stops when nobody empties the pipe.
    """
    words = [str(word) for word in command]
    if core is not None and shutil.which("taskset"):
        words = ["taskset", "-c", str(core), *words]
    with ExitStack() as files:
        child = subprocess.Popen(
            words,
            env=env,
            stdout=files.enter_context(log.open("w")) if log else subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
    try:
        yield child
    finally:
        os.killpg(child.pid, signal.SIGTERM)
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def wait_for(url: str, limit_s: float = 20) -> float:
    """Wait until a URL answers; return the seconds it took."""
    started = time.monotonic()
    while time.monotonic() - started < limit_s:
        try:
            with urlopen(url, timeout=1):
                return time.monotonic() - started
        except (URLError, OSError):
            time.sleep(0.02)
    raise SystemExit(f"{url} did not answer within {limit_s} s")


def need_ports(*ports: int) -> None:
    """End the run if a port is taken: what answers there would be measured in our place."""
    for port in ports:
        with socket.socket() as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                one.bind(("127.0.0.1", port))
            except OSError as error:
                said = f"port {port} of 127.0.0.1 is taken; end what listens there"
                raise SystemExit(f"{said}: {error.strerror}") from None


def need(*programs: str) -> None:
    """Install Debian's programs where they are missing and this is root; else say what to do."""
    missing = [name for name in programs if not shutil.which(name)]
    if not missing:
        return
    packages = ["nginx-light" if name == "nginx" else name for name in missing]
    line = f"apt-get install -y {' '.join(packages)}"
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise SystemExit(f"this benchmark needs {', '.join(missing)}: run `{line}`")
    print(f"installing {', '.join(packages)}", file=sys.stderr)
    for words in (["apt-get", "update", "-qq"], [*line.split(), "-qq"]):
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@contextmanager
def folder() -> Iterator[Path]:
    """Hand out a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="roadworthy-bench-") as name:
        yield Path(name)


def report(name: str, **figures: object) -> None:
    """Print one benchmark's JSON line."""
    rounded = {k: round(v, 3) if isinstance(v, float) else v for k, v in figures.items()}
    print(json.dumps({"bench": name, **rounded}))
