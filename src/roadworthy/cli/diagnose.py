"""What `roadworthy doctor` looks at: the machine, the project on it, and what it talks to."""

from __future__ import annotations

import errno
import os
import platform
import re
import resource
import shutil
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, date, datetime
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from socket import create_connection
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from ..cost.prices import load_rates
from ..declare.load import load_project
from ..declare.project import ProjectDeclaration, Provider
from ..errors import DeclarationError, RoadworthyError
from ..net import is_private_host
from ..observe.webhooks import Address
from ..serve.server import bind
from ..store.actions import list_actions
from ..store.backlog import find_backlog
from ..store.lock import Holder, find_holder
from ..store.state import SCHEMA, find_schema, open_state
from ..types import MICRO
from .common import size_text, time_text
from .extras import Need, needs_of
from .remote import ask_health

Status = Literal["ok", "warn", "fail"]

CONNECT_S = 2.0
LITTLE_SPACE = 1_000_000_000
NO_SPACE = 100_000_000
LARGE_BACKLOG = 64_000_000
FEW_FILES = 4096
_STEADY_US = 5_000
_WATCHED_S = 0.1
_AHEAD_US = 60 * MICRO

_WRITABLE_AGAIN = {
    errno.ENOSPC: "free some space, or some inodes (`df -h`, `df -i`)",
    errno.EDQUOT: "free some space below your quota (`quota`), or have it raised",
    errno.EROFS: "remount it for writing, or use a copy of the project elsewhere",
}
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+).*\bextra == ['\"]([\w-]+)['\"]")


class Sign(msgspec.Struct, frozen=True):
    """What was found about one part.

    Attributes:
        status: `fail` where Roadworthy cannot do its work, `warn` where it does less.
        remedy: The line that fixes it; empty where nothing has to be.
    """

    part: str
    status: Status
    found: str
    remedy: str = ""


Signs = Iterator[Sign]


def diagnose(folder: Path, port: int, *, is_offline: bool) -> Signs:
    """Yield what is found, as it is found; without a project only the machine is looked at."""
    yield from look_at_python()
    yield from look_at_limits()
    try:
        project = load_project(folder)
    except DeclarationError as error:
        yield Sign("project", "fail", str(error), "roadworthy check")
        yield from look_at_extras(None)
        yield from look_at_clock(None)
        return
    services = len(project.service_folders())
    yield Sign("project", "ok", f"`{project.name}`, services: {services} - {project.folder}")
    yield from look_at_extras(project)
    yield from look_at_disk(project.folder)
    yield from look_at_store(project)
    yield from look_at_clock(project)
    yield from look_at_providers(project, is_offline=is_offline)
    yield from look_at_webhooks(project)
    yield from look_at_server(project, port)


def look_at_python() -> Signs:
    """Say what runs here."""
    where = f"{platform.python_implementation()} {platform.python_version()}"
    yield Sign(
        "python", "ok", f"{where} on {platform.system()}, roadworthy {version('roadworthy')}"
    )


def look_at_extras(project: ProjectDeclaration | None) -> Signs:
    """Say which optional packages are there, and which of them is needed by what."""
    needs = list(needs_of(project))
    for extra, packages in sorted(_extras().items()):
        part = f"extra `{extra}`"
        missing = [package for package in packages if not _is_installed(package)]
        wanting = [need for need in needs if need.extra == extra]
        if not missing:
            yield Sign(part, "ok", "installed")
        elif wanting:
            yield _lacking(part, extra, missing, wanting)
        else:
            yield Sign(part, "ok", "not installed, and not needed by what is declared")


def _lacking(part: str, extra: str, missing: list[str], needs: list[Need]) -> Sign:
    who = ", ".join(need.by for need in needs)
    found = f"{who} {'needs' if len(needs) == 1 else 'need'} it, and it lacks {', '.join(missing)}"
    remedy = f"pip install 'roadworthy[{extra}]'"
    if not all(need.until_then for need in needs):
        return Sign(part, "fail", found, remedy)
    happens = ", ".join(dict.fromkeys(need.until_then for need in needs))
    return Sign(part, "warn", f"{found}; until then {happens}", remedy)


def _extras() -> dict[str, list[str]]:
    """Return the packages of each extra, as this installation's own metadata lists them."""
    found: dict[str, list[str]] = {}
    for line in requires("roadworthy") or ():
        if match := _REQUIREMENT.match(line):
            found.setdefault(match[2], []).append(match[1])
    return found


