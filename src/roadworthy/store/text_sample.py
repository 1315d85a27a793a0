"""A sample of what services were asked and answered."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Engine, select

from ..types import SHOWN
from .tables import bodies, records

_LOOKED_AT = 20_000


def sample_bodies(
    state: Engine, services: Sequence[str], since_us: int, most: int
) -> list[tuple[bytes | None, bytes | None]]:
    """Return inputs and outputs of requests, evenly over the newest of a span.

    Only those whose bodies are kept are among them.
    """
    query = (
        select(records.c.id)
        .where(
            records.c.service.in_(list(services)),
            records.c.at_us >= since_us,
            records.c.arm.in_(SHOWN),
            records.c.id.in_(select(bodies.c.request_id)),
        )
        .order_by(records.c.id.desc())
        .limit(_LOOKED_AT)
    )
    with state.connect() as connection:
        ids = connection.execute(query).scalars().all()
        step = max(len(ids) / most, 1.0) if ids else 1.0
        chosen = [ids[int(k * step)] for k in range(min(most, len(ids)))]
        found: list[tuple[bytes | None, bytes | None]] = []
        for start in range(0, len(chosen), 500):
            part = chosen[start : start + 500]
            rows = connection.execute(
                select(bodies.c.input, bodies.c.output).where(bodies.c.request_id.in_(part))
            )
            found += [(row.input, row.output) for row in rows]
        return found
