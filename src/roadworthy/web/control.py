"""What the control plane works on, handed in by whoever assembles it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec
from anyio import from_thread
from sqlalchemy import Engine as StateEngine
from starlette.requests import Request

from ..cost.ledger import Ledger
from ..data.agreed import SourceContract
from ..declare.project import ProjectDeclaration
from ..declare.service import ServiceDeclaration
from ..errors import Forbidden, ServiceStopped
from ..evaluate.report import Report
from ..release.forecast import Forecast
from ..release.registry import Release
from ..review.notices import Tell
from ..serve.engine import Engine
from ..serve.identify import Keyring
from ..serve.opened import OpenRelease
from ..serve.upstreams import Upstreams
from ..store.jobs import JobRunner
from ..store.rollouts import Rollout
from ..store.spool import Spool
from ..store.switchboard import Switchboard
from ..types import Clock, Key, OpenFeatures
from .session import Sessions, cookie_of
from .shipping import Shipping

T = TypeVar("T")


class BuildRelease(Protocol):
    """Builds the release that the working tree of a service describes."""

    def __call__(self, name: str, *, by: str) -> Release:
        """Return the release, which may have been there before.

        Raises:
            NotFound: There is no such service.
            DeclarationError: Its file is wrong, or a model's name does not say its version.
        """


class Promoted(NamedTuple):
    """What became of a release that somebody promoted.

    Attributes:
        rollout: What judges it from now on; None where it serves at once.
        forecast: How long that takes at the present traffic.
    """

    release: Release
    rollout: Rollout | None = None
    forecast: Forecast | None = None


class PromoteRelease(Protocol):
    """Lets a release serve its service, in every process, or lets a rollout judge it first."""

    def __call__(self, release_id: str, *, by: str) -> Promoted:
        """Return what became of it.

        Raises:
            NotFound: There is no such release.
            StoreError: One of its files is gone or damaged.
            NotReady: Gates hold it up.
            RequestError: Its rollout would never be decided at the present traffic.
            Conflict: Somebody else changed meanwhile what serves, or the service is frozen.
        """


class EvaluateRelease(Protocol):
    """Asks a release the cases of its suites, and stores what came of it."""

    def __call__(
        self,
        service: str,
        *,
        release_id: str,
        against: str,
        by: str,
        suites: tuple[str, ...],
        repeats: int | None,
        fresh: bool,
    ) -> Report:
        """Return the report.

        Raises:
            NotFound: There is no such service or release.
            DeclarationError: The service file or a suite is wrong, or the release does not open.
            RequestError: There are no cases, or no limit on what they may cost.
        """


class Differences(Protocol):
    """Compares a service's folder with what is released."""

    def __call__(self, opened: OpenRelease, candidate: str = "") -> tuple[str, ...]:
        """Return what differs from what serves, or from another release: one text a difference."""


