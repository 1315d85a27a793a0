"""What the control plane works on, handed in by whoever assembles it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

import msgspec
from anyio import from_thread
from sqlalchemy import Engine as StateEngine

from ..cost.ledger import Ledger
from ..declare.project import ProjectDeclaration
from ..errors import Forbidden, RequestError
from ..release.registry import Release
from ..serve.engine import Engine
from ..serve.identify import Keyring
from ..serve.opened import OpenRelease
from ..store.jobs import JobRunner
from ..store.spool import Spool
from ..store.switchboard import Switchboard
from ..types import Clock, Key

T = TypeVar("T")


class BuildRelease(Protocol):
    """Builds the release that the working tree of a service describes."""

    def __call__(self, name: str, *, by: str) -> Release:
        """Return the release, which may have been there before.

        Raises:
            NotFound: There is no such service.
            DeclarationError: Its file is wrong, or a model's name does not say its version.
        """


class PromoteRelease(Protocol):
    """Lets a release serve its service, in every process."""

    def __call__(self, release_id: str, *, by: str) -> Release:
        """Return the release.

        Raises:
            NotFound: There is no such release.
            StoreError: One of its files is gone or damaged.
        """


class Control(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the routes need.

    Attributes:
        declaration: What roadworthy.toml says.
        enforces: Declared key → the file that enforces it.
        state: The database.
        switchboard: Stops and resumes.
        engine: Says what serves now.
        ledger: Says what is spent; used on the event loop only.
        build_release: Builds what the working tree describes.
        promote_release: Lets a release serve, once its files are found whole.
        drain: Writes down what waits in the spool, and returns how many entries that were.
        health: Gives the state of the process: `{"status": "ok" | "degraded", …}`.
    """

    declaration: ProjectDeclaration
    enforces: Mapping[str, str]
    state: StateEngine
    clock: Clock
    keyring: Keyring
    switchboard: Switchboard
    engine: Engine
    ledger: Ledger
    jobs: JobRunner
    spool: Spool
    build_release: BuildRelease
    promote_release: PromoteRelease
    drain: Callable[[], int]
    health: Callable[[], dict[str, Any]]


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

    def only_service(self, wanted: str) -> str:
        """Return the service that a list is to be of; empty means all.

        Raises:
            Forbidden: The key is limited to other services.
            RequestError: The key is limited to several, and none of them is named.
        """
        allowed = sorted(self.key.services)
        if wanted:
            self.check_sees(wanted)
        elif len(allowed) > 1:
            names = ", ".join(f"`{name}`" for name in allowed)
            raise RequestError(f"service: expected one of {names}, got none", param="service")
        return wanted or "".join(allowed)

    def on_loop(self, function: Callable[..., T], *arguments: Any) -> T:
        """Return what `function` says on the event loop, where the live objects are used.

        Routes run in threads beside it.
        """
        return from_thread.run_sync(function, *arguments)
