"""Hourly sums of the tries of models: how providers did, what they counted, what they cost.

The writer keeps them beside the rollups, in the same transaction, and the same job checks them.
"""

from __future__ import annotations

import operator
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, Engine, and_, case, delete, func, select

from ..types import HOUR_US, Record
from .gateway_tables import ATTEMPT_COUNTS, attempt_hours
from .records import each_record
from .rollups import BOUNDS_US, quantile_ms
from .state import insert_rows, reading
from .tables import LATENCY_BUCKETS

AttemptCell = tuple[int, str, str, str, str]
"""What is counted together: an hour, service, provider, model and how the tries ended."""
Dimension = Literal["service", "provider", "model", "hour_us"]

NOT_ASKED = ("stopped", "too_dear", "no_time_left", "no_key", "too_long", "budget_exhausted")
"""Ends of tries in which nobody was asked, for a reason that does not lie with the provider."""
TURNED_DOWN = "turned_down"
"""How a try ends here that was answered, and whose answer a check or a guard turned down."""
ANSWERED = ("ok", TURNED_DOWN, "unsure", "cut_off")
"""Ends of tries that the provider answered, whatever was thought of the answer."""

_OWN = {"cooling": "cooling", "busy": "busy", "rejected": TURNED_DOWN}
"""Ends of tries that are told as such, whatever was wrong upstream."""

_BUCKETS = tuple(f"b{k:02}" for k in range(LATENCY_BUCKETS))
_SUMS = (*ATTEMPT_COUNTS, *_BUCKETS)
_ZEROS = [0] * len(_SUMS)
_HISTOGRAM = len(ATTEMPT_COUNTS)
_CELL = 5


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """What the tries of a span did.

    Attributes:
        attempts: How many there were, by how they ended.
        retries: Of those, how many asked the same model again.
        input_tokens, output_tokens, cached_tokens: As providers counted them; cached ones are part
            of the input.
        repaired, reasked, cut_off: Answers whose JSON was mended, was asked for again, and that
            ended at their limit of tokens.
        input_bytes: Of the inputs whose tokens were counted.
        p50_ms, p95_ms: Time of the tries that were answered; None where there were none.
    """

    attempts: dict[str, int]
    retries: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost_micro: int = 0
    repaired: int = 0
    reasked: int = 0
    cut_off: int = 0
    input_bytes: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None

    @property
    def asked(self) -> int:
        """How many were sent: those that were skipped were not."""
        return sum(n for end, n in self.attempts.items() if end not in ("cooling", "busy"))

    @property
    def ok(self) -> int:
        """How many were answered, whatever was thought of the answer."""
        return sum(self.attempts.get(end, 0) for end in ANSWERED)

    @property
    def bytes_per_token(self) -> float | None:
        """How many bytes of JSON a token of input is; None where none was counted."""
        known = self.input_bytes and self.input_tokens
        return self.input_bytes / self.input_tokens if known else None


def tally_attempts(records: Iterable[Record]) -> dict[AttemptCell, list[int]]:
    """Return what the tries of `records` add to each cell, in the order of the table's sums."""
    cells: defaultdict[AttemptCell, list[int]] = defaultdict(_ZEROS.copy)
    for record in records:
        tries = record.attempts
        if not tries:
            continue
        at_us, service = record.at_us, record.service
        hour_us = at_us - at_us % HOUR_US
        for attempt in tries:
            status = attempt.cause or attempt.status
            if status in NOT_ASKED:
                continue
            if attempt.status in _OWN:
                status = _OWN[attempt.status]
            us = attempt.us
            sums = cells[hour_us, service, attempt.provider, attempt.model, status]
            sums[0] += 1
            sums[2] += us
            sums[_HISTOGRAM + bisect_left(BOUNDS_US, us)] += 1
            usage = attempt.usage
            if usage is not None:
                sums[3] += usage.input_tokens
                sums[4] += usage.output_tokens
                sums[5] += usage.cached_tokens
                sums[6] += usage.cache_write_tokens
                sums[7] += usage.reasoning_tokens
                sums[12] += attempt.input_bytes
            sums[8] += attempt.cost_micro
            if attempt.retry:
                sums[1] += 1
            if attempt.mended:
                sums[9 if attempt.mended == "repair" else 10] += 1
            if attempt.is_cut_off:
                sums[11] += 1
    return cells


