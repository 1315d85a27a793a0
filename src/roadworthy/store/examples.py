"""Examples: how they lie in their table, how they are read, and how they go."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, Engine, Row, delete, func, insert, select

from ..errors import NotFound
from .tables import drafts, examples, reviews

ExampleState = Literal["quarantined", "accepted", "rejected"]
Kind = Literal["output", "label"]

_BATCH = 400
_encode = msgspec.json.Encoder(order="deterministic").encode


class Part(msgspec.Struct, frozen=True, array_like=True):
    """One decision that an example was made of: a review or an outcome, and its request."""

    id: str
    request_id: str
    release: str = ""


class Overruled(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a person decided about an example, instead of its checks.

    Attributes:
        digest: SHA-256 (hex) of the answer that they saw: it holds for no other.
    """

    state: ExampleState
    by: str
    at_us: int
    digest: str
    reason: str = ""


class Detail(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The rest of an example.

    Attributes:
        kind: Whether the answer is a whole `output` or the right `label`.
        is_correction: Whether it is not what the model said.
        release: The release that answered.
        review_id: The review that decided; empty where the outcome came from elsewhere.
        severity, reason: How bad the model's answer was, and why, in the reviewer's codes.
        parts: Every decision about this input that it was made of.
        features: What the record says was served: `values` and `views`.
        held: Check → why it holds the example back.
        overruled: What a person decided about it.
    """

    kind: Kind = "output"
    is_correction: bool = False
    release: str = ""
    review_id: str = ""
    severity: str = "none"
    reason: str = ""
    parts: tuple[Part, ...] = ()
    features: dict[str, Any] = {}
    held: dict[str, str] = {}
    overruled: Overruled | None = None


_decode = msgspec.json.Decoder(Detail).decode


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """One input with the answer that people or systems say is right.

    Attributes:
        at_us: When the newest decision about it was made.
        request_id: The request whose answer was decided last; its record gives the features.
        state: `quarantined` while a check holds it, `accepted`, or `rejected` by a person.
        why: The checks that hold it, each with its reason; empty where none does.
        source: Where the answer came from: `review`, `audit`, `second`, or a reporting system.
        by: Who gave it.
        weight: How many requests it stands for among all, at least 1.
        input, output: JSON bytes.
    """

    id: str
    service: str
    at_us: int
    request_id: str
    input_digest: str
    state: ExampleState
    why: str
    source: str
    by: str
    weight: float
    input: bytes
    output: bytes
    detail: Detail


def example_id(service: str, input_digest: str) -> str:
    """Return the id of the one example that a service has of an input."""
    return f"ex_{hashlib.sha256(f'{service}/{input_digest}'.encode()).hexdigest()[:24]}"


def digest_of_answer(output: bytes) -> str:
    """Return the SHA-256 (hex) that a person's decision about an example is bound to."""
    return hashlib.sha256(output).hexdigest()


def read_example(where: Engine | Connection, id: str) -> Example:
    """Return one example.

    Raises:
        NotFound: There is none with this id, or not any more.
    """
    if isinstance(where, Engine):
        with where.connect() as connection:
            return read_example(connection, id)
    row = where.execute(select(examples).where(examples.c.id == id)).first()
    if row is None:
        raise NotFound(
            f"no example `{id:.60}`: it never was, or its request is forgotten or older than its"
            " record is kept; `roadworthy examples list` lists them"
        )
    return _example(row)


def read_examples(connection: Connection, ids: Iterable[str]) -> dict[str, Example]:
    """Return those of these examples that are there, by id."""
    found: dict[str, Example] = {}
    wanted = sorted(set(ids))
    for start in range(0, len(wanted), _BATCH):
        query = select(examples).where(examples.c.id.in_(wanted[start : start + _BATCH]))
        found |= {row.id: _example(row) for row in connection.execute(query)}
    return found


def list_examples(
    engine: Engine,
    services: Collection[str] = (),
    *,
    state: str = "",
    before: str = "",
    limit: int | None = None,
) -> list[Example]:
    """Return examples, newest decision first; `before` is the id of the last one of a page.

    No service means all of them. After one that is not there, or not any more, comes nothing.
    """
    query = select(examples).order_by(examples.c.at_us.desc(), examples.c.id.desc())
    if services:
        query = query.where(examples.c.service.in_(services))
    if state:
        query = query.where(examples.c.state == state)
    with engine.connect() as connection:
        if before:
            at = select(examples.c.at_us).where(examples.c.id == before)
            at_us = connection.execute(at).scalar()
            if at_us is None:
                return []
            is_same = (examples.c.at_us == at_us) & (examples.c.id < before)
            query = query.where((examples.c.at_us < at_us) | is_same)
        return [_example(row) for row in connection.execute(query.limit(limit))]


def examples_between(
    connection: Connection, service: str, since_us: int, until_us: int
) -> list[Example]:
    """Return a service's examples whose newest decision lies in a span, by id."""
    of_span = (
        examples.c.service == service,
        examples.c.at_us >= since_us,
        examples.c.at_us < until_us,
    )
    query = select(examples).where(*of_span).order_by(examples.c.id)
    return [_example(row) for row in connection.execute(query)]


def ids_accepted_by(connection: Connection, by: Collection[str]) -> list[str]:
    """Return the accepted examples that rest on the word of these people."""
    is_one = (examples.c.state == "accepted", examples.c.by.in_(by))
    return list(connection.execute(select(examples.c.id).where(*is_one)).scalars())


def newest_decision_us(engine: Engine) -> int:
    """Return when the newest decision was made that an example rests on, or 0."""
    with engine.connect() as connection:
        return connection.execute(select(func.max(examples.c.at_us))).scalar() or 0


class Held(msgspec.Struct, frozen=True):
    """How many examples of a service are in each state, and how many each check holds."""

    service: str
    states: Mapping[str, int]
    checks: Mapping[str, int]


def count_examples(engine: Engine, services: Collection[str] = ()) -> list[Held]:
    """Return the counts of each service that has examples, by name."""
    query = select(examples.c.service, examples.c.state, examples.c.why, func.count())
    if services:
        query = query.where(examples.c.service.in_(services))
    states: dict[str, Counter[str]] = {}
    checks: dict[str, Counter[str]] = {}
    with engine.connect() as connection:
        rows = connection.execute(
            query.group_by(examples.c.service, examples.c.state, examples.c.why)
        )
        for service, state, why, count in rows:
            states.setdefault(service, Counter())[state] += count
            named = checks.setdefault(service, Counter())
            if state == "quarantined":
                named.update({line.partition(":")[0]: count for line in why.splitlines()})
    return [Held(name, dict(states[name]), dict(checks[name])) for name in sorted(states)]


def put_examples(connection: Connection, found: Collection[Example]) -> None:
    """Store examples in the place of what was there of the same inputs."""
    drop_examples(connection, [example.id for example in found])
    if found:
        connection.execute(insert(examples), [_row(example) for example in found])


def drop_examples(connection: Connection, ids: Collection[str]) -> int:
    """Delete examples, and return how many there were."""
    wanted, gone = sorted(set(ids)), 0
    for start in range(0, len(wanted), _BATCH):
        batch = examples.c.id.in_(wanted[start : start + _BATCH])
        gone += connection.execute(delete(examples).where(batch)).rowcount
    return gone


def drop_examples_of(connection: Connection, requests: Collection[str]) -> int:
    """Delete every example of an input that one of these requests came with.

    Also where somebody else asked the same: what the answer rests on may be theirs. Call it before
    the drafts and reviews of the requests go.
    """
    inputs: set[tuple[str, str]] = set()
    for table, digest in ((drafts, drafts.c.digest), (reviews, reviews.c.input_digest)):
        query = select(table.c.service, digest).where(table.c.request_id.in_(requests))
        inputs |= {(service, found) for service, found in connection.execute(query)}
    ids = [example_id(service, digest) for service, digest in inputs]
    mine = delete(examples).where(examples.c.request_id.in_(requests))
    return drop_examples(connection, ids) + connection.execute(mine).rowcount


def _row(example: Example) -> dict[str, Any]:
    fields = msgspec.structs.asdict(example)
    return fields | {"detail": _encode(example.detail).decode()}


def _example(row: Row[Any]) -> Example:
    fields = dict(row._mapping)
    return Example(**fields | {"detail": _decode(row.detail)})
