"""What answers for each service: its champion, or why there is none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..errors import ServiceStopped
from .opened import OpenRelease


class Champions(Mapping[str, OpenRelease]):
    """Service name → its champion, opened. To ask for one that would not open is an error.

    Args:
        opened: Those that answer.
        unopened: Service name → the id of its champion, which could not be opened.
    """

    def __init__(self, opened: Mapping[str, OpenRelease], unopened: Mapping[str, str]) -> None:
        self._opened = opened
        self._unopened = unopened

    def __getitem__(self, name: str) -> OpenRelease:
        """Return the champion of a service.

        Raises:
            KeyError: There is no such service.
            ServiceStopped: Its champion could not be opened.
        """
        if name in self._unopened:
            raise ServiceStopped(
                f"service `{name}` is stopped: its release `{self._unopened[name]}` could not be "
                "opened; `/healthz` says why"
            )
        return self._opened[name]

    def __contains__(self, name: object) -> bool:
        return name in self._opened or name in self._unopened

    def __iter__(self) -> Iterator[str]:
        """Yield the names of those that answer."""
        return iter(self._opened)

    def __len__(self) -> int:
        return len(self._opened)
