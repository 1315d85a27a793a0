"""Score models that were fitted on a release's own outcomes."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, Row, insert, select

from .tables import scorers

KIND = "fit_"
"""How the ids of those begin that say how sure an answer is; `gain_` says it of models."""


class StoredScorer(msgspec.Struct, frozen=True, kw_only=True):
    """A score model.

    Attributes:
        id: `fit_` or `gain_`, and the beginning of the SHA-256 of what was fitted.
        release: Whose answers it scores.
        n: The units that it was fitted on: never evidence for it.
        detail: The model as plain values, and how well it and the one before tell right from wrong.
    """

    id: str
    service: str
    release: str
    at_us: int
    n: int
    detail: dict[str, Any]


def add_scorer(connection: Connection, found: StoredScorer) -> None:
    """Store what was fitted."""
    fields = msgspec.structs.asdict(found)
    fields["detail"] = msgspec.json.encode(found.detail).decode()
    connection.execute(insert(scorers).values(**fields))


def read_scorer(engine: Engine, id: str) -> StoredScorer | None:
    """Return one score model, or None where there is none of this id."""
    with engine.connect() as connection:
        row = connection.execute(select(scorers).where(scorers.c.id == id)).first()
    return None if row is None else _scorer(row)


def last_scorer(engine: Engine, service: str, release: str) -> StoredScorer | None:
    """Return the score model that was fitted last for a release, in use or not."""
    is_one = (
        scorers.c.service == service,
        scorers.c.release == release,
        scorers.c.id.startswith(KIND, autoescape=True),
    )
    order = (scorers.c.at_us.desc(), scorers.c.n.desc())
    with engine.connect() as connection:
        row = connection.execute(select(scorers).where(*is_one).order_by(*order).limit(1)).first()
    return None if row is None else _scorer(row)


def _scorer(row: Row[Any]) -> StoredScorer:
    fields = dict(row._mapping)
    return StoredScorer(**{**fields, "detail": msgspec.json.decode(row.detail)})
