"""What the state database knows about releases on their way: a few rows, read for one page."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Engine, Row, Select, func, select

from ..errors import StoreError
from ..evaluate.report import Report
from ..store.evaluations import EvaluationHead, read_evaluation
from ..store.moves import Move
from ..store.release_tables import evaluations, gates, logged_models, moves, waivers
from ..store.rollouts import Look, Rollout, list_rollouts, read_looks


class Logged(NamedTuple):
    """What was said of a model's file when it was made."""

    digest: str
    name: str
    at_us: int
    by: str
    detail: dict[str, Any]


_MOVE = tuple(moves.c[name] for name in Move.__struct_fields__ if name != "carried")
_HEAD = tuple(evaluations.c[name] for name in EvaluationHead.__struct_fields__)


def moves_of(state: Engine, service: str, limit: int, before: str = "") -> list[Move]:
    """Return the latest changes of what serves, newest first; ids are ordered by time."""
    query = select(*_MOVE).where(moves.c.service == service)
    if before:
        query = query.where(moves.c.id < before)
    query = query.order_by(moves.c.at_us.desc(), moves.c.id.desc()).limit(limit)
    return [Move(**row._mapping) for row in _rows(state, query)]


def moves_with(state: Engine, release: str, limit: int) -> list[Move]:
    """Return the latest moves to or from one release, newest first."""
    service = release.partition("@")[0]
    is_of = (moves.c.to_release == release) | (moves.c.from_release == release)
    query = select(*_MOVE).where(moves.c.service == service, is_of)
    return [
        Move(**row._mapping)
        for row in _rows(state, query.order_by(moves.c.at_us.desc()).limit(limit))
    ]


def evaluations_of(
    state: Engine, service: str, limit: int, *, before: str = "", release: str = ""
) -> list[EvaluationHead]:
    """Return the latest evaluations of a service, or of one release, newest first."""
    query = select(*_HEAD).where(evaluations.c.service == service)
    if release:
        query = query.where(evaluations.c.release == release)
    if before:
        query = query.where(evaluations.c.id < before)
    query = query.order_by(evaluations.c.at_us.desc(), evaluations.c.id.desc()).limit(limit)
    return [EvaluationHead(**row._mapping) for row in _rows(state, query)]


def newest_evaluations(state: Engine, releases: Collection[str]) -> dict[str, EvaluationHead]:
    """Return the newest evaluation by suites of each of these releases."""
    e = evaluations.c
    last = (
        select(e.release, func.max(e.at_us).label("at_us"))
        .where(e.release.in_(releases), e.kind == "suite")
        .group_by(e.release)
        .subquery()
    )
    is_last = (e.release == last.c.release) & (e.at_us == last.c.at_us) & (e.kind == "suite")
    query = select(*_HEAD).join(last, is_last).order_by(e.id)
    return {row.release: EvaluationHead(**row._mapping) for row in _rows(state, query)}


def read_report(state: Engine, id: str) -> tuple[EvaluationHead, Report]:
    """Return one evaluation with everything it found.

    Raises:
        NotFound: There is none of this id.
        StoreError: What is stored cannot be read.
    """
    stored = read_evaluation(state, id)
    try:
        return stored.head, msgspec.json.decode(stored.report, type=Report)
    except msgspec.MsgspecError as error:
        raise StoreError(f"evaluation `{id}` cannot be read: {error}; evaluate again") from error


def rollouts_of(state: Engine, service: str, limit: int) -> list[Rollout]:
    """Return the latest rollouts of a service, newest first."""
    return list_rollouts(state, [service], limit)


def looks_of(state: Engine, rollout: str, most: int) -> list[Look]:
    """Return about as many looks at a rollout as `most`, spread evenly, the last among them."""
    found = read_looks(state, rollout)
    step = max(1, -(-len(found) // most))
    return found[::-1][::step][::-1]


def gates_of(state: Engine, releases: Collection[str]) -> list[Row[Any]]:
    """Return how these releases stood to each gate, as it was measured last."""
    query = select(gates).where(gates.c.release.in_(releases))
    return _rows(state, query.order_by(gates.c.release, gates.c.gate))


def waived_of(state: Engine, releases: Collection[str], now_us: int) -> frozenset[tuple[str, str]]:
    """Return which gates of these releases are waived at a time, as release and gate."""
    w = waivers.c
    is_valid = (w.revoked_at_us.is_(None), w.expires_us > now_us)
    query = select(w.release, w.gate).where(w.release.in_(releases), *is_valid)
    return frozenset((row.release, row.gate) for row in _rows(state, query))


def logged_of(state: Engine, service: str, digests: Sequence[str]) -> dict[str, Logged]:
    """Return what was logged of these files, by digest."""
    m = logged_models.c
    query = select(*(m[name] for name in Logged._fields)).where(
        m.service == service, m.digest.in_(digests)
    )
    return {
        row.digest: Logged(row.digest, row.name, row.at_us, row.by, _object(row.detail))
        for row in _rows(state, query)
    }


def _rows(state: Engine, query: Select[Any]) -> list[Row[Any]]:
    with state.connect() as connection:
        return list(connection.execute(query))


def _object(text: str) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(text or "{}")
    except msgspec.MsgspecError:
        return {}
    return found if isinstance(found, dict) else {}
