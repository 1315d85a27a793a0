"""Assembly: the only module that knows every room. It opens a project and, on demand, serves it."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any, Self, TypeVar

import uvloop
from sqlalchemy import Engine as StateEngine

from . import cost, declare, guard, models, observe, release, serve, store
from .cost.ledger import Ledger
from .cost.prices import Rates, load_rates
from .declare.load import load_project, load_service
from .declare.project import ProjectDeclaration
from .declare.service import ServiceDeclaration
from .errors import NotFound, RoadworthyError
from .observe.metrics import Metrics
from .observe.otel import open_otlp_sink
from .release import bundle, registry
from .release.environment import describe_environment
from .serve.engine import Engine
from .serve.gateway import Gateway, Limits
from .serve.identify import LOCAL_KEY, Keyring
from .serve.opened import OpenRelease, open_release
from .serve.outcomes import OutcomeDesk
from .serve.request import Reply, Request
from .serve.server import Server
from .store.artifacts import Artifacts
from .store.housekeeping import standing_jobs
from .store.jobs import JobRunner
from .store.keys import load_keys
from .store.lock import ProjectLock, hold_project
from .store.records import read_record
from .store.spending import read_holds, read_spending
from .store.spool import Spool
from .store.state import open_state
from .store.switchboard import Switchboard
from .store.writer import Writer
from .types import MICRO, Clock, SettableClock, SystemClock
from .web.api import control_app

ENFORCES: Mapping[str, str] = {
    key: where
    for room in (declare, store, models, guard, cost, observe, release, serve)
    for key, where in room.ENFORCES.items()
}
"""Declared key → the file that enforces it; a key that no room names is refused at loading."""

POLL_S = 0.05
T = TypeVar("T")
log = logging.getLogger("roadworthy")


def open_project(folder: str | Path = ".") -> Project:
    """Open the project in `folder`: its declarations and its store, for reading and for answering.

    Raises:
        DeclarationError: roadworthy.toml is wrong; the message lists all problems.
        StoreError: The store cannot be opened.
    """
    return Project(load_project(Path(folder)))


class Project:
    """An open project.

    Nothing is served until the first answer is asked for; then this process holds the project's
    lock, like `roadworthy up` does.

    Attributes:
        declaration: What roadworthy.toml says.
        clock: Where its times come from.
        state: Its database.
    """

    def __init__(self, declaration: ProjectDeclaration) -> None:
        self.declaration = declaration
        self.folder = declaration.folder
        self.clock: Clock = SettableClock() if declaration.clock == "settable" else SystemClock()
        self.state: StateEngine = open_state(declaration.store.resolved_url(self.folder))
        self.artifacts = Artifacts(self.folder / declaration.store.artifacts)
        self.rates: Rates = load_rates()
        self._background: _Background | None = None
        self._closing = threading.Lock()

    @property
    def service_names(self) -> tuple[str, ...]:
        """The names of the declared services."""
        return tuple(folder.name for folder in self.declaration.service_folders())

    def load(self, name: str) -> ServiceDeclaration:
        """Load one service's declaration as the working tree has it.

        Raises:
            NotFound: There is no such service.
            DeclarationError: Its file is wrong.
        """
        if name not in self.service_names:
            known = ", ".join(f"`{name}`" for name in self.service_names) or "none"
            raise NotFound(f"no service `{name:.80}` in {self.folder}; services: {known}")
        return load_service(self.folder / "services" / name, self.declaration, ENFORCES)

    def service(self, name: str) -> ServiceHandle:
        """Return a handle that answers in this process.

        Raises:
            NotFound: There is no such service.
        """
        self.load(name)
        return ServiceHandle(self, name)

    def build_release(self, name: str, *, by: str) -> registry.Release:
        """Build the release that the files of `name` are; the same content gives the same id."""
        return bundle.build_release(
            self.load(name), self.declaration, self.artifacts, self.state, self.clock, by=by
        )

    def run(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine on the loop that serves this project; it starts with the first use."""
        return self._serve_in_background().run(coroutine)

    @property
    def serving(self) -> Serving:
        """What answers in this process; starts with the first use."""
        return self._serve_in_background().serving

    def _serve_in_background(self) -> _Background:
        with self._closing:
            if self._background is None:
                self._background = _Background(self)
            return self._background

    def close(self) -> None:
        """Stop answering, drain the records, let go of the lock; more than once is harmless."""
        with self._closing:
            if self._background is not None:
                self._background.stop()
                self._background = None
        self.state.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ServiceHandle:
    """One service, answering in this process through the same engine that serves HTTP."""

    def __init__(self, project: Project, name: str) -> None:
        self._project = project
        self.name = name

    def answer(
        self,
        values: Mapping[str, Any],
        *,
        user: str = "",
        role: str = "",
        tags: tuple[str, ...] = (),
        deadline_ms: float | None = None,
    ) -> Reply:
        """Answer one input and wait for it. A refusal or a failure is a reply with `error` set.

        Raises:
            StoreBusy: Another process serves this project.
        """
        return self._ask(values, user, role, tags, deadline_ms).result()

    async def answer_async(
        self,
        values: Mapping[str, Any],
        *,
        user: str = "",
        role: str = "",
        tags: tuple[str, ...] = (),
        deadline_ms: float | None = None,
    ) -> Reply:
        """Answer one input without blocking the caller's loop.

        Raises:
            StoreBusy: Another process serves this project.
        """
        return await asyncio.wrap_future(self._ask(values, user, role, tags, deadline_ms))

    def _ask(
        self,
        values: Mapping[str, Any],
        user: str,
        role: str,
        tags: tuple[str, ...],
        deadline_ms: float | None,
    ) -> Future[Reply]:
        request = Request(
            service=self.name,
            key=LOCAL_KEY,
            protocol="python",
            input=dict(values),
            user=user,
            role=role,
            tags=tags,
            deadline_ms=deadline_ms,
        )
        return self._project.run(self._project.serving.engine.answer(request))


