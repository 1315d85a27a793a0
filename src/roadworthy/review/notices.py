"""What the webhook of a queue is told: that a case waits, is late, or was decided."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from sqlalchemy import Connection


class Tell(Protocol):
    """Queues a notice for the webhook of a queue, in the transaction of the act."""

    def __call__(
        self,
        connection: Connection,
        queue: str,
        event: str,
        subject: str,
        facts: Mapping[str, Any],
        /,
    ) -> None:
        """Queue it, if the queue has a webhook. The facts hold no user's text."""


def tell_nobody(
    connection: Connection, queue: str, event: str, subject: str, facts: Mapping[str, Any]
) -> None:
    """Tell nobody, where no webhook is declared."""
