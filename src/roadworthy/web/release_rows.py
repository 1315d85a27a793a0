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
from ..store.rollouts import Rollout, RolloutVerdict
from ..store.tables import (
    approvals,
    evaluations,
    gates,
    logged_models,
    moves,
    rollout_looks,
    rollouts,
    waivers,
)


class Look(NamedTuple):
    """What one look at a rollout saw."""

    at_us: int
    verdict: RolloutVerdict


class Waived(NamedTuple):
    """Who let a release ship although a gate does not hold, why, and until when."""

    id: str
    gate: str
    by: str
    reason: str
    at_us: int
    expires_us: int


class Approved(NamedTuple):
    """Which owner let a release ship."""

    owner: str
    by: str
    note: str
    at_us: int


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
    r = rollouts.c
    query = select(rollouts).where(r.service == service)
    rows = _rows(state, query.order_by(r.started_at_us.desc(), r.id.desc()).limit(limit))
    return [_rollout(row) for row in rows]


def newest_rollouts(state: Engine, services: Collection[str]) -> dict[str, Rollout]:
    """Return the newest rollout of each of these services that had one."""
    r = rollouts.c
    last = (
        select(r.service, func.max(r.started_at_us).label("at_us"))
        .where(r.service.in_(services))
        .group_by(r.service)
        .subquery()
    )
    is_last = (r.service == last.c.service) & (r.started_at_us == last.c.at_us)
    query = select(rollouts).join(last, is_last).order_by(r.id)
    return {row.service: _rollout(row) for row in _rows(state, query)}


def looks_of(state: Engine, rollout: str, most: int) -> list[Look]:
    """Return about as many looks at a rollout as `most`, spread evenly, the last among them."""
    looks = rollout_looks.c
    here = looks.rollout == rollout
    numbered = list(_scalars(state, select(looks.number).where(here).order_by(looks.number)))
    step = max(1, -(-len(numbered) // most))
    wanted = numbered[::-1][::step]
    query = select(looks.at_us, looks.detail).where(here, looks.number.in_(wanted))
    rows = _rows(state, query.order_by(looks.number))
    return [Look(row.at_us, _verdict(row.detail)) for row in rows]


def gates_of(state: Engine, releases: Collection[str]) -> list[Row[Any]]:
    """Return how these releases stood to each gate, as it was measured last."""
    query = select(gates).where(gates.c.release.in_(releases))
    return _rows(state, query.order_by(gates.c.release, gates.c.gate))


def waivers_of(state: Engine, release: str) -> list[Waived]:
    """Return the waivers of a release that nobody took back, the newest first."""
    w = waivers.c
    query = select(*(w[name] for name in Waived._fields)).where(
        w.release == release, w.revoked_at_us.is_(None)
    )
    return [Waived._make(row) for row in _rows(state, query.order_by(w.at_us.desc()))]


def approvals_of(state: Engine, release: str) -> list[Approved]:
    """Return who of the owners approved a release."""
    a = approvals.c
    query = select(*(a[name] for name in Approved._fields)).where(a.release == release)
    return [Approved._make(row) for row in _rows(state, query.order_by(a.owner))]


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


def _scalars(state: Engine, query: Select[Any]) -> list[Any]:
    return [row[0] for row in _rows(state, query)]


def _rollout(row: Row[Any]) -> Rollout:
    """Return a rollout without its evidence, which no page reads."""
    fields = {name: row._mapping[name] for name in Rollout.__struct_fields__}
    return Rollout(**{**fields, "progress": {}, "verdict": _verdict(row.verdict)})


def _verdict(text: str) -> RolloutVerdict:
    """Return what a look said; one that cannot be read said nothing."""
    try:
        return msgspec.json.decode(text or "{}", type=RolloutVerdict)
    except msgspec.MsgspecError:
        return RolloutVerdict(why="what this look saw cannot be read")


def _object(text: str) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(text or "{}")
    except msgspec.MsgspecError:
        return {}
    return found if isinstance(found, dict) else {}