def _is_installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def look_at_disk(folder: Path) -> Signs:
    """Say how much room there is and whether a file can be written."""
    free = shutil.disk_usage(folder).free
    found = f"{size_text(free)} free - {folder}"
    remedy = "free some space: records, releases and the spool lie there"
    if free < NO_SPACE:
        yield Sign("disk", "fail", found, remedy)
    elif free < LITTLE_SPACE:
        yield Sign("disk", "warn", found, remedy)
    else:
        yield Sign("disk", "ok", found)
    place = folder / ".roadworthy"
    try:
        # A real file, because permissions do not tell of read-only mounts and quotas.
        with tempfile.TemporaryFile(dir=place if place.is_dir() else folder) as file:
            file.write(b"roadworthy")
    except OSError as error:
        found = f"cannot be written: {error.strerror} - {folder}"
        remedy = _WRITABLE_AGAIN.get(error.errno or 0, f"chmod -R u+w {folder}, or remount it")
        yield Sign("project folder", "fail", found, remedy)
    else:
        yield Sign("project folder", "ok", "can be written")


def look_at_store(project: ProjectDeclaration) -> Signs:
    """Say whether the state can be opened and is up to date, and what waits to get into it."""
    try:
        url = project.store.resolved_url(project.folder)
        schema = find_schema(url)
        if not schema:
            yield _no_store(project.folder, url)
            return
        if schema < SCHEMA:
            found = f"schema {schema}, and this version writes {SCHEMA}"
            yield Sign("store", "warn", found, "roadworthy store migrate")
            return
        state = open_state(url)
    except RoadworthyError as error:
        yield Sign("store", "fail", str(error), "roadworthy store migrate, once that is put right")
        return
    try:
        yield Sign("store", "ok", f"reachable, schema {schema}")
        waiting = find_backlog(project.folder / ".roadworthy" / "spool", state)
        last = list_actions(state, limit=1)
    finally:
        state.dispose()
    found = f"{size_text(waiting)} wait to be stored" if waiting else "nothing waits to be stored"
    if waiting > LARGE_BACKLOG:
        yield Sign("spool", "warn", found, "roadworthy up: it drains the spool when it starts")
    else:
        yield Sign("spool", "ok", found)
    if project.clock == "system" and last:
        yield from _look_back(last[0].at_us)


def _no_store(folder: Path, url: str) -> Sign:
    if find_holder(folder, url) is None:
        found = "not there yet; the first command that needs it makes it"
        return Sign("store", "ok", found)
    found = f"expected the state of the process that serves, got nothing - {url}"
    remedy = "stop that process, put a backup there, start it again"
    return Sign("store", "fail", found, remedy)


def _look_back(last_us: int) -> Signs:
    """Say whether time went backwards since the last act that was written down."""
    now_us = time.time_ns() // 1000
    if last_us > now_us + _AHEAD_US:
        found = f"now is {time_text(now_us)}, but the last action was at {time_text(last_us)}"
        yield Sign("clock since the last action", "fail", found, "timedatectl set-ntp true")


def look_at_clock(project: ProjectDeclaration | None) -> Signs:
    """Say whether the machine's time can be right and runs evenly."""
    today = datetime.now(UTC).date()
    released = date.fromisoformat(load_rates().dated)
    if today < released:
        found = f"it is {today}, which is before this version was made ({released})"
        yield Sign("clock", "fail", found, "timedatectl set-ntp true")
        return
    before = time.time_ns() - time.monotonic_ns()
    time.sleep(_WATCHED_S)
    drift_us = abs(time.time_ns() - time.monotonic_ns() - before) // 1000
    note = ""
    if project is not None and project.clock == "settable":
        note = '; the project\'s own is `clock = "settable"`, so an admin key may set another time'
    if drift_us > _STEADY_US:
        found = f"moved by {drift_us} us within {_WATCHED_S:.1f} s: something is adjusting it{note}"
        yield Sign("clock", "warn", found, "wait until the time service has settled")
    else:
        yield Sign("clock", "ok", f"runs evenly{note}")


def look_at_providers(project: ProjectDeclaration, *, is_offline: bool) -> Signs:
    """Say which providers have their key and can be reached: a connection, and no request."""
    remote = {k: v for k, v in project.providers.items() if v.base_url}
    problems = {} if is_offline else _connect_all(remote)
    for name, provider in remote.items():
        part, variable = f"provider `{name}`", provider.api_key_env
        if variable and not os.environ.get(variable):
            found = f"`{variable}` is unset, so its models count as down (`no_key`)"
            yield Sign(part, "warn", found, f"export {variable}=...")
        elif variable:
            yield Sign(part, "ok", f"`{variable}` is set")
        else:
            yield Sign(part, "ok", "declared without a key")
        if is_offline:
            continue
        if problems[name]:
            found = f"{provider.base_url} cannot be reached: {problems[name]}"
            remedy = "start it, or check `base_url`, the network and the proxy"
            yield Sign(part, "warn", found, remedy)
        else:
            yield Sign(part, "ok", f"{provider.base_url} can be reached")