def add_attempts(connection: Connection, cells: dict[AttemptCell, list[int]]) -> None:
    """Add to the stored sums."""
    rows = [(*cell, *cells[cell]) for cell in sorted(cells)]
    insert_rows(connection, attempt_hours, rows, "add")


def take_attempts(connection: Connection, cells: dict[AttemptCell, list[int]]) -> None:
    """Take away from the stored sums."""
    add_attempts(connection, {cell: _negative(sums) for cell, sums in cells.items()})


def rebuild_attempts(engine: Engine, since_us: int, until_us: int) -> int:
    """Make the sums of a span's hours agree with the records; returns how many cells did not.

    Only ask for hours whose records are all still kept.
    """
    since_us, until_us = since_us - since_us % HOUR_US, until_us + -until_us % HOUR_US
    between = and_(attempt_hours.c.hour_us >= since_us, attempt_hours.c.hour_us < until_us)
    with reading(engine) as connection:
        rows = connection.execute(select(attempt_hours).where(between)).all()
        missing: dict[Any, list[int]] = {
            tuple(row[:_CELL]): _negative(list(row[_CELL:])) for row in rows
        }
        for chunk in each_record(connection, since_us, until_us, chunk=500):
            for cell, sums in tally_attempts(chunk).items():
                known = missing.get(cell)
                missing[cell] = sums if known is None else list(map(operator.add, known, sums))
    missing = {cell: sums for cell, sums in missing.items() if any(sums)}
    if missing:
        with engine.begin() as connection:
            add_attempts(connection, missing)
            connection.execute(
                delete(attempt_hours).where(between & (attempt_hours.c.attempts == 0))
            )
    return len(missing)


def drop_attempts(connection: Connection, before_us: int) -> int:
    """Drop the sums of hours that began before `before_us`; returns how many rows."""
    old = delete(attempt_hours).where(attempt_hours.c.hour_us < before_us)
    return connection.execute(old).rowcount


def tried_by(
    engine: Engine,
    dimensions: tuple[Dimension, ...],
    since_us: int,
    until_us: int,
    *,
    services: Collection[str] = (),
    provider: str = "",
    model: str = "",
) -> dict[tuple[Any, ...], Tried]:
    """Return what the tries did of the hours that begin in a span, by some dimensions.

    Args:
        engine: The state.
        dimensions: What they are told apart by, in the order of the keys that are returned.
        since_us: The hour this lies in is the first.
        until_us: Only hours that begin before this.
        services: Only these services; empty for all.
        provider: Only this provider, if given.
        model: Only this model, if given.
    """
    here = attempt_hours.c
    where = [here.hour_us >= since_us - since_us % HOUR_US, here.hour_us < until_us]
    if services:
        where.append(here.service.in_(sorted(services)))
    if provider:
        where.append(here.provider == provider)
    if model:
        where.append(here.model == model)
    columns = [here[name] for name in dimensions]
    buckets = [func.sum(case((here.status == "ok", here[name]), else_=0)) for name in _BUCKETS]
    sums = [func.sum(here[name]) for name in ATTEMPT_COUNTS]
    query = (
        select(*columns, here.status, *sums, *buckets)
        .where(*where)
        .group_by(*columns, here.status)
        .order_by(*columns)
    )
    found: dict[tuple[Any, ...], dict[str, list[int]]] = {}
    place = len(dimensions)
    with engine.connect() as connection:
        for row in connection.execute(query):
            ends = found.setdefault(tuple(row[:place]), {})
            ends[row[place]] = [int(number or 0) for number in row[place + 1 :]]
    return {key: _tried(ends) for key, ends in found.items()}


def _tried(ends: dict[str, list[int]]) -> Tried:
    total = [sum(numbers) for numbers in zip(*ends.values(), strict=True)]
    count = dict(zip(_SUMS, total, strict=True))
    histogram = total[_HISTOGRAM:]
    return Tried(
        attempts={end: sums[0] for end, sums in ends.items() if sums[0]},
        p50_ms=quantile_ms(histogram, 0.50),
        p95_ms=quantile_ms(histogram, 0.95),
        **{name: count[name] for name in _SHOWN},
    )


_SHOWN = (
    "retries",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "cost_micro",
    "repaired",
    "reasked",
    "cut_off",
    "input_bytes",
)


def _negative(sums: list[int]) -> list[int]:
    return list(map(operator.neg, sums))
