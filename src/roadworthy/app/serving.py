"""Everything that runs while a project is served, started and stopped in order."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from ..errors import NotReady, RoadworthyError, StoreBusy
from ..observe.metrics import Metrics
from ..observe.otel import open_otlp_sink
from ..observe.webhooks import Sender
from ..plugins import load_plugin
from ..release import promotion, registry
from ..release.environment import describe_environment
from ..serve.auditing import Auditing
from ..serve.champions import Champions
from ..serve.engine import Engine
from ..serve.identify import Keyring
from ..serve.opened import OpenRelease
from ..serve.shadows import Shadows
from ..serve.upstreams import Upstreams
from ..store.housekeeping import standing_jobs
from ..store.jobs import Job, JobRunner
from ..store.keys import load_keys
from ..store.lock import ProjectLock, hold_project
from ..store.presence import Presence
from ..store.spending import read_holds
from ..store.spool import Spool
from ..store.switchboard import Switchboard
from ..store.writer import Writer
from ..types import Features, Hold
from . import paces
from .beside import Beside
from .bets import Bets
from .bound_jobs import BoundJobs
from .budgets import Books
from .cached import Caches
from .desks import Desks
from .examples import job_of_examples
from .gauges import show_gauges
from .ground import Ground
from .opening import open_stored
from .outages import LOOK_EVERY_S, Outages
from .prices import prices_job
from .review_room import bodies_job, queue_job
from .rollouts import Rollouts
from .token_rates import job_of_token_rates
from .working_tree import differences_of
from .worth import worth_job

if TYPE_CHECKING:
    from ..serve.explaining import Explainer

ROLLOUTS_LOOK_S = 0.5
"""Real seconds between two looks while a rollout runs."""
POLL_S = 0.05
FOLLOW_S = 2.0
"""How long an act waits for what it changed: a large model may take longer to open."""
LOOK_S = 2.0


class Serving:
    """Everything that runs while a project is served, started and stopped in order.

    Attributes:
        engine: Answers.
        upstreams: How each model of each provider is doing.
        trouble: What is degraded at the moment, by part; empty when nothing is.
    """

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._lock: ProjectLock = hold_project(ground.folder, ground.store_url)
        try:
            self._open(ground)
        except BaseException:
            self._lock.close()
            raise

    def _open(self, ground: Ground) -> None:
        folder = ground.folder / ".roadworthy"
        clock, state = ground.clock, ground.state
        self.metrics = Metrics()
        self.traces = open_otlp_sink()
        sinks = [self.metrics.see, *([self.traces.see] if self.traces else [])]
        self.spool = Spool(folder / "spool", clock)
        self.writer = Writer(self.spool, state, sinks, clock)
        self.writer.drain()
        self.presence = Presence(state, self.spool)
        self.upstreams = Upstreams()
        self.switchboard = Switchboard(state, clock)
        self._desks = Desks(ground.declaration, state, ground.artifacts, self.switchboard)
        self.keyring = Keyring(clock, load_keys(state))
        self._features: Features | None = None
        self._opening_features = threading.Lock()
        self._release_trouble: dict[str, str] = {}
        self._unopened: dict[str, str] = {}
        self._waiting: set[str] = set()
        left = read_holds(state)  # by now only what an earlier process did not settle
        self._books = Books(state, clock, self.spool, self.writer.drain, self.switchboard, left)
        self.ledger = self._books.ledger
        self.engine = Engine(
            clock=clock,
            keyring=self.keyring,
            releases=self._open_champions(),
            stopped=self._stopped(),
            ledger=self.ledger,
            spool=self.spool,
            environment_hash=describe_environment().hash,
            budgets=ground.declaration.budgets,
        )
        self._bets = Bets(state, self.switchboard, self._open_audits)
        self._rollouts = Rollouts(ground, lambda: self._beside.splits)
        self._beside = Beside(
            ground, self.switchboard, self._open_release, self._open_shadows, self._rollouts
        )
        self.caches = Caches(state, self.switchboard, self._opened)
        self.senders = [
            Sender(name, ground.declaration, state, clock, lambda: self._lock.holder.address)
            for name in ground.declaration.webhooks
        ]
        self.jobs = JobRunner(state, clock, self._all_jobs(ground, left))
        self._tasks: list[asyncio.Task[None]] = []
        self._following = asyncio.Lock()
        self._is_behind = False
        self._catching_up: asyncio.Task[None] | None = None
        show_gauges(self)

    def _opened(self) -> list[OpenRelease]:
        return [*self.engine.releases.values(), *self._beside.candidates]

    def _other_jobs(self, ground: Ground) -> list[Job]:
        outages = Outages(self.upstreams, ground.state, ground.clock)
        return [
            job_of_examples(ground),
            self._books.job(),
            worth_job(ground, lambda: self.engine.releases),
            prices_job(ground.clock, self._all_open),
            Job("rollouts", paces.ROLLOUTS_EVERY_S, self._look_at_rollouts, lane="rollouts"),
            Job("providers", LOOK_EVERY_S, outages.tell),
            job_of_token_rates(ground, lambda: self.engine.releases.values()),
        ]

    @property
    def shadows(self) -> Mapping[str, Shadows]:
        """What lets the candidates of services answer unseen, by service."""
        splits = self._beside.splits.items()
        return {name: split.shadows for name, split in splits if split.shadows is not None}

    def open_features(self) -> Features:
        """Return the feature views at work; their packages are imported with the first use.

        Raises:
            DeclarationError: This package is not installed as it is now.
            StoreError: The online store cannot be opened.
        """
        ground = self._ground
        with self._opening_features:
            if self._features is None:
                local = load_plugin("features", "local")
                self._features = local(ground.declaration, ground.state, ground.clock)
            return self._features

    def _all_jobs(self, ground: Ground, left: Sequence[Hold]) -> list[Job]:
        state, clock = ground.state, ground.clock
        return [
            *standing_jobs(state, clock, self.spool, self._keep_days, left, self.ledger.expire),
            *self._jobs_of_data(),
            *self._jobs_of_review(),
            *BoundJobs(ground, self.writer.drain, lambda: self.engine.releases).jobs(),
            *(sender.job() for sender in self.senders),
            *self._other_jobs(ground),
        ]

    @property
    def audits(self) -> Mapping[str, Auditing]:
        """What asks releases again, unseen, to compare; by release."""
        return self._bets.audits

    def _jobs_of_data(self) -> list[Job]:
        fill = Job("features", paces.FILL_EVERY_S, self._fill)
        skew = Job("skew", paces.MEASURE_EVERY_S, self._measure_skew)
        return [fill, skew] if self._ground.declaration.sources else []

    def _jobs_of_review(self) -> list[Job]:
        ground = self._ground
        if not ground.declaration.queues:
            return []
        loop, releases = (lambda: self._loop), (lambda: self.engine.releases)
        return [
            queue_job(ground.declaration, ground.state, ground.clock, releases, loop),
            bodies_job(ground.state, ground.clock, releases),
            Job("explain", paces.EXPLAIN_EVERY_S, self._explain, lane="explain"),
            Job("scope", paces.SCOPE_EVERY_S, self._learn_scopes, lane="explain"),
        ]

    def _learn_scopes(self) -> str:
        """Learn what is usual of the releases that ask people of what is not."""
        opened = self.engine.releases.values()
        asking = [
            release
            for release in opened
            if release.desk is not None and release.desk.policy.out_of_scope is not None
        ]
        if not asking:
            return "no service declares a scope"
        self.writer.drain()
        return self._desks.scopes.learn(asking)

    @cached_property
    def explainer(self) -> Explainer:
        """What explains predictions; its packages are imported with the first one."""
        ground = self._ground
        opened: Explainer = load_plugin("review", "explainer")(
            lambda: self.engine.releases, ground.state, ground.clock
        )
        return opened

    def explain(self, request_id: str) -> dict[str, Any]:
        """Return what moved an earlier prediction, as JSON values.

        Raises:
            NotFound: There is no such request, or nothing explains it.
        """
        self.writer.drain()
        explained: dict[str, Any] = msgspec.to_builtins(self.explainer.explain(request_id))
        return explained

    def _explain(self) -> str:
        self.writer.drain()
        return self.explainer.explain_decided()

    def _fill(self) -> str:
        served = {view for views in self._views_served().values() for view in views}
        return self.open_features().fill_all(sorted(served))

    def _measure_skew(self) -> str:
        """Measure the services that have features; without any nothing is imported for it."""
        views = self._views_served()
        if not views:
            return "no service has features"
        self.writer.drain()
        manifests = {
            name: registry.read_release(self._ground.state, self.engine.releases[name].id).manifest
            for name in views
        }
        sets = {name: made.training.id for name, made in manifests.items() if made.training}
        checks = {name: self.engine.releases[name].input_check for name in views}
        personal = {name: check.personal for name, check in checks.items() if check is not None}
        return self.open_features().measure_skew(views, sets, personal)

    def _views_served(self) -> dict[str, tuple[str, ...]]:
        """Return the views of each service that has some."""
        opened = self.engine.releases.items()
        views = {name: release.declaration.features.views for name, release in opened}
        return {name: found for name, found in views.items() if found}

    def _keep_days(self) -> dict[str, int]:
        releases = self.engine.releases.items()
        return {name: opened.declaration.records.keep_days for name, opened in releases}

    def _open_champions(self) -> Mapping[str, OpenRelease]:
        """Open every service's champion; a service without one gets its first release now.

        One that does not open stops its own service and no other.
        """
        opened = {}
        for name in self._ground.service_names:
            champion = registry.champion_id_of(self._ground.state, name)
            if not champion:
                first = self._open_first(name)
                if first is not None:
                    opened[name] = first
                continue
            try:
                stored = registry.read_release(self._ground.state, champion)
                opened[name] = self._open_release(stored)
            except RoadworthyError as error:
                before = self._open_last_good(name, champion, error)
                if before is not None:
                    opened[name] = before
        self._books.know_users(opened.values())
        return self._champions(opened)

    def _open_last_good(
        self, name: str, champion: str, error: RoadworthyError
    ) -> OpenRelease | None:
        """Open what served before a champion that does not open; None where that is not there."""
        state = self._ground.state
        last_good = promotion.aliases(state, name)["last_good"]
        with suppress(RoadworthyError):
            if last_good:
                opened = self._open_release(registry.read_release(state, last_good))
                self._note_kept(name, champion, last_good, error)
                return opened
        self._note_unopened(name, champion, error)
        return None

    def _note_kept(self, name: str, champion: str, serves: str, error: RoadworthyError) -> None:
        self._release_trouble[f"release of {name}"] = (
            f"`{champion}` could not be opened, `{serves}`, which served before, serves instead: "
            f"{error}; mend it, or `roadworthy release rollback {name}`"
        )

    def _note_unopened(self, name: str, release_id: str, error: RoadworthyError) -> None:
        self._unopened[name] = release_id
        self._release_trouble[f"release of {name}"] = (
            f"`{release_id}` could not be opened, `{name}` is stopped: {error}; promote another "
            "release, or mend this one and start again"
        )

    def _champions(self, opened: Mapping[str, OpenRelease]) -> Mapping[str, OpenRelease]:
        """Return what the engine serves; requests for the rest get an error that says so."""
        return Champions(opened, dict(self._unopened)) if self._unopened else opened

    def _open_first(self, name: str) -> OpenRelease | None:
        """Release a service as its files are; what does not open does not become champion.

        Where its gates hold it up, as a high risk's do, it waits for people and None is returned.
        """
        first = self._ground.build_release(name, by="up")
        try:
            self._ground.check_gates(first)
        except NotReady as error:
            self._unopened[name] = first.id
            self._waiting.add(name)
            self._release_trouble[f"release of {name}"] = f"`{name}` does not serve yet: {error}"
            return None
        opened = self._open_release(first)
        self._ground.promote(first.id, by="up")
        return opened

    def _open_release(self, stored: registry.Release) -> OpenRelease:
        """Open what was released, with what people have stopped of it."""
        opened = open_stored(
            self._ground,
            stored,
            lambda views, fields: self.open_features().open_source(views, fields),
            self._desks.open,
            is_served=True,
            upstreams=self.upstreams,
        )
        self._stop_models(opened)
        return opened

    def _open_shadows(self, candidate: OpenRelease) -> Shadows:
        return Shadows(
            candidate,
            self._ground.clock,
            self.ledger,
            self.spool,
            describe_environment().hash,
        )

    def _open_audits(self, release: OpenRelease) -> Auditing:
        clock, environment = self._ground.clock, describe_environment().hash
        return Auditing(release, clock, self.ledger, self.spool, environment)

    def _all_open(self) -> Iterator[OpenRelease]:
        """Yield what serves, and the candidates beside it."""
        yield from self.engine.releases.values()
        for split in self._beside.splits.values():
            yield from split.releases

    def _look_at_rollouts(self) -> str:
        now_us = self._ground.clock.now_us()
        self.writer.drain()
        return self._rollouts.look(now_us)

    async def _watch_rollouts(self) -> None:
        """Look at rollouts every half a second while one runs: a bad candidate goes at once."""
        while True:
            await asyncio.sleep(ROLLOUTS_LOOK_S)
            if self._beside.splits:
                with suppress(StoreBusy, SQLAlchemyError):  # the next look is soon
                    await asyncio.to_thread(self.jobs.run_now, "rollouts")

    def _stopped(self) -> frozenset[str]:
        names = self._ground.service_names
        return frozenset(name for name in names if self.switchboard.stopped(name) is not None)

    def _stop_models(self, opened: OpenRelease) -> None:
        """Let the chains of a release skip the models that a person has stopped."""
        for chain in opened.chains:
            chain.stopped = frozenset(
                link.name
                for link in chain.links
                if self.switchboard.stopped(opened.name, link.name) is not None
            )

    @property
    def trouble(self) -> dict[str, str]:
        """What is degraded, by part: records, jobs, a file that is gone, a release, and so on."""
        parts = {
            "records": self.writer.trouble,
            "jobs": self.jobs.trouble,
            "switchboard": self.switchboard.trouble,
            "traces": self.traces.trouble if self.traces else "",
            **{f"webhook {sender.name}": sender.trouble for sender in self.senders},
            **self.presence.trouble,
            **self._beside.trouble,
            **self._release_trouble,
        }
        return {part: text for part, text in parts.items() if text}

    def health(self) -> dict[str, Any]:
        """Return whether everything works, and what does not."""
        trouble = self.trouble
        status = "degraded" if trouble else "ok"
        opened = self.engine.releases.items()
        warnings = {name: release.warnings for name, release in opened if release.warnings}
        facts = {"status": status, "trouble": trouble, "in_flight": self.engine.in_flight}
        return {**facts, "warnings": warnings} if warnings else facts

    def describe(self) -> list[str]:
        """Return one line a service: what serves, and how the files differ from it."""
        lines = []
        for name, opened in self.engine.releases.items():
            lines.append(f"  {name} ({opened.kind}): release {opened.id}")
            lines += [f"    not as it was built: {what}" for what in opened.warnings]
            lines += [
                f"    files differ: {change}" for change in differences_of(self._ground, opened)
            ]
        lines += [f"  {part}: {text}" for part, text in self._release_trouble.items()]
        return lines

    async def start(self) -> None:
        """Start the writer, the job runner and the watches on the switchboard and the files."""
        self.writer.start()
        self._loop = asyncio.get_running_loop()
        await self._open_beside()
        self._bets.follow(self.engine.releases)
        self._tasks = [
            asyncio.create_task(self._watch()),
            asyncio.create_task(self._watch_files()),
            asyncio.create_task(self.jobs.run_forever()),
            asyncio.create_task(self._watch_rollouts()),
        ]

    async def _watch(self) -> None:
        """Follow the switchboard: another process may promote, stop, or revoke at any time."""
        while True:
            await asyncio.sleep(POLL_S)
            self._obey()
            if self._is_behind and not self._following.locked():
                self._catching_up = asyncio.create_task(self._look())

    async def follow(self) -> None:
        """Take over now what the watch would see within 50 ms.

        Who did something calls it before it says so. It waits `FOLLOW_S` at most, and what it began
        goes on when nobody waits for it any more.
        """
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._look()), FOLLOW_S)

    async def _look(self) -> None:
        self._obey()
        async with self._following:
            try:
                if self._is_behind:  # also if the last look failed on the way
                    self._is_behind = False
                    await self.refresh()
            except Exception as error:  # noqa: BLE001 - outer edge: the watch outlives any one look
                self._is_behind = True
                self._release_trouble["watch"] = f"{type(error).__name__}: {error}"
            else:
                self._release_trouble.pop("watch", None)

    def _obey(self) -> None:
        """Take over what needs nothing opened: whoever stops a service waits for no model to load.

        A candidate may be opened for minutes, and a person who sees harm has none of them.
        """
        try:
            if self.switchboard.poll():
                self._is_behind = True
                self._take_over_levers()
        except Exception as error:  # noqa: BLE001 - outer edge: the watch outlives any one look
            self._is_behind = True
            self._release_trouble["watch"] = f"{type(error).__name__}: {error}"

    def _take_over_levers(self) -> None:
        """Take over keys, stops of services and models, and the ends of rollouts."""
        self.keyring.replace(load_keys(self._ground.state))
        self.engine.stopped = self._stopped()
        self._books.raise_ceilings()
        for opened in (*self.engine.releases.values(), *self._beside):
            self._stop_models(opened)
        self._bets.obey(self.engine.releases)
        self._beside.drop_ended()
        self.engine.splits = self._beside.splits

    async def _watch_files(self) -> None:
        """See every few seconds whether what is written to was deleted: no write would fail."""
        while True:
            await asyncio.sleep(LOOK_S)
            await asyncio.to_thread(self.presence.look)

    async def refresh(self) -> None:
        """Take over what the switchboard says now: keys, stops, champions."""
        self._take_over_levers()
        # It may read thousands of corrections, for which nobody's answer is to wait.
        await asyncio.to_thread(self._desks.refresh, self._opened())
        await self.caches.refresh()
        for name, opened in list(self.engine.releases.items()):
            self._stop_models(opened)
            champion = self.switchboard.get(f"champion:{name}")
            if champion and champion != opened.id:
                await self._swap(name, champion, opened)
            elif champion:  # one went back to what served in the place of a damaged one
                self._release_trouble.pop(f"release of {name}", None)
        for name, failed in list(self._unopened.items()):
            champion = self.switchboard.get(f"champion:{name}")
            if champion and (champion != failed or name in self._waiting):
                self._waiting.discard(name)
                await self._swap(name, champion, None)
        await self._open_beside()
        self._bets.follow(self.engine.releases)

    async def _open_beside(self) -> None:
        """Open what the switchboard says beside the champions, and stop what a person stopped."""
        await self._beside.refresh(dict(self.engine.releases))
        self.engine.splits = self._beside.splits
        for opened in self._beside:
            self._stop_models(opened)

    async def _swap(self, name: str, release_id: str, old: OpenRelease | None) -> None:
        try:
            stored = registry.read_release(self._ground.state, release_id)
            new = await asyncio.to_thread(self._open_release, stored)
        except RoadworthyError as error:
            if old is None:
                self._note_unopened(name, release_id, error)
                self.engine.releases = self._champions({**self.engine.releases})
                return
            self._note_kept(name, release_id, old.id, error)
            return
        self._release_trouble.pop(f"release of {name}", None)
        self._unopened.pop(name, None)
        self.engine.releases = self._champions({**self.engine.releases, name: new})
        self._books.know_users([new])
        if old is None:
            return
        loop = asyncio.get_running_loop()
        loop.call_later(old.deadline_s + 1, lambda: loop.create_task(old.close()))

    async def stop(self) -> None:
        """Stop what `start` started, close the models, write everything down, free the lock."""
        for sender in self.senders:
            sender.stop()
        tasks = [*self._tasks, *([self._catching_up] if self._catching_up else [])]
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
        self.engine.splits = {}
        await self._bets.close()
        await self._beside.close()
        for opened in self.engine.releases.values():
            await opened.close()
        self.writer.stop()
        if self.traces is not None:
            self.traces.stop()
        if self._features is not None:
            self._features.close()
        self.spool.close()
        self.switchboard.close()
        self._lock.close()

    def announce(self, address: str) -> None:
        """Tell other processes that are refused the lock where this one can be reached."""
        self._lock.announce(address)