def look_at_webhooks(project: ProjectDeclaration) -> Signs:
    """Say which webhooks have their secret; none is sent anything."""
    for name, webhook in project.webhooks.items():
        part, variable = f"webhook `{name}`", webhook.secret_env
        try:
            Address(webhook)
        except DeclarationError as error:
            found = f"nothing can be sent: {error}"
            yield Sign(part, "warn", found, f"export {variable}=...")
        else:
            yield Sign(part, "ok", f"`{variable}` is set")


def _connect_all(providers: dict[str, Provider]) -> dict[str, str]:
    """Return what keeps each provider from being reached, all asked at the same time."""
    problems = dict.fromkeys(providers, f"no connection within {CONNECT_S:.0f} s")

    def connect(name: str, address: tuple[str, int]) -> None:
        try:
            create_connection(address, CONNECT_S).close()
        except OSError as error:
            problems[name] = error.strerror or str(error)
        else:
            problems[name] = ""

    # Threads that nobody waits for at exit: looking a name up can take much longer than it may.
    threads = [
        threading.Thread(target=connect, args=(name, _way_to(provider)), daemon=True)
        for name, provider in providers.items()
    ]
    for thread in threads:
        thread.start()
    last = time.monotonic() + CONNECT_S
    for thread in threads:
        thread.join(max(last - time.monotonic(), 0))
    return dict(problems)


def _way_to(provider: Provider) -> tuple[str, int]:
    """Return the address of a provider, or of the proxy that leads to it."""
    url = provider.base_url or ""
    parts = urlsplit(url)
    proxy = urllib.request.getproxies().get(parts.scheme)
    is_direct = is_private_host(url) or urllib.request.proxy_bypass(parts.hostname or "")
    if proxy and not is_direct:
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def look_at_server(project: ProjectDeclaration, port: int) -> Signs:
    """Say who serves the project and what is degraded there, and whether `up` could listen."""
    holder = find_holder(project.folder)
    elsewhere = None if holder else _holder_of_store(project)
    if elsewhere is not None:
        found = f"the store of this project is {_served(elsewhere)}, from another folder"
        remedy = "stop that process, or give this project a store of its own (`store.url`)"
        yield Sign("lock", "warn", found, remedy)
    elif holder is not None:
        yield Sign("lock", "ok", _served(holder))
        if holder.address:
            yield from _ask_how_it_is(holder.address)
        if _port_of(holder) == port:
            yield Sign(f"port {port}", "ok", "taken by that process")
            return
    else:
        yield Sign("lock", "ok", "free, nobody serves this project")
    yield from _look_at_port(port)


def _served(holder: Holder) -> str:
    where = f" at {holder.address}" if holder.address else ""
    return f"served by process {holder.pid or 'of unknown number'}{where}"


def _port_of(holder: Holder) -> int | None:
    try:
        return urlsplit(holder.address).port
    except ValueError:
        return None  # what stands there is no URL


def _holder_of_store(project: ProjectDeclaration) -> Holder | None:
    try:
        return find_holder(project.folder, project.store.resolved_url(project.folder))
    except DeclarationError:
        return None  # what is said of the store tells why


def _look_at_port(port: int) -> Signs:
    try:
        bind("127.0.0.1", port).close()
    except RoadworthyError as error:
        remedy = f"roadworthy up --port {port + 1}"
        yield Sign(f"port {port}", "warn", str(error), remedy)
    else:
        yield Sign(f"port {port}", "ok", "free")


def _ask_how_it_is(address: str) -> Signs:
    """Say what is degraded in the server at `address`; its sentences say what to do, too."""
    try:
        trouble = ask_health(address, CONNECT_S)
    except RoadworthyError as error:
        yield Sign("server", "warn", str(error), "wait a moment, or start it anew")
        return
    if not trouble:
        yield Sign("server", "ok", "nothing is degraded")
    for part, found in trouble.items():
        yield Sign(f"server: {part}", "warn", found)


def look_at_limits() -> Signs:
    """Say how many connections this shell lets a process hold."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < FEW_FILES:
        found = f"{soft}, which many connections at the same time exceed"
        yield Sign("open files", "warn", found, f"ulimit -n {FEW_FILES * 2}")
    else:
        yield Sign("open files", "ok", "no limit" if soft == resource.RLIM_INFINITY else str(soft))
