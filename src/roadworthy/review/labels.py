"""Labels that come late: joined to the requests they are of, checked, and written as outcomes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import UNSET
from sqlalchemy import Connection, Engine, select

from ..store.actions import append_action
from ..store.records import outcome_row
from ..store.state import insert_rows, reading
from ..store.tables import bodies, drafts, outcomes, records
from ..types import DAY_US, SHOWN, Clock, Ids, Outcome

SOURCE = "import"
MOST_SHOWN = 100
"""Rows of each kind that a report names; all of them are counted."""
_CHUNK = 500
_stable = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.decode


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a file.

    Attributes:
        row: Its number, from 1.
        request_id: Which request it is of; empty where its entity tells.
        entity: Field → value, where it does.
        label: What was right.
        correct: Whether the answer was right, instead of a label.
        at_us: When it happened; None where the file does not say.
        text: Whether the label came as text that might be a number or a truth value.
    """

    row: int
    request_id: str = ""
    entity: Mapping[str, str] = {}
    label: Any = UNSET
    correct: bool | None = None
    at_us: int | None = None
    text: str = ""


class Refused(msgspec.Struct, frozen=True):
    """A row that was not written, or that others contradict, and why."""

    row: int
    request_id: str
    why: str


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the rows of a file.

    Attributes:
        written: Outcomes that were written.
        known: Rows that said what had been imported before.
        unmatched: Rows of which there is no request.
        contradictory: Rows that say different things of one request, or other than was imported
            before: none of them was written.
        disagreeing: Rows that were written although another source says otherwise.
        shown: The first of the last three kinds, with why.
    """

    rows: int
    written: int
    known: int
    unmatched: int
    contradictory: int
    disagreeing: int
    shown: tuple[Refused, ...]


class _Report:
    def __init__(self) -> None:
        self.counts = {"unmatched": 0, "contradictory": 0, "disagreeing": 0}
        self.shown: list[Refused] = []

    def add(self, kind: str, label: Label, why: str) -> None:
        if self.counts[kind] < MOST_SHOWN:
            self.shown.append(Refused(label.row, label.request_id, why))
        self.counts[kind] += 1


def import_labels(
    engine: Engine,
    clock: Clock,
    labels: Iterable[Label],
    *,
    by: str,
    service: str = "",
    within_us: int = 30 * DAY_US,
) -> Imported:
    """Write what is known of requests; the same file again changes nothing.

    Args:
        engine: The state database.
        clock: The project's time.
        labels: The rows.
        by: Who brings them.
        service: Only requests of this one; must be named where entities tell which they are.
        within_us: How long before its label a request of an entity may have been asked.
    """
    report, rows = _Report(), list(labels)
    found = list(_joined(engine, rows, service, within_us, report))
    agreed = _agreed(found, report)
    with engine.begin() as connection:
        now_us = clock.now_us()
        new, known = _new_ones(connection, agreed, report)
        ids = Ids(clock)
        made = [_outcome(ids, label, share, now_us, by) for label, share in new]
        insert_rows(connection, outcomes, [outcome_row(outcome) for outcome in made])
        facts = {"rows": len(rows), "written": len(made), "known": known, **report.counts}
        append_action(connection, clock, by, "review.labels", service or "all", facts)
    return Imported(
        rows=len(rows),
        written=len(made),
        known=known,
        shown=tuple(sorted(report.shown, key=lambda refused: refused.row)),
        **report.counts,
    )


def _joined(
    engine: Engine, rows: list[Label], service: str, within_us: int, report: _Report
) -> Iterator[Label]:
    """Yield each row with the id of its request; one of an entity comes once a request."""
    by_id = [label for label in rows if label.request_id]
    with reading(engine) as connection:
        for some in _chunks(by_id):
            known = _known_requests(connection, [label.request_id for label in some], service)
            for label in some:
                if label.request_id in known:
                    yield label
                else:
                    where = f" of `{service}`" if service else ""
                    report.add("unmatched", label, f"no request{where} has this id")
        by_entity = [label for label in rows if not label.request_id]
        if by_entity:
            yield from _by_entity(connection, by_entity, service, within_us, report)


def _known_requests(connection: Connection, ids: list[str], service: str) -> set[str]:
    query = select(records.c.id).where(records.c.id.in_(ids))
    if service:
        query = query.where(records.c.service == service)
    return set(connection.execute(query).scalars())


def _by_entity(
    connection: Connection, rows: list[Label], service: str, within_us: int, report: _Report
) -> Iterator[Label]:
    """Yield the rows whose entity some request names in its input, as far as that was kept."""
    waiting: dict[tuple[str, ...], list[Label]] = {}
    for label in rows:
        waiting.setdefault(tuple(label.entity.values()), []).append(label)
    fields, matched = tuple(rows[0].entity), set()
    for id, at_us, raw in _inputs(connection, service):
        values = _decode(raw)
        found = values if isinstance(values, dict) else {}
        key = tuple(_word(found.get(name)) for name in fields)
        for label in waiting.get(key, ()):
            if label.at_us is None or label.at_us - within_us <= at_us <= label.at_us:
                matched.add(label.row)
                yield msgspec.structs.replace(label, request_id=id)
    for label in rows:
        if label.row not in matched:
            report.add("unmatched", label, "no request whose input was kept is of this entity")


def _inputs(connection: Connection, service: str) -> Iterator[tuple[str, int, bytes]]:
    query = (
        select(records.c.id, records.c.at_us, bodies.c.input)
        .join(bodies, bodies.c.request_id == records.c.id)
        .where(
            records.c.service == service,
            records.c.arm.in_(SHOWN),
            bodies.c.input.is_not(None),
        )
        .order_by(records.c.id)
        .limit(2000)
    )
    last = ""
    while page := connection.execute(query.where(records.c.id > last)).all():
        yield from (tuple(row) for row in page)
        last = page[-1].id


def _agreed(found: list[Label], report: _Report) -> list[Label]:
    """Return one row a request, of those whose rows all say the same."""
    of_request: dict[str, list[Label]] = {}
    for label in found:
        of_request.setdefault(label.request_id, []).append(label)
    agreed = []
    for labels in of_request.values():
        if len({_said(label) for label in labels}) == 1:
            agreed.append(labels[-1])
            continue
        for label in labels:
            others = ", ".join(str(o.row) for o in labels if o.row != label.row)
            report.add("contradictory", label, f"row {others} says otherwise of the same request")
    return agreed


def _new_ones(
    connection: Connection, agreed: list[Label], report: _Report
) -> tuple[list[tuple[Label, float]], int]:
    """Return the rows that are not known yet, with their share, and how many are known."""
    new, known = [], 0
    for some in _chunks(agreed):
        ids = [label.request_id for label in some]
        said, kept = _said_before(connection, ids), _drafts_of(connection, ids)
        for given in some:
            predicted, share = kept.get(given.request_id, (b"", 1.0))
            label = _as_predicted(given, predicted)
            kind, value = _said(label)
            before = [(s, v) for k, s, v in said.get(label.request_id, ()) if k == kind]
            ours = {said for source, said in before if source == SOURCE}
            if ours == {value}:
                known += 1
            elif ours:
                report.add("contradictory", label, "an earlier import says otherwise of it")
            else:
                new.append((label, share))
                if any(said != value for _, said in before):
                    report.add("disagreeing", label, "another source says otherwise of it")
    return new, known


def _chunks(labels: list[Label]) -> Iterator[list[Label]]:
    for start in range(0, len(labels), _CHUNK):
        yield labels[start : start + _CHUNK]


def _said_before(connection: Connection, ids: list[str]) -> dict[str, list[tuple[str, str, bytes]]]:
    columns = (outcomes.c.request_id, outcomes.c.kind, outcomes.c.source, outcomes.c.value)
    query = select(*columns).where(outcomes.c.request_id.in_(ids))
    said: dict[str, list[tuple[str, str, bytes]]] = {}
    for id, kind, source, value in connection.execute(query):
        said.setdefault(id, []).append((kind, source, _stable(_decode(value))))
    return said


def _drafts_of(connection: Connection, ids: list[str]) -> dict[str, tuple[bytes, float]]:
    """Return what was predicted, and the chance with which an outcome was asked for, by request."""
    columns = (drafts.c.request_id, drafts.c.predicted, drafts.c.share)
    query = select(*columns).where(drafts.c.request_id.in_(ids))
    return {id: (predicted, share) for id, predicted, share in connection.execute(query)}


def _as_predicted(label: Label, predicted: bytes) -> Label:
    """Return a label that came as text as the kind of value that its model predicts."""
    if label.text and predicted and isinstance(_decode(predicted), str):
        return msgspec.structs.replace(label, label=label.text)
    return label


def _said(label: Label) -> tuple[str, bytes]:
    """Return what kind of outcome a row is, and its value in one spelling."""
    if label.label is not UNSET:
        return "label", _stable(label.label)
    return "correct", _stable(label.correct)


def _outcome(ids: Ids, label: Label, share: float, now_us: int, by: str) -> Outcome:
    kind, value = _said(label)
    return Outcome(
        id=ids.new("oc", now_us),
        request_id=label.request_id,
        kind=kind,
        value=_decode(value),
        source=SOURCE,
        at_us=now_us if label.at_us is None else label.at_us,
        known_at_us=now_us,
        by=by,
        propensity=share,
    )


def _word(value: Any) -> str:
    return value if isinstance(value, str) else _stable(value).decode()
