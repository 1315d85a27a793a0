"""What is known of answers given again: pairs with their scores, read for the cache page."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Engine, select

from .gateway_tables import pairs


class Compared(NamedTuple):
    """A cached answer that was held against a fresh one.

    Attributes:
        score: How sure it was that it does.
        share: The chance with which the two were compared.
        is_given: Whether it was given, or would only have been.
        is_wrong: Whether the fresh one said something else.
        entry: The request whose answer it is; of each one pair counts.
    """

    score: float
    share: float
    is_given: bool
    is_wrong: bool
    entry: str


def compared(state: Engine, service: str, release: str, scorer: str, limit: int) -> list[Compared]:
    """Return the newest pairs of one release and score whose loss is known, of each entry one."""
    wanted = (
        pairs.c.service == service,
        pairs.c.decision == "reuse",
        pairs.c.release == release,
        pairs.c.scorer == scorer,
        pairs.c.loss.is_not(None),
        pairs.c.score.is_not(None),
    )
    columns = (pairs.c.score, pairs.c.share, pairs.c.is_given, pairs.c.loss, pairs.c.entry)
    query = select(*columns).where(*wanted).order_by(pairs.c.at_us.desc()).limit(limit)
    found: dict[tuple[str, bool], Compared] = {}
    with state.connect() as connection:
        for score, share, is_given, loss, entry in connection.execute(query):
            one = Compared(score, share, bool(is_given), loss > 0, entry)
            found.setdefault((entry, one.is_given), one)
    return list(found.values())
