"""Explanations that were computed of answers, kept as long as their records."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, delete, select

from .state import insert_rows
from .tables import explanations, reviews

_encode = msgspec.json.Encoder().encode


def save_explanation(engine: Engine, request_id: str, at_us: int, detail: Any) -> None:
    """Keep what explains an answer, as JSON values; the first that was kept stays."""
    row = (request_id, at_us, _encode(detail).decode())
    with engine.begin() as connection:
        insert_rows(connection, explanations, [row], "ignore")


def read_explanation(engine: Engine, request_id: str) -> Any:
    """Return what was kept, as JSON values, or None."""
    query = select(explanations.c.detail).where(explanations.c.request_id == request_id)
    with engine.connect() as connection:
        found = connection.execute(query).scalar()
    return None if found is None else msgspec.json.decode(found)


def unexplained_reviews(engine: Engine, service: str, limit: int) -> list[str]:
    """Return the requests of decided reviews that nothing explains yet, the latest first."""
    query = (
        select(reviews.c.request_id)
        .outerjoin(explanations, explanations.c.request_id == reviews.c.request_id)
        .where(
            reviews.c.service == service,
            reviews.c.decision != "",
            explanations.c.request_id.is_(None),
        )
        .order_by(reviews.c.decided_at_us.desc())
        .limit(limit)
    )
    with engine.connect() as connection:
        return list(connection.execute(query).scalars())


def forget_explanations(connection: Connection, request_ids: Collection[str]) -> None:
    """Delete what explains these requests, as part of the caller's transaction."""
    connection.execute(delete(explanations).where(explanations.c.request_id.in_(request_ids)))
