"""Which model is asked first: by rules, by what is wanted, or by what was learned."""

from __future__ import annotations

from collections.abc import Sequence

from ..declare.service import ServiceDeclaration
from ..types import Clock
from .failover import Link
from .request import Router
from .vectors import Questions


def open_router(
    service: ServiceDeclaration,
    release_id: str,
    links: Sequence[Link],
    clock: Clock,
    questions: Questions | None,
) -> Router | None:
    """Open what chooses between the models; None where the order of the file does."""
    return None
