"""What to measure ours beside, as published: LiteLLM's proxy, Portkey's, pandera and Feast.

Run as a program (`make bench-peers`) this installs each into a folder of its own under `.bench/`;
`make bench-gateway` and `make bench-data` then measure those that are there. A gateway runs as its
documents say for production and for load tests: one worker, no debug or access log, no database, no
callbacks, no retries, and the same OpenAI-compatible upstream that ours has.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from harness import SERVER_CORE, process, wait_for

ROOT = Path(__file__).parent.parent / ".bench"
START_S = 120

LITELLM_CONFIG = """
model_list:
  - model_name: chat
    litellm_params:
      model: openai/m
      api_base: {upstream}
      api_key: none
litellm_settings:
  set_verbose: false
  callbacks: []
  num_retries: 0
"""
LOOPBACK = """
const { Server } = require("node:net");
const { listen } = Server.prototype;
Server.prototype.listen = function (port, _host, done) {
  return listen.call(this, port, "127.0.0.1", done);
};
"""
"""Portkey's server listens on every interface and has no option for one; this keeps it here."""


Words = list[str | Path]


class Start(NamedTuple):
    """How one peer is started, and what a request to it says beside its body."""

    words: Words
    env: dict[str, str]
    headers: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Installed:
    """One other program, pinned.

    Attributes:
        needs: The program that installs it.
        install: Gives the commands that install it into a folder.
    """

    name: str
    package: str
    version: str
    size: str
    needs: str
    install: Callable[[Installed], list[Words]]

    @property
    def folder(self) -> Path:
        """Where it is installed."""
        return ROOT / self.name

    @property
    def stamp(self) -> Path:
        """What is written last, so a torn installation does not count as one."""
        return self.folder / "installed"

    @property
    def is_installed(self) -> bool:
        """Whether this version is there."""
        return self.stamp.exists() and self.stamp.read_text() == self.version


@dataclass(frozen=True, kw_only=True)
class Peer(Installed):
    """One other gateway.

    Attributes:
        bar: How many times our CPU a request it is to cost at least.
        ready: The path that answers once it serves.
        start: Gives what to run, from its folder, a scratch folder, its port and the upstream.
    """

    port: int
    bar: int
    ready: str
    start: Callable[[Peer, Path, str], Start]


def install_wheels(peer: Installed) -> list[Words]:
    """Give the commands for an environment of its own; wheels only, so no package runs code."""
    pip: Words = [peer.folder / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check"]
    return [
        [sys.executable, "-m", "venv", peer.folder],
        [*pip, "--only-binary=:all:", f"{peer.package}=={peer.version}"],
    ]


def start_litellm(peer: Peer, home: Path, upstream: str) -> Start:
    """Serve one OpenAI-compatible model; the proxy refuses to start without a master key."""
    config = home / "litellm.yaml"
    config.write_text(LITELLM_CONFIG.format(upstream=upstream))
    words: Words = [peer.folder / "bin" / "litellm", "--config", config, "--host", "127.0.0.1"]
    key = f"sk-{secrets.token_hex(24)}"
    env = {
        "LITELLM_MASTER_KEY": key,
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOG": "ERROR",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    headers = {"authorization": f"Bearer {key}"}
    return Start([*words, "--port", str(peer.port), "--num_workers", "1"], env, headers)


def install_portkey(peer: Installed) -> list[Words]:
    """Give the command for a folder of its own; no package's scripts are run."""
    words: Words = ["npm", "install", "--loglevel=error", "--no-audit", "--no-fund"]
    words += ["--ignore-scripts", "--prefix", peer.folder, f"{peer.package}@{peer.version}"]
    return [words]


def start_portkey(peer: Peer, home: Path, upstream: str) -> Start:
    """Serve without the log page; the upstream is named by each request, as its documents say."""
    loopback = home / "loopback.cjs"
    loopback.write_text(LOOPBACK)
    server = peer.folder / "node_modules" / peer.package / "build" / "start-server.js"
    headers = {
        "authorization": "Bearer none",
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": upstream,
    }
    words: Words = ["node", "--require", loopback, server, f"--port={peer.port}", "--headless"]
    return Start(words, {"NODE_ENV": "production"}, headers)


PEERS = (
    Peer(
        name="litellm",
        package="litellm[proxy]",
        version="1.106.2",
        size="170 MB to download, 750 MB on disk",
        needs="python3",
        port=9906,
        bar=100,
        ready="/health/liveliness",
        install=install_wheels,
        start=start_litellm,
    ),
    Peer(
        name="portkey",
        package="@portkey-ai/gateway",
        version="1.15.2",
        size="20 MB to download, 25 MB on disk",
        needs="npm",
        port=9907,
        bar=20,
        ready="/",
        install=install_portkey,
        start=start_portkey,
    ),
)

PANDERA = Installed(
    name="pandera",
    package="pandera[polars]",
    version="0.35.0",
    size="70 MB to download, 225 MB on disk",
    needs="python3",
    install=install_wheels,
)
"""Validates frames; `make bench-data` measures beside it."""

FEAST = Installed(
    name="feast",
    package="feast[duckdb]",
    version="0.67.0",
    size="700 MB on disk",
    needs="python3",
    install=install_wheels,
)
"""A feature store; `make bench-data` measures beside it."""


@contextmanager
def running(peer: Peer, home: Path, upstream: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Run a peer on the measured core; hand out its process id and a request's headers."""
    start = peer.start(peer, home, upstream)
    # Nothing of the person's own environment: a database or a key there would change what it does.
    env = {"PATH": os.environ["PATH"], "HOME": str(home), **start.env}
    log = home / f"{peer.name}.log"
    with process(start.words, SERVER_CORE, env=env, log=log) as child:
        try:
            wait_for(f"http://127.0.0.1:{peer.port}{peer.ready}", START_S)
        except SystemExit as error:
            raise SystemExit(f"{peer.name}: {error}\n{log.read_text()[-2000:]}") from None
        yield child.pid, start.headers


def installed() -> list[Peer]:
    """Return the peers that are there; say which are not, and how to have them."""
    for peer in PEERS:
        if not peer.is_installed:
            said = f"{peer.name} {peer.version} is not installed and not measured"
            print(f"{said}: run `make bench-peers`", file=sys.stderr)
    return [peer for peer in PEERS if peer.is_installed]


def install(peer: Installed) -> bool:
    """Install one peer anew, saying first what that takes; return whether it is there."""
    if peer.is_installed:
        print(f"{peer.package} {peer.version} is installed in {peer.folder}")
        return True
    if not shutil.which(peer.needs):
        print(
            f"{peer.package} needs {peer.needs}, which is not here: install it and run this again"
        )
        return False
    print(f"installing {peer.package} {peer.version} into {peer.folder}: {peer.size}", flush=True)
    shutil.rmtree(peer.folder, ignore_errors=True)
    peer.folder.mkdir(parents=True)
    for words in peer.install(peer):
        if subprocess.run([str(word) for word in words], check=False).returncode:
            print(f"{peer.package} {peer.version} could not be installed")
            return False
    peer.stamp.write_text(peer.version)
    return True


if __name__ == "__main__":
    done = [install(peer) for peer in (*PEERS, PANDERA, FEAST)]
    sys.exit(not all(done))
