"""Real servers that bridges are tested against, from the environment `.servers`."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest

SERVERS = Path(__file__).parents[1] / ".servers" / "bin"
START_LIMIT_S = 120.0


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port


@contextmanager
def running(program: str, arguments: Sequence[str], url: str, log: Path) -> Iterator[str]:
    """Run a server of `.servers` until the block ends, and yield its URL once it answers."""
    path = SERVERS / program
    if not path.exists():
        if os.environ.get("CI"):
            pytest.fail(f"expected {path}; `make test-slow` installs it")
        pytest.skip(f"needs {path}; `make test-slow` installs it")
    with log.open("wb") as out:
        server = subprocess.Popen(
            [path, *arguments], stdout=out, stderr=out, start_new_session=True, cwd=log.parent
        )
        try:
            _wait(server, url, log)
            yield url
        finally:
            os.killpg(server.pid, 15)
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, 9)
                server.wait()


def _wait(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    end = time.monotonic() + START_LIMIT_S
    while time.monotonic() < end:
        assert server.poll() is None, log.read_text(errors="replace")[-2000:]
        try:
            with urlopen(url, timeout=2):
                return
        except HTTPError:
            return  # it answers, if only to say that there is no such page
        except (URLError, OSError):
            time.sleep(0.2)
    raise AssertionError(f"{url} did not answer: {log.read_text(errors='replace')[-2000:]}")
