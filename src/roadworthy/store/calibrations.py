"""Calibrations: what makes a probability of a score, how well it did, and which one is in use."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, Row, insert, select

from .tables import calibrations


class StoredCalibration(msgspec.Struct, frozen=True, kw_only=True):
    """A calibration of one release's scores.

    Attributes:
        id: `ca_` and the beginning of the SHA-256 of what was fitted.
        release, scorer: Whose scores it is for.
        n: The units that it was fitted on.
        detail: The calibration as plain values, its reliability curve and its errors.
    """

    id: str
    service: str
    release: str
    scorer: str
    at_us: int
    n: int
    detail: dict[str, Any]


def add_calibration(connection: Connection, found: StoredCalibration) -> None:
    """Store what was fitted."""
    fields = msgspec.structs.asdict(found)
    fields["detail"] = msgspec.json.encode(found.detail).decode()
    connection.execute(insert(calibrations).values(**fields))


def read_calibration(engine: Engine, id: str) -> StoredCalibration | None:
    """Return one calibration, or None where there is none of this id."""
    with engine.connect() as connection:
        row = connection.execute(select(calibrations).where(calibrations.c.id == id)).first()
    return None if row is None else _calibration(row)


def list_calibrations(engine: Engine, service: str, limit: int = 100) -> list[StoredCalibration]:
    """Return the calibrations of a service, newest first."""
    query = select(calibrations).where(calibrations.c.service == service)
    order = (calibrations.c.at_us.desc(), calibrations.c.n.desc())
    with engine.connect() as connection:
        rows = connection.execute(query.order_by(*order).limit(limit)).all()
    return [_calibration(row) for row in rows]


def _calibration(row: Row[Any]) -> StoredCalibration:
    fields = dict(row._mapping)
    return StoredCalibration(**{**fields, "detail": msgspec.json.decode(row.detail)})
