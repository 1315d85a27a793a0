"""What is known of the routes of a service: pairs with their scores, read for the routing page."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Engine, select

from .gateway_tables import pairs


class Scored(NamedTuple):
    """One pair: how sure the cheaper answer was, and how good both are (0-1; None is unknown)."""

    score: float | None
    share: float
    quality: float | None
    reference: float | None

    @property
    def lost(self) -> float:
        """What is lost by the cheaper answer; below 0 it is the better one."""
        return (self.reference or 0.0) - (self.quality or 0.0)

    def passes(self, threshold: float) -> bool:
        """Whether the cheaper answer would be given from this score on."""
        return self.score is not None and self.score >= threshold


def scored_pairs(
    state: Engine, service: str, release: str, scorer: str, limit: int
) -> list[Scored]:
    """Return the newest pairs of one release that bear the score of one scorer."""
    wanted = (
        pairs.c.service == service,
        pairs.c.decision == "route",
        pairs.c.release == release,
        pairs.c.scorer == scorer,
    )
    query = (
        select(pairs.c.score, pairs.c.share, pairs.c.quality, pairs.c.reference_quality)
        .where(*wanted)
        .order_by(pairs.c.at_us.desc())
        .limit(limit)
    )
    with state.connect() as connection:
        return [Scored(*row) for row in connection.execute(query)]