class Control(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the routes need.

    Attributes:
        declaration: What roadworthy.toml says.
        enforces: Declared key → the file that enforces it.
        state: The database.
        switchboard: Stops and resumes.
        follow: Lets this process see what an act changed, before the act says that it is done.
        engine: Says what serves now.
        ledger: Says what is spent; used on the event loop only.
        upstreams: Says how each model of each provider is doing.
        build_release: Builds what the working tree describes.
        promote_release: Lets a release serve, once its files are found whole.
        evaluate: Asks a release the cases of its suites.
        drain: Writes down what waits in the spool, and returns how many entries that were.
        health: Gives the state of the process: `{"status": "ok" | "degraded", …}`.
        differences: What is not in a service's folder as it was released: one text a difference.
        contracts: The contract of each source, as its file stands now.
        open_features: The feature views at work; their packages are imported with the first use.
        explain: Says what moved an earlier prediction, as JSON values.
        sessions: Of the people who look at the console.
        tell: Queues what the webhook of a queue is told.
        shipping: What may be done with releases on their way.
    """

    declaration: ProjectDeclaration
    enforces: Mapping[str, str]
    state: StateEngine
    clock: Clock
    keyring: Keyring
    switchboard: Switchboard
    follow: Callable[[], Awaitable[None]]
    engine: Engine
    ledger: Ledger
    upstreams: Upstreams
    jobs: JobRunner
    spool: Spool
    build_release: BuildRelease
    promote_release: PromoteRelease
    evaluate: EvaluateRelease
    drain: Callable[[], int]
    health: Callable[[], dict[str, Any]]
    differences: Differences
    contracts: Callable[[], Mapping[str, SourceContract]]
    open_features: OpenFeatures
    explain: Callable[[str], dict[str, Any]]
    sessions: Sessions
    tell: Tell
    shipping: Shipping = Shipping()

    def key_of(self, request: Request, *, may_be_session: bool) -> Key:
        """Return the key that a request comes with.

        Args:
            request: Its `authorization` header counts; without one its session may.
            may_be_session: Whether a session is enough. A browser brings its cookie along whoever
                made it send the request, so for an act it is not.

        Raises:
            Unauthenticated: There is none, or it is unknown, revoked or expired.
        """
        # Two keys are no key: else a proxy and we might take different ones.
        header = ", ".join(request.headers.getlist("authorization")).encode("latin-1")
        if may_be_session and not header and (cookie := cookie_of(request)):
            return self.keyring.find_id(self.sessions.read(cookie).key_id)
        return self.keyring.find(header)


class Ask(msgspec.Struct, frozen=True):
    """One request to the control plane: of what, and by whose key."""

    control: Control
    key: Key

    @property
    def by(self) -> str:
        """Who asks, as the audit chain names them."""
        return f"key:{self.key.id}"

    def sees(self, service: str) -> bool:
        """Whether the key may see what belongs to `service`."""
        return not self.key.services or service in self.key.services

    def check_sees(self, service: str) -> None:
        """Refuse a service that is not this key's.

        Raises:
            Forbidden: The key is limited to other services.
        """
        if not self.sees(service):
            raise Forbidden(f"key `{self.key.id}` may not see `{service:.80}`")

    def service(self, name: str) -> OpenRelease:
        """Return what serves `name`.

        Raises:
            Forbidden: The key is limited to other services.
            NotFound: There is no such service; the message lists those there are.
        """
        self.check_sees(name)
        return self.control.engine.release_of(name)

    def known(self, name: str) -> str:
        """Return the name of a service, whether or not what it should serve can be opened.

        Raises:
            Forbidden: The key is limited to other services.
            NotFound: There is no such service; the message lists those there are.
        """
        self.check_sees(name)
        return name if name in self.control.engine.releases else self.service(name).name

    def serving(self, service: str) -> str:
        """Return the release that answers here for a service; empty where none can be opened.

        It is not what should serve while that cannot be opened: then what served before answers.
        """
        with suppress(ServiceStopped):
            opened = self.control.engine.releases.get(service)
            return "" if opened is None else opened.id
        return ""

    def declared(self, service: str, release_id: str) -> ServiceDeclaration | None:
        """Return what serves a service declares, or else a release; None where neither is there."""
        with suppress(ServiceStopped):
            if (opened := self.control.engine.releases.get(service)) is not None:
                return opened.declaration
        read = self.control.shipping.declared
        return read(release_id) if read is not None and release_id else None

    def services_of(self, wanted: str) -> tuple[str, ...]:
        """Return the services that a list is to be of: the one that is wanted, or all it may see.

        Empty means that it may see all.

        Raises:
            Forbidden: The key is limited to other services.
        """
        if wanted:
            self.check_sees(wanted)
            return (wanted,)
        return tuple(sorted(self.key.services))

    def on_loop(self, function: Callable[..., T], *arguments: Any) -> T:
        """Return what `function` says on the event loop, where the live objects are used.

        Routes run in threads beside it.
        """
        return from_thread.run_sync(function, *arguments)
