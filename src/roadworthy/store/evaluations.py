"""Evaluations that were made, and what they need not ask or score a second time."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Collection, Mapping
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, Engine, Row, delete, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from ..errors import NotFound, StoreError
from ..types import Clock
from .actions import append_action
from .release_tables import evaluation_cache, evaluations

EvaluationKind = Literal["suite", "replay"]
CachedKind = Literal["answer", "score"]

_VERB: Mapping[EvaluationKind, str] = {"suite": "run", "replay": "replay"}
_BATCH = 400
_LEVEL = 1
"""Of zlib: a report of 1,000 cases takes 4 ms instead of 15, and a sixth more space."""


class EvaluationHead(msgspec.Struct, frozen=True, kw_only=True):
    """What lists show of an evaluation.

    Attributes:
        release: The release that was judged; `baseline` is what it was compared with, or empty.
        kind: `suite`, of cases, or `replay`, of recorded traffic.
        digest: SHA-256 (hex) of the report as it is stored.
    """

    id: str
    service: str
    release: str
    baseline: str
    kind: EvaluationKind
    at_us: int
    by: str
    verdict: str
    digest: str = ""


class StoredEvaluation(msgspec.Struct, frozen=True):
    """An evaluation with its report as JSON bytes."""

    head: EvaluationHead
    report: bytes


_HEAD = tuple(evaluations.c[name] for name in EvaluationHead.__struct_fields__)


def put_evaluation(
    connection: Connection,
    clock: Clock,
    head: EvaluationHead,
    report: bytes,
    facts: Mapping[str, Any] | None = None,
) -> EvaluationHead:
    """Store a report, say in the chain of actions that it was made, and return its head.

    Args:
        connection: A transaction, in which both happen.
        clock: Where the action's time comes from.
        head: What is known of it; its digest is filled in.
        report: JSON bytes.
        facts: What the chain says of it beside the verdict and the digest.
    """
    detail = zlib.compress(report, _LEVEL)
    head = msgspec.structs.replace(head, digest=hashlib.sha256(detail).hexdigest())
    said = {
        "service": head.service,
        "evaluation": head.id,
        "baseline": head.baseline,
        "verdict": head.verdict,
        "digest": head.digest,
        **(facts or {}),
    }
    append_action(connection, clock, head.by, f"evaluation.{_VERB[head.kind]}", head.release, said)
    connection.execute(insert(evaluations).values(**msgspec.structs.asdict(head), detail=detail))
    return head


def read_evaluation(engine: Engine, id: str) -> StoredEvaluation:
    """Return one evaluation.

    Raises:
        NotFound: There is none of this id.
        StoreError: What is stored is not what was written.
    """
    with engine.connect() as connection:
        row = connection.execute(select(evaluations).where(evaluations.c.id == id)).first()
    if row is None:
        raise NotFound(f"no evaluation `{id:.60}`; `roadworthy evaluate` makes one")
    return _stored(row)


def newest_evaluation(
    engine: Engine, release: str, kind: EvaluationKind = "suite"
) -> StoredEvaluation | None:
    """Return the newest evaluation of a release, or None while there is none.

    Raises:
        StoreError: What is stored is not what was written.
    """
    is_one = (evaluations.c.release == release, evaluations.c.kind == kind)
    order = (evaluations.c.at_us.desc(), evaluations.c.id.desc())
    query = select(evaluations).where(*is_one).order_by(*order).limit(1)
    with engine.connect() as connection:
        row = connection.execute(query).first()
    return None if row is None else _stored(row)


def list_evaluations(
    engine: Engine,
    service: str = "",
    release: str = "",
    kind: EvaluationKind | Literal[""] = "",
    limit: int = 100,
    *,
    services: Collection[str] = (),
) -> list[EvaluationHead]:
    """Return the latest evaluations, newest first, of those that are asked for, or of all."""
    query = select(*_HEAD).order_by(evaluations.c.at_us.desc(), evaluations.c.id.desc())
    for column, value in (("service", service), ("release", release), ("kind", kind)):
        if value:
            query = query.where(evaluations.c[column] == value)
    if services:
        query = query.where(evaluations.c.service.in_(services))
    with engine.connect() as connection:
        return [EvaluationHead(**row._mapping) for row in connection.execute(query.limit(limit))]


def drop_evaluations_of(connection: Connection, release: str) -> int:
    """Delete the evaluations of a release that goes, and return how many there were."""
    return connection.execute(delete(evaluations).where(evaluations.c.release == release)).rowcount


def read_cached(engine: Engine, keys: Collection[str]) -> dict[str, bytes]:
    """Return what is known under these keys, by key."""
    wanted = sorted(set(keys))
    found: dict[str, bytes] = {}
    columns = (evaluation_cache.c.key, evaluation_cache.c.detail)
    with engine.connect() as connection:
        for start in range(0, len(wanted), _BATCH):
            batch = wanted[start : start + _BATCH]
            query = select(*columns).where(evaluation_cache.c.key.in_(batch))
            found |= {row.key: row.detail for row in connection.execute(query)}
    return found


def put_cached(
    engine: Engine, clock: Clock, service: str, kind: CachedKind, rows: Mapping[str, bytes]
) -> None:
    """Store what was found under these keys, in the place of what was there."""
    if not rows:
        return
    at_us = clock.now_us()
    values = [
        {"key": key, "kind": kind, "service": service, "at_us": at_us, "detail": detail}
        for key, detail in rows.items()
    ]
    dialect = postgresql if engine.dialect.name == "postgresql" else sqlite
    added = dialect.insert(evaluation_cache)
    renewed = {name: added.excluded[name] for name in ("kind", "service", "at_us", "detail")}
    with engine.begin() as connection:
        connection.execute(
            added.on_conflict_do_update(index_elements=["key"], set_=renewed), values
        )


def drop_cached(connection: Connection, before_us: int) -> int:
    """Delete what was found before a time, and return how many rows there were."""
    return connection.execute(
        delete(evaluation_cache).where(evaluation_cache.c.at_us < before_us)
    ).rowcount


def _stored(row: Row[Any]) -> StoredEvaluation:
    head = EvaluationHead(**{c.name: row._mapping[c.name] for c in _HEAD})
    if hashlib.sha256(row.detail).hexdigest() != head.digest:
        raise StoreError(
            f"evaluation `{head.id}` was changed in the store: its content gives another digest; "
            f"run `roadworthy evaluate {head.service}` again"
        )
    return StoredEvaluation(head, zlib.decompress(row.detail))
