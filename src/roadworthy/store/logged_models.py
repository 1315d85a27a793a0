"""What is known of models' files by their content: who logged them, and what they learned from."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, Row, delete, insert, select

from .release_tables import logged_models


class LoggedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model's file, and what its maker said of it.

    Attributes:
        digest: SHA-256 of the file, in hex.
        name: What its maker calls it.
        detail: Metrics, parameters, snapshot, views, commit, source, as JSON values.
    """

    digest: str
    service: str
    name: str
    at_us: int
    by: str
    detail: dict[str, Any]


def put_logged_model(connection: Connection, logged: LoggedModel) -> None:
    """Remember a model in the caller's transaction; what was said of the same file is replaced."""
    here = (logged_models.c.digest == logged.digest) & (logged_models.c.service == logged.service)
    connection.execute(delete(logged_models).where(here))
    row = msgspec.structs.asdict(logged) | {"detail": msgspec.json.encode(logged.detail).decode()}
    connection.execute(insert(logged_models).values(row))


def read_logged_model(engine: Engine, service: str, digest: str) -> LoggedModel | None:
    """Return what is known of a file, or None."""
    query = select(logged_models).where(
        logged_models.c.digest == digest, logged_models.c.service == service
    )
    with engine.connect() as connection:
        row = connection.execute(query).first()
    return None if row is None else _logged(row)


def list_logged_models(
    engine: Engine, service: str, digests: Collection[str]
) -> tuple[LoggedModel, ...]:
    """Return what is known of some files of a service, by name."""
    here = (logged_models.c.service == service, logged_models.c.digest.in_(sorted(digests)))
    query = select(logged_models).where(*here).order_by(logged_models.c.name)
    with engine.connect() as connection:
        return tuple(_logged(row) for row in connection.execute(query))


def _logged(row: Row[Any]) -> LoggedModel:
    detail = msgspec.json.decode(row.detail)
    return LoggedModel(
        digest=row.digest,
        service=row.service,
        name=row.name,
        at_us=row.at_us,
        by=row.by,
        detail=detail,
    )
