"""What the users of a rollout met, from its records, until their windows are over."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Literal, NamedTuple

import msgspec
from sqlalchemy import Column, Connection, Engine, Row, delete, select

from ..types import Arm, Outcome, Record
from .met import Met
from .records import record_of
from .release_tables import rollout_units
from .state import insert_rows
from .tables import bodies, drafts, outcomes, records, reviews

UnitState = Literal["open", "waiting", "done"]
UnitArm = Literal["champion", "candidate", "both"]
_BATCH = 500
OWN = "own"
"""The score of predictions that is what they give their own label."""

_encode = msgspec.json.Encoder().encode


class Unit(NamedTuple):
    """A user of a rollout.

    Attributes:
        unit: A hash that only this rollout uses.
        arm: Which release it met; `both` of a shadow.
        first_us: When it began.
        due_us: When its state ends.
    """

    rollout: str
    unit: str
    step: int
    arm: UnitArm
    state: UnitState
    first_us: int
    due_us: int
    met: Met


def read_met(
    engine: Engine, service: str, arms: Sequence[Arm], after_id: str, until_id: str, limit: int
) -> list[Record]:
    """Return the records of a service between two ids, without bodies, in their order."""
    query = (
        select(records)
        .where(
            records.c.id > after_id,
            records.c.id < until_id,
            records.c.service == service,
            records.c.arm.in_(arms),
        )
        .order_by(records.c.id)
        .limit(limit)
    )
    with engine.connect() as connection:
        return [record_of(row) for row in connection.execute(query)]


def read_records(engine: Engine, ids: Collection[str]) -> dict[str, Record]:
    """Return the records of these ids that there are, without bodies."""
    with engine.connect() as connection:
        rows = _in_batches(connection, select(records), records.c.id, ids)
        return {row.id: record_of(row) for row in rows}


def read_inputs(engine: Engine, ids: Collection[str]) -> dict[str, bytes]:
    """Return what these requests asked, as JSON, as far as that was kept."""
    return _read_body(engine, ids, bodies.c.input)


def read_drafted(engine: Engine, ids: Collection[str]) -> dict[str, bytes]:
    """Return what models answered these requests, as JSON, as far as that was kept.

    Where it was up for a decision and not given, that is the draft: what a user got instead, of the
    ladder or of a person, says nothing of the release.
    """
    found = _read_body(engine, ids, bodies.c.output)
    with engine.connect() as connection:
        rows = list(_in_batches(connection, select(drafts), drafts.c.request_id, ids))
        held = {
            row.request_id for row in rows if row.path != "alone" or row.request_id not in found
        }
        query = select(reviews.c.request_id, reviews.c.draft).where(reviews.c.kind == "review")
        shown = _in_batches(connection, query, reviews.c.request_id, held)
        whole = {row.request_id: row.draft for row in shown if row.draft}
    for row in rows:
        if row.request_id in held:
            found[row.request_id] = whole.get(row.request_id) or _output_of(row)
    return found


def _output_of(draft: Row[Any]) -> bytes:
    """Return what a draft was, as far as it is known from its label and its score."""
    predicted = msgspec.json.decode(draft.predicted) if draft.predicted else None
    if predicted is None or isinstance(predicted, dict):
        return bytes(draft.predicted)
    output = {"label": predicted}
    if isinstance(predicted, bool) and draft.scorer == OWN and draft.score is not None:
        output["probability"] = draft.score if predicted else 1 - draft.score
    return _encode(output)


def _read_body(engine: Engine, ids: Collection[str], part: Column[Any]) -> dict[str, bytes]:
    query = select(bodies.c.request_id, part.label("body"))
    with engine.connect() as connection:
        rows = _in_batches(connection, query, bodies.c.request_id, ids)
        return {row.request_id: row.body for row in rows if row.body}


def read_outcomes(engine: Engine, ids: Collection[str]) -> dict[str, list[Outcome]]:
    """Return what became known of these requests."""
    found: dict[str, list[Outcome]] = {}
    with engine.connect() as connection:
        for row in _in_batches(connection, select(outcomes), outcomes.c.request_id, ids):
            value = msgspec.json.decode(row.value)
            outcome = Outcome(**{**row._mapping, "value": value})
            found.setdefault(row.request_id, []).append(outcome)
    return found


def read_units(engine: Engine, rollout: str, units: Collection[str]) -> dict[str, Unit]:
    """Return the users of a rollout that were met before, of these."""
    query = select(rollout_units).where(rollout_units.c.rollout == rollout)
    with engine.connect() as connection:
        rows = _in_batches(connection, query, rollout_units.c.unit, units)
        return {row.unit: _unit(row) for row in rows}


def units_due(
    engine: Engine, rollout: str, state: UnitState, until_us: int, limit: int
) -> list[Unit]:
    """Return the users whose state ends before a time, the first to end first."""
    here = rollout_units.c
    query = (
        select(rollout_units)
        .where(here.rollout == rollout, here.state == state, here.due_us < until_us)
        .order_by(here.due_us, here.unit)
        .limit(limit)
    )
    with engine.connect() as connection:
        return [_unit(row) for row in connection.execute(query)]


def save_units(connection: Connection, units: Sequence[Unit]) -> None:
    """Keep users as they are now, as part of the caller's transaction."""
    if not units:
        return
    ids = [unit.unit for unit in units]
    for start in range(0, len(ids), _BATCH):
        gone = (
            rollout_units.c.rollout == units[0].rollout,
            rollout_units.c.unit.in_(ids[start : start + _BATCH]),
        )
        connection.execute(delete(rollout_units).where(*gone))
    insert_rows(connection, rollout_units, [(*unit[:-1], _encode(unit.met)) for unit in units])


def _in_batches(
    connection: Connection, query: Any, column: Any, ids: Collection[str]
) -> Iterable[Row[Any]]:
    named = sorted(ids)
    for start in range(0, len(named), _BATCH):
        yield from connection.execute(query.where(column.in_(named[start : start + _BATCH])))


def _unit(row: Row[Any]) -> Unit:
    met = msgspec.json.decode(row.detail, type=Met)
    fields = {**row._mapping, "met": met}
    return Unit(**{name: fields[name] for name in Unit._fields})
