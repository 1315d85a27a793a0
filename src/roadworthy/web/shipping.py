"""What may be done with releases on their way, handed in by whoever assembles the control plane.

What is None is not there: its levers and parts are absent from the pages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from ..declare.service import ServiceDeclaration
from ..release.compare import Comparison
from ..release.measures import Gate
from ..release.registry import Release
from ..serve.replay import Replay as Asked


class RollBack(Protocol):
    """Lets an earlier champion serve again, with all that was in force for it."""

    def __call__(self, service: str, *, to: str, by: str, why: str) -> Release:
        """Return what serves then; without `to` the last good one.

        Raises:
            NotFound: Nothing served before.
            Conflict: Somebody else changed meanwhile what serves.
        """


class Freeze(Protocol):
    """Lets nothing else serve until it is thawed; or thaws it."""

    def __call__(self, service: str, *, by: str, reason: str) -> None:
        """Freeze or thaw it.

        Raises:
            Conflict: It is so already.
        """


class StopRollout(Protocol):
    """Ends a rollout: everybody meets the champion again."""

    def __call__(self, service: str, *, by: str, why: str) -> Any:
        """End it.

        Raises:
            NotFound: None runs.
        """


class Approve(Protocol):
    """Writes down that an owner lets a release ship."""

    def __call__(self, release_id: str, *, owner: str, by: str, note: str) -> Any:
        """Approve it.

        Raises:
            NotFound: There is no such release, or no such owner.
        """


class Waive(Protocol):
    """Lets a release ship although a gate does not hold."""

    def __call__(self, release_id: str, gate: str, *, by: str, reason: str, expires_us: int) -> Any:
        """Waive a gate until a time.

        Raises:
            NotFound: There is no such release, or no such gate.
            RequestError: The reason is missing, or the end lies in the past.
        """


class MeasureGates(Protocol):
    """Measures how a release stands to its gates, from the evidence that there is."""

    def __call__(self, release_id: str) -> Sequence[Gate]:
        """Return the gates, as they are kept.

        Raises:
            NotFound: There is no such release, or what it declares is gone.
        """


class Compare(Protocol):
    """Compares two releases in everything they are made of."""

    def __call__(self, a: str, b: str) -> Comparison:
        """Return what they have not in common, and how both do.

        Raises:
            NotFound: There is no such release, or one of its files is gone.
        """


class Replay(Protocol):
    """Asks a release again what was asked in a request."""

    def __call__(self, request_id: str, *, release_id: str) -> Asked:
        """Return what was said then and now.

        Raises:
            NotFound: There is no such request, or its input was not kept.
            Forbidden: It would cost something.
        """


class Shipping(msgspec.Struct, frozen=True, kw_only=True):
    """The acts on releases; each None where this process has none.

    Attributes:
        risk: Gives the risk by which a release is judged.
        declared: Gives what a release declares; None where that is gone.
    """

    roll_back: RollBack | None = None
    freeze: Freeze | None = None
    unfreeze: Freeze | None = None
    stop_rollout: StopRollout | None = None
    approve: Approve | None = None
    waive: Waive | None = None
    measure_gates: MeasureGates | None = None
    risk: Callable[[str], str] | None = None
    declared: Callable[[str], ServiceDeclaration | None] | None = None
    compare: Compare | None = None
    replay: Replay | None = None

    @property
    def can(self) -> tuple[str, ...]:
        """The names of those that are there."""
        return tuple(name for name in self.__struct_fields__ if getattr(self, name) is not None)
