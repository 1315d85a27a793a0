"""A project's feature views at work: applied, put online, pushed, read for a request."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType

import msgspec
from sqlalchemy import Engine

from ..declare.project import ProjectDeclaration
from ..errors import DeclarationError, RoadworthyError, StoreError
from ..store.artifacts import Artifacts
from ..types import Clock, Pushed, SystemClock
from .audit_skew import remember_skew
from .materialize import Filled, materialize
from .online import Found, Freshness, SqliteFeatures
from .push import Pusher, Row
from .push_rate import PushRate
from .registered import Applied, apply_views, load_sources, newest_views, registered_view
from .relations import SourceTable
from .served import FeatureSource
from .views import FOLDER, View, load_views, online_key

ONLINE_FILE = "online.db"


class ViewState(msgspec.Struct, frozen=True, kw_only=True):
    """A registered view and how new what is online of it is.

    Attributes:
        services: Those that are served by it.
        pushed_per_second: Rows of the busiest second of the last hour, as this process saw it.
        most_per_second: What its sources' volumes declare; None where none does.
        ttl_s: Seconds after its event for which a row counts; None for ever.
        freshness: None where it was never filled.
        behind_s: Seconds since what is online was filled up to; None where it never was.
    """

    view: str
    owner: str
    entity: tuple[str, ...]
    features: tuple[str, ...]
    contracts: Mapping[str, str]
    ttl_s: int | None
    freshness: Freshness | None
    behind_s: float | None
    services: tuple[str, ...] = ()
    pushed_per_second: int = 0
    most_per_second: float | None = None


class NothingOnline:
    """An online store that knows nothing: enough to see whether views fit a service."""

    def read(self, views: tuple[str, ...], entities: Sequence[bytes | None]) -> list[Found | None]:
        """Return nothing of each."""
        return [None] * len(views)


def open_declared(
    project: ProjectDeclaration, views: Sequence[str], input_fields: Sequence[str] | None = None
) -> FeatureSource:
    """Return what would give a service its features, from the files of the project alone.

    A version older than that of its file is left out: it is served as it was registered.

    Raises:
        DeclarationError: A view has problems, or is not there in this version, or does not fit the
            others or the input.
    """
    there, chosen = load_views(project.folder, load_sources(project)), list[View]()
    for name in views:
        stem, _, version = name.partition("@")
        found = there.get(stem)
        if found is None or found.version < int(version):
            got = "no file" if found is None else f"version {found.version}"
            raise DeclarationError(
                f"features.views: expected view `{name}`, got {got} - {FOLDER}/{stem}.sql"
            )
        chosen += [found] if found.id == name else []
    return FeatureSource(chosen, NothingOnline(), SystemClock(), input_fields)


class Features:
    """The feature views of one project.

    Args:
        project: Its declaration: the sources, and where its folder is.
        engine: Its state database, which knows the registered versions.
        clock: Where its times come from.

    Attributes:
        online: The online store; the file is made when this is.
    """

    open_declared = staticmethod(open_declared)

    def __init__(self, project: ProjectDeclaration, engine: Engine, clock: Clock) -> None:
        self._project = project
        self._engine = engine
        self._clock = clock
        self._pushers: dict[str, Pusher] = {}
        self._filling = threading.Lock()
        self._rate = PushRate()
        self.online = SqliteFeatures(project.folder / ".roadworthy" / ONLINE_FILE)

    @cached_property
    def sources(self) -> dict[str, SourceTable]:
        """The sources with their contracts, read once.

        Raises:
            DeclarationError: A contract cannot be read.
        """
        return load_sources(self._project)

    def apply(self, *, by: str) -> list[Applied]:
        """Check every view of `features/` and register its version.

        Raises:
            DeclarationError: A file is wrong or a registered version changed; nothing is done then.
        """
        return apply_views(self._project, self.sources, self._engine, self._clock, by=by)

    def view(self, name: str) -> View:
        """Return a registered view, the newest version unless one is named.

        Raises:
            NotFound: There is none.
        """
        return registered_view(self._engine, name)

    def views(self, served: Iterable[str] = ()) -> list[View]:
        """Return the newest registered version of every view, and the versions that are served.

        Raises:
            NotFound: One that is served is not registered.
        """
        newest = {view.id: view for view in newest_views(self._engine)}
        return [*newest.values(), *map(self.view, sorted(set(served) - newest.keys()))]

    def fill(self, view: View, *, until_us: int | None = None, whole: bool = False) -> Filled:
        """Put online what the sources know of one view; see `materialize`."""
        with self._filling:
            return materialize(
                view, self.sources, self.online, self._clock, until_us=until_us, whole=whole
            )

    def push(self, name: str, rows: Sequence[Row]) -> Pushed:
        """Put single rows of a view online where they are newer.

        Raises:
            NotFound: No such view is registered.
            ContractViolation: A row breaks what the contracts say.
        """
        view = self.view(name)
        key = online_key(view)
        if key not in self._pushers:
            self._pushers[key] = Pusher(view, self.sources)
        pushed = self._pushers[key].push(rows, self.online, self._clock)
        self._rate.add(view.id, pushed.rows, self._clock.monotonic())
        return pushed

    def open_source(
        self, views: Sequence[str], input_fields: Sequence[str] | None = None
    ) -> FeatureSource:
        """Return what gives a service its features: open it once for a release.

        Raises:
            NotFound: A view is not registered in this version.
            DeclarationError: Names meet, or the input lacks an entity.
        """
        found = [self.view(name) for name in views]
        return FeatureSource(found, self.online, self._clock, input_fields)

    def states(
        self,
        names: Sequence[str] | None = None,
        served: Mapping[str, Sequence[str]] = MappingProxyType({}),
    ) -> list[ViewState]:
        """Return how new these views are, or the newest version of each and those that are served.

        Args:
            names: Which; without them all.
            served: Service → the views that serve it.

        Raises:
            NotFound: One of them is not registered.
        """
        now_us = self._clock.now_us()
        every = {view for views in served.values() for view in views}
        chosen = self.views(every) if names is None else map(self.view, names)
        return [
            self._state(view, now_us, tuple(s for s, views in served.items() if view.id in views))
            for view in chosen
        ]

    def _state(self, view: View, now_us: int, services: tuple[str, ...]) -> ViewState:
        fresh = self.online.freshness(online_key(view))
        return ViewState(
            view=view.id,
            owner=view.owner,
            entity=tuple(column.name for column in view.entity),
            features=view.names,
            contracts=view.contracts,
            ttl_s=view.ttl_s,
            freshness=fresh,
            behind_s=None if fresh is None else (now_us - fresh.watermark_us) / 1e6,
            services=services,
            pushed_per_second=self._rate.busiest(view.id, self._clock.monotonic()),
            most_per_second=self._declared_rate(view),
        )

    def _declared_rate(self, view: View) -> float | None:
        declared = (self._project.sources.get(name) for name in view.sources)
        volumes = (source.volume for source in declared if source is not None)
        rates = [volume.rows_per_second for volume in volumes if volume is not None]
        return max((rate for rate in rates if rate is not None), default=None)

    def fill_all(self, served: Sequence[str] = ()) -> str:
        """Fill the newest version of every view and say how it went, as a job does.

        Args:
            served: Versions that services read: they are filled too where a newer one is there.

        Raises:
            StoreError: Some could not be filled; the message names each. The others were.
        """
        views = self.views(served)
        filled, failed = list[Filled](), list[str]()
        for view in views:
            try:
                filled.append(self.fill(view))
            except RoadworthyError as error:
                failed.append(f"{view.id}: {error}")
        if failed:
            raise StoreError("; ".join(failed))
        rows, gone = sum(one.rows for one in filled), sum(one.gone for one in filled)
        said = f"{rows} rows of {len(views)} views are new online"
        return f"{said}, {gone} are gone" if gone else said

    def measure_skew(
        self,
        views: Mapping[str, Collection[str]],
        sets: Mapping[str, str],
        personal: Mapping[str, Collection[str]],
    ) -> str:
        """Measure whether services get the features of training, remember it, and say how it went.

        Args:
            views: Service → the views that it names.
            sets: Service → the id of the training set that its release names, if it does.
            personal: Service → the personal fields of its requests, if it has some.

        Raises:
            StoreError: Some could not be measured; the message names each. The others were.
        """
        artifacts = Artifacts(self._project.folder / self._project.store.artifacts)
        said, failed = list[str](), list[str]()
        for service, names in views.items():
            try:
                found = [self.view(name) for name in names]
                report = remember_skew(
                    service,
                    found,
                    self.sources,
                    self._engine,
                    artifacts,
                    self._clock,
                    sets.get(service, ""),
                    personal.get(service, ()),
                )
            except RoadworthyError as error:
                failed.append(f"{service}: {error}")
            else:
                none = "no request was given features yet"
                said.append(f"{service}: {none if report is None else report.says}")
        if failed:
            raise StoreError("; ".join(failed))
        return "; ".join(said) or "no service has features"

    def close(self) -> None:
        """Close the online store."""
        self.online.close()
