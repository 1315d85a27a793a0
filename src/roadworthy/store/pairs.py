"""Pairs of answers to one question: how they lie in their table, and how they are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, Engine, Row, and_, delete, func, or_, select, update

from ..types import Pair, PairDecision
from .gateway_tables import pairs
from .state import insert_rows
from .tables import outcomes

_NAMES = tuple(column.name for column in pairs.columns)
_IDS_AT_A_TIME = 500

_encode = msgspec.json.Encoder().encode
_tags = msgspec.json.Decoder(tuple[str, ...]).decode
_answers = msgspec.json.Decoder(tuple[bytes, ...]).decode


class Known(NamedTuple):
    """What became known of a pair, to be written.

    Attributes:
        id: Of the pair.
    """

    id: str
    quality: float
    reference_quality: float
    loss: float
    known_at_us: int


class Said(NamedTuple):
    """What a source said of one of the two answers.

    Attributes:
        request_id: Of the answer.
        kind, value, source, known_at_us: As the outcome says; `value` is JSON.
    """

    request_id: str
    kind: str
    value: str
    source: str
    known_at_us: int


def add_pairs(connection: Connection, found: Sequence[Pair]) -> None:
    """Store pairs; one that is there already is left as it is."""
    insert_rows(connection, pairs, [_row(pair) for pair in found], "ignore")


def _row(pair: Pair) -> tuple[Any, ...]:
    values = msgspec.structs.asdict(pair)
    values["tags"] = _encode(pair.tags).decode()
    values["answers"] = _encode(pair.answers).decode()
    values["is_given"] = int(pair.is_given)
    return tuple([values[name] for name in _NAMES])


def pair_of(row: Row[Any]) -> Pair:
    """Return the pair that a row holds."""
    fields = dict(row._mapping)
    read = {"tags": _tags(row.tags), "answers": _answers(row.answers)}
    return Pair(**{**fields, **read, "is_given": bool(row.is_given)})


def read_pairs(
    engine: Engine,
    service: str,
    decision: PairDecision,
    release: str,
    from_us: int,
    until_us: int,
    *,
    scorer: str | None = None,
    limit: int | None = None,
) -> list[Pair]:
    """Return the pairs of a time in the order of their requests.

    Args:
        engine: The state database.
        service: Whose.
        decision: Of which decision.
        release: Of which release; empty takes those of all.
        from_us: The first request that counts.
        until_us: The first that no longer does.
        scorer: Only those that this score is of.
        limit: The newest so many.
    """
    where = [*_of(service, decision), pairs.c.at_us >= from_us, pairs.c.at_us < until_us]
    where += [] if not release else [pairs.c.release == release]
    where += [] if scorer is None else [pairs.c.scorer == scorer]
    query = select(pairs).where(*where)
    newest = query.order_by(pairs.c.at_us.desc(), pairs.c.id.desc()).limit(limit)
    with engine.connect() as connection:
        return [pair_of(row) for row in reversed(connection.execute(newest).all())]


def read_pair_scores(
    engine: Engine, service: str, decision: PairDecision, release: str, scorer: str, limit: int
) -> list[tuple[int, float]]:
    """Return time and score of the first pairs of a score, in the order of their requests."""
    its = (pairs.c.release == release, pairs.c.scorer == scorer, pairs.c.score.is_not(None))
    query = select(pairs.c.at_us, pairs.c.score).where(*_of(service, decision), *its)
    order = query.order_by(pairs.c.at_us, pairs.c.id).limit(limit)
    with engine.connect() as connection:
        return [(row.at_us, row.score) for row in connection.execute(order)]


def entries_before(
    engine: Engine, service: str, scorer: str, entries: Iterable[str], from_us: int, until_us: int
) -> set[str]:
    """Return those of some cached answers that were compared before, since `from_us`."""
    wanted = sorted(set(entries))
    found: set[str] = set()
    its = (*_of(service, "reuse"), pairs.c.scorer == scorer)
    span = (pairs.c.at_us >= from_us, pairs.c.at_us < until_us)
    with engine.connect() as connection:
        for some in _dealt(wanted):
            query = select(pairs.c.entry).where(*its, *span, pairs.c.entry.in_(some)).distinct()
            found.update(connection.execute(query).scalars())
    return found


def count_given(
    engine: Engine, service: str, decision: PairDecision, release: str, scorer: str, since_us: int
) -> float:
    """Return how many requests were decided so since a time, by the shares that were compared."""
    its = (*_of(service, decision), pairs.c.release == release, pairs.c.scorer == scorer)
    given = (pairs.c.is_given == 1, pairs.c.at_us >= since_us)
    query = select(func.sum(1.0 / pairs.c.share)).where(*its, *given)
    with engine.connect() as connection:
        return float(connection.execute(query).scalar() or 0.0)


def last_scorer_of_pairs(engine: Engine, service: str, decision: PairDecision, release: str) -> str:
    """Return the score that the newest pair of a release bears; empty where there is none."""
    its = (*_of(service, decision), pairs.c.release == release, pairs.c.scorer != "")
    query = select(pairs.c.scorer).where(*its).order_by(pairs.c.at_us.desc()).limit(1)
    with engine.connect() as connection:
        return connection.execute(query).scalar() or ""


def read_waiting_pairs(
    engine: Engine, service: str, after: tuple[int, str], until_us: int, limit: int
) -> list[Pair]:
    """Return pairs whose loss is not known yet and of which something was said, oldest first.

    Args:
        engine: The state database.
        service: Whose.
        after: Time and id of the last one that was read.
        until_us: The first request that is not to be read yet.
        limit: At most so many.
    """
    at_us, id = after
    is_next = or_(pairs.c.at_us > at_us, and_(pairs.c.at_us == at_us, pairs.c.id > id))
    said = select(outcomes.c.id).where(
        or_(
            outcomes.c.request_id == pairs.c.request_id,
            and_(pairs.c.audit_id != "", outcomes.c.request_id == pairs.c.audit_id),
        )
    )
    query = (
        select(pairs)
        .where(*_of(service, "route"), pairs.c.loss.is_(None), pairs.c.at_us < until_us)
        .where(is_next, said.exists())
        .order_by(pairs.c.at_us, pairs.c.id)
        .limit(limit)
    )
    with engine.connect() as connection:
        return [pair_of(row) for row in connection.execute(query)]


def read_said(engine: Engine, request_ids: Iterable[str]) -> dict[str, list[Said]]:
    """Return by request what was said of its answer."""
    found: dict[str, list[Said]] = {}
    said = outcomes.c
    query = select(said.request_id, said.kind, said.value, said.source, said.known_at_us)
    with engine.connect() as connection:
        for some in _dealt(sorted(set(request_ids))):
            wanted = query.where(said.request_id.in_(some)).order_by(said.id)
            for row in connection.execute(wanted):
                found.setdefault(row.request_id, []).append(Said(*row))
    return found


def write_known(connection: Connection, found: Iterable[Known]) -> None:
    """Write what became known of pairs; what is known already stays."""
    for one in found:
        values = {name: getattr(one, name) for name in Known._fields if name != "id"}
        its = (pairs.c.id == one.id, pairs.c.loss.is_(None))
        connection.execute(update(pairs).where(*its).values(**values))


def forget_pairs_of(connection: Connection, request_ids: Sequence[str]) -> None:
    """Remove what is personal from the pairs of some requests; what was lost stays."""
    gone = {
        "unit": "forgotten",
        "vector": b"",
        "tags": "[]",
        "answers": "[]",
        "reference_answer": b"",
    }
    its = or_(pairs.c.request_id.in_(request_ids), pairs.c.audit_id.in_(request_ids))
    connection.execute(update(pairs).where(its).values(**gone))


def drop_pairs_before(engine: Engine, service: str, at_us: int) -> int:
    """Delete the pairs of a service from before a time, and return how many there were."""
    old = (pairs.c.service == service, pairs.c.at_us < at_us)
    with engine.begin() as connection:
        return connection.execute(delete(pairs).where(*old)).rowcount


def _of(service: str, decision: PairDecision) -> tuple[Any, ...]:
    return pairs.c.service == service, pairs.c.decision == decision


def _dealt(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(ids), _IDS_AT_A_TIME):
        yield ids[first : first + _IDS_AT_A_TIME]