class Serving:
    """Everything that runs while a project is served, started and stopped in order.

    Attributes:
        engine: Answers.
        trouble: What is degraded at the moment, by part; empty when nothing is.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._lock: ProjectLock = hold_project(project.folder)
        try:
            self._open(project)
        except BaseException:
            self._lock.close()
            raise

    def _open(self, project: Project) -> None:
        folder = project.folder / ".roadworthy"
        clock, state = project.clock, project.state
        self.metrics = Metrics()
        self.traces = open_otlp_sink()
        sinks = [self.metrics.see, *([self.traces.see] if self.traces else [])]
        self.spool = Spool(folder / "spool", clock)
        self.writer = Writer(self.spool, state, sinks, clock)
        self.writer.drain()
        self.switchboard = Switchboard(state, clock)
        self.keyring = Keyring(clock, load_keys(state))
        self._release_trouble: dict[str, str] = {}
        self.ledger = Ledger(clock, self.spool.append, self._spent_on, read_holds(state))
        self.engine = Engine(
            clock=clock,
            keyring=self.keyring,
            releases=self._open_champions(),
            stopped=self._stopped(),
            ledger=self.ledger,
            spool=self.spool,
            environment_hash=describe_environment().hash,
        )
        self.jobs = JobRunner(
            state,
            clock,
            standing_jobs(state, clock, self.spool, self._keep_days, self.ledger.expire),
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._show_gauges()

    def _show_gauges(self) -> None:
        add, ledger = self.metrics.add_gauge, self.ledger
        add("roadworthy_in_flight", "Requests at work.", lambda: self.engine.in_flight)
        add(
            "roadworthy_spool_bytes",
            "Bytes of the spool that wait for the database.",
            lambda: self.writer.lag.bytes,
        )
        add("roadworthy_degraded", "Parts that are degraded.", lambda: len(self.trouble))
        add(
            "roadworthy_held_usd",
            "US dollars set aside for requests at work.",
            lambda: {
                name: ledger.spent(f"service:{name}")[1] / MICRO for name in self.engine.releases
            },
            label="service",
        )

    def _spent_on(self, day_us: int) -> Mapping[str, int]:
        self.writer.drain()
        return read_spending(self._project.state, day_us)

    def _keep_days(self) -> dict[str, int]:
        releases = self.engine.releases.items()
        return {name: opened.declaration.records.keep_days for name, opened in releases}

    def _open_champions(self) -> dict[str, OpenRelease]:
        """Open every service's champion; a service without one gets its first release now."""
        project = self._project
        opened = {}
        for name in project.service_names:
            champion = registry.champion_of(project.state, name)
            if champion is None:
                first = project.build_release(name, by="up")
                champion = registry.promote(project.state, project.clock, first.id, by="up")
            opened[name] = self._open_release(champion)
        return opened

    def _open_release(self, stored: registry.Release) -> OpenRelease:
        """Open what was released, from its own files: the working tree may say something else."""
        project = self._project
        releases = project.folder / ".roadworthy" / "releases"
        folder = bundle.materialise(stored, project.artifacts, releases)
        declared = bundle.as_released(project.declaration, stored)
        service = load_service(folder, declared, ENFORCES)
        return open_release(stored.id, service, declared, folder, project.rates, project.clock)

    def _stopped(self) -> frozenset[str]:
        names = self._project.service_names
        return frozenset(name for name in names if self.switchboard.stopped(name) is not None)

    @property
    def trouble(self) -> dict[str, str]:
        """What is degraded, by part: the spool, the writer, jobs, a release that would not open."""
        parts = {
            "spool": self.spool.trouble,
            "writer": self.writer.trouble,
            "jobs": self.jobs.trouble,
            "traces": self.traces.trouble if self.traces else "",
            **self._release_trouble,
        }
        return {part: text for part, text in parts.items() if text}

    def health(self) -> dict[str, Any]:
        """Return whether everything works, and what does not."""
        trouble = self.trouble
        status = "degraded" if trouble else "ok"
        return {"status": status, "trouble": trouble, "in_flight": self.engine.in_flight}

    async def service_of(self, request_id: str) -> str | None:
        """Return the service of a request that was answered before, or None.

        What was answered a moment ago may still be in the spool, so one drain is waited for.
        """
        for _ in range(2):
            with suppress(NotFound):
                return read_record(self._project.state, request_id).service
            await asyncio.to_thread(self.writer.drain)
        return None

    def describe(self) -> list[str]:
        """Return one line a service: what serves, and how the files differ from it."""
        lines = []
        for name, opened in self.engine.releases.items():
            lines.append(f"  {name} ({opened.kind}): release {opened.id}")
            lines += [f"    files differ: {change}" for change in self._differences(opened)]
        return lines

    def _differences(self, opened: OpenRelease) -> list[str]:
        project = self._project
        stored = registry.read_release(project.state, opened.id)
        try:
            service = project.load(opened.name)
            changes = bundle.differences(stored, service, project.declaration)
        except RoadworthyError as error:
            return [f"the working tree cannot be released: {error}"]
        if not changes:
            return []
        advice = "`roadworthy release build` and `release promote` take them over"
        return [*map(str, changes), advice]

    async def start(self) -> None:
        """Start the writer, the job runner and the watch on the switchboard."""
        self.writer.start()
        self._tasks = [
            asyncio.create_task(self._watch()),
            asyncio.create_task(self.jobs.run_forever()),
        ]

    async def _watch(self) -> None:
        """Follow the switchboard: another process may promote, stop, or revoke at any time."""
        while True:
            await asyncio.sleep(POLL_S)
            try:
                if self.switchboard.poll():
                    await self.refresh()
            except RoadworthyError as error:
                self._release_trouble["switchboard"] = str(error)
            else:
                self._release_trouble.pop("switchboard", None)

    async def refresh(self) -> None:
        """Take over what the switchboard says now: keys, stops, champions."""
        self.keyring.replace(load_keys(self._project.state))
        self.engine.stopped = self._stopped()
        for name, opened in list(self.engine.releases.items()):
            champion = self.switchboard.get(f"champion:{name}")
            if champion and champion != opened.id:
                await self._swap(name, champion, opened)

    async def _swap(self, name: str, release_id: str, old: OpenRelease) -> None:
        try:
            stored = registry.read_release(self._project.state, release_id)
            new = await asyncio.to_thread(self._open_release, stored)
        except RoadworthyError as error:
            self._release_trouble[f"release of {name}"] = (
                f"`{release_id}` could not be opened, `{old.id}` goes on serving: {error}"
            )
            return
        self._release_trouble.pop(f"release of {name}", None)
        self.engine.releases = {**self.engine.releases, name: new}
        loop = asyncio.get_running_loop()
        loop.call_later(old.deadline_s + 1, lambda: loop.create_task(old.close()))

    async def stop(self) -> None:
        """Stop what `start` started, close the models, write everything down, free the lock."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task
        for opened in self.engine.releases.values():
            await opened.close()
        self.writer.stop()
        if self.traces is not None:
            self.traces.stop()
        self.spool.close()
        self.switchboard.close()
        self._lock.close()

    def announce(self, address: str) -> None:
        """Tell other processes that are refused the lock where this one can be reached."""
        self._lock.announce(address)


class _Background:
    """A loop in a thread of its own, for answers that are asked for from plain Python."""

    def __init__(self, project: Project) -> None:
        self.serving = Serving(project)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="roadworthy", daemon=True
        )
        self._thread.start()
        self.run(self.serving.start()).result()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def stop(self) -> None:
        self.run(self.serving.stop()).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def serve_http(
    project: Project,
    sock: socket.socket,
    address: str,
    limits: Limits,
    on_ready: Callable[[list[str]], None],
) -> None:
    """Serve `project` on a bound socket until the process is told to stop.

    Args:
        project: An open project; it is closed at the end.
        sock: Where to listen.
        address: The URL that others reach it by.
        limits: What is accepted.
        on_ready: Called with what to tell the person who started it, once requests are accepted.

    Raises:
        StoreBusy: Another process serves this project.
        DeclarationError: A release cannot be opened.
    """
    with project:
        serving = Serving(project)
        serving.announce(address)
        uvloop.run(_serve(project, serving, sock, limits, on_ready))


async def _serve(
    project: Project,
    serving: Serving,
    sock: socket.socket,
    limits: Limits,
    on_ready: Callable[[list[str]], None],
) -> None:
    gateway = Gateway(
        engine=serving.engine,
        control=control_app(project, serving),
        desk=OutcomeDesk(serving.keyring, serving.spool, project.clock, serving.service_of),
        limits=limits,
        clock=project.clock,
        metrics=serving.metrics.render,
        health=serving.health,
    )
    server = Server(gateway, sock, lambda: on_ready(serving.describe()))
    await serving.start()
    try:
        await server.run_until_stopped()
    finally:
        await serving.stop()
